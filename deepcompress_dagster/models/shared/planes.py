"""Pixels as convolutional networks outside of transformers want them: planes of float32."""

from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from deepcompress_dagster.models.predictor import Image

Floats = npt.NDArray[np.float32]
Colour = tuple[float, float, float]

IMAGENET_MEAN: Final[Colour] = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_STD: Final[Colour] = (0.229 * 255, 0.224 * 255, 0.225 * 255)
"""ImageNet's mean and deviation, of values 0 to 255. PaddleOCR applies them to blue, green and
red in this order, PaddleDetection to red, green and blue."""


def planes(image: Image, mean: Colour, std: Colour, *, blue_first: bool = False) -> Floats:
    """``image`` as (1, 3, height, width), less ``mean``, by ``std``, in one pass.

    Mean and deviation are of values 0 to 255, in the order of the planes.
    """
    wanted = cv2.dnn.Image2BlobParams()
    wanted.scalefactor = tuple(1 / value for value in std)
    wanted.mean = mean
    wanted.swapRB = blue_first
    blob: Floats = cv2.dnn.blobFromImageWithParams(np.ascontiguousarray(image), wanted)
    return blob
