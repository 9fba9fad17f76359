"""A table's cells: filling them with words, and writing them as html and markdown that agree.

Which grid is taken is told in table_choice.py, which cell a word is in by placement.py.
"""

import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from deepcompress_dagster.models.predictor import CellGrid
from deepcompress_dagster.pdf.cell_grid import holds
from deepcompress_dagster.pdf.messages import FoundTable
from deepcompress_dagster.pipeline.blocks import Block
from deepcompress_dagster.pipeline.lines import PageLine, cell_text, rows_of
from deepcompress_dagster.pipeline.page_rotation import PageRotation
from deepcompress_dagster.pipeline.placement import pieces_by_cell, placed_rows
from deepcompress_dagster.pipeline.row_bands import in_bands
from deepcompress_dagster.records import BBox, Table, TableCell, union

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

TORN_ROWS = 0.2
"""Share of rows of text that cells tear apart from which a model's rows are not where it says; on
sound grids it is below .18."""


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
    """Cells with the text of ``lines``: each phrase goes to the cell that it is in or nearest to.

    Cells without a box stay empty.
    """
    pieces = pieces_by_cell(cells, lines)
    return tuple(
        replace(cell, text=cell_text(pieces.get(index, ()))) for index, cell in enumerate(cells)
    )


def ruled_grid(found: FoundTable, lines: Sequence[PageLine]) -> Grid:
    """The grid that PyMuPDF's finder sees, filled with ``lines``."""
    cells = fill(found.cells, lines)
    return trimmed(Grid(found.n_rows, found.n_columns, cells, found.confidence, RULED))


def is_certain(grid: Grid, lines: Sequence[PageLine]) -> bool:
    """Whether a ruled grid needs no second reading.

    It has at least two cells, holds nearly all words of the region and leaves few cells empty.
    """
    words = [word for line in lines for word in line.words]
    boxes = [cell.bbox.expanded(1) for cell in grid.cells if cell.bbox is not None]
    return (
        grid.confidence >= RULED_CONFIDENCE
        and len(grid.cells) > 1
        and holds(boxes, words).any(axis=1).sum() >= RULED_WORDS * len(words)
        and grid.filled_share >= RULED_FILLED
    )


def is_collapsed(grid: Grid, lines: Sequence[PageLine]) -> bool:
    """Whether most of the text is in one cell, over many rows: the model saw no structure."""
    held = pieces_by_cell(grid.cells, lines).values()
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
    places = [
        {cells[i].row for _, i in row if cells[i].row_span == 1}
        for row in placed_rows(cells, lines)
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
