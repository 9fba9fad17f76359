"""A table's cells: filling them with words, and writing them as html and markdown that agree."""

import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np
import numpy.typing as npt

from deepcompress_dagster.models.predictor import CellGrid
from deepcompress_dagster.pdf.messages import FoundTable
from deepcompress_dagster.pipeline.blocks import Block
from deepcompress_dagster.pipeline.lines import PageLine, cell_text, rows_of
from deepcompress_dagster.pipeline.page_rotation import PageRotation
from deepcompress_dagster.pipeline.row_bands import in_bands
from deepcompress_dagster.records import BBox, Table, TableCell, union

FloatArray = npt.NDArray[np.float64]

RULED = "ruling-lines"
"""``model`` of tables whose structure was read from ruling lines."""

ROWS = "text-rows"
"""``model`` of tables of which only the rows of text are known; their confidence is 0."""

COLLAPSED_SHARE = 0.5
COLLAPSED_ROWS = 6
"""A grid has collapsed when one cell holds this share of the words, in this many rows of text."""

RULED_CONFIDENCE = 0.95
RULED_WORDS = 0.95
RULED_FILLED = 0.3
"""A ruled grid is certain from this confidence, share of words inside and share of filled cells."""

RIVAL_CONFIDENCE = 0.6
"""Below this confidence a ruled grid stands only where no model gave one."""

CLEARLY_SOUNDER = 0.04
"""Soundness by which a ruled grid must lead a modelled one. On the 33 documents of the ICDAR 2013
practice set the mean TEDS is .902 so, .899 without a lead, .885 for the model alone."""

TORN_ROWS = 0.2
"""Share of rows of text that cells tear apart from which a model's rows are not where it says; on
sound grids it is below .18."""

APART = 1.0
"""Heights between two words of a line from which they are not of one cell."""


@dataclass(frozen=True)
class Grid:
    """A table's structure and text; boxes in upright points."""

    n_rows: int
    n_columns: int
    cells: tuple[TableCell, ...]
    confidence: float
    model: str

    @property
    def filled_share(self) -> float:
        """Share of the cells that hold text."""
        return sum(bool(cell.text) for cell in self.cells) / max(1, len(self.cells))


def occupied(cell: TableCell) -> list[tuple[int, int]]:
    """The slots (row, column) that a cell covers."""
    return [
        (row, column)
        for row in range(cell.row, cell.row + cell.row_span)
        for column in range(cell.column, cell.column + cell.column_span)
    ]


def overlapping_slots(cells: Iterable[TableCell]) -> int:
    """Number of slots that more than one cell covers; 0 in a sound table."""
    slots = [slot for cell in cells for slot in occupied(cell)]
    return len(slots) - len(set(slots))


def fill(cells: Sequence[TableCell], lines: Sequence[PageLine]) -> tuple[TableCell, ...]:
    """Cells with the text of ``lines``: each word goes to the cell that covers it, or the nearest.

    Cells without a box stay empty.
    """
    pieces = _by_cell(cells, lines)
    return tuple(
        replace(cell, text=cell_text(pieces.get(index, ()))) for index, cell in enumerate(cells)
    )


def _by_cell(cells: Sequence[TableCell], lines: Sequence[PageLine]) -> dict[int, list[PageLine]]:
    """The pieces of ``lines`` that belong to each cell, by the cell's index."""
    framed = _framed(cells)
    pieces: dict[int, list[PageLine]] = {}
    for line in lines:
        for index, piece in _placed(line, *framed):
            pieces.setdefault(index, []).append(piece)
    return pieces


def soundness(grid: Grid, lines: Sequence[PageLine]) -> float:
    """How well a grid suits its words, 0 to 1, to choose between two readings of one table.

    It falls with cells that hold words far apart on one line (columns missed) and with empty cells
    (rows or columns split).
    """
    words = apart = 0
    for pieces in _by_cell(grid.cells, lines).values():
        for row in rows_of(pieces):
            boxes = sorted(word.bbox for piece in row for word in piece.words)
            words += len(boxes)
            apart += sum(two.x0 - one.x1 > APART * one.height for one, two in pairwise(boxes))
    return (1 - apart / max(1, words)) * grid.filled_share


def _framed(cells: Sequence[TableCell]) -> tuple[list[int], FloatArray]:
    """Indices of the cells that have a box, and their boxes: (n, 4)."""
    framed = [(index, cell.bbox) for index, cell in enumerate(cells) if cell.bbox is not None]
    return [index for index, _ in framed], np.array([box for _, box in framed], float)


def _placed(
    line: PageLine, indices: Sequence[int], boxes: FloatArray
) -> list[tuple[int, PageLine]]:
    """The line's words by the index of their cell, neighbours of one cell together."""
    if not indices or not line.words:
        return []
    found = _nearest(np.array([word.bbox for word in line.words], float), boxes)
    places = zip((indices[i] for i in found), line.words, strict=True)
    pieces: list[tuple[int, PageLine]] = []
    for index, group in groupby(places, key=itemgetter(0)):
        words = tuple(word for _, word in group)
        pieces.append((index, replace(line, bbox=union(word.bbox for word in words), words=words)))
    return pieces


def _nearest(words: FloatArray, boxes: FloatArray) -> list[int]:
    """For each word (n, 4) the index of the box (m, 4) around its centre, else of the nearest one.

    Vertical distance weighs triple; among equals the box wins that shares the most area.
    """
    x0, y0, x1, y1 = boxes.T
    left, top, right, bottom = words.T[..., None]
    x, y = (left + right) / 2, (top + bottom) / 2
    dx = np.maximum(np.maximum(x0 - x, x - x1), 0)
    dy = np.maximum(np.maximum(y0 - y, y - y1), 0)
    away = np.round(dx + 3 * dy, 3)
    width = np.maximum(np.minimum(x1, right) - np.maximum(x0, left), 0)
    height = np.maximum(np.minimum(y1, bottom) - np.maximum(y0, top), 0)
    is_nearest = away == away.min(axis=1, keepdims=True)
    nearest: list[int] = np.where(is_nearest, width * height, -1).argmax(axis=1).tolist()
    return nearest


def ruled_grid(found: FoundTable, lines: Sequence[PageLine]) -> Grid:
    """The grid that PyMuPDF's finder sees, filled with ``lines``."""
    cells = fill(found.cells, lines)
    return trimmed(Grid(found.n_rows, found.n_columns, cells, found.confidence, RULED))


def is_certain(grid: Grid, lines: Sequence[PageLine]) -> bool:
    """Whether a ruled grid needs no second reading.

    It has at least two cells, holds nearly all words of the region and leaves few cells empty.
    """
    words = [word.bbox for line in lines for word in line.words]
    boxes = [cell.bbox.expanded(1) for cell in grid.cells if cell.bbox is not None]
    held = sum(any(box.contains_point(*word.center) for box in boxes) for word in words)
    return (
        grid.confidence >= RULED_CONFIDENCE
        and len(grid.cells) > 1
        and held >= RULED_WORDS * len(words)
        and grid.filled_share >= RULED_FILLED
    )


def is_collapsed(grid: Grid, lines: Sequence[PageLine]) -> bool:
    """Whether most of the text is in one cell, over many rows: the model saw no structure."""
    held = _by_cell(grid.cells, lines).values()
    words = sum(len(line.words) for line in lines)
    return any(
        sum(len(piece.words) for piece in pieces) > COLLAPSED_SHARE * words
        and len(rows_of(pieces)) >= COLLAPSED_ROWS
        for pieces in held
    )


def row_by_row(lines: Sequence[PageLine]) -> Grid:
    """A grid of one column with a row for each row of text: all that is certain of a list."""
    cells = tuple(
        TableCell(
            number,
            0,
            1,
            1,
            False,
            cell_text(row),
            union(line.bbox for line in row).rounded(),
        )
        for number, row in enumerate(rows_of(lines))
    )
    return Grid(len(cells), 1, cells, 0.0, ROWS)


def sounder(ruled: Grid | None, modelled: Grid | None, lines: Sequence[PageLine]) -> Grid | None:
    """The better of two readings: the modelled one unless the ruled one is clearly sounder."""
    if ruled is None or modelled is None or not modelled.cells:
        return modelled if ruled is None else ruled
    if ruled.confidence < RIVAL_CONFIDENCE:
        return modelled
    gain = soundness(ruled, lines) - soundness(modelled, lines)
    return ruled if gain >= CLEARLY_SOUNDER else modelled


def trimmed(grid: Grid) -> Grid:
    """The grid without rows and columns that hold no text at all; spans shrink with them."""
    rows = {row for cell in grid.cells if cell.text for row, _ in occupied(cell)}
    columns = {column for cell in grid.cells if cell.text for _, column in occupied(cell)}
    if len(rows) == grid.n_rows and len(columns) == grid.n_columns:
        return grid
    cells = [_shrunk(cell, sorted(rows), sorted(columns)) for cell in grid.cells]
    return replace(
        grid,
        n_rows=len(rows),
        n_columns=len(columns),
        cells=tuple(cell for cell in cells if cell is not None),
    )


def _shrunk(cell: TableCell, rows: Sequence[int], columns: Sequence[int]) -> TableCell | None:
    row_slots = [i for i, row in enumerate(rows) if cell.row <= row < cell.row + cell.row_span]
    column_slots = [
        i
        for i, column in enumerate(columns)
        if cell.column <= column < cell.column + cell.column_span
    ]
    if not row_slots or not column_slots:
        return None
    return replace(
        cell,
        row=row_slots[0],
        column=column_slots[0],
        row_span=len(row_slots),
        column_span=len(column_slots),
    )


def modelled_grid(grid: CellGrid, model: str, block: Block, placed: Callable[[BBox], BBox]) -> Grid:
    """The grid that a model saw in the block's crop, filled with the block's words, untrimmed.

    ``placed`` turns boxes in pixels of the crop into boxes in upright points.
    """
    cells = tuple(
        replace(cell, bbox=placed(cell.bbox)) if cell.bbox is not None else cell
        for cell in grid.cells
    )
    if _torn_share(cells, block.lines) >= TORN_ROWS:
        cells = tuple(in_bands(cells, grid.n_rows, block.lines))
    filled = fill(cells, block.lines)
    return Grid(grid.n_rows, grid.n_columns, filled, grid.confidence, model)


def _torn_share(cells: Sequence[TableCell], lines: Sequence[PageLine]) -> float:
    """Share of the rows of text whose words fall into cells of different rows."""
    framed = _framed(cells)
    places = [
        {cells[i].row for line in row for i, _ in _placed(line, *framed) if cells[i].row_span == 1}
        for row in rows_of(lines)
    ]
    return sum(len(rows) > 1 for rows in places) / max(1, len(places))


def table_row(block: Block, grid: Grid, caption: str | None, rotation: PageRotation) -> Table:
    """The row of a table; boxes on the page as displayed."""
    region = block.region
    cells = tuple(
        replace(cell, bbox=rotation.displayed(cell.bbox) if cell.bbox is not None else None)
        for cell in sorted(grid.cells, key=lambda cell: (cell.row, cell.column))
    )
    return Table(
        page_number=region.page_number,
        region_id=region.region_id,
        bbox=rotation.displayed(block.bbox),
        reading_order=region.reading_order,
        n_rows=grid.n_rows,
        n_columns=grid.n_columns,
        cells=cells,
        html=to_html(grid),
        markdown=to_markdown(grid),
        caption=caption,
        confidence=round(grid.confidence, 4),
        model=grid.model,
    )


def to_html(grid: Grid) -> str:
    """The table as html: ``th`` for header cells, spans as attributes, text escaped."""
    rows: list[list[str]] = [[] for _ in range(grid.n_rows)]
    for cell in sorted(grid.cells, key=lambda cell: (cell.row, cell.column)):
        rows[cell.row].append(_html_cell(cell))
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    return f"<table>{body}</table>"


def _html_cell(cell: TableCell) -> str:
    tag = "th" if cell.is_header else "td"
    spans = ""
    if cell.row_span > 1:
        spans += f' rowspan="{cell.row_span}"'
    if cell.column_span > 1:
        spans += f' colspan="{cell.column_span}"'
    return f"<{tag}{spans}>{html.escape(cell.text, quote=False)}</{tag}>"


def to_markdown(grid: Grid) -> str:
    """The table as a pipe table; a spanning cell's text stands in its first slot.

    Markdown has one header row: it holds the first row, whatever it is.
    """
    text = [["" for _ in range(grid.n_columns)] for _ in range(grid.n_rows)]
    for cell in grid.cells:
        text[cell.row][cell.column] = cell.text.replace("\\", "\\\\").replace("|", "\\|")
    lines = [f"| {' | '.join(row)} |" for row in text]
    rule = f"|{'|'.join(' --- ' for _ in range(grid.n_columns))}|"
    return "\n".join([*lines[:1], rule, *lines[1:]])
