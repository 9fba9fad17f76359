from deepcompress_dagster.pipeline.lines import (
    PageLine,
    assign,
    cell_text,
    cluster,
    in_rows,
    join_lines,
    layer_lines,
    numbered_rows,
    ocr_line,
    runs_leftward,
)
from deepcompress_dagster.records import BBox, TextLine, TextSource, TextStyle, Word


def line(text: str, x0: float, y0: float, width: float = 100, block: int = 0) -> PageLine:
    pieces = text.split()
    step = width / max(1, len(pieces))
    words = tuple(
        Word(BBox(x0 + i * step, y0, x0 + (i + 1) * step - 1, y0 + 10), piece, 10)
        for i, piece in enumerate(pieces)
    )
    return PageLine(BBox(x0, y0, x0 + width, y0 + 10), words, TextSource.TEXT_LAYER, block=block)


def test_words_of_one_pdf_line_become_one_line():
    words = [
        Word(BBox(0, 0, 10, 10), "a", block=0, line=0),
        Word(BBox(12, 0, 20, 10), "b", block=0, line=0),
        Word(BBox(0, 12, 10, 22), "c", block=0, line=1),
    ]
    assert [found.text for found in layer_lines(words)] == ["a b", "c"]


def test_a_line_has_the_style_of_most_of_its_characters():
    words = (
        Word(BBox(0, 0, 20, 10), "Run", 10, bold=True, font="Serif-Bold"),
        Word(BBox(22, 0, 80, 10), "dpkg-deb", 9, monospace=True, font="Mono", color=0x000080),
    )
    found = PageLine(BBox(0, 0, 80, 10), words, TextSource.TEXT_LAYER)
    assert found.style == TextStyle("Mono", 9, False, False, True, 0x000080)
    assert ocr_line(TextLine(BBox(0, 0, 80, 10), "Run")).style is None


def test_a_line_belongs_to_the_region_that_covers_it():
    owned, orphans = assign([line("in", 10, 10)], [BBox(0, 0, 200, 100), BBox(0, 200, 200, 300)])
    assert [len(lines) for lines in owned] == [1, 0]
    assert orphans == []


def test_the_smaller_of_two_regions_that_cover_a_line_owns_it():
    owned, _ = assign([line("in", 10, 10)], [BBox(0, 0, 500, 500), BBox(0, 0, 120, 30)])
    assert [len(lines) for lines in owned] == [0, 1]


def test_a_line_over_two_columns_is_split_between_them():
    columns = [BBox(0, 0, 49, 100), BBox(51, 0, 100, 100)]
    owned, orphans = assign([line("left right", 0, 10)], columns)
    assert [[piece.text for piece in lines] for lines in owned] == [["left"], ["right"]]
    assert orphans == []


def test_words_that_no_region_covers_are_not_lost():
    owned, orphans = assign([line("a b c d", 0, 10)], [BBox(0, 0, 30, 100)])
    words = [word.text for lines in (*owned, orphans) for found in lines for word in found.words]
    assert sorted(words) == ["a", "b", "c", "d"]


def test_words_inside_the_rules_of_a_table_are_the_tables_whatever_box_they_lie_in():
    boxes = [BBox(0, 0, 100, 20), BBox(50, 0, 200, 100)]
    owned, orphans = assign([line("a b c d", 0, 5)], boxes, [(1, BBox(25, 0, 200, 100))])
    assert [[found.text for found in own] for own in owned] == [["a"], ["b c d"]]
    assert orphans == []


def test_near_lines_of_one_block_are_one_cluster_and_far_ones_are_not():
    lines = [line("one", 0, 0), line("two", 0, 12), line("far", 0, 80)]
    assert [len(group) for group in cluster(lines)] == [2, 1]


def test_lines_of_different_blocks_are_not_one_cluster():
    assert len(cluster([line("one", 0, 0, block=1), line("two", 0, 12, block=2)])) == 2


def test_rows_are_read_from_left_to_right_although_slightly_uneven():
    found = in_rows([line("right", 200, 9), line("left", 0, 11), line("below", 0, 40)])
    assert [piece.text for piece in found] == ["left", "right", "below"]


def test_a_word_broken_over_lines_is_made_whole_and_a_real_hyphen_stays():
    assert join_lines([line("a con-", 0, 0), line("tinued word", 0, 12)]) == "a continued word"
    assert join_lines([line("the A-", 0, 0), line("B test", 0, 12)]) == "the A- B test"


def test_a_cell_joins_its_lines_as_a_paragraph_does():
    assert cell_text([line("门板", 0, 12), line("两扇", 0, 0)]) == "两扇门板"
    assert cell_text([line("Produk-", 0, 0), line("tion", 0, 12)]) == "Produktion"
    assert cell_text([]) == ""


def test_lines_of_a_row_in_right_to_left_script_are_read_from_the_right():
    row = in_rows([line("שמאל", 0, 0), line("ימין", 200, 0)])
    assert [found.text for found in row] == ["ימין", "שמאל"]


def test_vertical_lines_are_read_from_the_right():
    boxes = [BBox(x, y, x + 16, y + 100) for x, y in ((10, 0), (66, 5), (38, 0))]
    words = [Word(box, str(i), 16, vertical=True) for i, box in enumerate(boxes)]
    lines = [PageLine(word.bbox, (word,), TextSource.TEXT_LAYER) for word in words]
    assert [found.text for found in in_rows(lines)] == ["1", "2", "0"]


def test_words_of_an_ocr_line_share_its_box_in_order():
    found = ocr_line(TextLine(BBox(0, 0, 100, 10), "ab cdef gh", 0.9))
    assert [word.text for word in found.words] == ["ab", "cdef", "gh"]
    edges = [edge for word in found.words for edge in (word.bbox.x0, word.bbox.x1)]
    assert edges == sorted(edges)
    assert edges[0] == 0
    assert edges[-1] == 100


def test_rows_of_a_slanted_page_are_told_by_the_order_of_reading():
    def at(text: str, x: float, y: float) -> PageLine:
        box = BBox(x, y, x + 80, y + 10)
        return PageLine(box, (Word(box, text),), TextSource.OCR)

    read = [at("bread", 0, 6), at("2.10", 300, 0), at("milk", 0, 18), at("0.99", 300, 12)]
    lines = numbered_rows(read)
    assert [line.row for line in lines] == [0, 0, 1, 1]
    assert [line.text for line in in_rows(lines[::-1])] == ["bread", "2.10", "milk", "0.99"]
    assert [line.text for line in in_rows(read[::-1])] != ["bread", "2.10", "milk", "0.99"]


def test_pages_in_right_to_left_script_or_vertical_lines_run_leftward():
    box = BBox(0, 0, 16, 100)
    column = PageLine(box, (Word(box, "水車小屋", 16, vertical=True),), TextSource.TEXT_LAYER)
    assert runs_leftward([line("שלום עולם מה שלומך", 0, 0), line("plain", 0, 12)])
    assert runs_leftward([column])
    assert not runs_leftward([line("a longer line of plain text", 0, 0), line("שלום", 0, 12)])
    assert not runs_leftward([])


def test_a_vertical_line_goes_on_below_a_latin_word_in_it():
    boxes = [BBox(100, 0, 116, 100), BBox(100, 150, 116, 250), BBox(72, 0, 88, 250)]
    words = [Word(box, "水車小屋", 16, vertical=True) for box in boxes]
    lines = [PageLine(word.bbox, (word,), TextSource.TEXT_LAYER) for word in words]
    assert len(cluster(lines)) == 1
