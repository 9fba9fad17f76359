"""Orders the lines of a crop as they are read: row by row, and along each row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deepcompress_dagster.models.text.detection import LineBox, common_slant

SAME_ROW = 0.5
"""A box joins a row whose middle is closer than this share of the lower of the two heights."""


@dataclass(slots=True)
class _Row:
    """Places along the row and numbers of its boxes, and their mean middle and height."""

    members: list[tuple[float, int]]
    middle: float
    height: float

    def takes(self, middle: float, height: float) -> bool:
        return abs(middle - self.middle) < SAME_ROW * min(height, self.height)

    def add(self, along: float, number: int, middle: float, height: float) -> None:
        n = len(self.members)
        self.members.append((along, number))
        self.middle = (self.middle * n + middle) / (n + 1)
        self.height = (self.height * n + height) / (n + 1)


def reading_order(boxes: Sequence[LineBox], turn: int = 0) -> list[int]:
    """Indices of ``boxes`` in reading order.

    Rows follow the slant that the long boxes share. With ``turn`` 0 they run to the right, with 90
    down the page and with 270 up.
    """
    direction = math.radians(common_slant(boxes) + turn)
    cos, sin = math.cos(direction), math.sin(direction)
    places = sorted(
        (box.y * cos - box.x * sin, box.x * cos + box.y * sin, i) for i, box in enumerate(boxes)
    )
    rows: list[_Row] = []
    for middle, along, i in places:
        height = boxes[i].width if turn else boxes[i].height
        if not rows or not rows[-1].takes(middle, height):
            rows.append(_Row([], middle, height))
        rows[-1].add(along, i, middle, height)
    return [i for row in rows for _, i in sorted(row.members)]
