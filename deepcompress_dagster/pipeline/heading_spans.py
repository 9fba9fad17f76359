"""Which columns a heading lies over: of the rule below it, or those whose middle it stands on.

Pure geometry, points from left to right; what a header row is, is decided by the callers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import inf
from statistics import median

from deepcompress_dagster.records import BBox

Span = tuple[int, int]
"""First and last column."""

EDGE = 3.0
"""Points by which text may stick out of its column."""

REACH = 1.5
"""Em below the middle of a heading within which a rule belongs to it."""

OFF_CENTRE = 0.35
"""Share of a column's width by which a heading off its middle may belong to several columns."""

NEARER = 0.6
"""Share of what headings are off the middles of single columns that they may be off the middles of
groups which take up all columns."""

ALIGNED = 1.0
SIDED = 0.8
"""Points by which texts may be off the edge of their column, and the share of them that are not,
from which columns are set to one side."""

AS_NEAR = 2.0
"""Points by which they are as near to both."""


@dataclass(frozen=True)
class ColumnTexts:
    """From where to where the text of each column of a table reaches.

    ``side`` is -1 where the texts of most columns begin at one place, 1 where they end at one.
    """

    reach: tuple[tuple[float, float], ...]
    side: int = 0

    @classmethod
    def of(cls, boxes: Sequence[Sequence[BBox]]) -> "ColumnTexts":
        """The columns of the boxes of their texts, at least one in each."""
        reach = tuple((min(b.x0 for b in own), max(b.x1 for b in own)) for own in boxes)
        pairs = [
            (box, *bounds)
            for own, bounds in zip(boxes[1:], reach[1:], strict=True)
            for box in own
            if box.width < bounds[1] - bounds[0] - ALIGNED
        ]
        begin = sum(box.x0 <= low + ALIGNED for box, low, _ in pairs)
        end = sum(box.x1 >= high - ALIGNED for box, _, high in pairs)
        side = 0
        if max(begin, end) > SIDED * len(pairs):
            side = 1 if end > begin else -1
        return cls(reach, side)

    @property
    def count(self) -> int:
        return len(self.reach)

    def middle(self, first: int, last: int) -> float:
        return (self.reach[first][0] + self.reach[last][1]) / 2

    def width(self, first: int, last: int) -> float:
        """Points from the first to the last column's text."""
        return self.reach[last][1] - self.reach[first][0]

    def n_under(self, box: BBox) -> int:
        """How many columns have text below a box."""
        return sum(low < box.x1 and box.x0 < high for low, high in self.reach)

    def pitch(self, first: int) -> float:
        """Points from one column to the next, from ``first`` on."""
        return self.width(first, self.count - 1) / (self.count - first)

    def widened(self, first: int) -> "ColumnTexts":
        """The columns as wide as they are: text at one side of them does not reach to the other.

        Headings stand over the middle of the columns, not of their text.
        """
        steps = [
            (right[0] - left[0], right[1] - left[1]) for left, right in pairwise(self.reach[first:])
        ]
        if not self.side or not steps:
            return self
        width = median(step[self.side > 0] for step in steps)
        return ColumnTexts(
            tuple(
                (high - width, high) if self.side > 0 else (low, low + width)
                for low, high in self.reach
            )
        )


def ruled_span(heading: BBox, em: float, table: ColumnTexts, rules: Sequence[BBox]) -> Span | None:
    """The columns over which a rule just below a heading runs."""
    for rule in rules:
        y = rule.center[1]
        if (
            rule.x0 <= heading.center[0] <= rule.x1
            and heading.center[1] < y < heading.y1 + REACH * em
        ):
            under = [
                column
                for column in range(table.count)
                if rule.x0 - EDGE <= table.middle(column, column) <= rule.x1 + EDGE
            ]
            if len(under) > 1:
                return under[0], under[-1]
    return None


def centred_span(
    span: Span, heading: BBox, em: float, below: Mapping[Span, object], table: ColumnTexts
) -> Span | None:
    """The columns over whose middle a heading stands that is off the middle of its own."""
    column = span[0]
    if span[1] > column or column == 0 or len(below) < 2:
        return None
    low, high = table.reach[column]
    aligned = min(abs(heading.x0 - low), abs(heading.x1 - high)) <= 0.5 * em
    off = abs(heading.center[0] - table.middle(column, column))
    if aligned or off <= OFF_CENTRE * max(high - low, heading.width):
        return None
    groups = [
        (first, last)
        for first in range(1, column + 1)
        for last in range(max(column, first + 1), table.count)
    ]
    best = min(
        groups, key=lambda group: abs(table.middle(*group) - heading.center[0]), default=None
    )
    if best is None or abs(table.middle(*best) - heading.center[0]) > em:
        return None
    return best


def shared_out(
    headings: Sequence[BBox], first: int, table: ColumnTexts, *, set_apart: bool
) -> list[Span] | None:
    """The columns from ``first`` on shared out among headings, each over the middle of its group.

    None where they stand nearer to the middles of single columns, or too far from any group's.
    Where they are not ``set_apart`` from the row below they may be first lines of what stands
    there: then none of them may lie over several columns, or on the middle of both.
    """
    if not 0 < len(headings) < table.count - first:
        return None
    if not set_apart and any(table.n_under(heading) > 1 for heading in headings):
        return None
    centres = [heading.center[0] for heading in headings]
    ways = {table, table.widened(first)}
    off, spans = min(_groups(centres, first, way) for way in ways)
    alone = min(_off_single(centres, first, way) for way in ways)
    as_near = alone + AS_NEAR if set_apart and _is_symmetric(spans) else 0.0
    if off > max(NEARER * alone, as_near) or off > len(headings) * table.pitch(first) / 2:
        return None
    return list(spans)


def _groups(
    centres: Sequence[float], first: int, table: ColumnTexts
) -> tuple[float, tuple[Span, ...]]:
    """The groups of all columns from ``first`` on whose middles are nearest, and how near."""
    n, count = len(centres), table.count

    @cache
    def best(index: int, start: int) -> tuple[float, tuple[Span, ...]]:
        if index == n:
            return (0.0 if start == count else inf), ()
        lasts = [count - 1] if index == n - 1 else range(start, count - n + index + 1)
        found: list[tuple[float, tuple[Span, ...]]] = [(inf, ())]
        for last in lasts:
            if start <= last:
                rest, spans = best(index + 1, last + 1)
                off = abs(table.middle(start, last) - centres[index])
                found.append((off + rest, ((start, last), *spans)))
        return min(found)

    return best(0, first)


def _off_single(centres: Sequence[float], first: int, table: ColumnTexts) -> float:
    """How far headings are off the middles of the nearest columns."""
    middles = [table.middle(column, column) for column in range(first, table.count)]
    return sum(min(abs(middle - centre) for middle in middles) for centre in centres)


def _is_symmetric(spans: Sequence[Span]) -> bool:
    """Whether each group has a column in its middle, on which its heading stands too."""
    return all((last - first) % 2 == 0 for first, last in spans)


def are_ordered(headings: Sequence[BBox]) -> bool:
    """Whether headings stand one after the other, none over another."""
    return all(left.x1 <= right.x0 for left, right in pairwise(headings))
