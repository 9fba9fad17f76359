"""Tells how a page is turned: upright, on a side or upside down.

PP-LCNet, as PaddleOCR exports it.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from deepcompress_dagster.models.device import CPU
from deepcompress_dagster.models.onnx_graph import Floats, OnnxGraph
from deepcompress_dagster.models.predictor import Image, ModelError, Orientation
from deepcompress_dagster.models.shared.planes import IMAGENET_MEAN, IMAGENET_STD, planes

WEIGHTS = "weights.onnx"

SHORT_SIDE, SIDE = 256, 224
"""A page's content is resized to this shorter side, and the square in its middle is looked at."""

INK = 40
"""Difference from the background, of 255, from which a pixel is content."""

TURNS = (0, 90, 180, 270)
"""Degrees clockwise, by class."""


class OrientationPredictor:
    """Tells how pages are turned, from all four ways of looking at each of them."""

    device = CPU

    def __init__(self, graph: OnnxGraph, *, name: str) -> None:
        """Raises ModelError when the graph does not tell the four orientations apart."""
        if graph.metadata.get("character", "").split("\n") != [str(turn) for turn in TURNS]:
            raise ModelError(f"{name} does not tell the four orientations apart")
        self.name = name
        self._graph = graph

    @classmethod
    def from_folder(cls, folder: Path, *, threads: int = 1) -> "OrientationPredictor":
        """The predictor of a folder. Raises ModelError when it holds no such graph."""
        return cls(OnnxGraph(folder / WEIGHTS, threads), name=folder.name)

    def predict(self, batch: Sequence[Image]) -> list[Orientation]:
        """How each page is turned; the score is the mean probability over the four views."""
        return [self._orientation(image) for image in batch]

    def _orientation(self, image: Image) -> Orientation:
        canvas = _canvas(image)
        views = [np.rot90(canvas, -k, axes=(2, 3)) for k in range(4)]
        (seen,) = self._graph.run(np.concatenate(views))
        # View k was turned k quarters further, so its classes are k ahead of the page's.
        means = np.mean([np.roll(seen[k], -k) for k in range(4)], axis=0).astype(float).round(4)
        return Orientation(TURNS[means.argmax()], float(means.max()))


def _canvas(image: Image) -> Floats:
    """Normalised pixels of the square in the middle of a page's content, (1, 3, side, side)."""
    content = _content(image)
    scale = SHORT_SIDE / min(content.shape[:2])
    height, width = (max(SIDE, round(side * scale)) for side in content.shape[:2])
    resized = cv2.resize(
        np.ascontiguousarray(content), (width, height), interpolation=cv2.INTER_AREA
    )
    top, left = (height - SIDE) // 2, (width - SIDE) // 2
    square = resized[top : top + SIDE, left : left + SIDE]
    return planes(square, IMAGENET_MEAN, IMAGENET_STD)


def _content(image: Image) -> Image:
    """The page without its blank edges: a few lines on an empty page are too small to see."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    ink = cv2.absdiff(grey, float(np.median(grey))) > INK
    rows, columns = (np.flatnonzero(ink.sum(axis=axis) > 1) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return image
    margin = max(image.shape[:2]) // 50
    top, left = max(0, rows[0] - margin), max(0, columns[0] - margin)
    return image[top : rows[-1] + margin + 1, left : columns[-1] + margin + 1]
