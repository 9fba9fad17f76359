"""Reads the structure of tables with SLANet, which writes HTML tags and a box for each cell.

The backbone and the structure decoder are transformers' SLANet, the cell-location head and the
decoding loop are here. The weights are PaddleOCR's (Apache-2.0), converted from ONNX: ``slanet-en``
was trained on PubTabNet, ``slanet-plus`` on Chinese and English tables of many kinds.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import SLANetConfig, SLANetForTableRecognition

from deepcompress_dagster.models import onnx_modules
from deepcompress_dagster.models.onnx_weights import CONFIG_NAME, read_onnx, save_checkpoint
from deepcompress_dagster.models.predictor import CellGrid, Image, ModelError, TableCrop
from deepcompress_dagster.models.table.grid import CELL_TAGS, build_grid
from deepcompress_dagster.models.torch_modules import ready
from deepcompress_dagster.records import BBox

MODEL_TYPE = "slanet"

SIDE = 488
"""Pixels of the square that the model sees; a crop's longer side is resized to it."""

CROPS_PER_BATCH = 8

_MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
_STD = np.array([0.229, 0.224, 0.225], np.float32) * 255
"""ImageNet's, which PaddleOCR applies to blue, green and red in this order."""

_HEAD_TENSORS = {
    "structure_attention_cell.input_to_hidden.weight": "linear_0.w_0",
    "structure_attention_cell.hidden_to_hidden.weight": "linear_1.w_0",
    "structure_attention_cell.hidden_to_hidden.bias": "linear_1.b_0",
    "structure_attention_cell.score.weight": "linear_2.w_0",
    "structure_attention_cell.rnn.weight_ih": "gru_cell_0.w_0",
    "structure_attention_cell.rnn.weight_hh": "gru_cell_0.w_1",
    "structure_attention_cell.rnn.bias_ih": "gru_cell_0.b_0",
    "structure_attention_cell.rnn.bias_hh": "gru_cell_0.b_1",
    "structure_generator.fc1.weight": "linear_3.w_0",
    "structure_generator.fc1.bias": "linear_3.b_0",
    "structure_generator.fc2.weight": "linear_4.w_0",
    "structure_generator.fc2.bias": "linear_4.b_0",
    "loc_generator.fc1.weight": "linear_5.w_0",
    "loc_generator.fc1.bias": "linear_5.b_0",
    "loc_generator.fc2.weight": "linear_6.w_0",
    "loc_generator.fc2.bias": "linear_6.b_0",
}
"""Tensors of the decoder, and their names in the ONNX file; ``linear`` weights are transposed."""

_SMALL_BOX, _QUADRANGLE = 4, 8
"""Numbers of a location: corners as shares of the crop, or four points as shares of its square."""

FloatArray = npt.NDArray[np.float32]


def convert(members: Mapping[str, Path], out_folder: Path) -> None:
    """Turn the ONNX file ``weights`` into a checkpoint in ``out_folder``, which must exist.

    config.json gets the tags that the model can write. Raises ModelError when the file is not the
    expected model.
    """
    graph = read_onnx(members["weights"])
    tags = _tags(graph.metadata.get("character", "").split("\n"))
    locations = graph.constant(_HEAD_TENSORS["loc_generator.fc2.bias"]).size
    config = SLANetConfig(out_channels=len(tags))
    module = _module(config, locations)
    pixels = torch.zeros(1, 3, SIDE, SIDE)
    with torch.inference_mode():
        layers = onnx_modules.torch_layers(module, lambda: module.backbone(pixels))
    tensors = onnx_modules.carried_over(graph, onnx_modules.onnx_layers(graph), layers)
    for name, stored in _HEAD_TENSORS.items():
        value = graph.constant(stored)
        is_linear = stored.startswith("linear") and value.ndim == 2
        tensors[f"head.{name}"] = value.T if is_linear else value
    onnx_modules.require_complete(graph, module, tensors)
    extra = {"model_type": MODEL_TYPE, "tags": tags, "location_channels": locations}
    save_checkpoint(out_folder, {**config.to_diff_dict(), **extra}, tensors)


class SLANetPredictor:
    """Reads the structure of table crops; cells come without text."""

    def __init__(self, module: Any, tags: Sequence[str], *, name: str, device: str) -> None:
        self.name = name
        self.device = device
        self.max_batch = 1 if device == "cpu" else CROPS_PER_BATCH
        self._module = module
        self._tags = tags
        self._dtype = next(module.parameters()).dtype

    @classmethod
    def from_folder(cls, folder: Path, device: str, dtype: str) -> "SLANetPredictor":
        """The predictor of a folder that ``convert`` wrote. Raises ModelError when it is not."""
        try:
            config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
            tags, locations = config["tags"], config["location_channels"]
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{folder} holds no SLANet checkpoint: {error}") from error
        module = _module(SLANetConfig.from_pretrained(folder), locations)
        return cls(ready(module, folder, device, dtype), tags, name=folder.name, device=device)

    def cost(self, item: TableCrop) -> float:
        """Pixels of the crop: what tells large tables, which take many steps, from small ones."""
        return float(item.image.shape[0] * item.image.shape[1])

    def predict(self, batch: Sequence[TableCrop]) -> list[CellGrid]:
        """One grid per crop, with boxes in pixels of the crop; no cells where no table is seen."""
        if not batch:
            return []
        canvas = np.stack([_canvas(crop.image) for crop in batch])
        pixels = torch.from_numpy(canvas).permute(0, 3, 1, 2).to(self.device, self._dtype)
        with torch.inference_mode():
            features = self._module.backbone(pixels).last_hidden_state
            states, classes, sure = _decode(self._module.head, features)
            locations = self._module.head.loc_generator(states).sigmoid().float().cpu().numpy()
        return [
            self._grid(crop.image, *rows)
            for crop, *rows in zip(
                batch, classes.cpu().numpy(), sure.float().cpu().numpy(), locations, strict=True
            )
        ]

    def _grid(
        self, image: Image, classes: npt.NDArray[np.int64], sure: FloatArray, locations: FloatArray
    ) -> CellGrid:
        end = len(self._tags) - 1
        stops = np.flatnonzero(classes == end)
        length = int(stops[0]) if len(stops) else len(classes)
        steps = [i for i in range(length) if classes[i] != 0]
        tags = [self._tags[classes[i]] for i in steps]
        boxes = [
            _box(locations[i], image)
            for i, tag in zip(steps, tags, strict=True)
            if tag in CELL_TAGS
        ]
        confidence = float(sure[steps].mean()) if steps else 0.0
        return build_grid(tags, boxes, round(confidence, 4))


class _LocationHead(nn.Module):
    """The part of the decoder that transformers leaves out: where a cell is."""

    def __init__(self, hidden: int, locations: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(hidden, hidden)
        self.fc2 = nn.Linear(hidden, locations)

    def forward(self, states: Tensor) -> Tensor:
        located: Tensor = self.fc2(self.fc1(states))
        return located


def _module(config: Any, locations: int) -> Any:
    module = SLANetForTableRecognition(config)
    module.head.loc_generator = _LocationHead(config.hidden_size, locations)
    return module.eval()


def _decode(head: Any, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """States, classes and probabilities of each step, until every table of the batch has ended.

    A table's steps do not depend on the others in its batch.
    """
    cell, n_classes = head.structure_attention_cell, head.config.out_channels
    end = n_classes - 1
    projected = cell.input_to_hidden(features)
    state = features.new_zeros(len(features), head.config.hidden_size)
    current = torch.zeros(len(features), dtype=torch.long, device=features.device)
    ended = torch.zeros_like(current, dtype=torch.bool)
    states, classes, sure = [], [], []
    for _ in range(head.config.max_text_length + 1):
        scores = cell.score(torch.tanh(projected + cell.hidden_to_hidden(state)[:, None]))
        context = (scores.softmax(1) * features).sum(1)
        previous = functional.one_hot(current, n_classes).to(features.dtype)
        state = cell.rnn(torch.cat((context, previous), 1), state)
        best, current = head.structure_generator(state).softmax(-1).max(-1)
        states.append(state)
        classes.append(current)
        sure.append(best)
        ended |= current == end
        if ended.all():
            break
    return torch.stack(states, 1), torch.stack(classes, 1), torch.stack(sure, 1)


def _tags(listed: Sequence[str]) -> list[str]:
    """The tag of each class: a beginning, the listed tags with ``<td></td>`` as one, an end."""
    merged = [tag for tag in listed if tag not in ("<td>", "<td></td>")]
    return ["", *merged, "<td></td>", ""]


def _canvas(image: Image) -> FloatArray:
    """Normalised pixels, blue first, at the top left of a square that is zero elsewhere."""
    scale = SIDE / max(image.shape[:2])
    height, width = (max(1, int(side * scale)) for side in image.shape[:2])
    resized = cv2.resize(np.ascontiguousarray(image), (width, height))
    canvas = np.zeros((SIDE, SIDE, 3), np.float32)
    canvas[:height, :width] = (resized[..., ::-1].astype(np.float32) - _MEAN) / _STD
    return canvas


def _box(location: FloatArray, image: Image) -> BBox | None:
    """A cell's box in pixels of the crop; None where the model gives it no extent."""
    height, width = image.shape[0], image.shape[1]
    if len(location) == _QUADRANGLE:
        x_unit = y_unit = max(height, width)
    else:
        x_unit, y_unit = width, height
    xs, ys = location[0::2] * x_unit, location[1::2] * y_unit
    corners = (float(value) for value in (xs.min(), ys.min(), xs.max(), ys.max()))
    box = BBox(*corners).clipped(width, height).rounded()
    return box if box.width > 0 and box.height > 0 else None
