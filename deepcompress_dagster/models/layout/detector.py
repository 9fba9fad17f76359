"""The way of a page through a one-stage detector: resize, graph, boxes back, choice.

The graphs say each side of a box as a distribution over distances (distribution focal loss,
arXiv:2006.04388) at every position of several feature maps; they are cut off before the decoding,
which is here, so that they take pages of any shape.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from deepcompress_dagster.models.device import CPU
from deepcompress_dagster.models.onnx_graph import Array, Floats, OnnxGraph
from deepcompress_dagster.models.predictor import Detection, Image
from deepcompress_dagster.models.shared.boxes import detections
from deepcompress_dagster.records import Label

DEFAULT_OVERLAP = 0.5

WEIGHTS = "weights.onnx"


class PageDetector(ABC):
    """Finds the regions of page images with a graph that scores boxes at every position.

    ``threshold`` is the lowest score of a region, ``overlap`` the intersection over union above
    which the weaker of two regions goes; both are read at every call. Pages run one by one: on a
    CPU a batch gains nothing.
    """

    name: str
    device = CPU
    default_threshold: ClassVar[float]
    known_labels: ClassVar[Mapping[str, Label]]
    strides: ClassVar[tuple[int, ...]]
    """Pixels between the positions of each feature map, in the order of the graph."""

    def __init__(
        self, graph: OnnxGraph, *, threshold: float | None = None, overlap: float | None = None
    ) -> None:
        self.threshold = self.default_threshold if threshold is None else threshold
        self.overlap = DEFAULT_OVERLAP if overlap is None else overlap
        self._graph = graph
        self._labels = tuple(self.known_labels[name] for name in self.class_names(graph.metadata))

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        *,
        threshold: float | None = None,
        overlap: float | None = None,
        threads: int = 1,
    ) -> Self:
        """The detector in a folder, with the family's own threshold unless one is given.

        Raises ModelError when the folder holds no graph.
        """
        graph = OnnxGraph(folder / WEIGHTS, threads)
        return cls(graph, threshold=threshold, overlap=overlap)

    @staticmethod
    @abstractmethod
    def class_names(metadata: Mapping[str, str]) -> Sequence[str]:
        """Names of the classes, in the order of the scores, as the file tells them."""

    @abstractmethod
    def fitted(self, image: Image) -> tuple[Floats, tuple[float, float]]:
        """The page as the graph wants it, (1, 3, height, width), and what its x and y are
        multiplied by to get those of ``image``."""

    @abstractmethod
    def positions(self, outputs: Sequence[Array]) -> tuple[Floats, Floats]:
        """What the graph says at its n positions: sides (4 * distances, n), scores (classes, n)."""

    def predict(self, batch: Sequence[Image]) -> list[list[Detection]]:
        """Regions of each page image, the best first, boxes in its pixels."""
        return [self._detect(image) for image in batch]

    def _detect(self, image: Image) -> list[Detection]:
        boxes, scores = self.candidates(image)
        return detections(
            boxes,
            scores,
            self._labels,
            width=image.shape[1],
            height=image.shape[0],
            threshold=self.threshold,
            overlap=self.overlap,
        )

    def candidates(self, image: Image) -> tuple[Floats, Floats]:
        """Boxes (n, 4) in pixels of the page image and scores (n, classes).

        Those of the positions whose best score may reach the threshold: of 21,504 positions on a
        page some hundreds.
        """
        pixels, (x, y) = self.fitted(image)
        sides, scores = self.positions(self._graph.run(pixels))
        likely = np.flatnonzero(scores.max(axis=0) >= self.threshold - ROUNDING)
        centres, strides = _grid(pixels.shape[2], pixels.shape[3], self.strides)
        boxes = corners_from_sides(sides[:, likely], centres[likely], strides[likely])
        return boxes * np.array((x, y, x, y), np.float32), scores[:, likely].T


ROUNDING = 5e-5
"""What a score may gain when it is rounded to four digits."""


@lru_cache(maxsize=8)
def _grid(height: int, width: int, strides: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Centres of all positions in units of their stride, (n, 2), x first, and strides, (n, 1)."""
    centres, steps = [], []
    for stride in strides:
        rows, columns = -(-height // stride), -(-width // stride)
        y, x = np.indices((rows, columns), np.float32)
        centres.append(np.stack([x.ravel(), y.ravel()], axis=1) + 0.5)
        steps.append(np.full((rows * columns, 1), stride, np.float32))
    return np.concatenate(centres), np.concatenate(steps)


def corners_from_sides(sides: Floats, centres: Floats, strides: Floats) -> Floats:
    """Corners in pixels, (n, 4), from distributions over the four sides' distances.

    ``sides`` is (4 * distances, n): for the left, upper, right and lower side of each position the
    logits of the distances 0, 1, 2, ..., in units of its stride.
    """
    logits = sides.T.reshape(len(centres), 4, len(sides) // 4)
    powers = np.exp(logits - logits.max(axis=2, keepdims=True))
    steps = np.arange(logits.shape[2], dtype=np.float32)
    distances = (powers @ steps) / powers.sum(axis=2)
    corners: Floats = np.concatenate(
        [centres - distances[:, :2], centres + distances[:, 2:]], axis=1
    )
    return corners * strides
