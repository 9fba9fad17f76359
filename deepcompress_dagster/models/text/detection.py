"""From a detector's map of text probabilities to rectangles around lines, and to their pixels.

The map is that of differentiable binarisation (DB; Liao et al., 2020): the detector learns the
shrunken core of each line, so a core is grown again after it is found. Numpy and OpenCV only;
nothing here knows a model.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.records import BBox

CORE_THRESHOLD = 0.3
"""Probability from which a pixel belongs to the core of a line; PaddleOCR's default."""

LINE_THRESHOLD = 0.5
"""Mean probability inside a core's rectangle below which it is no text."""

GROWTH = 2.0
"""A core grows on each side by this times its area over its perimeter.

1.5, PaddleOCR's default, cuts into letters: it reads 5 % more characters wrongly, and narrower
boxes are wider lines at a fixed height, which take 10 % more time.
"""

MIN_CORE = 3.0
"""Cores with a shorter side than this, in pixels of the map, are noise."""

LONG = 5.0
"""Length over height from which a rectangle tells its own slant; shorter ones share the crop's."""

UPRIGHT_DRIFT = 0.15
"""A slant that moves the line by less than this share of its height is not straightened."""

FloatMap = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LineBox:
    """A rectangle around a line, turned clockwise by ``angle`` degrees, -45 to 45, in pixels."""

    x: float
    y: float
    width: float
    height: float
    angle: float
    score: float

    @property
    def bounds(self) -> BBox:
        """The smallest upright box around the rectangle."""
        corners = cv2.boxPoints(((self.x, self.y), (self.width, self.height), self.angle))
        return BBox(*map(float, (*corners.min(axis=0), *corners.max(axis=0))))

    @property
    def is_upright(self) -> bool:
        drift = self.width * abs(math.sin(math.radians(self.angle)))
        return drift < UPRIGHT_DRIFT * self.height

    def part(self, start: float, end: float, turn: int) -> "LineBox":
        """The piece from ``start`` to ``end``, shares of the line in its reading direction.

        The line runs to the right with ``turn`` 0, down with 90 and up with 270.
        """
        if turn == 270:
            start, end = 1 - end, 1 - start
        shift, size = (start + end) / 2 - 0.5, end - start
        radians = math.radians(self.angle)
        if turn == 0:
            along = shift * self.width
            x, y = along * math.cos(radians), along * math.sin(radians)
            return replace(self, x=self.x + x, y=self.y + y, width=self.width * size)
        along = shift * self.height
        x, y = -along * math.sin(radians), along * math.cos(radians)
        return replace(self, x=self.x + x, y=self.y + y, height=self.height * size)

    def scaled(self, factor: float, dx: float = 0.0, dy: float = 0.0) -> "LineBox":
        """The rectangle moved by ``dx, dy`` and then scaled."""
        return replace(
            self,
            x=(self.x + dx) * factor,
            y=(self.y + dy) * factor,
            width=self.width * factor,
            height=self.height * factor,
        )


def find_lines(probability: FloatMap) -> list[LineBox]:
    """Rectangles around the lines of a probability map, in no particular order."""
    core = (probability > CORE_THRESHOLD).astype(np.uint8)
    contours, _ = cv2.findContours(core, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cores = [(contour, _rectangle(contour)) for contour in contours]
    cores = [(contour, box) for contour, box in cores if min(box.width, box.height) >= MIN_CORE]
    slant = common_slant([box for _, box in cores])
    lines = []
    for contour, free in cores:
        box = free if _elongation(free) >= LONG else _rectangle_at(contour, slant)
        score = _mean_inside(probability, box)
        if score >= LINE_THRESHOLD:
            lines.append(_grown(replace(box, score=score)))
    return lines


def cut_out(image: Image, box: LineBox) -> Image:
    """The pixels of a line, straightened; at least one pixel wide and high."""
    if not box.is_upright:
        return _straightened(image, box)
    height, width = image.shape[:2]
    x0 = min(max(round(box.x - box.width / 2), 0), width - 1)
    y0 = min(max(round(box.y - box.height / 2), 0), height - 1)
    x1 = max(round(box.x + box.width / 2), x0 + 1)
    y1 = max(round(box.y + box.height / 2), y0 + 1)
    return image[y0:y1, x0:x1]


def _straightened(image: Image, box: LineBox) -> Image:
    turn = math.radians(box.angle)
    cos, sin = math.cos(turn), math.sin(turn)
    width, height = max(1, round(box.width)), max(1, round(box.height))
    to_image = np.array(
        [
            [cos, -sin, box.x - cos * width / 2 + sin * height / 2],
            [sin, cos, box.y - sin * width / 2 - cos * height / 2],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    result: Image = cv2.warpAffine(
        image, to_image, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return result


def _rectangle(contour: npt.NDArray[Any]) -> LineBox:
    (x, y), (width, height), angle = cv2.minAreaRect(contour)
    while angle > 45:
        width, height, angle = height, width, angle - 90
    while angle < -45:
        width, height, angle = height, width, angle + 90
    return LineBox(x, y, width, height, angle, 0.0)


def _rectangle_at(contour: npt.NDArray[Any], angle: float) -> LineBox:
    """The smallest rectangle around a contour that is turned by ``angle``."""
    turn = math.radians(angle)
    cos, sin = math.cos(turn), math.sin(turn)
    points = contour.reshape(-1, 2) @ np.array([[cos, -sin], [sin, cos]])
    (x0, y0), (x1, y1) = points.min(axis=0), points.max(axis=0)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return LineBox(x * cos - y * sin, x * sin + y * cos, x1 - x0, y1 - y0, angle, 0.0)


def _elongation(box: LineBox) -> float:
    return max(box.width, box.height) / min(box.width, box.height)


def common_slant(boxes: Sequence[LineBox]) -> float:
    """Median angle of the long rectangles, each counted by its length; 0 without any."""
    long = sorted((b.angle, max(b.width, b.height)) for b in boxes if _elongation(b) >= LONG)
    half = sum(length for _, length in long) / 2
    for angle, length in long:
        half -= length
        if half <= 0:
            return angle
    return 0.0


def _mean_inside(probability: FloatMap, box: LineBox) -> float:
    corners = cv2.boxPoints(((box.x, box.y), (box.width, box.height), box.angle))
    height, width = probability.shape
    x0, y0 = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, (width - 1, height - 1))
    x1, y1 = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, (width - 1, height - 1))
    mask = np.zeros((y1 - y0 + 1, x1 - x0 + 1), np.uint8)
    cv2.fillPoly(mask, [(corners - (x0, y0)).astype(np.int32)], 1)
    return float(cv2.mean(probability[y0 : y1 + 1, x0 : x1 + 1], mask)[0])


def _grown(box: LineBox) -> LineBox:
    growth = GROWTH * box.width * box.height / (2 * (box.width + box.height))
    return replace(box, width=box.width + 2 * growth, height=box.height + 2 * growth)
