"""How well a grid suits the words of its table: its faults, and how sound that leaves it.

Each fault is a share of the words, or of the cells, that a sound grid does not have. What is made
of them (a choice, a confidence) is decided elsewhere.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby, pairwise

from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.phrases import (
    SPACE,
    gap_in_em,
    hold_together,
    is_value,
)
from deepcompress_dagster.pipeline.placement import PlacedRow, placed_rows
from deepcompress_dagster.pipeline.tables import Grid
from deepcompress_dagster.records import BBox, TableCell, Word

APART = 1.2
"""Em between two words of a line from which they are not of one cell."""


GUTTER = 0.45
"""Em between two words from which the blank may be a gutter: blanks are .25 to .33 em wide."""

GUTTER_ROWS = 3
"""Rows with such a blank at one place, at least, that make it a gutter inside of a column."""

MANY_VALUES = 3
"""Values one below the other in a cell from which they are of as many records."""


CellLines = dict[int, dict[int, list[Word]]]
"""By the index of a cell, its words by the number of their row of text."""


@dataclass(frozen=True)
class Faults:
    """What is wrong with a grid; shares from 0 to 1.

    Of the words: ``apart`` stand far from the one before in their cell, or across a gutter that
    runs through their column (columns missed); ``cut``
    are a space from one in another column (columns too many); ``torn`` are in rows of text over
    several rows of the grid; ``merged`` are values of several records in one row; ``outside`` are
    in no cell. Of the cells: ``empty``.
    """

    apart: float = 0.0
    cut: float = 0.0
    torn: float = 0.0
    merged: float = 0.0
    outside: float = 0.0
    empty: float = 0.0

    @property
    def hard(self) -> float:
        """What no sound grid has: empty cells and words outside of loose boxes may be."""
        return self.apart + self.cut + self.torn + self.merged


def soundness(faults: Faults, weights: Faults) -> float:
    """1 without any fault, 0 with too much of one; ``weights`` are what a share of each costs."""
    sound = 1.0
    for fault in fields(Faults):
        sound *= max(0.0, 1.0 - getattr(weights, fault.name) * getattr(faults, fault.name))
    return sound


def faults_of(grid: Grid, lines: Sequence[PageLine]) -> Faults:
    """The faults of a grid over the ``lines`` of its region (without fillers)."""
    rows = placed_rows(grid.cells, lines)
    n_words = sum(map(len, rows))
    if not n_words:
        return Faults(outside=1.0, empty=1.0)
    return Faults(
        apart=(sum(map(_count_apart, _texts_of_cells(rows))) + _across_gutters(grid.cells, rows))
        / n_words,
        cut=sum(_is_cut(grid.cells, *pair) for row in rows for pair in pairwise(row)) / n_words,
        torn=sum(len(row) for row in rows if _is_torn(grid.cells, row)) / n_words,
        merged=_merged_words(grid.cells, rows) / n_words,
        outside=sum(_is_outside(grid.cells, *placed) for row in rows for placed in row) / n_words,
        empty=1.0 - grid.filled_share,
    )


def _texts_of_cells(rows: Sequence[PlacedRow]) -> Iterable[list[list[Word]]]:
    """The words of each cell, line by line."""
    cells: dict[int, list[list[Word]]] = defaultdict(list)
    for row in rows:
        for index, group in groupby(row, key=lambda placed: placed[1]):
            cells[index].append([word for word, _ in group])
    return cells.values()


def _count_apart(lines: Sequence[Sequence[Word]]) -> int:
    """Words of a cell that stand far from the one before where no line of it runs across.

    Lines set to both margins have wide blanks too, but at places of their own.
    """
    count = 0
    for line in lines:
        for left, right in pairwise(line):
            if gap_in_em(left, right) > APART and not hold_together(left, right):
                x = (left.bbox.x1 + right.bbox.x0) / 2
                count += not any(word.bbox.x0 < x < word.bbox.x1 for own in lines for word in own)
    return count


def _across_gutters(cells: Sequence[TableCell], rows: Sequence[PlacedRow]) -> int:
    """Words that stand across a gutter inside of a column, from the one before.

    Those that stand so far apart that a single line tells are not counted here.
    """
    columns: dict[int, list[list[Word]]] = defaultdict(list)
    for row in rows:
        for index, group in groupby(row, key=lambda placed: placed[1]):
            if cells[index].column_span == 1:
                columns[cells[index].column].append([word for word, _ in group])
    return sum(map(_across_gutter, columns.values()))


def _across_gutter(lines: Sequence[Sequence[Word]]) -> int:
    gaps = [
        (left.bbox.x1, right.bbox.x0)
        for line in lines
        for left, right in pairwise(line)
        if GUTTER <= gap_in_em(left, right) <= APART
        and not (left.monospace or right.monospace or hold_together(left, right))
    ]
    return max((_gutter_words(low, high, gaps, lines) for low, high in gaps), default=0)


def _gutter_words(
    low: float,
    high: float,
    gaps: Sequence[tuple[float, float]],
    lines: Sequence[Sequence[Word]],
) -> int:
    """Words across the middle of a blank where it is a gutter: of rows on both sides of it.

    Most rows may have a word on one side only, as sparse columns do.
    """
    x = (low + high) / 2
    if any(word.bbox.x0 < x < word.bbox.x1 for line in lines for word in line):
        return 0
    across = sum(left < x < right for left, right in gaps)
    left_only = sum(line[-1].bbox.x1 <= x for line in lines)
    right_only = sum(line[0].bbox.x0 >= x for line in lines)
    sparse = min(left_only, right_only)
    return across + sparse if across >= GUTTER_ROWS or sparse > 1 else 0


def _is_cut(cells: Sequence[TableCell], left: tuple[Word, int], right: tuple[Word, int]) -> bool:
    (first, one), (second, two) = left, right
    if one == two or cells[one].row != cells[two].row:
        return False
    return gap_in_em(first, second) < SPACE or hold_together(first, second)


def _is_torn(cells: Sequence[TableCell], row: PlacedRow) -> bool:
    return len({cells[index].row for _, index in row if cells[index].row_span == 1}) > 1


def _is_outside(cells: Sequence[TableCell], word: Word, index: int) -> bool:
    box: BBox | None = cells[index].bbox
    return box is None or not box.expanded(1).contains_point(*word.bbox.center)


def _merged_words(cells: Sequence[TableCell], rows: Sequence[PlacedRow]) -> float:
    """Words of rows of the grid that are too many: all but one line's of cells that are abreast.

    Beside a column of several values the other cells have lines that wrap: all of them count.
    """
    merged = 0.0
    for by_cell in lines_by_row(cells, rows).values():
        worst = 0.0
        for numbers, abreast in lines_abreast(by_cell).items():
            held = abreast if are_records(abreast) else _all_beside_values(abreast, by_cell)
            words = sum(len(words) for lines in held.values() for words in lines)
            worst = max(worst, words * (1 - 1 / len(numbers)))
        merged += worst
    return merged


def _all_beside_values(
    abreast: Mapping[int, Sequence[Sequence[Word]]], by_cell: CellLines
) -> Mapping[int, Sequence[Sequence[Word]]]:
    """The lines of all cells of a row where those ``abreast`` are one cell of many values."""
    lines = next(iter(abreast.values()))
    if len(abreast) > 1 or len(by_cell) < 2 or len(lines) < MANY_VALUES or not _are_values(lines):
        return {}
    return {index: list(lines.values()) for index, lines in by_cell.items()}


def lines_by_row(cells: Sequence[TableCell], rows: Iterable[PlacedRow]) -> dict[int, CellLines]:
    """By the row of the grid, the lines of its cells; cells over several rows are left out."""
    found: dict[int, CellLines] = defaultdict(dict)
    for number, row in enumerate(rows):
        for word, index in row:
            if cells[index].row_span == 1:
                lines = found[cells[index].row].setdefault(index, {})
                lines.setdefault(number, []).append(word)
    return found


def lines_abreast(by_cell: CellLines) -> dict[tuple[int, ...], dict[int, list[list[Word]]]]:
    """Cells with several lines, by the rows of text that these are: cells of one group match."""
    groups: dict[tuple[int, ...], dict[int, list[list[Word]]]] = defaultdict(dict)
    for index, lines in by_cell.items():
        if len(lines) > 1:
            groups[tuple(lines)][index] = list(lines.values())
    return groups


def are_records(abreast: Mapping[int, Sequence[Sequence[Word]]]) -> bool:
    """Whether cells with matching lines hold a record a line: two of them, one all values.

    Values do not wrap: several of them in one cell are of several rows. What stands in brackets
    below a value (a share, an error) belongs to it.
    """
    return len(abreast) > 1 and any(_are_values(lines) for lines in abreast.values())


def _are_values(lines: Sequence[Sequence[Word]]) -> bool:
    texts = [" ".join(word.text for word in words) for words in lines]
    bracketed = all(text.startswith("(") for text in texts[1:]) and not texts[0].startswith("(")
    return not bracketed and all(map(is_value, texts))
