"""Rows of a grid that hold several records, split into a row for each.

A row is split where two columns and more hold the same number of lines at the same heights, and a
column of them only values; where lines of text stand as far apart as the rows of the table do; or
where words over values stand as far apart as those: a header that took in the first record.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median

from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.phrases import em_of, is_value, is_year
from deepcompress_dagster.pipeline.placement import PlacedRow, placed_rows
from deepcompress_dagster.pipeline.soundness import (
    CellLines,
    are_records,
    lines_abreast,
    lines_by_row,
)
from deepcompress_dagster.pipeline.tables import Grid, fill
from deepcompress_dagster.records import BBox, TableCell, Word, union

LOOSE = 1.4
"""Em between the middles of two lines from which they are not of one paragraph (set solid: 1.2)."""

AS_ROWS = 0.85
"""Lines this share of the distance of the table's rows apart may be rows themselves."""


def split_rows(grid: Grid, lines: Sequence[PageLine]) -> Grid:
    """The grid with a row for each record, filled with ``lines`` (without fillers) anew.

    A cell with one line of text beside cells that are split spans their rows.
    """
    rows = placed_rows(grid.cells, lines)
    by_row = lines_by_row(grid.cells, rows)
    pitch = _pitch(by_row, rows)
    cuts = {
        row: numbers
        for row, by_cell in by_row.items()
        if (numbers := _records_of(grid.cells, by_cell, rows, pitch))
    }
    if not cuts:
        return grid
    starts, total = {}, 0
    for row in range(grid.n_rows):
        starts[row] = total
        total += len(cuts.get(row, (0,)))
    starts[grid.n_rows] = total
    cells = [
        piece
        for index, cell in enumerate(grid.cells)
        for piece in _pieces(cell, by_row.get(cell.row, {}).get(index, {}), cuts, starts, rows)
    ]
    return replace(grid, n_rows=total, cells=fill(cells, lines))


def _pitch(by_row: Mapping[int, CellLines], rows: Sequence[PlacedRow]) -> float:
    """Points between neighbouring rows of the grid that have one line each; 0 if unknown."""
    single = {
        row: next(iter(numbers))
        for row, by_cell in by_row.items()
        if len(numbers := {number for lines in by_cell.values() for number in lines}) == 1
    }
    gaps = [
        _middle(rows[single[row + 1]]) - _middle(rows[single[row]])
        for row in single
        if row + 1 in single
    ]
    return median(gaps) if gaps else 0.0


def _middle(row: PlacedRow) -> float:
    return union(word.bbox for word, _ in row).center[1]


def _records_of(
    cells: Sequence[TableCell], by_cell: CellLines, rows: Sequence[PlacedRow], pitch: float
) -> tuple[int, ...]:
    """The rows of text of which each is a record of this row; none where it is one record."""
    groups = {
        numbers: abreast
        for numbers, abreast in lines_abreast(by_cell).items()
        if _is_whole(numbers, by_cell)
        and (
            are_records(abreast)
            or _stand_as_rows(abreast, numbers, rows, pitch, em=LOOSE)
            or (_is_header_over_record(abreast) and _stand_as_rows(abreast, numbers, rows, pitch))
        )
    }
    return max(groups, key=lambda numbers: (len(groups[numbers]), numbers), default=())


def _is_whole(numbers: tuple[int, ...], by_cell: CellLines) -> bool:
    """Whether no other cell of the row has lines beside these, or more of them."""
    return all(len(lines) == 1 or set(lines) <= set(numbers) for lines in by_cell.values())


def _stand_as_rows(
    abreast: Mapping[int, Sequence[Sequence[Word]]],
    numbers: tuple[int, ...],
    rows: Sequence[PlacedRow],
    pitch: float,
    em: float = 0.0,
) -> bool:
    """Whether lines of text are as far apart as the table's rows, and than ``em``."""
    if len(abreast) < 2 or not pitch:
        return False
    size = max(em_of(word) for lines in abreast.values() for words in lines for word in words)
    gap = min(_middle(rows[two]) - _middle(rows[one]) for one, two in pairwise(numbers))
    return gap >= max(em * size, AS_ROWS * pitch)


def _is_header_over_record(abreast: Mapping[int, Sequence[Sequence[Word]]]) -> bool:
    """Whether cells of two lines have words above and values, not only years, below."""
    texts = [[" ".join(w.text for w in words) for words in lines] for lines in abreast.values()]
    if any(len(lines) != 2 for lines in texts):
        return False
    above, below = zip(*texts, strict=True)
    values = [text for text in below if is_value(text) and not text.startswith("(")]
    return (
        not any(map(is_value, above))
        and 2 * len(values) >= len(below)
        and not all(map(is_year, values))
    )


def _pieces(
    cell: TableCell,
    own: Mapping[int, Sequence[Word]],
    cuts: Mapping[int, tuple[int, ...]],
    starts: Mapping[int, int],
    rows: Sequence[PlacedRow],
) -> list[TableCell]:
    """The cell in the grid with more rows; a split row's cell in pieces, one a record."""
    start, stop = starts[cell.row], starts[cell.row + cell.row_span]
    numbers = cuts.get(cell.row, ())
    if cell.row_span > 1 or not numbers or cell.bbox is None or _is_stub(own):
        return [replace(cell, row=start, row_span=stop - start)]
    edges = [
        cell.bbox.y0,
        *(_edge(rows[one], rows[two]) for one, two in pairwise(numbers)),
        cell.bbox.y1,
    ]
    return [
        replace(cell, row=start + i, bbox=_band(cell.bbox, low, high))
        for i, (low, high) in enumerate(pairwise(edges))
    ]


def _is_stub(own: Mapping[int, Sequence[Word]]) -> bool:
    """Whether a cell names the records beside it: one line of text, and no value."""
    return len(own) == 1 and not any(
        is_value(" ".join(word.text for word in words)) for words in own.values()
    )


def _edge(above: PlacedRow, below: PlacedRow) -> float:
    """Half way between two rows of text."""
    return (_middle(above) + _middle(below)) / 2


def _band(box: BBox, low: float, high: float) -> BBox:
    return box._replace(y0=min(low, high), y1=max(low, high)).rounded()
