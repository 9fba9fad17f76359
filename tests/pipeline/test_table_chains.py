"""Tables over pages: five kinds of tables are drawn on two pages each, in many ways."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from deepcompress_dagster.pipeline.phrases import is_value
from deepcompress_dagster.pipeline.table_chains import continued_tables
from deepcompress_dagster.pipeline.text_grid import text_grid
from deepcompress_dagster.records import BBox, OutlineColumn, OutlineTable, region_id, union
from tests.pipeline.drawn_tables import table_lines, texts

Rows = list[list[str]]

KINDS: dict[str, tuple[list[float], list[str], Rows]] = {
    "register": (
        [60, 240, 330, 420],
        ["No.", "Name", "Output", "Age"],
        [[f"W-{n:03}", f"Wheel {n}", str(100 + 37 * n), f"{n}.1"] for n in range(1, 41)],
    ),
    "ledger": (
        [60, 300, 400, 500],
        ["Item", "Debit", "Credit", "Balance"],
        [[f"Oak for gate {'abc'[n % 3]}", f"{n}7.50", f"{n}3.20", f"{n}9.90"] for n in range(40)],
    ),
    "years": (
        [60, 250, 320, 390],
        ["Reach", "2023", "2024", "2025"],
        [
            [f"Reach {chr(65 + n % 26)}{'x' * (n // 26)}", f"{n} 204", f"{n} 310", "—"]
            for n in range(40)
        ],
    ),
    "terms": (
        [60, 300, 480],
        ["Term", "Meaning", "Source"],
        [[f"Word{'aeiou'[n % 5]}", f"sense {'pqrst'[n % 5]} of it", "Board"] for n in range(40)],
    ),
    "counts": (
        [60, 200, 260, 320, 380],
        ["Lock", "Jan", "Feb", "Mar", "Apr"],
        [
            [f"{['Upper', 'Lower', 'Old', 'New'][n % 4]} lock", *(str(n * m) for m in range(4))]
            for n in range(40)
        ],
    ),
}


def part(
    page: int,
    rows: Rows,
    columns: Sequence[float],
    *,
    top: float = 60,
    caption: str | None = None,
    is_first: bool = True,
    is_last: bool = True,
) -> OutlineTable:
    """The table of these rows, 16 points apart, as it is read from its words."""
    grid = text_grid(table_lines(rows, columns, pitch=16, top=top))
    assert grid is not None
    slots = texts(grid)
    assert slots == rows
    boxes = [cell.bbox for cell in grid.cells if cell.bbox]
    sides = []
    for column in range(grid.n_columns):
        own = [cell for cell in grid.cells if cell.column == column and cell.bbox]
        filled = [cell.text for cell in own if cell.text]
        reach = union(cell.bbox for cell in own if cell.bbox)
        sides.append(OutlineColumn(reach.x0, reach.x1, sum(map(is_value, filled)) / len(filled)))
    box = BBox(*union(boxes))
    return OutlineTable(
        page_number=page,
        region_id=region_id(page, box),
        bbox=box,
        page_height=792,
        caption=caption,
        is_first=is_first,
        is_last=is_last,
        columns=tuple(sides),
        head=tuple(map(tuple, slots[:4])),
        tail=tuple(slots[-1]),
    )


def two_pages(kind: str) -> tuple[OutlineTable, Rows, list[str], list[float]]:
    """The part of a table on page 1, and rows, header and columns for page 2."""
    columns, header, body = KINDS[kind]
    return part(1, [header, *body[:38]], columns), body[38:] * 4, header, columns


def joined(*tables: OutlineTable) -> list[int]:
    """How many rows each table that continues the one before repeats."""
    updates = continued_tables(tables)
    for update, before in zip(updates, tables, strict=False):
        assert update.continues == before.region_id
    return [update.repeated_rows for update in updates]


every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_a_table_with_its_header_repeated_is_continued(kind):
    first, rows, header, columns = two_pages(kind)
    assert joined(first, part(2, [header, *rows], columns)) == [1]


@every_kind
def test_a_table_without_its_header_is_continued(kind):
    first, rows, _, columns = two_pages(kind)
    assert joined(first, part(2, rows, columns)) == [0]


@every_kind
def test_a_caption_that_says_so_or_says_the_same_continues(kind):
    first, rows, header, columns = two_pages(kind)
    first = replace(first, caption="Table 3: Wheels on the river")
    for caption in ("Table 3 (continued)", "Table 3: Wheels on the river", "Table 3, cont'd"):
        assert joined(first, part(2, [header, *rows], columns, caption=caption)) == [1]


@every_kind
def test_a_table_moved_by_the_margin_of_a_left_page_is_continued(kind):
    first, rows, header, columns = two_pages(kind)
    assert joined(first, part(2, [header, *rows], [x + 22 for x in columns])) == [1]


@every_kind
def test_a_table_over_three_pages_is_one(kind):
    first, rows, header, columns = two_pages(kind)
    body = [*rows, *rows, *rows, *rows, *rows]
    second = part(2, body[:38], columns)
    assert joined(first, second, part(3, [header, *rows], columns)) == [0, 1]


@every_kind
def test_a_new_caption_begins_a_new_table(kind):
    first, rows, header, columns = two_pages(kind)
    first = replace(first, caption="Table 3: Wheels on the river")
    for caption in ("Table 4: Wheels on the river", "Wheels of the upper reach"):
        assert joined(first, part(2, [header, *rows], columns, caption=caption)) == []


@every_kind
def test_text_between_begins_a_new_table(kind):
    first, rows, header, columns = two_pages(kind)
    second = part(2, [header, *rows], columns)
    assert joined(first, replace(second, is_first=False)) == []
    assert joined(replace(first, is_last=False), second) == []
    assert joined(first, replace(second, page_number=3)) == []


@every_kind
def test_a_table_that_ends_high_on_its_page_is_over(kind):
    columns, header, body = KINDS[kind]
    first = part(1, [header, *body[:8]], columns)
    assert joined(first, part(2, [header, *body[8:20]], columns)) == []


@every_kind
def test_a_total_ends_a_table(kind):
    columns, header, body = KINDS[kind]
    total = ["Total", *body[0][1:]]
    first = part(1, [header, *body[:37], total], columns)
    assert joined(first, part(2, [header, *body[:9]], columns)) == []


@every_kind
def test_other_columns_begin_a_new_table(kind):
    first, rows, header, columns = two_pages(kind)
    fewer = [[row[0], *row[2:]] for row in (header, *rows)]
    assert joined(first, part(2, fewer, [columns[0], *columns[2:]])) == []
    wider = [columns[0], *(x + 60 * n for n, x in enumerate(columns[1:], 1))]
    assert joined(first, part(2, [header, *rows], wider)) == []


@pytest.mark.parametrize("kind", ["register", "ledger", "counts"])
def test_a_header_of_its_own_begins_a_new_table(kind):
    first, rows, header, columns = two_pages(kind)
    other = ["Boat", *(f"{name}s" for name in header[1:])]
    assert joined(first, part(2, [other, *rows], columns)) == []


def test_a_count_that_starts_again_begins_a_new_table():
    first, _, header, columns = two_pages("register")
    again = KINDS["register"][2][:9]
    assert joined(first, part(2, [header, *again], columns)) == []


def test_columns_of_another_kind_begin_a_new_table():
    first, rows, _, columns = two_pages("ledger")
    words = [[row[0], "oak", "elm", "ash"] for row in rows]
    assert joined(first, part(2, words, columns)) == []
