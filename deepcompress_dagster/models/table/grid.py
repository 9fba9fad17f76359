"""From the tags that a table model writes to a valid grid of cells.

Models write HTML row by row: ``<tr>``, ``<td></td>`` or ``<td``, span attributes and ``>``. What a
model writes need not be a table, so every reading here is total: cells outside a row begin one,
spans are cut where they would cover a slot twice or leave the table, rows that hold nothing go.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from deepcompress_dagster.models.predictor import CellGrid
from deepcompress_dagster.records import BBox, TableCell

CELL_TAGS = frozenset({"<td", "<td></td>", "<td>"})
"""Tags that begin a cell; a model gives a cell's box along with one of them."""

_SPAN = re.compile(r'\s*(row|col)span="(\d+)"')


@dataclass(slots=True)
class _Cell:
    bbox: BBox | None
    is_header: bool
    row_span: int = 1
    column_span: int = 1


def build_grid(tags: Sequence[str], boxes: Sequence[BBox | None], confidence: float) -> CellGrid:
    """The grid that ``tags`` describe; ``boxes`` are those of the cells, in the same order.

    Every slot is covered by at most one cell. Equal tags give equal grids.
    """
    rows = _rows(tags, boxes)
    cells: list[TableCell] = []
    covered: set[tuple[int, int]] = set()
    for number, row in enumerate(rows):
        column = 0
        for cell in row:
            while (number, column) in covered:
                column += 1
            placed = _placed(cell, number, column, covered)
            cells.append(placed)
            covered.update(
                (number + i, column + j)
                for i in range(placed.row_span)
                for j in range(placed.column_span)
            )
    n_columns = max((column + 1 for _, column in covered), default=0)
    return CellGrid(len(rows), n_columns, tuple(cells), confidence)


def _rows(tags: Sequence[str], boxes: Sequence[BBox | None]) -> list[list[_Cell]]:
    rows: list[list[_Cell]] = []
    remaining = iter(boxes)
    in_head, opened = False, False
    for tag in tags:
        if tag in ("<thead>", "</thead>"):
            in_head = tag == "<thead>"
        elif tag == "<tr>" or (tag in CELL_TAGS and not rows):
            rows.append([])
        if tag in CELL_TAGS:
            rows[-1].append(_Cell(next(remaining, None), in_head))
        opened = tag == "<td" or (opened and _SPAN.fullmatch(tag) is not None)
        if opened and (span := _SPAN.fullmatch(tag)):
            _set_span(rows[-1][-1], span[1], max(1, int(span[2])))
    return _without_empty(rows)


def _set_span(cell: _Cell, direction: str, size: int) -> None:
    if direction == "row":
        cell.row_span = size
    else:
        cell.column_span = size


def _without_empty(rows: list[list[_Cell]]) -> list[list[_Cell]]:
    """Rows with cells of their own; a span over a row that goes, or is not there, shrinks."""
    for number, row in enumerate(rows):
        for cell in row:
            spanned = rows[number : number + cell.row_span]
            cell.row_span = max(1, sum(1 for other in spanned if other))
    return [row for row in rows if row]


def _placed(cell: _Cell, row: int, column: int, covered: set[tuple[int, int]]) -> TableCell:
    """The cell at its slot, as wide as the free slots beside it allow.

    Only earlier rows reach into this one, so a slot that is free here is free in all rows below.
    """
    width = 1
    while width < cell.column_span and (row, column + width) not in covered:
        width += 1
    return TableCell(row, column, cell.row_span, width, cell.is_header, "", cell.bbox)
