"""A table's cells: filling them with words, and writing them as html and markdown that agree."""

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from deepcompress_dagster.pdf.content import FoundTable
from deepcompress_dagster.pipeline.lines import Line, in_rows
from deepcompress_dagster.records import BBox, TableCell

RULED = "ruling-lines"
"""``model`` of tables whose structure was read from ruling lines."""

RULED_CONFIDENCE = 0.7
RULED_WORDS = 0.95
RULED_FILLED = 0.3
"""A ruled grid is taken from this confidence, share of words inside and share of filled cells."""


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


def fill(cells: Sequence[TableCell], lines: Sequence[Line]) -> tuple[TableCell, ...]:
    """Cells with the text of ``lines``: each word goes to the cell that covers it, or the nearest.

    Cells without a box stay empty.
    """
    framed = [index for index, cell in enumerate(cells) if cell.bbox is not None]
    pieces: dict[int, list[Line]] = {}
    if framed:
        for line in lines:
            for index, piece in _pieces(line, cells, framed):
                pieces.setdefault(index, []).append(piece)
    return tuple(
        replace(cell, text=" ".join(piece.text for piece in in_rows(pieces.get(index, ()))))
        for index, cell in enumerate(cells)
    )


def _pieces(
    line: Line, cells: Sequence[TableCell], framed: Sequence[int]
) -> list[tuple[int, Line]]:
    """The line's words by cell, neighbours of one cell together."""
    pieces: list[tuple[int, Line]] = []
    for word in line.words:
        index = min(framed, key=lambda i: _distance(cells[i].bbox, word.bbox))
        if pieces and pieces[-1][0] == index:
            words = (*pieces[-1][1].words, word)
            pieces[-1] = (index, replace(line, words=words))
        else:
            pieces.append((index, replace(line, bbox=word.bbox, words=(word,))))
    return pieces


def _distance(cell: BBox | None, word: BBox) -> tuple[float, float]:
    """0 where the word's centre is inside; then by distance, vertical distance weighing triple."""
    if cell is None:
        return float("inf"), 0.0
    x, y = word.center
    dx = max(cell.x0 - x, 0.0, x - cell.x1)
    dy = max(cell.y0 - y, 0.0, y - cell.y1)
    return round(dx + 3 * dy, 3), -cell.intersection(word)


def ruled_grid(found: FoundTable, lines: Sequence[Line]) -> Grid | None:
    """The grid that ruling lines draw, filled with ``lines``; None where it is not certain.

    Certain is a grid of at least two cells that holds nearly all words of the region and leaves
    few cells empty.
    """
    cells = fill(found.cells, lines)
    grid = Grid(found.n_rows, found.n_columns, cells, found.confidence, RULED)
    words = [word.bbox for line in lines for word in line.words]
    boxes = [cell.bbox.expanded(1) for cell in cells if cell.bbox is not None]
    held = sum(any(box.contains_point(*word.center) for box in boxes) for word in words)
    certain = (
        found.confidence >= RULED_CONFIDENCE
        and len(cells) > 1
        and held >= RULED_WORDS * len(words)
        and grid.filled_share >= RULED_FILLED
    )
    return trimmed(grid) if certain else None


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
