"""Object detectors of transformers, DETR and its kin: images in, scored boxes out, in batches.

Layout and table structure are both found with them; what the boxes mean is told there.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AutoImageProcessor, AutoModelForObjectDetection

from deepcompress_dagster.models.predictor import Image, ModelError
from deepcompress_dagster.models.shared.preprocessing import Preprocessing, padded
from deepcompress_dagster.models.weights import pretrained

Floats: TypeAlias = npt.NDArray[np.float32]

_SIGMOID_TYPES = frozenset({"rt_detr", "rt_detr_v2"})
"""Models that score each class by itself and see an image without padding; the others choose
among the classes and one more, no object."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Every box that a model considered in one image: corners (n, 4) in its pixels, and the
    probabilities (n, classes) in the order of the checkpoint's labels."""

    boxes: Floats
    scores: Floats


class ObjectDetector:
    """A checkpoint with its preprocessing.

    An image is padded to sides that are multiples of ``step``, by its own size alone, and shares a
    batch with those that come out the same: what it gives does not depend on its neighbours.
    """

    def __init__(self, model: Any, preprocessing: Preprocessing, *, device: str, step: int) -> None:
        self.device = device
        self.labels: Mapping[int, str] = model.config.id2label
        self._model = model
        self._preprocessing = preprocessing
        self._step = step
        self._sigmoid = model.config.model_type in _SIGMOID_TYPES
        self._dtype = model.dtype

    @classmethod
    def from_folder(
        cls, folder: Path, device: str, dtype: str, *, attention: str, step: int
    ) -> "ObjectDetector":
        """The detector in a checkpoint folder. Raises ModelError when it cannot be used."""
        processor, model = pretrained.load(
            folder,
            AutoImageProcessor,
            AutoModelForObjectDetection,
            device=device,
            dtype=dtype,
            attention=attention,
        )
        return cls(model, Preprocessing.of(processor), device=device, step=step)

    @property
    def module(self) -> Any:
        """The torch module."""
        return self._model

    def canvas(self, image: Image) -> tuple[int, int]:
        """Height and width of the padded image that the model sees."""
        height, width = self._preprocessing.fitted_size(image)
        if self._sigmoid:
            return height, width
        return -(-height // self._step) * self._step, -(-width // self._step) * self._step

    def candidates(self, images: Sequence[Image], name: str) -> list[Candidates]:
        """What the model considered in each image.

        Raises ModelError, with the model's ``name``, when it computes no numbers.
        """
        groups: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
        for index, image in enumerate(images):
            groups[self.canvas(image)].append(index)
        found: dict[int, Candidates] = {}
        for canvas, indices in groups.items():
            group = [images[index] for index in indices]
            boxes, scores = self._run(group, canvas)
            if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
                raise ModelError(
                    f"{name} returned values that are not numbers; "
                    "its weights are damaged, or DEEPCOMPRESS_DTYPE=float32 is needed"
                )
            for index, image, own, sure in zip(indices, group, boxes, scores, strict=True):
                found[index] = Candidates(_corners(own, image), sure)
        return [found[index] for index in range(len(images))]

    def _run(self, images: Sequence[Image], canvas: tuple[int, int]) -> tuple[Floats, Floats]:
        with torch.inference_mode():
            fitted = [self._preprocessing.fitted(image, self.device) for image in images]
            pixels, mask = padded(fitted, *canvas)
            masks = {} if self._sigmoid else {"pixel_mask": mask}
            output = self._model(pixel_values=pixels.to(self._dtype), **masks)
            logits: Tensor = output.logits.float()
            scores = logits.sigmoid() if self._sigmoid else logits.softmax(-1)[..., :-1]
            return output.pred_boxes.float().cpu().numpy(), scores.cpu().numpy()


def _corners(boxes: Floats, image: Image) -> Floats:
    """Corners in pixels from centres and sizes as shares of the image."""
    centres, halves = boxes[:, :2], boxes[:, 2:] / 2
    height, width = image.shape[:2]
    corners = np.concatenate([centres - halves, centres + halves], axis=1)
    scaled: Floats = corners * np.array([width, height, width, height], np.float32)
    return scaled
