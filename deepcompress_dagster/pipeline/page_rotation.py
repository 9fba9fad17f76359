"""The upright view of a page whose content is turned, and the way back to the page as displayed.

Also what the words of a text layer tell of the turn; where they do not, a model is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.records import BBox, Word

LONG_WORD = 4
"""Letters from which on the shape of a word's box tells how it stands."""

ON_END = 1.5
"""A word of that length is higher than wide by this factor, at least, when it stands on end."""

TELLING = 0.8
"""Share of the steps from word to word that go one way, at least, where they tell the turn."""


@dataclass(frozen=True)
class PageRotation:
    """A page of ``width`` x ``height`` points as displayed, its content turned clockwise.

    ``turn`` is 0, 90, 180 or 270 degrees. Everything between layout and the finished rows happens
    in the upright frame, in points.
    """

    width: float
    height: float
    turn: int = 0

    @property
    def upright_size(self) -> tuple[float, float]:
        return (self.height, self.width) if self.turn in (90, 270) else (self.width, self.height)

    def upright(self, box: BBox) -> BBox:
        """A box of the displayed page, seen upright."""
        if self.turn == 90:
            return BBox(box.y0, self.width - box.x1, box.y1, self.width - box.x0)
        if self.turn == 180:
            return BBox(
                self.width - box.x1, self.height - box.y1, self.width - box.x0, self.height - box.y0
            )
        if self.turn == 270:
            return BBox(self.height - box.y1, box.x0, self.height - box.y0, box.x1)
        return box

    def displayed(self, box: BBox) -> BBox:
        """An upright box, on the page as displayed; rounded to 0.01 pt."""
        width, height = self.upright_size
        back = PageRotation(width, height, (360 - self.turn) % 360)
        return back.upright(box).rounded()

    def upright_pixels(self, pixels: Image) -> Image:
        """The page's pixels turned upright; a view."""
        return np.rot90(pixels, k=self.turn // 90)

    def upright_words(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        if self.turn == 0:
            return words
        return tuple(replace(word, bbox=self.upright(word.bbox)) for word in words)


def turn_of_words(words: Sequence[Word]) -> int | None:
    """How far the text of a page is turned clockwise, in degrees; None where words do not tell.

    Most long words stand on end on a turned page, and one word follows the other up or down the
    page. Upside down they go to the left and, from line to line, upwards.
    """
    long = [word for word in words if len(word.text) >= LONG_WORD or word.vertical]
    if not long:
        return None
    if 2 * sum(map(_is_on_end, long)) <= len(long):
        return 180 if _is_upside_down(words) else 0
    steps = [
        second.bbox.center[1] < first.bbox.center[1]
        for first, second in pairwise(words)
        if first.block == second.block and _is_beneath(first.bbox, second.bbox)
    ]
    upward = sum(steps)
    if upward > TELLING * len(steps):
        return 270
    return 90 if len(steps) - upward > TELLING * len(steps) else None


def _is_upside_down(words: Sequence[Word]) -> bool:
    """Whether words go to the left within a line, and upwards from each line to the next."""
    leftward: list[bool] = []
    upward: list[bool] = []
    for first, second in pairwise(words):
        if first.block != second.block:
            continue
        if first.line == second.line:
            leftward.append(second.bbox.center[0] < first.bbox.center[0])
        elif second.bbox.center[1] != first.bbox.center[1]:
            upward.append(second.bbox.center[1] < first.bbox.center[1])
    return all(len(way) >= 2 and sum(way) > TELLING * len(way) for way in (leftward, upward))


def _is_on_end(word: Word) -> bool:
    return word.bbox.height > ON_END * word.bbox.width and not word.vertical


def _is_beneath(first: BBox, second: BBox) -> bool:
    """Whether two boxes share more than half of the narrower's width."""
    overlap = min(first.x1, second.x1) - max(first.x0, second.x0)
    return 2 * overlap > min(first.width, second.width)
