"""How far a table reaches, told by its rules."""

from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.ruled_tables import (
    RuledGrid,
    WholeTable,
    grids_of,
    ruled_parts,
    whole_tables,
    with_words,
)
from deepcompress_dagster.records import BBox, TextSource, Word

CELLS = [
    BBox(100 * column, 20 * row, 100 * column + 100, 20 * row + 20)
    for row in range(4)
    for column in range(3)
]
WHOLE = BBox(0, 0, 300, 80)


def line(text: str, x: float, y: float) -> PageLine:
    pieces = text.split()
    words = [
        Word(BBox(x + 8 * i, y, x + 8 * i + 6, y + 10), piece) for i, piece in enumerate(pieces)
    ]
    box = BBox(x, y, words[-1].bbox.x1, y + 10)
    return PageLine(box, tuple(words), TextSource.TEXT_LAYER)


LINES = [line("a", cell.x0 + 5, cell.y0 + 5) for cell in CELLS]


def grid(cells=CELLS, lines=LINES) -> RuledGrid:
    (found,) = with_words([cells], lines)
    return found


def moved(cells, dy: float) -> list[BBox]:
    return [cell.shifted(0, dy) for cell in cells]


def test_a_table_cut_by_its_detected_box_grows_to_its_rules():
    assert whole_tables([BBox(30, 22, 290, 84)], [], [grid()]) == [WholeTable(WHOLE, (0,))]


def test_a_detected_box_that_reaches_beyond_the_rules_is_kept_there():
    (table,) = whole_tables([BBox(2, -30, 298, 60)], [], [grid()])
    assert table.bbox == BBox(0, -30, 300, 80)


def test_two_detections_on_one_grid_are_one_table():
    pieces = [BBox(0, 0, 300, 30), BBox(400, 0, 500, 30), BBox(0, 40, 300, 80)]
    tables = whole_tables(pieces, [], [grid()])
    assert {table.pieces: table.bbox for table in tables} == {(0, 2): WHOLE, (1,): pieces[1]}


def test_a_box_that_only_touches_a_grid_is_another_table():
    tables = whole_tables([BBox(0, 75, 300, 200)], [BBox(0, 0, 300, 80)], [grid()])
    assert [table.bbox for table in tables] == [BBox(0, 75, 300, 200)]


def test_a_ruled_grid_that_no_model_saw_is_a_table_unless_something_else_is_there():
    assert whole_tables([], [], [grid()]) == [WholeTable(WHOLE, ())]
    assert whole_tables([], [BBox(0, 0, 320, 90)], [grid()]) == []
    one_row = grid(CELLS[:3], LINES[:3])
    sparse = grid(CELLS, LINES[:5])
    assert whole_tables([], [], [one_row, sparse]) == []


def test_rules_around_few_words_are_a_drawing():
    assert with_words([CELLS], LINES[:1]) == ()
    assert with_words([CELLS], []) == ()


def test_rules_that_lay_out_a_page_or_a_panel_are_no_table():
    page = [BBox(0, 0, 300, 400), BBox(300, 0, 400, 200), BBox(300, 200, 400, 400)]
    prose = [line("the board counts boats at each lock", 5, 12 * n) for n in range(20)]
    assert with_words([page], [*prose, line("a b", 310, 5), line("c d", 310, 205)]) == ()
    panel = [BBox(0, 0, 300, 60), BBox(300, 0, 400, 20), BBox(300, 20, 400, 60)]
    panel.append(BBox(0, 60, 400, 80))
    sender = [line("river board", cell.x0 + 5, cell.y0 + 5) for cell in panel]
    assert whole_tables([], [], with_words([panel], sender)) == []


def test_a_caption_above_and_notes_below_that_the_rules_enclose_are_not_the_table():
    caption, note = BBox(0, -20, 300, 0), BBox(0, 80, 300, 110)
    lines = [*LINES, line("Table 3: Locks", 5, -15), line("Note: boats under ten tonnes", 5, 85)]
    found = grid([caption, *CELLS, note], lines)
    assert (found.bbox, found.frame) == (WHOLE, BBox(0, -20, 300, 110))
    (table,) = whole_tables([BBox(2, -22, 297, 112)], [], [found])
    assert table.bbox == WHOLE


def test_rows_as_wide_as_the_table_that_name_a_group_are_the_table():
    title, total = BBox(0, -20, 300, 0), BBox(0, 80, 300, 100)
    lines = [*LINES, line("Lower River", 5, -15), line("All locks", 5, 85)]
    assert len(grid([title, *CELLS, total], lines).cells) == len(CELLS) + 2


def test_a_grid_in_a_cell_of_another_is_not_read_twice():
    inner = [cell.scaled(0.2).shifted(5, 5) for cell in CELLS]
    outer, nested = grid(), grid(inner, [line("b", c.x0 + 1, c.y0 - 4) for c in inner])
    assert grids_of(WHOLE, [nested, outer]) == [outer]
    assert ruled_parts([(7, WHOLE)], [nested, outer]) == [(7, WHOLE)]


def test_two_grids_side_by_side_with_rows_of_their_own_are_two_tables():
    beside = [cell.shifted(312, 0) for cell in CELLS[:9]]
    lines = [*LINES, *(line("b", cell.x0 + 5, cell.y0 + 5) for cell in beside)]
    grids = with_words([CELLS, beside], lines)
    box = BBox(0, 0, 612, 80)
    assert [table.bbox for table in whole_tables([box], [], grids)] == [
        WHOLE,
        BBox(312, 0, 612, 60),
    ]
    level = [cell.shifted(312, 0) for cell in CELLS]
    lines = [*LINES, *(line("b", cell.x0 + 5, cell.y0 + 5) for cell in level)]
    (whole,) = whole_tables([box], [], with_words([CELLS, level], lines))
    assert whole.bbox == BBox(0, 0, 612, 80)
