from deepcompress_dagster.pipeline.code import is_code, join_code, preformatted, split_code
from deepcompress_dagster.pipeline.layout import CLUSTER_MODEL, Area, postprocess_layout
from deepcompress_dagster.pipeline.lines import PageLine, layer_lines
from deepcompress_dagster.records import BBox, Label, TextSource, Word

SIZE = (600.0, 800.0)


def typed(text: str, x: float, y: float, monospace: bool = True) -> PageLine:
    """A line with characters 6 points wide, words where monospace type has them."""
    words, column = [], 0
    for piece in text.split(" "):
        if piece:
            box = BBox(x + 6 * column, y, x + 6 * (column + len(piece)), y + 10)
            words.append(Word(box, piece, 10, monospace=monospace))
        column += len(piece) + 1
    bbox = BBox(words[0].bbox.x0, y, words[-1].bbox.x1, y + 10)
    return PageLine(bbox, tuple(words), TextSource.TEXT_LAYER)


def test_code_keeps_its_lines_its_indent_and_its_blanks():
    lines = [typed("def f(x):", 100, 0), typed("    y  = x", 100, 12), typed("return", 124, 24)]
    assert preformatted(lines) == "def f(x):\n    y  = x\n    return"


def test_prose_above_code_is_a_piece_of_its_own():
    prose = typed("as in", 90, 0, monospace=False)
    code = typed("x <- 1", 110, 12)
    assert [piece.is_code for piece in split_code(0, [prose, code])] == [False, True]


def test_a_path_that_fills_a_line_of_a_paragraph_is_prose():
    lines = [
        typed("see the file", 90, 0, monospace=False),
        typed("/etc/fstab.d/local", 90, 12),
        typed("for the rest", 90, 24, monospace=False),
    ]
    (piece,) = split_code(0, lines)
    assert not piece.is_code
    assert len(piece.lines) == 3


def test_code_that_a_model_saw_in_pieces_is_one_area_of_text():
    areas = [
        Area(Label.FORMULA, BBox(100, 0, 300, 11), 0.5, "m"),
        Area(Label.TEXT, BBox(100, 12, 300, 23), 0.4, "m"),
    ]
    lines = [typed("first line", 100, 0), typed("second", 100, 12), typed("third", 100, 24)]
    (area,) = postprocess_layout(areas, lines, SIZE)
    assert (area.label, area.model) == (Label.TEXT, "m")
    assert area.bbox == BBox(100, 0, 160, 34)


def test_code_far_below_is_another_piece():
    pieces = split_code(0, [typed("a", 0, 0)]) + split_code(1, [typed("b", 0, 200)])
    assert len(join_code(pieces)) == 2


def test_overlooked_code_and_overlooked_prose_get_areas_of_their_own():
    lines = [typed("some prose", 90, 0, monospace=False), typed("x = 1", 110, 11)]
    found = postprocess_layout([], lines, SIZE)
    assert [area.model for area in found] == [CLUSTER_MODEL, CLUSTER_MODEL]


def test_monospace_type_is_told_by_every_word():
    words = [
        Word(BBox(0, 0, 10, 10), "run", 10, monospace=True),
        Word(BBox(12, 0, 30, 10), "this", 10),
    ]
    assert not is_code(layer_lines(words))
    assert is_code(layer_lines(words[:1]))
