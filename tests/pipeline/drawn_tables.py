"""Lines of text as a page would have them, drawn at places; letters are half an em wide."""

from collections.abc import Sequence

from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.tables import Grid
from deepcompress_dagster.records import BBox, TextSource, Word, union

LETTER = 0.5
BLANK = 0.28
"""Em that a letter and a blank are wide."""


def typed(text: str, x: float, y: float, *, size: float = 10.0, right: bool = False) -> PageLine:
    """A line whose words begin at ``x``, or end there if ``right``; ``y`` is its top."""
    words: list[Word] = []
    left = x
    for piece in text.split():
        end = left + LETTER * size * len(piece)
        words.append(Word(BBox(left, y, end, y + 1.2 * size), piece, font_size=size))
        left = end + BLANK * size
    if right:
        shift = x - words[-1].bbox.x1
        words = [Word(w.bbox.shifted(shift, 0), w.text, font_size=size) for w in words]
    return PageLine(union(w.bbox for w in words), tuple(words), TextSource.TEXT_LAYER)


def table_lines(
    rows: Sequence[Sequence[str]], columns: Sequence[float], *, pitch: float = 14.0, top: float = 0
) -> list[PageLine]:
    """A line for each text: those of the first column begin at its place, others end there.

    A text with line feeds has several lines, 12 points apart, and makes its row higher.
    """
    lines, y = [], top
    for row in rows:
        for column, (text, x) in enumerate(zip(row, columns, strict=True)):
            for number, piece in enumerate(text.split("\n")):
                if piece:
                    lines.append(typed(piece, x, y + 12 * number, right=column > 0))
        y += pitch + 12 * max(text.count("\n") for text in row)
    return lines


def texts(grid: Grid | None) -> list[list[str]]:
    """What stands in each slot of a grid; the slots that a span covers are empty."""
    assert grid is not None
    slots = [["" for _ in range(grid.n_columns)] for _ in range(grid.n_rows)]
    for cell in grid.cells:
        slots[cell.row][cell.column] = cell.text
    return slots
