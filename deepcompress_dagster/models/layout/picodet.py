"""Finds regions with PP-PicoDet (arXiv:2111.00902), as PaddleDetection exports it."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from deepcompress_dagster.models.layout.detector import PageDetector
from deepcompress_dagster.models.onnx_graph import Array, Floats
from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.models.shared.planes import IMAGENET_MEAN, IMAGENET_STD, planes
from deepcompress_dagster.records import Label

LABELS: Mapping[str, Label] = {
    "text": Label.TEXT,
    "title": Label.SECTION_HEADER,
    "figure": Label.PICTURE,
    "figure_caption": Label.CAPTION,
    "table": Label.TABLE,
    "table_caption": Label.CAPTION,
    "header": Label.PAGE_HEADER,
    "footer": Label.PAGE_FOOTER,
    "reference": Label.TEXT,
    "equation": Label.FORMULA,
}
"""Classes of CDLA by the names in the model file. Its ``title`` marks headings of every level."""

IMAGE_SIZE = (1120, 864)
"""Height and width. Trained at 800 x 608, but finds more at this size: of 84 tables 74, not 71."""


class PicoDetPredictor(PageDetector):
    """Finds regions with PicoDet; pages of every shape are resized to one size, as in training."""

    name = "picodet"
    default_threshold = 0.4
    known_labels = LABELS
    strides = (8, 16, 32, 64)

    @staticmethod
    def class_names(metadata: Mapping[str, str]) -> Sequence[str]:
        return metadata["character"].split()

    def fitted(self, image: Image) -> tuple[Floats, tuple[float, float]]:
        """The page stretched to ``IMAGE_SIZE``."""
        height, width = IMAGE_SIZE
        page = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        scale = (image.shape[1] / width, image.shape[0] / height)
        return planes(page, IMAGENET_MEAN, IMAGENET_STD), scale

    def positions(self, outputs: Sequence[Array]) -> tuple[Floats, Floats]:
        """The scores of all feature maps come before their sides, each as (1, n, rows, columns)."""
        maps = [output[0].reshape(output.shape[1], -1) for output in outputs]
        levels = len(self.strides)
        return np.concatenate(maps[levels:], axis=1), np.concatenate(maps[:levels], axis=1)
