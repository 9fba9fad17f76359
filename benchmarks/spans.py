"""Tables whose cells span rows and columns, drawn here: how many come back exact.

    python -m benchmarks.spans [--tables 60] [--seed 0] [--keep FOLDER]

A table counts as exact when every cell has its text, its place and its spans, and the page has no
other table. Kinds of drawing: all cells ruled; outer sides open; each cell a box of its own; rules
only above, below and under the heads of groups. Every tenth page is written sideways.
"""

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pymupdf

from benchmarks.quality import markdown_table
from deepcompress_dagster import parse

A4 = (595.0, 842.0)
ROW = 18.0
"""Points from row to row."""
SIZE = 9.0

KINDS = ("ruled",) * 5 + ("open",) * 2 + ("boxes",) + ("booktabs",) * 2

PLACES = ("Upper lock", "Old ford", "Weir", "Mill race", "Gorge", "Basin", "Delta", "Harbour")
NAMES = ("Tidewell", "Harrow", "Quill", "Marsh", "Otter", "Reed", "Sedge", "Alder", "Rush")
GROUPS = ("Boats", "Tolls", "Days closed", "Cargo", "Passages")
HEADS = ("2021", "2022", "Change", "Share", "Total", "Spring")

Cell = tuple[int, int, int, int, str]
"""Row, column, row span, column span, text."""

Point = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True)
class SpannedTable:
    """A table to draw; ``widths`` of its columns in points."""

    kind: str
    widths: tuple[float, ...]
    cells: tuple[Cell, ...]
    sideways: bool

    @property
    def n_rows(self) -> int:
        return max(row + height for row, _, height, _, _ in self.cells)


def spanned_table(dice: random.Random, number: int) -> SpannedTable:
    """A table with heads over groups of columns and, where cells are ruled, over groups of rows."""
    kind = KINDS[number % len(KINDS)]
    groups = [2, *(dice.choice((1, 2, 3)) for _ in range(dice.choice((1, 1, 2))))]
    dice.shuffle(groups)
    stubs = 1 if kind == "booktabs" else dice.choice((1, 2))
    cells = [*_head(dice, stubs, groups)]
    for size in (dice.randint(1, 4) for _ in range(dice.randint(2, 3))):
        row = max(top + height for top, _, height, _, _ in cells)
        cells += _group(dice, row, size, stubs, sum(groups), spanned=kind != "booktabs")
    widths = [dice.choice((70.0, 85.0)) for _ in range(stubs)] + [52.0] * sum(groups)
    return SpannedTable(kind, tuple(widths), tuple(sorted(cells)), number % 10 == 9)


def _head(dice: random.Random, stubs: int, groups: list[int]) -> Iterator[Cell]:
    """Two rows: heads of groups over heads of columns; those of single columns span both."""
    for column, text in zip(range(stubs), ("Place", "Keeper"), strict=False):
        yield 0, column, 2, 1, text
    names = dice.sample(GROUPS, len(groups))
    for start, width, name in zip(accumulate([stubs, *groups]), groups, names, strict=False):
        if width == 1:
            yield 0, start, 2, 1, name
            continue
        yield 0, start, 1, width, name
        for column, head in enumerate(dice.sample(HEADS, width), start):
            yield 1, column, 1, 1, head


def _group(
    dice: random.Random, top: int, size: int, stubs: int, values: int, *, spanned: bool
) -> Iterator[Cell]:
    """Rows of one place; its name spans them where there is a second stub."""
    places, names = dice.sample(PLACES, size), dice.sample(NAMES, size)
    merged = stubs == 2
    if merged:
        yield top, 0, size, 1, places[0]
    for row in range(size):
        yield top + row, stubs - 1, 1, 1, names[row] if merged else places[row]
        if spanned and values > 2 and dice.random() < 0.15:
            yield top + row, stubs, 1, 2, "not open"
            first = stubs + 2
        else:
            first = stubs
        for column in range(first, stubs + values):
            yield top + row, column, 1, 1, f"{dice.randint(1, 9999):,}"


def draw(page: Any, table: SpannedTable, left: float = 60, top: float = 110) -> None:
    """The table on an A4 page, with its upper left corner at (``left``, ``top``)."""

    def at(x: float, y: float) -> tuple[float, float]:
        return (y, A4[1] - x) if table.sideways else (x, y)

    xs = list(accumulate(table.widths, initial=left))
    for row, column, height, width, text in table.cells:
        x0, x1 = xs[column], xs[column + width]
        y0, y1 = top + ROW * row, top + ROW * (row + height)
        _write(page, at, text, (x0, x1), (y0 + y1) / 2, is_value=column > 0 and row > 1)
        for start, end in _edges(table, (row, column, height, width), (x0, y0, x1, y1)):
            page.draw_line(at(*start), at(*end), width=0.7)


def _write(
    page: Any, at: Point, text: str, between: tuple[float, float], middle: float, *, is_value: bool
) -> None:
    length = pymupdf.get_text_length(text, fontsize=SIZE)
    room = between[1] - between[0] - length
    x = between[0] + (room - 4 if is_value else min(4.0, room / 2))
    if text:
        rotate = 90 if at(0, 1)[0] else 0
        page.insert_text(at(x, middle + SIZE / 3), text, fontsize=SIZE, rotate=rotate)


def _edges(
    table: SpannedTable, place: tuple[int, int, int, int], box: tuple[float, float, float, float]
) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """The rules along a cell that the table's kind has."""
    row, column, height, width = place
    x0, y0, x1, y1 = box
    if table.kind == "booktabs":
        if row == 0:
            yield (x0, y0), (x1, y0)
        if row == 0 and width > 1:
            yield (x0 + 3, y1), (x1 - 3, y1)
        if row + height in (2, table.n_rows):
            yield (x0, y1), (x1, y1)
        return
    inset = 0.6 if table.kind == "boxes" else 0.0
    x0, y0, x1, y1 = x0 + inset, y0 + inset, x1 - inset, y1 - inset
    yield (x0, y0), (x1, y0)
    yield (x0, y1), (x1, y1)
    if table.kind != "open" or column > 0:
        yield (x0, y0), (x0, y1)
    if table.kind != "open" or column + width < len(table.widths):
        yield (x1, y0), (x1, y1)


def write_pdf(tables: Iterable[SpannedTable], path: Path) -> None:
    """One table a page, under a line of text."""
    document = pymupdf.open()
    for number, table in enumerate(tables, 1):
        page = document.new_page(width=A4[0], height=A4[1])
        draw(page, table)
        if not table.sideways:
            page.insert_text((60, 90), f"Table {number}: Traffic by place and year", fontsize=SIZE)
            page.insert_text((60, 700), "The river board counts boats at each lock.", fontsize=10)
    document.save(path)


def cells_of(cells: Iterable[dict[str, Any]]) -> tuple[Cell, ...]:
    """The cells of a row of the ``tables`` asset, to compare with those drawn."""
    names = ("row", "column", "row_span", "column_span", "text")
    return tuple(sorted(tuple(cell[name] for name in names) for cell in cells))  # type: ignore[misc]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="write the PDF into this folder")
    arguments = parser.parse_args()
    dice = random.Random(arguments.seed)
    drawn = [spanned_table(dice, number) for number in range(arguments.tables)]
    folder = arguments.keep or Path(tempfile.mkdtemp(prefix="deepcompress-spans-"))
    folder.mkdir(parents=True, exist_ok=True)
    write_pdf(drawn, folder / "spans.pdf")
    found: dict[int, list[tuple[Cell, ...]]] = {}
    for row in parse(folder / "spans.pdf").tables.iter_rows(named=True):
        found.setdefault(row["page_number"], []).append(cells_of(row["cells"]))
    exact = [found.get(page) == [table.cells] for page, table in enumerate(drawn, 1)]
    kinds = Counter(table.kind for table in drawn)
    right = Counter(table.kind for table, is_exact in zip(drawn, exact, strict=True) if is_exact)
    lines = [[kind, count, right[kind]] for kind, count in kinds.items()]
    print(markdown_table(["kind", "tables", "exact"], [*lines, ["all", len(drawn), sum(exact)]]))
    print("pages that are not:", [page for page, is_exact in enumerate(exact, 1) if not is_exact])


if __name__ == "__main__":
    main()
