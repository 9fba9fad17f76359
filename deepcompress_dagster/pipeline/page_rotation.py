"""The upright view of a page whose content is turned, and the way back to the page as displayed."""

from dataclasses import dataclass, replace

import numpy as np

from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.records import BBox, Word


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
