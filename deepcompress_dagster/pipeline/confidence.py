"""What a reader's confidence is worth: from what it says to how often it is right.

A recogniser gives the mean probability of its characters, which says little by itself: blocks that
PP-OCR reads with .95 are right in three cases of four, with .88 in one of four.
"""

from collections.abc import Mapping, Sequence

import numpy as np

CURVES: Mapping[str, Sequence[tuple[float, float]]] = {
    "ppocr": (
        (0.0, 0.0),
        (0.88, 0.25),
        (0.93, 0.45),
        (0.95, 0.74),
        (0.976, 0.94),
        (0.986, 0.98),
        (1.0, 0.99),
    ),
}
"""Confidence said, and share of right blocks, by the family that a model's name begins with.

From 262 blocks of 39 scans; a block is right where at least 95 % of its characters are those of the
ground truth. ``python -m benchmarks.calibration CORPUS`` prints the curve.
"""


def calibrated(confidence: float, model: str) -> float:
    """The share of texts read by ``model`` with this confidence that are right.

    Readers without a curve are believed: the text layer of a PDF, and models not measured yet.
    """
    curve = next((points for name, points in CURVES.items() if model.startswith(name)), None)
    if curve is None:
        return confidence
    said, right = zip(*curve, strict=True)
    return float(np.interp(confidence, said, right))
