"""Which cell of a grid each word of a region belongs to.

A phrase goes whole to one cell, unless the border of two cells stands in a blank between its words;
a number is never cut, and a sign goes where its number goes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt

from deepcompress_dagster.pipeline.lines import PageLine, rows_of
from deepcompress_dagster.pipeline.phrases import (
    SPACE,
    Phrase,
    gap_in_em,
    hold_together,
    is_one_number,
    phrases,
    words_across,
)
from deepcompress_dagster.records import BBox, TableCell, Word, union

FloatArray = npt.NDArray[np.float64]

CHUNK = 250_000
"""Pairs of words and cells that are compared at once."""

BORDER = 1.0
"""Points by which the border of a cell may reach into the word beside it."""

PlacedRow = list[tuple[Word, int]]
"""The words of one row of text, from left to right, each with the index of its cell."""


def placed_rows(cells: Sequence[TableCell], lines: Sequence[PageLine]) -> list[PlacedRow]:
    """The words of each row of text with the index of the cell that they belong to.

    Without any cell that has a box there are no rows.
    """
    return [row for row, _ in _placed(cells, lines)]


def pieces_by_cell(
    cells: Sequence[TableCell], lines: Sequence[PageLine]
) -> dict[int, list[PageLine]]:
    """The pieces of ``lines`` that belong to each cell, by the cell's index.

    The words of a piece are in the order of their line, which may run from right to left.
    """
    pieces: dict[int, list[PageLine]] = {}
    for row, mates in _placed(cells, lines):
        owner = {id(word): cell for word, cell in row}
        for line in mates:
            for cell, group in groupby(line.words, key=lambda word: owner[id(word)]):
                words = tuple(group)
                piece = replace(line, bbox=union(word.bbox for word in words), words=words)
                pieces.setdefault(cell, []).append(piece)
    return pieces


def _placed(
    cells: Sequence[TableCell], lines: Sequence[PageLine]
) -> Iterator[tuple[PlacedRow, list[PageLine]]]:
    """Each row of text: its words with their cells, and the lines that they come from."""
    framed = [(index, cell.bbox) for index, cell in enumerate(cells) if cell.bbox is not None]
    rows = [(words, row) for row in rows_of(lines) if (words := words_across(row))]
    if not framed or not rows:
        return
    boxes = [box for _, box in framed]
    table = np.array(boxes, float)
    near = iter(nearest_boxes([word.bbox for words, _ in rows for word in words], table))
    for words, row in rows:
        owners = _whole(words, [next(near) for _ in words], boxes, table)
        indices = (framed[owner][0] for owner in owners)
        yield list(zip(words, indices, strict=True)), row


def _whole(
    words: Sequence[Word], near: Sequence[int], boxes: Sequence[BBox], table: FloatArray
) -> list[int]:
    """The boxes of a row's words when no phrase is torn; ``near`` are those of the single words."""
    if len(set(near)) == 1:
        return list(near)
    owners: list[int] = []
    for phrase in phrases(words, SPACE):
        start = len(owners)
        own = near[start : start + len(phrase.words)]
        for piece in _pieces(phrase, own, boxes):
            if len(set(piece)) > 1:
                begin = len(owners) - start
                part = Phrase(phrase.words[begin : begin + len(piece)])
                piece = nearest_boxes([_anchor(part)], table) * len(piece)
            owners += piece
    return owners


def _pieces(phrase: Phrase, near: Sequence[int], boxes: Sequence[BBox]) -> list[list[int]]:
    """``near`` cut where the borders of two boxes stand in the blank between two words."""
    pieces = [[near[0]]]
    is_number = is_one_number(phrase.text)
    for (left, right), (one, two) in zip(pairwise(phrase.words), pairwise(near), strict=True):
        if one != two and not is_number and _is_border(left, right, boxes[one], boxes[two]):
            pieces.append([two])
        else:
            pieces[-1].append(two)
    return pieces


def _is_border(left: Word, right: Word, one: BBox, two: BBox) -> bool:
    """Whether the border half way between two boxes stands in the blank between two words."""
    border = (one.x1 + two.x0) / 2
    return not hold_together(left, right) and (
        left.bbox.x1 - BORDER <= border <= right.bbox.x0 + BORDER
    )


def _anchor(phrase: Phrase) -> BBox:
    """The box by which a phrase is placed: of its longest part without a wide gap."""
    parts = [[phrase.words[0]]]
    for left, right in pairwise(phrase.words):
        if gap_in_em(left, right) < SPACE:
            parts[-1].append(right)
        else:
            parts.append([right])
    longest = max(parts, key=lambda part: sum(len(word.text) for word in part))
    return union(word.bbox for word in longest)


def nearest_boxes(words: Sequence[BBox], boxes: FloatArray) -> list[int]:
    """For each word the index of the box (m, 4) around its centre, else of the nearest one.

    Vertical distance weighs triple; among equals the box wins that shares the most area, then the
    one whose middle is nearer across.
    """
    every = np.array(words, float)
    size = max(1, CHUNK // len(boxes))
    chunks = (every[start : start + size] for start in range(0, len(every), size))
    return [index for chunk in chunks for index in _nearest(chunk, boxes)]


def _nearest(words: FloatArray, boxes: FloatArray) -> list[int]:
    x0, y0, x1, y1 = boxes.T
    left, top, right, bottom = words.T[..., None]
    x, y = (left + right) / 2, (top + bottom) / 2
    dx = np.maximum(np.maximum(x0 - x, x - x1), 0)
    dy = np.maximum(np.maximum(y0 - y, y - y1), 0)
    away = np.round(dx + 3 * dy, 3)
    width = np.maximum(np.minimum(x1, right) - np.maximum(x0, left), 0)
    height = np.maximum(np.minimum(y1, bottom) - np.maximum(y0, top), 0)
    is_nearest = away == away.min(axis=1, keepdims=True)
    aside = np.abs(x - (x0 + x1) / 2)
    shared = np.round(width * height, 3) - 1e-9 * aside
    nearest: list[int] = np.where(is_nearest, shared, -1).argmax(axis=1).tolist()
    return nearest
