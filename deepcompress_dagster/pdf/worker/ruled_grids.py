"""Grids of cells that the rules of a page close: pure geometry, points of the page as displayed.

A cell is a face of the arrangement of horizontal and vertical rules, so its spans are exact, and a
table is as large as the rules that hang together, whatever box somebody else draws around it. What
the cells hold, and whether a grid is a table, is decided where the words are known.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deepcompress_dagster.pdf.worker.drawings import Ruling
from deepcompress_dagster.records import BBox

TOUCH = 3.0
"""Points within which rules are one rule, meet, or continue each other (as in PyMuPDF's finder)."""

STUB = 9.0
"""Points by which rules stick out of a grid to close further cells, at least; ticks are shorter."""

MAX_CROSSINGS = 4_000_000
"""Pairs of a horizontal and a vertical rule that are looked at; more are a map or a raster."""

MAX_SLOTS = 40_000
"""Slots, rows times columns, of one grid."""

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int_]


class _Rule(NamedTuple):
    """A rule at ``at`` on one axis, from ``start`` to ``end`` on the other."""

    at: float
    start: float
    end: float


class _Face(NamedTuple):
    """A rectangle of slots; ``bottom`` and ``right`` are outside."""

    top: int
    left: int
    bottom: int
    right: int


def ruled_grids(rulings: Sequence[Ruling]) -> tuple[tuple[BBox, ...], ...]:
    """The cells of each connected grid of at least two, grids and cells from top to bottom."""
    across = _joined(
        _Rule(rule.bbox.center[1], rule.bbox.x0, rule.bbox.x1)
        for rule in rulings
        if rule.horizontal
    )
    down = _joined(
        _Rule(rule.bbox.center[0], rule.bbox.y0, rule.bbox.y1)
        for rule in rulings
        if not rule.horizontal
    )
    if len(across) < 2 or not down or len(across) * len(down) > MAX_CROSSINGS:
        return ()
    grids = (_cells(*group) for group in _connected(across, down))
    return tuple(sorted((grid for grid in grids if len(grid) > 1), key=lambda grid: grid[0].y0))


def _joined(rules: Iterator[_Rule]) -> list[_Rule]:
    """Rules at one place as one, and pieces that continue each other as one."""
    joined: list[_Rule] = []
    for run in _runs(sorted(rules)):
        at = _mean(run)
        first = len(joined)
        for rule in sorted(run, key=lambda rule: rule.start):
            if len(joined) > first and rule.start <= joined[-1].end + TOUCH:
                joined[-1] = joined[-1]._replace(end=max(joined[-1].end, rule.end))
            else:
                joined.append(rule._replace(at=at))
    return joined


def _runs(rules: Sequence[_Rule]) -> list[list[_Rule]]:
    """Sorted rules in groups that lie within ``TOUCH`` of the first of the group."""
    runs: list[list[_Rule]] = []
    for rule in rules:
        if runs and rule.at - runs[-1][0].at <= TOUCH:
            runs[-1].append(rule)
        else:
            runs.append([rule])
    return runs


def _mean(run: Sequence[_Rule]) -> float:
    return sum(rule.at for rule in run) / len(run)


def _connected(
    across: Sequence[_Rule], down: Sequence[_Rule]
) -> Iterator[tuple[list[_Rule], list[_Rule]]]:
    """Horizontal and vertical rules that hang together by crossings, a pair of lists a group."""
    y, left, right = np.array(across).T[..., None]
    x, top, bottom = np.array(down).T
    crosses = (x >= left - TOUCH) & (x <= right + TOUCH)
    crosses &= (y >= top - TOUCH) & (y <= bottom + TOUCH)
    waiting = crosses.any(axis=1)
    while waiting.any():
        rows = np.zeros(len(across), bool)
        rows[waiting.argmax()] = True
        while True:
            columns = crosses[rows].any(axis=0)
            reached = crosses[:, columns].any(axis=1)
            if (reached == rows).all():
                break
            rows = reached
        waiting &= ~rows
        yield _chosen(across, rows), _chosen(down, columns)


def _chosen(rules: Sequence[_Rule], flags: BoolArray) -> list[_Rule]:
    return [rule for rule, flag in zip(rules, flags, strict=True) if flag]


def _cells(across: list[_Rule], down: list[_Rule]) -> tuple[BBox, ...]:
    """The cells that connected rules close, from top to bottom, each row from left to right."""
    across, down = [*across, *_closing(down, across)], [*down, *_closing(across, down)]
    ys, xs = _places(across), _places(down)
    if len(ys) < 2 or len(xs) < 2 or len(ys) * len(xs) > MAX_SLOTS:
        return ()
    faces = _faces(_is_ruled(across, ys, xs), _is_ruled(down, xs, ys).T)
    return tuple(
        BBox(xs[face.left], ys[face.top], xs[face.right], ys[face.bottom]).rounded()
        for face in faces
    )


def _closing(rules: Sequence[_Rule], others: Sequence[_Rule]) -> Iterator[_Rule]:
    """Rules along the common ends of ``rules`` that stick out beyond ``others``: an open side."""
    low, high = min(rule.start for rule in rules), max(rule.end for rule in rules)
    at_low = [rule.at for rule in rules if rule.start <= low + TOUCH]
    at_high = [rule.at for rule in rules if rule.end >= high - TOUCH]
    if len(at_low) > 1 and min(other.at for other in others) - low > STUB:
        yield _Rule(low, min(at_low), max(at_low))
    if len(at_high) > 1 and high - max(other.at for other in others) > STUB:
        yield _Rule(high, min(at_high), max(at_high))


def _places(rules: Sequence[_Rule]) -> list[float]:
    return [_mean(run) for run in _runs(sorted(rules))]


def _is_ruled(rules: Sequence[_Rule], places: Sequence[float], ends: Sequence[float]) -> BoolArray:
    """Whether a rule at each of the places (n) covers each interval of ends (m): (n, m - 1)."""
    low, high = np.array(ends[:-1]), np.array(ends[1:])
    slack = np.minimum(TOUCH, (high - low) / 4)
    ruled = np.zeros((len(places), len(low)), bool)
    for rule in rules:
        place = np.abs(np.array(places) - rule.at).argmin()
        ruled[place] |= (rule.start <= low + slack) & (rule.end >= high - slack)
    return ruled


def _faces(across: BoolArray, down: BoolArray) -> list[_Face]:
    """The closed faces between rules ``across`` (n + 1, m) and ``down`` (n, m + 1)."""
    outside = 0  # reached through any gap in the outer rules; the other slots count from 1
    slots = np.pad(np.arange(1, across.shape[1] * down.shape[0] + 1).reshape(down.shape[0], -1), 1)
    parents = list(range(slots.max() + 1))

    def root(slot: int) -> int:
        while parents[slot] != slot:
            parents[slot] = slot = parents[parents[slot]]
        return slot

    above, below = slots[:-1, 1:-1][~across], slots[1:, 1:-1][~across]
    before, after = slots[1:-1, :-1][~down], slots[1:-1, 1:][~down]
    pairs = zip(
        [*above.tolist(), *before.tolist()], [*below.tolist(), *after.tolist()], strict=True
    )
    for pair in pairs:
        one, two = sorted(map(root, pair))
        parents[two] = one
    roots = np.array([root(slot) for slot in range(len(parents))])
    return [face for face, slot in _rectangles(roots[slots[1:-1, 1:-1]]) if slot != outside]


def _rectangles(numbers: IntArray) -> list[tuple[_Face, int]]:
    """The rectangles of equal numbers; an area that is none is cut into several row by row."""
    found: list[tuple[_Face, int]] = []
    open_runs: dict[tuple[int, int, int], int] = {}
    for row, line in enumerate(numbers):
        edges = [0, *(np.flatnonzero(np.diff(line)) + 1).tolist(), len(line)]
        runs = [(int(line[left]), left, right) for left, right in pairwise(edges)]
        found += [
            (_Face(top, left, row, right), number)
            for (number, left, right), top in open_runs.items()
            if (number, left, right) not in runs
        ]
        open_runs = {run: open_runs.get(run, row) for run in runs}
    last = len(numbers)
    found += [
        (_Face(top, left, last, right), number) for (number, left, right), top in open_runs.items()
    ]
    return sorted(found)
