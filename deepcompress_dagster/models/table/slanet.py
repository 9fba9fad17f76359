"""Reads the structure of tables with SLANet, which writes HTML tags and a box for each cell.

The weights are PaddleOCR's (Apache-2.0): ``slanet-en`` was trained on PubTabNet, ``slanet-plus`` on
Chinese and English tables of many kinds. The graph has the decoding loop inside.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from deepcompress_dagster.models.device import CPU
from deepcompress_dagster.models.onnx_graph import Array, Floats, OnnxGraph
from deepcompress_dagster.models.predictor import CellGrid, Image, ModelError
from deepcompress_dagster.models.shared.planes import IMAGENET_MEAN, IMAGENET_STD, planes
from deepcompress_dagster.models.table.grid import CELL_TAGS, build_grid
from deepcompress_dagster.records import BBox

WEIGHTS = "weights.onnx"

SIDE = 488
"""Pixels of the square that the model sees; a crop's longer side is resized to it."""

_QUADRANGLE = 8
"""Numbers of a location that is four points as shares of the crop's square; one of four numbers is
two corners as shares of the crop."""


class SLANetPredictor:
    """Reads the structure of table crops; cells come without text."""

    device = CPU

    def __init__(self, graph: OnnxGraph, *, name: str) -> None:
        """Raises ModelError when the file does not list the tags that the graph writes."""
        if "character" not in graph.metadata:
            raise ModelError(f"{name} does not say which tags it writes")
        self.name = name
        self._graph = graph
        self._tags = _tags(graph.metadata["character"].split("\n"))

    @classmethod
    def from_folder(cls, folder: Path, *, threads: int = 1) -> "SLANetPredictor":
        """The predictor of a folder. Raises ModelError when it holds no such graph."""
        return cls(OnnxGraph(folder / WEIGHTS, threads), name=folder.name)

    def predict(self, batch: Sequence[Image]) -> list[CellGrid]:
        """One grid per crop, with boxes in pixels of the crop; no cells where no table is seen."""
        return [self._read(image) for image in batch]

    def _read(self, image: Image) -> CellGrid:
        locations, probabilities = self._graph.run(_canvas(image))
        classes, sure = probabilities[0].argmax(-1), probabilities[0].max(-1)
        return self._grid(image, classes, sure, locations[0])

    def _grid(self, image: Image, classes: Array, sure: Floats, locations: Floats) -> CellGrid:
        end = len(self._tags) - 1
        stops = np.flatnonzero(classes == end)
        length = int(stops[0]) if len(stops) else len(classes)
        steps = [i for i in range(length) if classes[i] != 0]
        tags = [self._tags[classes[i]] for i in steps]
        boxes = [
            _box(locations[i], image)
            for i, tag in zip(steps, tags, strict=True)
            if tag in CELL_TAGS
        ]
        confidence = float(sure[steps].mean()) if steps else 0.0
        return build_grid(tags, boxes, round(confidence, 4))


def _tags(listed: Sequence[str]) -> list[str]:
    """The tag of each class: a beginning, the listed tags with ``<td></td>`` as one, an end."""
    merged = [tag for tag in listed if tag not in ("<td>", "<td></td>")]
    return ["", *merged, "<td></td>", ""]


def _canvas(image: Image) -> Floats:
    """Normalised pixels, blue first, at the top left of a square that is zero elsewhere."""
    scale = SIDE / max(image.shape[:2])
    height, width = (max(1, int(side * scale)) for side in image.shape[:2])
    resized = cv2.resize(np.ascontiguousarray(image), (width, height))
    canvas = np.zeros((1, 3, SIDE, SIDE), np.float32)
    canvas[..., :height, :width] = planes(resized, IMAGENET_MEAN, IMAGENET_STD, blue_first=True)
    return canvas


def _box(location: Floats, image: Image) -> BBox | None:
    """A cell's box in pixels of the crop; None where the model gives it no extent."""
    height, width = image.shape[0], image.shape[1]
    if len(location) == _QUADRANGLE:
        x_unit = y_unit = max(height, width)
    else:
        x_unit, y_unit = width, height
    xs, ys = location[0::2] * x_unit, location[1::2] * y_unit
    corners = (float(value) for value in (xs.min(), ys.min(), xs.max(), ys.max()))
    box = BBox(*corners).clipped(width, height).rounded()
    return box if box.width > 0 and box.height > 0 else None
