"""From a detector's raw boxes to the regions of a page: what the detectors have in common."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from deepcompress_dagster.models.predictor import Detection
from deepcompress_dagster.records import BBox, Label

Floats: TypeAlias = npt.NDArray[np.floating[Any]]

SCORE_DIGITS = 4
BOX_DIGITS = 2


def detections(
    boxes: Floats,
    scores: Floats,
    labels: Sequence[Label],
    *,
    width: float,
    height: float,
    threshold: float,
    overlap: float,
) -> list[Detection]:
    """The regions that stand, the best first.

    ``boxes`` are (n, 4) corners in pixels of the page image, ``scores`` (n, classes) in the order
    of ``labels``. Each box takes its best class and is cut to the image. Scores are rounded to 4
    digits and coordinates to 0.01 pixel before anything is compared, so that the last bits of a
    model's arithmetic decide nothing. Of two boxes, of whatever classes, that share more than
    ``overlap`` of their union, the weaker goes.
    """
    rounded = scores.astype(np.float64).round(SCORE_DIGITS)
    best = rounded.max(axis=1, initial=0.0)
    corners = boxes.astype(np.float64)
    corners[:, 0::2] = corners[:, 0::2].clip(0, width)
    corners[:, 1::2] = corners[:, 1::2].clip(0, height)
    corners = corners.round(BOX_DIGITS)
    solid = (corners[:, 2] > corners[:, 0]) & (corners[:, 3] > corners[:, 1])
    rows = np.flatnonzero((best >= threshold) & solid)
    x0, y0, x1, y1 = corners[rows].T
    rows = rows[np.lexsort((x1, y1, x0, y0, -best[rows]))]
    return [
        Detection(
            label=labels[int(rounded[row].argmax())],
            bbox=BBox(*(float(value) for value in corners[row])),
            score=float(best[row]),
        )
        for row in rows[_strongest(corners[rows], overlap)]
    ]


def _strongest(corners: Floats, overlap: float) -> list[int]:
    """Indices of the boxes that no better one covers; ``corners`` come the best first."""
    widths, heights = corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]
    areas = widths * heights
    left = np.arange(len(corners))
    kept = []
    while left.size:
        first, rest = left[0], left[1:]
        kept.append(int(first))
        low = np.maximum(corners[first, :2], corners[rest, :2])
        high = np.minimum(corners[first, 2:], corners[rest, 2:])
        shared = (high - low).clip(0).prod(axis=1)
        left = rest[shared <= overlap * (areas[first] + areas[rest] - shared)]
    return kept
