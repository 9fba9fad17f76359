"""Tables that PyMuPDF's finder sees, as grids of cells."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from deepcompress_dagster.pdf.worker import drawings, table_finder
from deepcompress_dagster.pdf.worker.document import open_document
from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.pdf.worker.table_finder import find_tables
from deepcompress_dagster.records import BBox

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


def test_ways_are_tried_from_the_surest_to_the_boldest() -> None:
    trusts = [way.trust for way in table_finder._WAYS]
    assert trusts == sorted(trusts, reverse=True)
