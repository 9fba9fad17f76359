from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcompress_dagster.records import (
    BlockUpdate,
    DocumentResult,
    Join,
    Label,
    PageResult,
    TableCell,
)
from deepcompress_dagster.warehouse import Warehouse
from deepcompress_dagster.warehouse.schema import MAIN_TABLES
from tests.builders import (
    block,
    figure,
    page_of,
    table,
)
from tests.warehouse.helpers import (
    VERSIONS,
    register,
    stage,
)

PAGES = 4
UNSTABLE = {"run_id", "last_run_id", "at", "first_seen_at", "processed_at", "seen_at"}
"""Who and when: all else must come out the same."""


def _pages(document_id: str) -> list[PageResult]:
    return [
        page_of(
            document_id,
            number,
            text=[block(number, row, f"{number}.{row}") for row in (2, 0, 1.5)],
            tables=[table(number, 3, TableCell(0, 0, 1, 1, True, f"{number}"))],
            figures=[figure(number, 4)] * (number % 2),
            errors={"text": "second", "figures": "first"} if number == 3 else None,
        )
        for number in range(1, PAGES + 1)
    ]


def _updates(pages: list[PageResult]) -> list[BlockUpdate]:
    return [
        BlockUpdate(b.page_number, b.region_id, Label.TEXT, None, Join.SPACE, b.monospace)
        for page in pages
        for b in page.text or ()
        if b.reading_order == 0
    ]


def _dump(warehouse: Warehouse) -> dict[str, list[tuple[object, ...]]]:
    """Every table as it is stored, without sorting."""
    with warehouse._database.read() as conn:
        return {
            table.name: conn.execute(
                "SELECT "
                + ", ".join(f'"{c.name}"' for c in table.columns if c.name not in UNSTABLE)
                + f" FROM {table.name}"
            ).fetchall()
            for table in MAIN_TABLES
        }


@dataclass(frozen=True)
class Case:
    """A document, and what its tables hold when its pages come one after the other."""

    warehouse: Warehouse
    document_id: str
    tables: dict[str, list[tuple[object, ...]]]


def _commit(warehouse: Warehouse, document_id: str, groups: Iterable[Iterable[int]]) -> None:
    pages = _pages(document_id)
    for group in groups:
        stage(warehouse, document_id, [pages[i] for i in group], page_count=PAGES)
    warehouse.commit(
        DocumentResult(document_id, PAGES),
        run_id="run",
        versions=VERSIONS,
        updates=_updates(pages),
    )


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("orders")
    warehouse = Warehouse(folder / "data")
    document_id = register(warehouse, folder, "a.pdf")
    _commit(warehouse, document_id, [[page] for page in range(PAGES)])
    return Case(warehouse, document_id, _dump(warehouse))


@st.composite
def groupings(draw: st.DrawFn) -> list[list[int]]:
    """All pages in any order, some of them twice, cut into groups anywhere."""
    again = draw(st.lists(st.integers(0, PAGES - 1), max_size=2))
    order = draw(st.permutations([*range(PAGES), *again]))
    cuts = sorted(draw(st.sets(st.integers(1, len(order) - 1), max_size=3)))
    return [order[a:b] for a, b in zip([0, *cuts], [*cuts, len(order)], strict=True)]


@settings(max_examples=10, deadline=None, derandomize=True)
@given(groups=groupings())
def test_any_order_and_grouping_of_pages_commits_the_same_tables(
    case: Case, groups: list[list[int]]
) -> None:
    _commit(case.warehouse, case.document_id, groups)
    assert _dump(case.warehouse) == case.tables
    assert len(case.tables["text"]) == 3 * PAGES
