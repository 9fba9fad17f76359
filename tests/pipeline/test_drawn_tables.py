"""Tables drawn for the purpose, read by the real models: what a cell says and where it stands."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import pytest

from deepcompress_dagster.pipeline.parse import Parser
from deepcompress_dagster.records import DocumentTask, PageResult, Table

pytestmark = pytest.mark.models

A4 = (595, 842)
Point = Callable[[float, float], tuple[float, float]]


def upright(x: float, y: float) -> tuple[float, float]:
    return x, y


def sideways(x: float, y: float) -> tuple[float, float]:
    """Where a point of a table that is read from the foot of the page to its top lies."""
    return y, A4[1] - x


def draw_table(
    page: Any, xs: Sequence[float], rows: Sequence[Sequence[str]], top: float, at: Point = upright
) -> None:
    """Rules and text, 20 points a row; a cell without text hangs together with the one above."""
    ys = [top + 20 * row for row in range(len(rows) + 1)]
    for x in xs:
        page.draw_line(at(x, ys[0]), at(x, ys[-1]))
    for y, row in zip(ys, [*rows, xs], strict=True):
        for left, right, text in zip(xs, xs[1:], row, strict=False):
            if text:
                page.draw_line(at(left, y), at(right, y))
    for y, row in zip(ys, rows, strict=False):
        for x, text in zip(xs, row, strict=False):
            page.insert_text(at(x + 4, y + 14), text, fontsize=9, rotate=0 if at is upright else 90)


def parsed(settings: Any, path: Any) -> list[PageResult]:
    task = DocumentTask("drawn", path, settings.data_dir / "images" / "drawn")
    with (
        Parser(settings, buffer_dir=settings.data_dir / "buffers") as parser,
        closing(parser.parse([task])) as stream,
    ):
        pages = [event for event in stream if isinstance(event, PageResult)]
    return sorted(pages, key=lambda page: page.page.page_number)


def rows_of(table: Table) -> list[list[str]]:
    grid = [[""] * table.n_columns for _ in range(table.n_rows)]
    for cell in table.cells:
        grid[cell.row][cell.column] = cell.text
    return grid


def test_a_ruled_table_is_read_whole_upright_and_sideways(settings, new_pdf):
    wheels = [["No.", "Name", "Age"], *([f"W-{n}", f"Wheel {n}", f"{7 * n}"] for n in range(1, 36))]
    locks = [["Lock", "Keeper", "Days"], ["Upper", "Tidewell", "12"], ["", "Harrow", "4"]]
    locks += [["Lower", "Marsh", "21"], ["", "Otter", "2"]]

    def long_table(page):
        page.insert_text((60, 42), "Table 1: Wheels on the Lower River", fontsize=9)
        draw_table(page, (60, 170, 280, 390), wheels, 60)

    def sideways_table(page):
        draw_table(page, (100, 300, 500, 700), locks, 200, sideways)

    first, second = parsed(settings, new_pdf("a.pdf", long_table, sideways_table, size=A4))
    (whole,), (turned,) = first.tables, second.tables
    assert rows_of(whole) == wheels
    assert not [block for block in first.text if "Name" in block.content]
    assert rows_of(turned) == locks
    assert {cell.text: cell.row_span for cell in turned.cells if cell.row_span > 1} == {
        "Upper": 2,
        "Lower": 2,
    }
