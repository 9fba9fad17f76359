"""From the rows, columns and spanning cells that a detector found to a valid grid of cells.

What was found need not be a table: rows may lie on each other, spans may cross. The grid covers
every slot once, whatever comes in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from deepcompress_dagster.models.predictor import CellGrid
from deepcompress_dagster.records import BBox, TableCell, union

ROW = "table row"
COLUMN = "table column"
HEADER = "table column header"
PROJECTED_HEADER = "table projected row header"
SPANNING_CELL = "table spanning cell"
TABLE = "table"

SHARE = 0.5
"""Overlap from which two rows are one, and from which a box covers a row or column."""

Slot: TypeAlias = tuple[int, int]
Band: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a table that was found, in pixels of the crop."""

    bbox: BBox
    score: float


def grid_of(parts: Mapping[str, Sequence[Part]]) -> CellGrid:
    """The grid that the parts by label make; no cells where there is no row or no column."""
    rows = _distinct(parts.get(ROW, ()), vertical=True)
    columns = _distinct(parts.get(COLUMN, ()), vertical=False)
    if not rows or not columns:
        return CellGrid(0, 0, (), 0.0)
    frame = union([part.bbox for part in (*rows, *columns)])
    row_bands = _bands([_extent(part.bbox, vertical=True) for part in rows], frame.y0, frame.y1)
    column_bands = _bands(
        [_extent(part.bbox, vertical=False) for part in columns], frame.x0, frame.x1
    )
    headers = {
        row
        for part in parts.get(HEADER, ())
        for row in _covered(_extent(part.bbox, vertical=True), row_bands)
    }
    spans = _spans(parts, row_bands, column_bands, headers)
    cells = [_cell(span, row_bands, column_bands, headers) for span in spans]
    scores = [part.score for part in (*rows, *columns)]
    return CellGrid(
        len(rows),
        len(columns),
        tuple(sorted(cells, key=lambda cell: (cell.row, cell.column))),
        round(sum(scores) / len(scores), 4),
    )


def _extent(box: BBox, *, vertical: bool) -> Band:
    return (box.y0, box.y1) if vertical else (box.x0, box.x1)


def _shared(one: Band, other: Band) -> float:
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


def _distinct(parts: Sequence[Part], *, vertical: bool) -> list[Part]:
    """The parts, the better of any two that lie on each other, in the order of the page."""
    kept: list[Part] = []
    for part in sorted(parts, key=lambda part: (-part.score, part.bbox)):
        own = _extent(part.bbox, vertical=vertical)
        others = [_extent(other.bbox, vertical=vertical) for other in kept]
        lower = [min(own[1] - own[0], other[1] - other[0]) for other in others]
        if all(
            _shared(own, other) <= SHARE * length
            for other, length in zip(others, lower, strict=True)
        ):
            kept.append(part)
    return sorted(kept, key=lambda part: sum(_extent(part.bbox, vertical=vertical)))


def _bands(extents: Sequence[Band], low: float, high: float) -> list[Band]:
    """The extents with neighbours meeting half-way, from ``low`` to ``high``."""
    inner = [(before[1] + after[0]) / 2 for before, after in pairwise(extents)]
    edges = [low, *inner, high]
    return list(pairwise(edges))


def _covered(extent: Band, bands: Sequence[Band]) -> list[int]:
    """Indices of the bands that ``extent`` covers by half or more, to the first gap."""
    covered = [
        i
        for i, band in enumerate(bands)
        if (shared := _shared(extent, band)) > 0 and shared >= SHARE * (band[1] - band[0])
    ]
    return _unbroken(covered)


def _unbroken(indices: Sequence[int]) -> list[int]:
    return [index for place, index in enumerate(indices) if index == indices[0] + place]


def _spans(
    parts: Mapping[str, Sequence[Part]],
    rows: Sequence[Band],
    columns: Sequence[Band],
    headers: set[int],
) -> list[list[Slot]]:
    """The slots of each cell; wider cells the surest first, each slot in one cell."""
    wanted: list[tuple[float, list[int], list[int]]] = []
    for part in parts.get(SPANNING_CELL, ()):
        wanted.append(
            (
                part.score,
                _covered(_extent(part.bbox, vertical=True), rows),
                _covered(_extent(part.bbox, vertical=False), columns),
            )
        )
    for part in parts.get(PROJECTED_HEADER, ()):
        covered = _covered(_extent(part.bbox, vertical=True), rows)
        wanted.append((part.score, covered[:1], list(range(len(columns)))))
    spans: list[list[Slot]] = []
    taken: set[Slot] = set()
    for _, span_rows, span_columns in sorted(wanted, key=lambda item: (-item[0], item[1:])):
        # A header cell does not reach into the body.
        within = _unbroken(
            [row for row in span_rows if (row in headers) == (span_rows[0] in headers)]
        )
        slots = [(row, column) for row in within for column in span_columns]
        if len(slots) > 1 and taken.isdisjoint(slots):
            spans.append(slots)
            taken.update(slots)
    free = [(row, column) for row in range(len(rows)) for column in range(len(columns))]
    return [*spans, *([slot] for slot in free if slot not in taken)]


def _cell(
    slots: Sequence[Slot], rows: Sequence[Band], columns: Sequence[Band], headers: set[int]
) -> TableCell:
    row, column = slots[0]
    last_row, last_column = slots[-1]
    box = BBox(columns[column][0], rows[row][0], columns[last_column][1], rows[last_row][1])
    return TableCell(
        row=row,
        column=column,
        row_span=last_row - row + 1,
        column_span=last_column - column + 1,
        is_header=row in headers,
        text="",
        bbox=box.rounded(),
    )
