"""Finds the regions of a page with DETR, RT-DETR and RT-DETRv2 checkpoints.

A checkpoint names its own classes; here they become the eleven of DocLayNet.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from deepcompress_dagster.models.device import CPU
from deepcompress_dagster.models.predictor import Detection, Image, ModelError
from deepcompress_dagster.models.shared.boxes import detections
from deepcompress_dagster.models.shared.object_detector import Candidates, ObjectDetector
from deepcompress_dagster.records import Label
from deepcompress_dagster.settings import Attention

DEFAULT_OVERLAP = 0.5

DEFAULT_THRESHOLDS: Mapping[str, float] = {"detr": 0.4, "rt_detr": 0.3, "rt_detr_v2": 0.3}
"""By model type: what the card of cmarkea/detr-layout-detection and docling take."""

CANVAS_STEP = 32
"""Sides of what DETR sees are multiples of this: its backbone halves the image five times."""

_DROPPED = None

LABELS: Mapping[str, Label | None] = {
    **{label.value: label for label in Label},
    # docling-layout-heron and its kin; what a form or key-value region holds is found by itself
    "document_index": Label.TABLE,
    "code": Label.TEXT,
    "checkbox_selected": Label.TEXT,
    "checkbox_unselected": Label.TEXT,
    "form": _DROPPED,
    "key_value_region": _DROPPED,
    # PubLayNet and other spellings
    "paragraph": Label.TEXT,
    "plain_text": Label.TEXT,
    "list": Label.LIST_ITEM,
    "figure": Label.PICTURE,
    "image": Label.PICTURE,
    "equation": Label.FORMULA,
    "header": Label.PAGE_HEADER,
    "footer": Label.PAGE_FOOTER,
    "heading": Label.SECTION_HEADER,
    "figure_caption": Label.CAPTION,
    "table_caption": Label.CAPTION,
    "table_footnote": Label.FOOTNOTE,
    "background": _DROPPED,
    "no_object": _DROPPED,
    "n_a": _DROPPED,
}
"""Classes of checkpoints, in lower case with underscores; None is a class that is not kept."""


class DetrPredictor:
    """Regions of page images. ``threshold`` and ``overlap`` as in ``PageDetector``."""

    def __init__(
        self,
        detector: ObjectDetector,
        *,
        name: str,
        threshold: float,
        overlap: float = DEFAULT_OVERLAP,
    ) -> None:
        self.name = name
        self.device = detector.device
        self.threshold = threshold
        self.overlap = overlap
        self._detector = detector
        # Named here as well, so that the cache finds the weights that it accounts for.
        self._module = detector.module
        self._labels = labels_of(detector.labels)

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        device: str = CPU,
        dtype: str = "float32",
        *,
        threshold: float | None = None,
        overlap: float | None = None,
        attention: str = Attention.AUTO,
    ) -> "DetrPredictor":
        """The predictor of a checkpoint folder, with its family's threshold unless one is given.

        Raises ModelError when the folder cannot be used or names a class that is not known.
        """
        detector = ObjectDetector.from_folder(
            folder, device, dtype, attention=attention, step=CANVAS_STEP
        )
        if threshold is None:
            threshold = DEFAULT_THRESHOLDS[detector.module.config.model_type]
        overlap = DEFAULT_OVERLAP if overlap is None else overlap
        return cls(detector, name=folder.name, threshold=threshold, overlap=overlap)

    def predict(self, batch: Sequence[Image]) -> list[list[Detection]]:
        """Regions of each page image, the best first, boxes in its pixels."""
        found = self._detector.candidates(batch, self.name)
        return [self._chosen(image, own) for image, own in zip(batch, found, strict=True)]

    def _chosen(self, image: Image, found: Candidates) -> list[Detection]:
        kept = [index for index, label in enumerate(self._labels) if label is not None]
        rows = np.isin(found.scores.argmax(axis=1), kept)
        return detections(
            found.boxes[rows],
            found.scores[rows][:, kept],
            [label for label in self._labels if label is not None],
            width=image.shape[1],
            height=image.shape[0],
            threshold=self.threshold,
            overlap=self.overlap,
        )


def labels_of(names: Mapping[int, str]) -> tuple[Label | None, ...]:
    """What each class of a checkpoint is here. Raises ModelError for a class that is not known."""
    spelled = [re.sub(r"[^a-z0-9]+", "_", names[i].lower()).strip("_") for i in sorted(names)]
    unknown = [names[i] for i, name in enumerate(spelled) if name not in LABELS]
    if unknown:
        raise ModelError(
            f"the checkpoint finds classes that are not known here: {', '.join(unknown)}; "
            f"choose one that was trained on DocLayNet's classes ({', '.join(Label)})"
        )
    return tuple(LABELS[name] for name in spelled)
