"""YOLOv8 as a torch module, and the predictor that runs it over pages.

The layers are those of the YOLOv8 detector: cross-stage blocks, a spatial pyramid pooling, a path
aggregation neck over three strides, and heads that say each side of a box as a distribution over
16 distances. Batch normalisations are folded into the convolutions in the files that it reads.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from deepcompress_dagster.models.layout.detector import PageDetector, corners_from_sides
from deepcompress_dagster.models.onnx_weights import (
    Array,
    read_onnx,
    save_checkpoint,
)
from deepcompress_dagster.models.predictor import Image, ModelError
from deepcompress_dagster.records import Label

MODEL_TYPE = "yolov8"

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

_DISTANCES = 16
_STRIDES = (8, 16, 32)
_GREY = 114
"""Value of the padding around a page in training."""


class ConvAct(nn.Module):
    """A convolution that keeps the size (but for its stride), and a SiLU."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 1, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(self.conv(x))


class Bottleneck(nn.Module):
    """Two convolutions, added to their input in the backbone."""

    def __init__(self, channels: int, residual: bool):
        super().__init__()
        self.cv1 = ConvAct(channels, channels, 3)
        self.cv2 = ConvAct(channels, channels, 3)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.cv2(self.cv1(x))
        return x + out if self.residual else out


class CrossStage(nn.Module):
    """Half of the channels through bottlenecks, the outcome of each joined at the end (C2f)."""

    def __init__(self, c_in: int, c_out: int, depth: int = 1, residual: bool = False):
        super().__init__()
        half = c_out // 2
        self.cv1 = ConvAct(c_in, c_out)
        self.cv2 = ConvAct((2 + depth) * half, c_out)
        self.m = nn.ModuleList(Bottleneck(half, residual) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.cv1(x).chunk(2, 1))
        for block in self.m:
            parts.append(block(parts[-1]))
        out: Tensor = self.cv2(torch.cat(parts, 1))
        return out


class PyramidPooling(nn.Module):
    """Three poolings, one after the other, joined (SPPF)."""

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.cv1 = ConvAct(channels, half)
        self.cv2 = ConvAct(4 * half, channels)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.cv1(x)]
        for _ in range(3):
            parts.append(functional.max_pool2d(parts[-1], 5, 1, 2))
        out: Tensor = self.cv2(torch.cat(parts, 1))
        return out


class YoloV8(nn.Module):
    """The network, from images in 0 to 1 to boxes and class scores at every position.

    ``widths`` are the channels of the stem and of the four stages after it, ``depths`` the
    bottlenecks of those stages.
    """

    def __init__(self, classes: int, widths: Sequence[int], depths: Sequence[int]):
        super().__init__()
        w0, w1, w2, w3, w4 = widths
        self.stem = ConvAct(3, w0, 3, 2)
        self.shrink = nn.ModuleList(
            ConvAct(c_in, c_out, 3, 2) for c_in, c_out in ((w0, w1), (w1, w2), (w2, w3), (w3, w4))
        )
        self.stages = nn.ModuleList(
            CrossStage(width, width, depth, residual=True)
            for width, depth in zip(widths[1:], depths, strict=True)
        )
        self.pooling = PyramidPooling(w4)
        self.top_down = nn.ModuleList(
            (CrossStage(w4 + w3, w3, depths[0]), CrossStage(w3 + w2, w2, depths[0]))
        )
        self.neck_shrink = nn.ModuleList((ConvAct(w2, w2, 3, 2), ConvAct(w3, w3, 3, 2)))
        self.bottom_up = nn.ModuleList(
            (CrossStage(w2 + w3, w3, depths[0]), CrossStage(w3 + w4, w4, depths[0]))
        )
        box_width = max(16, w2 // 4, 4 * _DISTANCES)
        class_width = max(w2, min(classes, 100))
        self.box_heads = nn.ModuleList(
            _head(width, box_width, 4 * _DISTANCES) for width in (w2, w3, w4)
        )
        self.class_heads = nn.ModuleList(
            _head(width, class_width, classes) for width in (w2, w3, w4)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (batch, n, 4) in pixels of ``images`` and scores (batch, n, classes).

        Both in float32, whatever the weights are. Height and width must be multiples of 32.
        """
        boxes, scores = [], []
        levels = zip(
            self._features(images), self.box_heads, self.class_heads, _STRIDES, strict=True
        )
        for features, box_head, class_head, stride in levels:
            rows, columns = features.shape[2:]
            boxes.append(corners_from_sides(_flat(box_head(features)), rows, columns, stride))
            scores.append(_flat(class_head(features)).sigmoid())
        return torch.cat(boxes, 1), torch.cat(scores, 1)

    def _features(self, images: Tensor) -> list[Tensor]:
        x = self.stem(images)
        maps = []
        for shrink, stage in zip(self.shrink, self.stages, strict=True):
            x = stage(shrink(x))
            maps.append(x)
        _, c3, c4, c5 = maps
        c5 = self.pooling(c5)
        p4 = self.top_down[0](torch.cat([_doubled(c5), c4], 1))
        p3 = self.top_down[1](torch.cat([_doubled(p4), c3], 1))
        n4 = self.bottom_up[0](torch.cat([self.neck_shrink[0](p3), p4], 1))
        n5 = self.bottom_up[1](torch.cat([self.neck_shrink[1](n4), c5], 1))
        return [p3, n4, n5]


class YoloV8Predictor(PageDetector):
    """Finds regions with YOLOv8; pages keep their shape and are padded to multiples of 32."""

    name = MODEL_TYPE
    default_threshold = 0.2
    known_labels = LABELS

    @staticmethod
    def network(config: Mapping[str, Any]) -> nn.Module:
        """The untrained network with this config's classes."""
        return YoloV8(len(config["labels"]), config["widths"], config["depths"])

    def input_shape(self, image: Image) -> tuple[int, int]:
        """The resized page's, rounded up to multiples of 32."""
        height, width = self._resized(image)
        return -(-height // 32) * 32, -(-width // 32) * 32

    def fitted(self, image: Image, shape: tuple[int, int]) -> tuple[Image, tuple[float, float]]:
        """The page resized in proportion, in the upper left of a grey image."""
        height, width = self._resized(image)
        pixels = np.full((*shape, 3), _GREY, np.uint8)
        pixels[:height, :width] = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        return pixels, (image.shape[1] / width, image.shape[0] / height)

    def normalised(self, images: Tensor) -> Tensor:
        """From 0 to 1."""
        return images / 255

    def _resized(self, image: Image) -> tuple[int, int]:
        height, width = image.shape[:2]
        scale = self._config["longest_side"] / max(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))


def convert(member_files: Mapping[str, Path], out_folder: Path) -> None:
    """Write an exported ``weights`` file (ONNX) as a checkpoint folder.

    Raises ModelError when the file is of another architecture.
    """
    graph = read_onnx(member_files["weights"])
    tensors = {
        _own_name(name): array
        for name, array in graph.constants.items()
        if re.fullmatch(r"model\.\d+\..*(weight|bias)", name) and ".dfl." not in name
    }
    names = ast.literal_eval(graph.metadata["names"])
    labels = [names[index] for index in range(len(names))]
    convolutions = ("stem", *(f"shrink.{index}" for index in range(4)))
    config = {
        "model_type": MODEL_TYPE,
        "labels": labels,
        "longest_side": max(ast.literal_eval(graph.metadata["imgsz"])),
        "widths": [len(tensors[f"{name}.conv.bias"]) for name in convolutions],
        "depths": [_depth(tensors, f"stages.{index}") for index in range(4)],
    }
    expected = YoloV8(len(labels), config["widths"], config["depths"]).state_dict()
    if {name: tuple(tensor.shape) for name, tensor in expected.items()} != {
        name: array.shape for name, array in tensors.items()
    }:
        raise ModelError(f"{graph.path}: not a YOLOv8 detector")
    save_checkpoint(out_folder, config, tensors)


_PARTS = {
    "0": "stem",
    "1": "shrink.0",
    "2": "stages.0",
    "3": "shrink.1",
    "4": "stages.1",
    "5": "shrink.2",
    "6": "stages.2",
    "7": "shrink.3",
    "8": "stages.3",
    "9": "pooling",
    "12": "top_down.0",
    "15": "top_down.1",
    "16": "neck_shrink.0",
    "18": "bottom_up.0",
    "19": "neck_shrink.1",
    "21": "bottom_up.1",
    "22.cv2": "box_heads",
    "22.cv3": "class_heads",
}
"""Numbers of the layers in the file, and their names here."""


def _own_name(name: str) -> str:
    match = re.fullmatch(r"model\.(22\.cv[23]|\d+)\.(.*)", name)
    if match is None or match[1] not in _PARTS:
        raise ModelError(f"not a YOLOv8 detector: it has a tensor {name}")
    return f"{_PARTS[match[1]]}.{match[2]}"


def _depth(tensors: Mapping[str, Array], stage: str) -> int:
    return len(
        [name for name in tensors if re.fullmatch(rf"{stage}\.m\.\d+\.cv1\.conv\.bias", name)]
    )


def _head(c_in: int, width: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(
        ConvAct(c_in, width, 3), ConvAct(width, width, 3), nn.Conv2d(width, c_out, 1)
    )


def _flat(found: Tensor) -> Tensor:
    """A map as (batch, positions, channels), in float32."""
    return found.float().flatten(2).transpose(1, 2)


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")
