"""The way of a page through a one-stage detector: resize, network, boxes back, choice."""

import json
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from deepcompress_dagster.models.device import CPU, torch_dtype
from deepcompress_dagster.models.layout.boxes import Floats, detections
from deepcompress_dagster.models.onnx_weights import CONFIG_NAME
from deepcompress_dagster.models.predictor import Detection, Image
from deepcompress_dagster.models.torch_modules import ready
from deepcompress_dagster.records import Label

DEFAULT_OVERLAP = 0.5
_LARGEST_BATCH = 64


class PageDetector(ABC):
    """Finds the regions of page images with a network that scores boxes at every position.

    ``threshold`` is the lowest score of a region, ``overlap`` the intersection over union above
    which the weaker of two regions goes; both are read at every call. On a CPU a batch gains
    nothing (PicoDet 0.11 s a page alone, 0.15 s in batches of 8; YOLOv8n 0.20 s both ways).
    """

    name: str
    default_threshold: ClassVar[float]
    known_labels: ClassVar[Mapping[str, Label]]

    def __init__(
        self,
        model: nn.Module,
        config: Mapping[str, Any],
        *,
        device: str = CPU,
        dtype: str = "float32",
        threshold: float | None = None,
        overlap: float | None = None,
    ):
        """``model`` must be on ``device``, in ``dtype`` and in evaluation mode already."""
        self.device = device
        self.max_batch = 1 if device == CPU else _LARGEST_BATCH
        self.threshold = self.default_threshold if threshold is None else threshold
        self.overlap = DEFAULT_OVERLAP if overlap is None else overlap
        self._model = model
        self._config = config
        self._labels = tuple(self.known_labels[name] for name in config["labels"])
        self._dtype = torch_dtype(dtype)

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        device: str = CPU,
        dtype: str = "float32",
        *,
        threshold: float | None = None,
        overlap: float | None = None,
    ) -> Self:
        """The detector in a converted folder, with the family's own threshold unless one is given.

        Raises ModelError when the weights are not this network's.
        """
        config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        model = ready(cls.network(config), folder, device, dtype)
        return cls(model, config, device=device, dtype=dtype, threshold=threshold, overlap=overlap)

    @staticmethod
    @abstractmethod
    def network(config: Mapping[str, Any]) -> nn.Module:
        """The network that ``config`` describes, with untrained weights.

        Its result is boxes (batch, n, 4) in pixels of its input and scores (batch, n, classes), in
        float32.
        """

    @abstractmethod
    def input_shape(self, image: Image) -> tuple[int, int]:
        """Height and width in pixels at which the network sees ``image``."""

    @abstractmethod
    def fitted(self, image: Image, shape: tuple[int, int]) -> tuple[Image, tuple[float, float]]:
        """``image`` in that shape, and what its x and y are multiplied by to get them back."""

    @abstractmethod
    def normalised(self, images: Tensor) -> Tensor:
        """Images of values 0 to 255, (batch, 3, height, width), as the network was trained."""

    def predict(self, batch: Sequence[Image]) -> list[list[Detection]]:
        """Regions of each page image, the best first, boxes in its pixels."""
        return [
            detections(
                boxes,
                scores,
                self._labels,
                width=image.shape[1],
                height=image.shape[0],
                threshold=self.threshold,
                overlap=self.overlap,
            )
            for image, (boxes, scores) in zip(batch, self.candidates(batch), strict=True)
        ]

    def cost(self, item: Image) -> float:
        """Pixels that the network sees."""
        height, width = self.input_shape(item)
        return float(height * width)

    def candidates(self, batch: Sequence[Image]) -> list[tuple[Floats, Floats]]:
        """Boxes (n, 4) in pixels of each page image and scores (n, classes), before any choice.

        Pages of one input shape run together, so that what a page gives does not depend on the
        shapes of its neighbours.
        """
        groups: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for index, image in enumerate(batch):
            groups[self.input_shape(image)].append(index)
        found: dict[int, tuple[Floats, Floats]] = {}
        for shape, indices in groups.items():
            fitted = [self.fitted(batch[index], shape) for index in indices]
            results = self._run(np.stack([pixels for pixels, _ in fitted]))
            for index, (_, (x, y)), boxes, scores in zip(indices, fitted, *results, strict=True):
                found[index] = boxes * (x, y, x, y), scores
        return [found[index] for index in range(len(batch))]

    def _run(self, pages: Image) -> tuple[Floats, Floats]:
        with torch.inference_mode():
            images = torch.from_numpy(pages).to(self.device).permute(0, 3, 1, 2).float()
            boxes, scores = self._model(self.normalised(images).to(self._dtype))
        return boxes.cpu().numpy(), scores.cpu().numpy()


def position_centres(rows: int, columns: int, like: Tensor) -> Tensor:
    """Centres of a feature map's positions in units of its stride, (rows * columns, 2), x first."""
    y, x = torch.meshgrid(
        torch.arange(rows, dtype=like.dtype, device=like.device),
        torch.arange(columns, dtype=like.dtype, device=like.device),
        indexing="ij",
    )
    return torch.stack([x.flatten(), y.flatten()], 1) + 0.5


def corners_from_sides(sides: Tensor, rows: int, columns: int, stride: int) -> Tensor:
    """Corners in pixels, (batch, positions, 4), from distributions over the four sides' distances.

    ``sides`` is (batch, positions, 4 * n): for the left, upper, right and lower side of each
    position the logits of the distances 0 to n - 1, in units of ``stride`` (distribution focal
    loss, arXiv:2006.04388).
    """
    logits = sides.reshape(*sides.shape[:2], 4, -1)
    steps = torch.arange(logits.shape[3], dtype=logits.dtype, device=logits.device)
    distances = logits.softmax(3) @ steps
    centres = position_centres(rows, columns, sides)
    return torch.cat([centres - distances[..., :2], centres + distances[..., 2:]], 2) * stride
