"""Tables over pages in the warehouse: what is shown of them, and what comes out as one."""

from dataclasses import replace

import pytest

from deepcompress_dagster.pipeline.table_chains import continued_tables
from deepcompress_dagster.pipeline.tables import Grid, to_markdown
from deepcompress_dagster.records import (
    BBox,
    DocumentResult,
    Label,
    PageResult,
    Region,
    Table,
    TableCell,
    region_id,
)
from deepcompress_dagster.warehouse import Warehouse
from tests.builders import page_of
from tests.warehouse.helpers import VERSIONS, commit, register, rows, stage, versions

HEADER = ("Lock", "Boats")


def table_of(page: int, *lines: tuple[str, str]) -> Table:
    """A table of two columns down a whole page."""
    cells = tuple(
        TableCell(
            r, c, 1, 1, False, text, BBox(60 + 100 * c, 80 + 20 * r, 150 + 100 * c, 99 + 20 * r)
        )
        for r, line in enumerate(lines)
        for c, text in enumerate(line)
    )
    box = BBox(60, 80, 250, 700)
    grid = Grid(len(lines), 2, cells, 0.9, "test")
    return Table(
        page_number=page,
        region_id=region_id(page, box),
        bbox=box,
        reading_order=1,
        n_rows=len(lines),
        n_columns=2,
        cells=cells,
        html="",
        markdown=to_markdown(grid),
        caption=None,
        confidence=0.9 - page / 10,
        model="test",
    )


def page_with(document: str, page: int, table: Table, *labels: tuple[Label, float]) -> PageResult:
    """A page with a table, and regions of these labels at these heights."""
    boxes = [(label, BBox(60, y, 250, y + 20)) for label, y in labels]
    regions = [(Label.TABLE, table.bbox), *boxes]
    return replace(
        page_of(document, page, text=(), tables=[table], figures=()),
        layouts=tuple(
            Region(page, region_id(page, box), label, box, 0.9, n, "test")
            for n, (label, box) in enumerate(regions)
        ),
    )


@pytest.fixture
def document(warehouse: Warehouse, tmp_path) -> str:
    return register(warehouse, tmp_path, "locks.pdf")


def three_parts(document: str) -> list[PageResult]:
    tables = [
        table_of(1, HEADER, *((f"Upper {n}", f"{n}1") for n in range(3))),
        table_of(2, HEADER, *((f"Lower {n}", f"{n}2") for n in range(2))),
        table_of(3, ("Old 7", "33"), ("Old 8", "34")),
    ]
    furniture = [(Label.PAGE_HEADER, 20.0), (Label.FOOTNOTE, 720.0), (Label.TEXT, 815.0)]
    return [page_with(document, n, table, *furniture) for n, table in enumerate(tables, start=1)]


def test_a_table_over_three_pages_is_one_row_without_its_repeated_header(warehouse, document):
    stage(warehouse, document, three_parts(document))
    shown = warehouse.outline_tables(document, VERSIONS)
    assert [(t.is_first, t.is_last) for t in shown] == [(True, True)] * 3
    assert [round(column.values, 2) for column in shown[0].columns] == [0, 0.75]
    assert shown[0].head[0] == HEADER
    assert shown[0].tail == ("Upper 2", "21")
    warehouse.commit(
        DocumentResult(document, 3),
        run_id="run",
        versions=VERSIONS,
        updates=continued_tables(shown),
    )
    assert rows(warehouse, "SELECT repeated_rows FROM tables ORDER BY page_number") == [
        (None,),
        (1,),
        (0,),
    ]
    ((pages, n_rows, n_parts, confidence, markdown),) = rows(
        warehouse,
        "SELECT [page_number, last_page_number], n_rows, len(parts), confidence, markdown "
        "FROM whole_tables",
    )
    assert (pages, n_rows, n_parts, confidence) == ([1, 3], 8, 3, pytest.approx(0.6))
    assert markdown.count("Lock") == 1
    assert markdown.splitlines()[1] == "| --- | --- |"
    assert [line.split(" | ")[1].strip("| ") for line in markdown.splitlines()[2:]] == (
        ["01", "11", "21", "02", "12", "33", "34"]
    )
    assert rows(
        warehouse,
        'SELECT c."row", c.page_number, c.text FROM whole_tables, unnest(cells) AS u(c) '
        'WHERE c."column" = 0 ORDER BY 1',
    ) == [
        (0, 1, "Lock"),
        *((n + 1, 1, f"Upper {n}") for n in range(3)),
        *((n + 4, 2, f"Lower {n}") for n in range(2)),
        (6, 3, "Old 7"),
        (7, 3, "Old 8"),
    ]


def test_text_beside_a_table_shows_that_it_does_not_begin_or_end_its_page(warehouse, document):
    pages = three_parts(document)
    above = page_with(document, 1, pages[0].tables[0], (Label.SECTION_HEADER, 55 + 30))
    below = page_with(document, 2, pages[1].tables[0], (Label.TEXT, 705))
    above = replace(above, tables=(replace(above.tables[0], bbox=BBox(60, 120, 250, 700)),))
    stage(warehouse, document, [above, below])
    first, second = warehouse.outline_tables(document, VERSIONS)
    assert (first.is_first, first.is_last) == (False, True)
    assert (second.is_first, second.is_last) == (True, False)


def test_tables_alone_are_judged_by_the_committed_layouts(warehouse, document):
    pages = three_parts(document)
    commit(warehouse, document, pages)
    alone = versions("tables", version="v2")
    only = [replace(page, layouts=None, text=None, figures=None) for page in pages]
    stage(warehouse, document, only, assets=alone)
    shown = warehouse.outline_tables(document, alone)
    assert [update.repeated_rows for update in continued_tables(shown)] == [1, 0]
    assert warehouse.outline_tables(document, versions("text")) == []


def test_tables_of_one_page_each_are_rows_of_their_own(warehouse, document):
    commit(warehouse, document, three_parts(document))
    assert rows(warehouse, "SELECT page_number, n_rows FROM whole_tables ORDER BY 1") == [
        (1, 4),
        (2, 3),
        (3, 2),
    ]
