"""The axes of a chart: numbers in a row or a column that grow in step with their places.

Here belongs how a drawn axis gives places their values; what is measured by it is charts.py's.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, pairwise, product
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from deepcompress_dagster.pdf.messages import Drawing
from deepcompress_dagster.pipeline.numbers import plain_number
from deepcompress_dagster.records import BBox, Word, union

MIN_TICKS = 3
"""Labels of an axis that stand at marks; one more where there are none."""

SNAP = 1.2
"""Points between where a label says that its mark is and the mark; programs round to pixels."""

PRECISION = 0.25
"""Points to which a place can be read where the marks fit exactly."""

FIT_ERROR = 0.8
"""Points by which the marks of an axis may be off a straight line."""

EDGE = 1.3
"""Points by which edges that belong together differ: bars on a base line, bars of one width."""

GREY = 24
"""Difference of the channels (of 255) of a colour below which it is grey: axes, grids, frames."""

AROUND = 60.0
"""Points around a figure in which its legend is looked for."""

Phrase: TypeAlias = tuple[str, BBox]
FloatArray: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Axis:
    """A numeric axis along ``way`` (0 across, 1 down): value = slope * place + start."""

    way: int
    slope: float
    start: float
    marks: tuple[float, ...]
    """Places of its labels' marks, ascending, points."""
    error: float
    at_marks: bool
    labels: tuple[BBox, ...]
    percent: bool

    @property
    def low(self) -> float:
        return self.marks[0]

    @property
    def high(self) -> float:
        return self.marks[-1]

    @property
    def step(self) -> float:
        """Points from mark to mark."""
        return (self.high - self.low) / (len(self.marks) - 1)

    def value(self, place: float) -> float:
        return self.slope * place + self.start

    @property
    def zero(self) -> float:
        """The place of 0, or of the mark nearest to it."""
        return min(max(-self.start / self.slope, self.low), self.high)

    def text(self, value: float) -> str:
        """A value to the precision that the drawing has."""
        digits = max(0, round(-math.log10(2 * abs(self.slope) * (PRECISION + self.error))))
        rounded = round(value, digits) + 0.0
        written = f"{rounded:.{digits}f}"
        plain = written.rstrip("0").rstrip(".") if "." in written else written
        return plain + ("%" if self.percent else "")


@dataclass(frozen=True)
class Chart:
    """What is drawn and written in a figure. ``words`` include those around it."""

    bbox: BBox
    drawings: tuple[Drawing, ...]
    words: tuple[Word, ...]

    @cached_property
    def phrases(self) -> list[Phrase]:
        """Words that stand side by side, a blank apart, as one text."""
        found: list[tuple[list[str], list[BBox]]] = []
        for word in sorted(self.words, key=lambda word: (word.block, word.line, word.bbox.x0)):
            box = word.bbox
            if found and _is_beside(found[-1][1][-1], box):
                found[-1][0].append(word.text)
                found[-1][1].append(box)
            else:
                found.append(([word.text], [box]))
        return [(" ".join(texts), union(boxes)) for texts, boxes in found]


def _is_beside(left: BBox, right: BBox) -> bool:
    same_row = abs(left.center[1] - right.center[1]) <= 0.3 * max(left.height, right.height)
    return same_row and -1 <= right.x0 - left.x1 <= 0.4 * min(left.height, right.height)


def axis_along(chart: Chart, way: int) -> Axis | None:
    """The one numeric axis along ``way``; None where there is none, or more than one."""
    numbers = [
        (word.bbox, value, word.text.endswith("%"))
        for word in chart.words
        if chart.bbox.expanded(EDGE).contains_point(*word.bbox.center)
        and (value := plain_number(word.text)) is not None
        and not word.rise
    ]
    marks = sorted({round(place, 2) for place in _marks(chart.drawings, way)})
    found: list[Axis] = []
    for group in _aligned(numbers, way):
        axis = _fitted(group, marks, way)
        if axis is not None and not any(set(axis.labels) & set(known.labels) for known in found):
            found.append(axis)
    return found[0] if len(found) == 1 else None


def _aligned(
    numbers: Sequence[tuple[BBox, float, bool]], way: int
) -> list[list[tuple[BBox, float, bool]]]:
    """Numbers in one row (``way`` 0) or one column, largest groups first."""
    edges: Iterable[Callable[[BBox], float]]
    if way == 0:
        edges = (lambda box: box.center[1],)
    else:
        edges = (lambda box: box.x1, lambda box: box.x0, lambda box: box.center[0])
    groups = {
        tuple(n for n in numbers if abs(edge(n[0]) - edge(box)) <= EDGE)
        for edge in edges
        for box, _, _ in numbers
    }
    return sorted((list(group) for group in groups), key=lambda group: -len(group))


def _marks(drawings: Sequence[Drawing], way: int) -> Iterator[float]:
    """Places along ``way`` of straight grey strokes across it: ticks and grid lines."""
    for drawing in drawings:
        color = drawing.stroke if drawing.stroke is not None else drawing.fill
        if color is None or not is_grey(color):
            continue
        for line in drawing.lines:
            for first, second in pairwise(line):
                if abs(first[way] - second[way]) <= 0.1 and first != second:
                    yield first[way]
        for box in drawing.rects:
            if box[way + 2] - box[way] <= EDGE:
                yield (box[way] + box[way + 2]) / 2


def _fitted(
    group: Sequence[tuple[BBox, float, bool]], marks: Sequence[float], way: int
) -> Axis | None:
    """The axis that the labels of a group stand at, if their values grow in step with it."""
    ticks = sorted({(box.center[way], value): box for box, value, _ in group}.items())
    if len(ticks) < MIN_TICKS:
        return None
    places = np.array([place for (place, _), _ in ticks])
    values = np.array([value for (_, value), _ in ticks])
    slope = _slope(places, values)
    if not slope:
        return None
    # Labels at the ends of an axis may stand inside of their marks.
    start = float(np.median(values - slope * places))
    expected = (values - start) / slope
    step = float(np.median(np.abs(np.diff(expected))))
    inside = np.abs(expected - places) <= max(SNAP, 0.3 * step)
    if inside.sum() < MIN_TICKS or inside.sum() < 0.6 * len(ticks):
        return None
    snapped = _snapped(values, places, marks, step)
    at_marks = len(snapped) >= MIN_TICKS and len(snapped) >= 0.8 * len(ticks)
    pairs = snapped if at_marks else list(zip(places[inside], values[inside], strict=True))
    if len(pairs) < MIN_TICKS + (not at_marks):
        return None
    slope, start, error = _line_through(pairs)
    if not slope or error > FIT_ERROR:
        return None
    places_of_marks = tuple(sorted(float(place) for place, _ in pairs))
    labels = tuple(box for _, box in ticks)
    percent = all(flag for _, _, flag in group)
    return Axis(way, slope, start, places_of_marks, error, at_marks, labels, percent)


def _slope(places: FloatArray, values: FloatArray) -> float:
    """Value a point, from the median of neighbours' steps; 0 where it neither rises nor falls."""
    steps, gaps = np.diff(values), np.diff(places)
    if gaps.min() <= 0 or not (np.all(steps > 0) or np.all(steps < 0)):
        return 0.0
    return float(np.median(steps / gaps))


def _snapped(
    values: FloatArray, places: FloatArray, marks: Sequence[float], step: float
) -> list[tuple[float, float]]:
    """Marks with the values of their labels: the most that one line goes through.

    Any two labels may be the ones that stand at their marks: those at the ends of an axis are moved
    inside, by up to a third of a ``step``.
    """
    near = [[mark for mark in marks if abs(mark - place) <= 0.3 * step + SNAP] for place in places]
    best: list[tuple[float, float]] = []
    for i, j in combinations(range(len(values)), 2):
        for first, second in product(near[i], near[j]):
            if first == second:
                continue
            slope = (values[j] - values[i]) / (second - first)
            pairs = _at_marks(values, first - values[i] / slope, 1 / slope, marks)
            best = max(best, pairs, key=len)
        if len(best) == len(values):
            break
    return best


def _at_marks(
    values: FloatArray, origin: float, scale: float, marks: Sequence[float]
) -> list[tuple[float, float]]:
    """The marks at ``origin + scale * value``, with the values; some may be missing."""
    pairs = []
    for value in values:
        wanted = origin + scale * value
        mark = min(marks, key=lambda mark: abs(mark - wanted))
        if abs(mark - wanted) <= SNAP:
            pairs.append((mark, float(value)))
    return pairs


def _line_through(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Slope, start, and how far (points) the worst place is off the line."""
    places, values = np.array(pairs, dtype=float).T
    slope, start = np.polyfit(places, values, 1)
    if slope == 0:
        return 0.0, float(start), math.inf
    error = float(np.abs((values - start) / slope - places).max())
    return float(slope), float(start), error


def is_grey(color: int) -> bool:
    channels = (color >> 16, color >> 8 & 255, color & 255)
    return max(channels) - min(channels) <= GREY
