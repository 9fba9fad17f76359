"""Tells how a page is turned: upright, on a side or upside down.

PP-LCNet of transformers; the weights are PaddleOCR's (Apache-2.0), converted from ONNX.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from transformers import PPLCNetConfig, PPLCNetForImageClassification

from deepcompress_dagster.models import onnx_modules
from deepcompress_dagster.models.onnx_weights import CONFIG_NAME, read_onnx, save_checkpoint
from deepcompress_dagster.models.predictor import Image, ModelError, Orientation
from deepcompress_dagster.models.torch_modules import ready

MODEL_TYPE = "pplcnet_orientation"

SHORT_SIDE, SIDE = 256, 224
"""A page's content is resized to this shorter side, and the square in its middle is looked at."""

INK = 40
"""Difference from the background, of 255, from which a pixel is content."""

TURNS = (0, 90, 180, 270)
"""Degrees clockwise, by class."""

PAGES_PER_BATCH = 8

_MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
_STD = np.array([0.229, 0.224, 0.225], np.float32) * 255

FloatArray = npt.NDArray[np.float32]


def convert(members: Mapping[str, Path], out_folder: Path) -> None:
    """Turn the ONNX file ``weights`` into a checkpoint in ``out_folder``, which must exist.

    Raises ModelError when the file is not the expected model.
    """
    graph = read_onnx(members["weights"])
    if graph.metadata.get("character", "").split("\n") != [str(turn) for turn in TURNS]:
        raise ModelError(f"{graph.path} does not tell the four orientations apart")
    config = PPLCNetConfig(num_labels=len(TURNS))
    module = PPLCNetForImageClassification(config).eval()
    pixels = torch.zeros(1, 3, SIDE, SIDE)
    with torch.inference_mode():
        layers = onnx_modules.torch_layers(module, lambda: module(pixels))
    tensors = onnx_modules.carried_over(graph, onnx_modules.onnx_layers(graph), layers)
    onnx_modules.require_complete(graph, module, tensors)
    save_checkpoint(out_folder, {**config.to_diff_dict(), "model_type": MODEL_TYPE}, tensors)


class OrientationPredictor:
    """Tells how pages are turned, from all four ways of looking at each of them."""

    def __init__(self, module: Any, *, name: str, device: str) -> None:
        self.name = name
        self.device = device
        self.max_batch = 1 if device == "cpu" else PAGES_PER_BATCH
        self._module = module
        self._dtype = next(module.parameters()).dtype

    @classmethod
    def from_folder(cls, folder: Path, device: str, dtype: str) -> "OrientationPredictor":
        """The predictor of a folder that ``convert`` wrote."""
        stored = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        config = PPLCNetConfig.from_dict({**stored, "model_type": PPLCNetConfig.model_type})
        module = ready(PPLCNetForImageClassification(config), folder, device, dtype)
        return cls(module, name=folder.name, device=device)

    def cost(self, item: Image) -> float:
        """1: pages of any size are looked at in the same size."""
        return 1.0

    def predict(self, batch: Sequence[Image]) -> list[Orientation]:
        """How each page is turned; the score is the mean probability over the four views."""
        if not batch:
            return []
        canvas = np.stack(
            [np.rot90(square, -k) for square in map(_canvas, batch) for k in range(4)]
        )
        pixels = torch.from_numpy(canvas).permute(0, 3, 1, 2).to(self.device, self._dtype)
        with torch.inference_mode():
            logits = self._module(pixels).last_hidden_state.float()
            seen = logits.softmax(-1).cpu().numpy().reshape(len(batch), 4, 4)
        # View k was turned k quarters further, so its classes are k ahead of the page's.
        views = [np.roll(seen[:, k], -k, axis=1) for k in range(4)]
        means = np.mean(views, axis=0).astype(float).round(4)
        return [Orientation(TURNS[row.argmax()], float(row.max())) for row in means]


def _canvas(image: Image) -> FloatArray:
    """Normalised pixels of the square in the middle of a page's content."""
    content = _content(image)
    scale = SHORT_SIDE / min(content.shape[:2])
    height, width = (max(SIDE, round(side * scale)) for side in content.shape[:2])
    resized = cv2.resize(
        np.ascontiguousarray(content), (width, height), interpolation=cv2.INTER_AREA
    )
    top, left = (height - SIDE) // 2, (width - SIDE) // 2
    square = resized[top : top + SIDE, left : left + SIDE].astype(np.float32)
    normalised: FloatArray = (square - _MEAN) / _STD
    return normalised


def _content(image: Image) -> Image:
    """The page without its blank edges: a few lines on an empty page are too small to see."""
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    ink = cv2.absdiff(grey, float(np.median(grey))) > INK
    rows, columns = (np.flatnonzero(ink.sum(axis=axis) > 1) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return image
    margin = max(image.shape[:2]) // 50
    top, left = max(0, rows[0] - margin), max(0, columns[0] - margin)
    return image[top : rows[-1] + margin + 1, left : columns[-1] + margin + 1]
