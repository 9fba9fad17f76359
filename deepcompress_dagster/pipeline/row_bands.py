"""Rows of a table that a model saw, brought into line with the rows of its text.

Models place the cells of tall tables some lines off, but seldom miscount the rows. The rows of
text are known exactly: each is given to a row of the grid, in order, at the least distance. Where
that fits much better, the grid is stretched over the text first.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median

from deepcompress_dagster.pipeline.lines import PageLine, rows_of
from deepcompress_dagster.records import BBox, TableCell, union

RowBand = tuple[float, float]
"""Upper and lower edge of a row."""

EMPTY_ROW = 0.5
"""What a row of the grid without text costs, in heights of a line."""

STRETCH_GAIN = 4.0
"""The grid is stretched when that makes the distances smaller by this factor."""

OFF_CENTRE = 0.1
"""Heights of a line that text at the edge of a row is worse off than in its middle."""


def in_bands(cells: Sequence[TableCell], n_rows: int, lines: Sequence[PageLine]) -> list[TableCell]:
    """Cells whose upper and lower edges follow the rows of ``lines``.

    Cells without a box, and tables with a row that has no box at all, stay as they are.
    """
    seen = [_seen_band(cells, row) for row in range(n_rows)]
    text = [union(line.bbox for line in row) for row in rows_of(lines)]
    known = [band for band in seen if band is not None]
    if not text or len(known) < n_rows:
        return list(cells)
    bands = _bands(known, text)
    return [
        cell
        if cell.bbox is None
        else replace(
            cell,
            bbox=BBox(
                cell.bbox.x0,
                bands[cell.row][0],
                cell.bbox.x1,
                bands[min(cell.row + cell.row_span, n_rows) - 1][1],
            ).rounded(),
        )
        for cell in cells
    ]


def _seen_band(cells: Sequence[TableCell], row: int) -> RowBand | None:
    boxes = [cell.bbox for cell in cells if cell.row == row and cell.bbox and cell.row_span == 1]
    boxes = boxes or [cell.bbox for cell in cells if cell.row == row and cell.bbox]
    if not boxes:
        return None
    return median(box.y0 for box in boxes), median(box.y1 for box in boxes)


def _bands(seen: Sequence[RowBand], text: Sequence[BBox]) -> list[RowBand]:
    """The bands of the grid's rows: around their text, meeting half way between neighbours."""
    owners, cost = _owners(seen, text)
    over_text, stretched_cost = _owners(_stretched(seen, text), text)
    if STRETCH_GAIN * stretched_cost < cost:
        owners = over_text
    bands = []
    for row, band in enumerate(seen):
        own = [box for box, owner in zip(text, owners, strict=True) if owner == row]
        bands.append((min(b.y0 for b in own), max(b.y1 for b in own)) if own else band)
    edges = [(above[1] + below[0]) / 2 for above, below in pairwise(bands)]
    tops, bottoms = [bands[0][0], *edges], [*edges, bands[-1][1]]
    return [(min(top, bottom), max(top, bottom)) for top, bottom in zip(tops, bottoms, strict=True)]


def _stretched(seen: Sequence[RowBand], text: Sequence[BBox]) -> list[RowBand]:
    """``seen`` moved and scaled so that it begins and ends with the text."""
    low, high = seen[0][0], seen[-1][1]
    top, bottom = min(box.y0 for box in text), max(box.y1 for box in text)
    scale = (bottom - top) / (high - low) if high > low else 1.0
    return [(top + (y0 - low) * scale, top + (y1 - low) * scale) for y0, y1 in seen]


def _owners(seen: Sequence[RowBand], text: Sequence[BBox]) -> tuple[list[int], float]:
    """The row of the grid that each row of text belongs to, and the cost of that.

    The alignment keeps the order and has the least cost.

    Dynamic programming over rows of text (outer) and of the grid (inner).
    """
    empty = EMPTY_ROW * median(box.height for box in text)
    n = len(seen)
    costs = [_distance(text[0], band) + empty * row for row, band in enumerate(seen)]
    back: list[list[int]] = []
    for box in text[1:]:
        step, row_back = [], []
        best, best_row = float("inf"), 0
        for row in range(n):
            # From an earlier row, all rows between stay empty: the cost grows by one each.
            if row and costs[row - 1] < best + empty:
                best, best_row = costs[row - 1], row - 1
            elif row:
                best += empty
            stay = costs[row] <= best
            step.append(_distance(box, seen[row]) + (costs[row] if stay else best))
            row_back.append(row if stay else best_row)
        costs = step
        back.append(row_back)
    cost, row = min((costs[row] + empty * (n - 1 - row), row) for row in range(n))
    owners = [row]
    for row_back in reversed(back):
        row = row_back[row]
        owners.append(row)
    return owners[::-1], cost


def _distance(box: BBox, band: RowBand) -> float:
    """How far a row of text is from a band; inside, how near it is to an edge, a little."""
    middle, half = box.center[1], max((band[1] - band[0]) / 2, 1.0)
    outside = max(band[0] - middle, 0.0, middle - band[1])
    return outside + OFF_CENTRE * box.height * abs(middle - (band[0] + half)) / half
