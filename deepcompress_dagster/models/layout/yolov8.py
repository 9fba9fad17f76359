"""Finds regions with YOLOv8, as its authors export it."""

import ast
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from deepcompress_dagster.models.layout.detector import PageDetector
from deepcompress_dagster.models.onnx_graph import Array, Floats
from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.models.shared.planes import planes
from deepcompress_dagster.records import Label

LABELS: Mapping[str, Label] = {
    "Caption": Label.CAPTION,
    "Footnote": Label.FOOTNOTE,
    "Formula": Label.FORMULA,
    "List-item": Label.LIST_ITEM,
    "Page-footer": Label.PAGE_FOOTER,
    "Page-header": Label.PAGE_HEADER,
    "Picture": Label.PICTURE,
    "Section-header": Label.SECTION_HEADER,
    "Table": Label.TABLE,
    "Text": Label.TEXT,
    "Title": Label.TITLE,
}
"""Classes of DocLayNet by the names in the model file."""

LONGEST_SIDE = 1024
"""Pixels of a page's longer side that the network sees; it was trained at this size."""

_STEP = 32
"""Sides that the network sees are multiples of its coarsest stride."""

_GREY = 114
"""Value of the padding around a page in training."""


class YoloV8Predictor(PageDetector):
    """Finds regions with YOLOv8; pages keep their shape and are padded to multiples of 32."""

    name = "yolov8"
    default_threshold = 0.2
    known_labels = LABELS
    strides = (8, 16, 32)

    @staticmethod
    def class_names(metadata: Mapping[str, str]) -> Sequence[str]:
        names: Mapping[int, str] = ast.literal_eval(metadata["names"])
        return [names[index] for index in range(len(names))]

    def fitted(self, image: Image) -> tuple[Floats, tuple[float, float]]:
        """The page resized in proportion, in the upper left of a grey image; values 0 to 1."""
        height, width = (max(1, round(side * _scale(image))) for side in image.shape[:2])
        shape = (-(-height // _STEP) * _STEP, -(-width // _STEP) * _STEP)
        page = np.full((*shape, 3), _GREY, np.uint8)
        cv2.resize(
            image, (width, height), dst=page[:height, :width], interpolation=cv2.INTER_LINEAR
        )
        return planes(page, (0, 0, 0), (255, 255, 255)), (
            image.shape[1] / width,
            image.shape[0] / height,
        )

    def positions(self, outputs: Sequence[Array]) -> tuple[Floats, Floats]:
        """The graph joins its feature maps itself."""
        sides, scores = outputs
        return sides[0], scores[0]


def _scale(image: Image) -> float:
    return LONGEST_SIDE / float(max(image.shape[:2]))
