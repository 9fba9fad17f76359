"""Tables that PyMuPDF's finder sees, as grids of cells."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from deepcompress_dagster.pdf.worker import drawings, table_finder
from deepcompress_dagster.pdf.worker.document import open_document
from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.pdf.worker.table_finder import build_table, find_tables
from deepcompress_dagster.records import BBox, Word

NewPdf = Callable[..., Path]

ROWS = (("Kind", "2021", "2022"), ("Early red", "1,240", "980"), ("Late", "2,105", "2,310"))
BOX = BBox(50, 100, 350, 160)


def draw_cells(page: Any, rows: Sequence[Sequence[str]] = ROWS) -> None:
    for row, cells in enumerate(rows):
        for column, text in enumerate(cells):
            page.insert_text((55 + 100 * column, 113 + 20 * row), text, fontsize=9)


def draw_grid(page: Any, *, vertical: bool = True) -> None:
    for row in range(4):
        page.draw_line((50, 100 + 20 * row), (350, 100 + 20 * row))
    for column in range(4 if vertical else 0):
        page.draw_line((50 + 100 * column, 100), (50 + 100 * column, 160))


def ruled(page: Any) -> None:
    draw_cells(page)
    draw_grid(page)


def texts(table: Any) -> list[list[str]]:
    grid = [[""] * table.n_columns for _ in range(table.n_rows)]
    for cell in table.cells:
        grid[cell.row][cell.column] = cell.text
    return grid


def word(text: str, x: float, y: float, bold: bool = False) -> Word:
    return Word(BBox(x, y, x + 6 * len(text), y + 10), text, 9, bold)


def test_a_ruled_table_is_found_with_certainty(new_pdf: NewPdf) -> None:
    (table,) = find_tables(open_document(new_pdf("a.pdf", ruled)), 1, [BOX])
    assert table is not None
    assert (table.n_rows, table.n_columns) == (3, 3)
    assert texts(table) == [list(row) for row in ROWS]
    assert table.confidence == 1
    assert table.cells[0].bbox == BBox(50, 100, 150, 120)
    assert [cell.is_header for cell in table.cells] == [True] * 3 + [False] * 6


def test_a_table_without_vertical_rules_is_found_with_less(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        draw_cells(page)
        draw_grid(page, vertical=False)

    (table,) = find_tables(open_document(new_pdf("a.pdf", draw)), 1, [BOX])
    assert table is not None
    assert texts(table) == [list(row) for row in ROWS]
    assert 0.5 < table.confidence < 1


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("cropped", [False, True])
def test_boxes_and_cells_are_as_displayed_and_the_page_stays_as_it_is(
    new_pdf: NewPdf, rotation: int, cropped: bool
) -> None:
    def draw(page: Any) -> None:
        ruled(page)
        if cropped:
            page.set_cropbox(pymupdf.Rect(20, 50, 380, 500))

    document = open_document(new_pdf("a.pdf", draw, rotation=rotation))
    page = document[0]
    before = (page.rect, page.rotation, page.cropbox, page.read_contents())
    shift = (-20, -50) if cropped else (0, 0)
    box = BBox(*(pymupdf.Rect(*BOX.shifted(*shift)) * page.rotation_matrix).normalize()).rounded()
    for table in find_tables(document, 1, [box, box]):
        assert table is not None
        assert table.bbox == box
        assert sorted(" ".join(cell.text for cell in table.cells).split()) == sorted(
            " ".join(text for row in ROWS for text in row).split()
        )
    page = document[0]
    assert (page.rect, page.rotation, page.cropbox, page.read_contents()) == before


def test_each_box_has_its_answer_and_none_where_there_is_no_table(new_pdf: NewPdf) -> None:
    empty = BBox(50, 300, 350, 400)
    found = find_tables(open_document(new_pdf("a.pdf", ruled)), 1, [empty, BOX, empty])
    assert [table is not None for table in found] == [False, True, False]


def test_a_finder_that_fails_finds_nothing(
    new_pdf: NewPdf, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise IndexError("list index out of range")

    document = open_document(new_pdf("a.pdf", ruled))
    monkeypatch.setattr(pymupdf.Page, "find_tables", fail)
    assert find_tables(document, 1, [BOX]) == [None]
    assert capfd.readouterr() == ("", "")


def test_a_page_full_of_paths_is_not_searched(
    new_pdf: NewPdf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawings, "MAX_PATHS", 3)
    assert find_tables(open_document(new_pdf("a.pdf", ruled)), 1, [BOX, BOX]) == [None, None]


def test_the_finder_prints_nothing(new_pdf: NewPdf, capfd: pytest.CaptureFixture[str]) -> None:
    find_tables(open_document(new_pdf("a.pdf", ruled)), 1, [BOX])
    assert capfd.readouterr() == ("", "")


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


def test_confidence_is_one_when_every_word_sits_in_its_cell() -> None:
    table = build_table(grid(3, 3), filled(3, 3))
    assert table is not None
    assert table.confidence == 1


@pytest.mark.parametrize(
    ("cells", "content"),
    [
        (grid(3, 3), [*filled(3, 3), word("outside", 500, 5)]),
        (grid(3, 3), [*filled(3, 3), word("acrosstheborder", 30, 25)]),
        (grid(3, 3), filled(1, 3)),
        (
            grid(2, 2),
            [word("text", 60 * c + 5, 20 * r + d) for r in (0, 1) for c in (0, 1) for d in (0, 10)],
        ),
    ],
    ids=["words outside", "words across borders", "empty cells", "merged rows"],
)
def test_confidence_falls_with_each_way_of_being_wrong(
    cells: list[BBox], content: list[Word]
) -> None:
    table = build_table(cells, content)
    assert table is not None
    assert table.confidence < 0.95


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


def test_ways_are_tried_from_the_surest_to_the_boldest() -> None:
    trusts = [way.trust for way in table_finder._WAYS]
    assert trusts == sorted(trusts, reverse=True)
