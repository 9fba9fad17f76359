"""Tables from the boxes of cells and from words."""

from typing import Any

import pytest

from deepcompress_dagster.pdf.cell_grid import build_table
from deepcompress_dagster.records import BBox, Word


def texts(table: Any) -> list[list[str]]:
    grid = [[""] * table.n_columns for _ in range(table.n_rows)]
    for cell in table.cells:
        grid[cell.row][cell.column] = cell.text
    return grid


def word(text: str, x: float, y: float, bold: bool = False) -> Word:
    return Word(BBox(x, y, x + 6 * len(text), y + 10), text, 9, bold)


def test_a_cell_over_two_columns_spans_them() -> None:
    cells = [BBox(0, 0, 50, 20), BBox(50, 0, 150, 20)]
    cells += [BBox(50 * column, 20, 50 * column + 50, 40) for column in range(3)]
    cells += [BBox(50 * column, 40, 50 * column + 50, 60) for column in range(3)]
    table = build_table(cells, [word("top", 60, 5), word("low", 5, 45)])
    assert table is not None
    assert (table.n_rows, table.n_columns) == (3, 3)
    spanning = next(cell for cell in table.cells if cell.text == "top")
    assert (spanning.row, spanning.column, spanning.row_span, spanning.column_span) == (0, 1, 1, 2)
    assert {cell.row for cell in table.cells if cell.is_header} == {0, 1}


def test_gaps_become_empty_cells() -> None:
    table = build_table([BBox(0, 0, 50, 20), BBox(50, 20, 100, 40)], [word("a", 5, 5)])
    assert table is not None
    assert [(cell.row, cell.column) for cell in table.cells] == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_overlapping_cells_share_no_place() -> None:
    cells = [BBox(0, 0, 100, 40), BBox(0, 0, 50, 20), BBox(50, 0, 100, 20), BBox(0, 20, 100, 40)]
    table = build_table(cells, [word("a", 5, 5)])
    assert table is not None
    places = [
        (cell.row + down, cell.column + right)
        for cell in table.cells
        for down in range(cell.row_span)
        for right in range(cell.column_span)
    ]
    assert sorted(places) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_one_cell_is_no_table() -> None:
    assert build_table([BBox(0, 0, 50, 20)], [word("a", 5, 5)]) is None


def test_lines_of_a_cell_read_from_the_top() -> None:
    cells = [BBox(0, 0, 100, 40), BBox(100, 0, 200, 40)]
    content = [word("below", 5, 22), word("right", 40, 5), word("left", 5, 5.5)]
    table = build_table(cells, content)
    assert table is not None
    assert table.cells[0].text == "left right below"


def grid(rows: int, columns: int) -> list[BBox]:
    return [
        BBox(60 * column, 20 * row, 60 * column + 60, 20 * row + 20)
        for row in range(rows)
        for column in range(columns)
    ]


def filled(rows: int, columns: int) -> list[Word]:
    return [word("text", 60 * c + 5, 20 * r + 5) for r in range(rows) for c in range(columns)]


DOUBLE_LINES = [word("me", 60 * c + 5, 20 * r + d) for r in (0, 1) for c in (0, 1) for d in (0, 10)]


def test_confidence_is_one_when_every_word_sits_in_its_cell() -> None:
    table = build_table(grid(3, 3), filled(3, 3))
    assert table is not None
    assert table.confidence == 1


@pytest.mark.parametrize(
    ("cells", "content", "ruled"),
    [
        (grid(3, 3), [*filled(3, 3), word("outside", 500, 5)], True),
        (grid(3, 3), [*filled(3, 3), word("acrosstheborder", 30, 25)], True),
        (grid(3, 3), [word("text", 60 * i + 5, 20 * i + 5) for i in range(3)], False),
        (grid(2, 2), DOUBLE_LINES, False),
        (grid(2, 2), DOUBLE_LINES, True),
    ],
    ids=["words outside", "words across borders", "empty cells", "tall rows", "merged rows"],
)
def test_confidence_falls_with_each_way_of_being_wrong(
    cells: list[BBox], content: list[Word], ruled: bool
) -> None:
    table = build_table(cells, content, ruled=ruled)
    assert table is not None
    assert table.confidence < 0.95


def test_empty_cells_that_rules_close_are_there() -> None:
    table = build_table(grid(3, 3), filled(1, 3))
    assert table is not None
    assert table.confidence == 1


def test_a_ruled_row_of_wrapped_text_holds_one_record() -> None:
    wrapped = ["twelve let", "ters wide", "and more"]
    content = [word(text, x, 5 + 12 * i) for i, text in enumerate(wrapped) for x in (2, 72)]
    table = build_table([BBox(0, 0, 70, 50), BBox(70, 0, 140, 50)], content)
    assert table is not None
    assert table.confidence == 1


def test_rows_without_a_word_go_where_no_rule_made_them() -> None:
    content = [word("text", 60 * c + 5, y) for c in range(2) for y in (5, 45)]
    loose = build_table(grid(3, 2), content, ruled=False)
    kept = build_table(grid(3, 2), content, ruled=True)
    assert loose is not None
    assert kept is not None
    assert (loose.n_rows, kept.n_rows) == (2, 3)


def test_a_border_between_words_a_space_apart_is_none_where_no_rule_made_it() -> None:
    lines = [
        word(text, x, 20 * row + 5) for row in range(3) for text, x in (("one", 5), ("two", 26))
    ]
    values = [word("9", 70, 20 * row + 5) for row in range(3)]
    cells = [
        BBox(x0, 20 * row, x1, 20 * row + 20)
        for row in range(3)
        for x0, x1 in ((0, 24), (24, 60), (60, 80))
    ]
    table = build_table(cells, [*lines, *values], ruled=False)
    assert table is not None
    assert texts(table) == [["one two", "9"]] * 3


def test_words_a_space_beyond_the_last_border_belong_to_the_last_column() -> None:
    content = [*filled(2, 2), word("more", 60 + 5 + 26, 5), word("far", 300, 5)]
    table = build_table(grid(2, 2), content, ruled=False)
    assert table is not None
    assert texts(table) == [["text", "text more"], ["text", "text"]]


@pytest.mark.parametrize(
    ("first", "rest", "header"),
    [
        (word("Year", 65, 5), word("2021", 65, 25), True),
        (word("2020", 65, 5), word("2021", 65, 25), False),
        (word("2020", 65, 5), word("1,204", 65, 25), True),
        (word("17.5", 65, 5), word("1,204", 65, 25), False),
        (word("Name", 65, 5, bold=True), word("plain", 65, 25), True),
        (word("Name", 65, 5, bold=True), word("bold", 65, 25, bold=True), False),
        (word("Name", 65, 5), word("plain", 65, 25), False),
    ],
)
def test_the_first_row_is_a_header_when_it_stands_out(
    first: Word, rest: Word, header: bool
) -> None:
    table = build_table(grid(2, 2), [first, rest])
    assert table is not None
    assert any(cell.is_header for cell in table.cells) is header
