"""Tables by their rules: how far a table reaches, whatever box a layout model drew around it.

A detected table grows to the ruled grids that it overlaps, detections on one grid are one table,
and a ruled grid full of text that nobody detected is a table. Boxes are upright points. What a
grid's cells say is told in tables.py.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, starmap

import numpy as np

from deepcompress_dagster.pdf.cell_grid import holds
from deepcompress_dagster.pipeline.captions import is_numbered
from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.records import BBox, Word, union

OVERLAP = 0.5
"""A grid is the table's if both cover this share of the smaller of its box and the table's."""

WITHIN = 0.9
"""Share of a grid that lies in a table's box where the grid is the table's, once it has grown."""

LOOSE = 6.0
"""Points by which a detected box may lie outside of the rules without more of the table there:
less than a line of text."""

NOTE_WORDS = 12
"""Words in the last row, one cell as wide as the table, from which on it is a note below it."""

MIN_SIDE = 2
MIN_FILLED = 4
FILLED_SHARE = 0.5
"""Rows and columns, filled cells, and their share among all, from which on a grid that no model saw
is a table. Frames around text have one cell, grids of charts and boxes of diagrams few words."""

REGULAR = 0.75
"""Cells of such a grid among its rows times columns, at least: panels of a layout are irregular."""

PANEL_WORDS = 60
PANEL_SHARE = 2 / 3
"""Words of one cell, and their share among all, from which on the rules lay out a page. A column
without row rules of a table in the development corpus has 173 of 318, a dashboard 376 of 495."""


_NOTE = re.compile(r"\W*(notes?|source|sources|anmerkung|quelle|remarque|nota|fuente)\b|\*", re.I)


@dataclass(frozen=True)
class RuledGrid:
    """The cells of a table that connected rules close; ``n_filled`` of them hold a word.

    ``frame`` is what the rules enclose: the cells and, above and below, caption and notes.
    """

    cells: tuple[BBox, ...]
    n_filled: int
    frame: BBox

    @cached_property
    def bbox(self) -> BBox:
        return union(self.cells)

    @property
    def n_rows(self) -> int:
        return len({round(cell.y0) for cell in self.cells})

    @property
    def is_table(self) -> bool:
        """Whether the grid is a table even if no model saw one."""
        columns = {round(cell.x0) for cell in self.cells}
        enough = max(MIN_FILLED, FILLED_SHARE * len(self.cells))
        return (
            min(self.n_rows, len(columns)) >= MIN_SIDE
            and len(self.cells) >= REGULAR * self.n_rows * len(columns)
            and self.n_filled >= enough
        )


@dataclass(frozen=True)
class WholeTable:
    """Where a table stands, and which of the boxes handed in (by index) are pieces of it."""

    bbox: BBox
    pieces: tuple[int, ...]


def with_words(grids: Sequence[Sequence[BBox]], lines: Sequence[PageLine]) -> tuple[RuledGrid, ...]:
    """The grids of which at least two cells hold a word; the others are drawings."""
    words = [word for line in lines for word in line.words]
    found = (_with_words(cells, words) for cells in grids)
    return tuple(grid for grid in found if grid is not None)


def _with_words(cells: Sequence[BBox], words: Sequence[Word]) -> RuledGrid | None:
    frame = union(cells)
    inside = [word for word in words if frame.contains_point(*word.bbox.center)]
    words_of = [[inside[i].text for i in np.flatnonzero(held)] for held in holds(cells, inside).T]
    if max(map(len, words_of)) > max(PANEL_WORDS, PANEL_SHARE * len(inside)):
        return None
    texts = [" ".join(texts) for texts in words_of]
    table = [
        cell
        for cell, text in zip(cells, texts, strict=True)
        if not (_is_as_wide(cell, frame) and _is_beside_table(text, cell.y0 > frame.y0))
    ]
    n_filled = sum(bool(text) for cell, text in zip(cells, texts, strict=True) if cell in table)
    return RuledGrid(tuple(table), n_filled, frame) if n_filled > 1 else None


def _is_as_wide(cell: BBox, frame: BBox) -> bool:
    at_edge = cell.y0 == frame.y0 or cell.y1 == frame.y1
    return at_edge and cell.x0 == frame.x0 and cell.x1 == frame.x1


def _is_beside_table(text: str, is_last: bool) -> bool:
    """Whether the text of a cell as wide as its table is a caption above or notes below it."""
    if not is_last:
        return is_numbered(text)
    return bool(_NOTE.match(text)) or len(text.split()) >= NOTE_WORDS


def whole_tables(
    boxes: Sequence[BBox], taken: Sequence[BBox], grids: Sequence[RuledGrid]
) -> list[WholeTable]:
    """The tables of a page: detected ``boxes`` grown to ``grids``, and grids that are tables.

    A grid in a ``taken`` box (of a picture, of a page header) becomes no table of its own.
    """
    groups: list[tuple[set[int], set[int]]] = []
    for index, box in enumerate(boxes):
        own = {number for number, grid in enumerate(grids) if _overlap(box, grid.bbox)}
        pieces = {index}
        for group in [group for group in groups if group[1] & own]:
            groups.remove(group)
            pieces |= group[0]
            own |= group[1]
        groups.append((pieces, own))
    tables = [
        WholeTable(box, tuple(sorted(pieces)))
        for pieces, own in groups
        for box in _tables_of([boxes[i] for i in pieces], [grids[i] for i in own])
    ]
    seen = [*taken, *(table.bbox for table in tables)]
    return tables + [
        WholeTable(grid.bbox, ())
        for grid in grids
        if grid.is_table and not any(grid.bbox.coverage(box) > OVERLAP for box in seen)
    ]


def _tables_of(boxes: Sequence[BBox], grids: Sequence[RuledGrid]) -> list[BBox]:
    """The tables of ``boxes`` and the ``grids`` that these overlap: one, unless grids are apart."""
    ordered = sorted(grids, key=lambda grid: grid.bbox.x0)
    if len(ordered) < 2 or not all(starmap(_are_apart, pairwise(ordered))):
        return [_grown(boxes, grids)]
    return [grid.bbox for grid in ordered]


def _are_apart(left: RuledGrid, right: RuledGrid) -> bool:
    """Whether two grids side by side are two tables: they have rows of their own."""
    return (
        left.is_table
        and right.is_table
        and right.bbox.x0 - left.bbox.x1 > LOOSE
        and left.n_rows != right.n_rows
    )


def _grown(boxes: Sequence[BBox], grids: Sequence[RuledGrid]) -> BBox:
    """The box of a table: its grids, and where detected boxes reach beyond the rules, those."""
    box = union(boxes)
    if not grids:
        return box
    frame, grid = union(grid.frame for grid in grids), union(grid.bbox for grid in grids)
    return BBox(
        box.x0 if box.x0 < frame.x0 - LOOSE else grid.x0,
        box.y0 if box.y0 < frame.y0 - LOOSE else grid.y0,
        box.x1 if box.x1 > frame.x1 + LOOSE else grid.x1,
        box.y1 if box.y1 > frame.y1 + LOOSE else grid.y1,
    ).rounded()


def _overlap(box: BBox, grid: BBox) -> bool:
    return box.intersection(grid) >= OVERLAP * min(box.area, grid.area)


def grids_of(box: BBox, grids: Sequence[RuledGrid]) -> list[RuledGrid]:
    """The grids in a table's box, without those that lie in a cell of another."""
    own = [grid for grid in grids if grid.bbox.coverage(box) >= WITHIN]
    return [
        grid
        for grid in own
        if not any(grid.bbox.coverage(other.bbox) >= WITHIN for other in own if other is not grid)
    ]


def ruled_parts(
    tables: Iterable[tuple[int, BBox]], grids: Sequence[RuledGrid]
) -> list[tuple[int, BBox]]:
    """Where words are a table's for certain: the grids in its box, for each (index, box)."""
    return [(index, grid.bbox) for index, box in tables for grid in grids_of(box, grids)]
