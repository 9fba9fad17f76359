"""PicoDet with an LCNet backbone: PaddleDetection's small layout detector as a torch module.

The layers are those of PP-PicoDet (arXiv:2111.00902): PP-LCNet 1.0x, a CSP path aggregation
network of 128 channels over four strides, and heads that say each side of a box as a distribution
over 8 distances. Batch normalisations are folded into their convolutions when weights are
converted.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from deepcompress_dagster.models.layout.detector import PageDetector, corners_from_sides
from deepcompress_dagster.models.onnx_modules import (
    OnnxLayer,
    carried_over,
    onnx_layers,
    torch_layers,
)
from deepcompress_dagster.models.onnx_weights import read_onnx, save_checkpoint
from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.records import Label

MODEL_TYPE = "picodet"

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

_CHANNELS = 128
_DISTANCES = 8
_STRIDES = (8, 16, 32, 64)
_BACKBONE = (
    (3, 16, 32, 1, False),
    (3, 32, 64, 2, False),
    (3, 64, 64, 1, False),
    (3, 64, 128, 2, False),
    (3, 128, 128, 1, False),
    (3, 128, 256, 2, False),
    *((5, 256, 256, 1, False),) * 5,
    (5, 256, 512, 2, True),
    (5, 512, 512, 1, True),
)
"""PP-LCNet 1.0x: kernel, channels in, channels out, stride, squeeze and excite."""

_TAPS = (4, 10, 12)
"""Blocks of the backbone after which the strides 8, 16 and 32 are done."""

_NORM_EPSILON = 1e-5
"""What the file's batch normalisations add to their variance."""

_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)
"""ImageNet's, for red, green and blue, as PaddleDetection uses them."""

_IMAGE_SIZE = (1120, 864)
"""Height and width. Trained at 800 x 608, but finds more at this size: of 84 tables 74, not 71."""


class ConvAct(nn.Module):
    """A convolution that keeps the size (but for its stride), and a hard swish."""

    def __init__(self, c_in: int, c_out: int, kernel: int = 1, stride: int = 1, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return functional.hardswish(self.conv(x))


class SqueezeExcite(nn.Module):
    """Weighs channels by what their means say."""

    def __init__(self, channels: int):
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // 4, 1)
        self.excite = nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights = functional.relu(self.squeeze(x.mean((2, 3), keepdim=True)))
        return x * functional.hardsigmoid(self.excite(weights))


class Separable(nn.Module):
    """A convolution in each channel, then one over channels."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, excite: bool = False):
        super().__init__()
        self.depthwise = ConvAct(c_in, c_in, kernel, stride, groups=c_in)
        self.excite = SqueezeExcite(c_in) if excite else nn.Identity()
        self.pointwise = ConvAct(c_in, c_out)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.pointwise(self.excite(self.depthwise(x)))
        return out


class CrossStage(nn.Module):
    """Fuses two maps of the neck: half of the channels straight, half through a small block."""

    def __init__(self) -> None:
        super().__init__()
        half = _CHANNELS // 2
        self.short = ConvAct(2 * _CHANNELS, half)
        self.main = ConvAct(2 * _CHANNELS, half)
        self.block = nn.Sequential(ConvAct(half, half), Separable(half, half, 5))
        self.merge = ConvAct(_CHANNELS, _CHANNELS)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        both = torch.cat([x, y], 1)
        short = self.short(both)
        out: Tensor = self.merge(torch.cat([self.block(self.main(both)), short], 1))
        return out


class PicoDet(nn.Module):
    """The network, from a normalised image batch to boxes and class scores at every position."""

    def __init__(self, classes: int):
        super().__init__()
        self.classes = classes
        self.stem = ConvAct(3, 16, 3, 2)
        self.backbone = nn.ModuleList(
            Separable(c_in, c_out, kernel, stride, excite)
            for kernel, c_in, c_out, stride, excite in _BACKBONE
        )
        self.lateral = nn.ModuleList(ConvAct(c_in, _CHANNELS) for c_in in (128, 256, 512))
        self.top_down = nn.ModuleList(CrossStage() for _ in range(2))
        self.down = nn.ModuleList(Separable(_CHANNELS, _CHANNELS, 5, 2) for _ in range(2))
        self.bottom_up = nn.ModuleList(CrossStage() for _ in range(2))
        self.extra = nn.ModuleList(Separable(_CHANNELS, _CHANNELS, 5, 2) for _ in range(2))
        self.heads = nn.ModuleList(
            nn.Sequential(
                *(Separable(_CHANNELS, _CHANNELS, 5) for _ in range(4)),
                nn.Conv2d(_CHANNELS, classes + 4 * _DISTANCES, 1),
            )
            for _ in _STRIDES
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Boxes (batch, n, 4) in pixels of ``images`` and scores (batch, n, classes).

        Both in float32, whatever the weights are. Height and width must be multiples of 32.
        """
        maps = [
            head(features)
            for head, features in zip(self.heads, self._features(images), strict=True)
        ]
        decoded = [
            self._decode(found.float(), stride)
            for found, stride in zip(maps, _STRIDES, strict=True)
        ]
        boxes, scores = zip(*decoded, strict=True)
        return torch.cat(boxes, 1), torch.cat(scores, 1)

    def _features(self, images: Tensor) -> list[Tensor]:
        x = self.stem(images)
        taps = []
        for index, block in enumerate(self.backbone):
            x = block(x)
            if index in _TAPS:
                taps.append(x)
        c3, c4, c5 = (lateral(tap) for lateral, tap in zip(self.lateral, taps, strict=True))
        p4 = self.top_down[0](_enlarged(c5, c4), c4)
        p3 = self.top_down[1](_enlarged(p4, c3), c3)
        n4 = self.bottom_up[0](self.down[0](p3), p4)
        n5 = self.bottom_up[1](self.down[1](n4), c5)
        return [p3, n4, n5, self.extra[0](c5) + self.extra[1](n5)]

    def _decode(self, found: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        rows, columns = found.shape[2:]
        flat = found.flatten(2).transpose(1, 2)
        boxes = corners_from_sides(flat[..., self.classes :], rows, columns, stride)
        return boxes, flat[..., : self.classes].sigmoid()


class PicoDetPredictor(PageDetector):
    """Finds regions with PicoDet; pages of every shape are resized to one size, as in training."""

    name = MODEL_TYPE
    default_threshold = 0.4
    known_labels = LABELS

    @staticmethod
    def network(config: Mapping[str, Any]) -> nn.Module:
        """The untrained network with this config's classes."""
        return PicoDet(len(config["labels"]))

    def input_shape(self, image: Image) -> tuple[int, int]:
        """The same for every page."""
        height, width = self._config["image_size"]
        return height, width

    def fitted(self, image: Image, shape: tuple[int, int]) -> tuple[Image, tuple[float, float]]:
        """The page stretched to ``shape``."""
        height, width = shape
        pixels: Image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
        return pixels, (image.shape[1] / width, image.shape[0] / height)

    def normalised(self, images: Tensor) -> Tensor:
        """Less ImageNet's mean, by its deviation."""
        mean = images.new_tensor(_MEAN).reshape(1, 3, 1, 1)
        deviation = images.new_tensor(_DEVIATION).reshape(1, 3, 1, 1)
        return (images / 255 - mean) / deviation


def convert(member_files: Mapping[str, Path], out_folder: Path) -> None:
    """Write PaddleDetection's exported ``weights`` (ONNX) as a checkpoint folder.

    Raises ModelError when the file is of another architecture.
    """
    graph = read_onnx(member_files["weights"])
    names = graph.metadata["character"].split()
    model = PicoDet(len(names)).eval()
    with torch.inference_mode():
        layers = torch_layers(model, lambda: model(torch.zeros(1, 3, 64, 64)))
    tensors = carried_over(graph, [_folded(layer) for layer in onnx_layers(graph)], layers)
    config = {"model_type": MODEL_TYPE, "labels": names, "image_size": _IMAGE_SIZE}
    save_checkpoint(out_folder, config, tensors)


def _folded(layer: OnnxLayer) -> OnnxLayer:
    """The layer with its batch normalisation worked into weight and bias."""
    norm = layer.norm
    if norm is None:
        return layer
    factor = norm.weight / np.sqrt(norm.variance + norm.variance.dtype.type(_NORM_EPSILON))
    bias = norm.bias - norm.mean * factor
    if layer.bias is not None:
        bias = bias + layer.bias * factor
    return replace(layer, weight=layer.weight * factor[:, None, None, None], bias=bias, norm=None)


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, size=like.shape[2:], mode="nearest")
