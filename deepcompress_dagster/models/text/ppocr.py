"""Reads text with PP-OCR: a detector finds the lines, a recogniser reads each of them.

Both are classes of transformers. The weights of PP-OCRv6 small are PaddleOCR's (Apache-2.0),
converted from ONNX; any other pair of the family is read as transformers saves it. Resizing and
normalising are PaddleOCR's too; transformers would do them with torchvision.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import (
    AutoModelForObjectDetection,
    AutoModelForTextRecognition,
    PPOCRV6SmallDetConfig,
    PPOCRV6SmallDetForObjectDetection,
    PPOCRV6SmallRecConfig,
    PPOCRV6SmallRecForTextRecognition,
)

from deepcompress_dagster.models import onnx_modules, pretrained, stopping
from deepcompress_dagster.models.onnx_weights import (
    CONFIG_NAME,
    OnnxGraph,
    read_onnx,
    save_checkpoint,
)
from deepcompress_dagster.models.predictor import Image, ModelError, ReadText, TextCrop
from deepcompress_dagster.models.store import LINE_READER
from deepcompress_dagster.models.text.ctc import DecodedLine, decode, first_steps
from deepcompress_dagster.models.text.detection import LineBox, cut_out, find_lines
from deepcompress_dagster.models.text.rows import reading_order
from deepcompress_dagster.models.torch_modules import ready
from deepcompress_dagster.records import TextLine
from deepcompress_dagster.settings import Attention

MODEL_TYPE = "pp_ocrv6_small"

PROCESSING_NAME = "preprocessor_config.json"

_BLUE_FIRST = "PPOCRV6"
"""Recognisers whose processor turns red, green, blue round; that of the fifth version does not."""

DETECTOR, RECOGNISER = LINE_READER
"""Keys of the package members and names of the subfolders."""

ENOUGH_SIDE = 960
"""Pixels of a crop's longer side that the detector sees; more finds no more text on a page."""

LEAST_SCALE = 0.5
"""A crop is not shrunk further for the detector, so that small print on a large sheet is seen."""

LARGEST_SIDE = 2560
"""Pixels of the longer side beyond which a crop is shrunk all the same: the memory of 6 pages."""

DETECTOR_STEP = 32
"""Sides that the detector sees are multiples of this: it halves the image five times."""

LINE_HEIGHT = 48
"""Pixels of a line that the recogniser sees."""

WIDTH_STEP = 64
"""Widths of lines are rounded up to a multiple of this, so that lines can share a batch."""

LONGEST_LINE = 3200
"""Pixels of a line's width, at LINE_HEIGHT, that the recogniser sees at most."""

LEAST_CONFIDENCE = 0.5
"""Lines that are read with less are dropped, as PaddleOCR does."""

TALL = 1.5
"""Height over width from which a box may hold a line that runs up or down the page."""

LINES_PER_BATCH = 32
"""On an accelerator; on a CPU lines are read one by one, which is faster there."""

CROPS_PER_BATCH = 16

MARGIN = 16
"""Pixels around a crop, in the colour of its edge: the detector misses lines that touch it."""

FloatArray = npt.NDArray[np.float32]

_MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
_STD = np.array([0.229, 0.224, 0.225], np.float32) * 255
"""ImageNet's, which PaddleOCR applies to blue, green and red in this order."""

_STAGES = {
    "model_type": "pp_lcnet_v4",
    "stem_channels": [3, 24, 48],
    "stem_strides": [2, 1, 1, 2, 1],
    "stem_type": "large",
    "block_configs": [
        [[3, 48, 48, 1, True], [3, 48, 48, 1, False]],
        [[3, 48, 96, 2, False], [3, 96, 96, 1, True], [3, 96, 96, 1, False]],
        [
            [3, 96, 192, 2, False],
            [3, 192, 192, 1, True],
            [3, 192, 192, 1, False],
            [3, 192, 192, 1, True],
            [3, 192, 192, 1, False],
        ],
        [[3, 192, 384, 2, False], [3, 384, 384, 1, True], [3, 384, 384, 1, False]],
    ],
    "out_features": ["stage1", "stage2", "stage3", "stage4"],
}
"""The detector's backbone; the recogniser's is the default of its configuration."""


def convert(members: Mapping[str, Path], out_folder: Path) -> None:
    """Turn the ONNX files ``det`` and ``rec`` into a checkpoint folder.

    ``out_folder`` gets a config.json with the characters, and the subfolders ``det`` and ``rec``.
    Raises ModelError when a file is not the expected model.
    """
    detector, recogniser = (read_onnx(members[key]) for key in (DETECTOR, RECOGNISER))
    characters = _characters(recogniser)
    det_config = PPOCRV6SmallDetConfig(
        backbone_config=_STAGES, layer_list_out_channels=[48, 96, 192, 384]
    )
    rec_config = PPOCRV6SmallRecConfig(head_out_channels=len(characters))
    _save(
        out_folder / DETECTOR, det_config, detector, PPOCRV6SmallDetForObjectDetection(det_config)
    )
    _save(
        out_folder / RECOGNISER,
        rec_config,
        recogniser,
        PPOCRV6SmallRecForTextRecognition(rec_config),
    )
    config = {"model_type": MODEL_TYPE, "characters": "\n".join(characters)}
    text = json.dumps(config, ensure_ascii=False) + "\n"
    (out_folder / CONFIG_NAME).write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True)
class _Reading:
    """A line as it was read; ``turn`` is 0 for text that runs right, 90 down, 270 up."""

    box: LineBox
    turn: int
    line: DecodedLine


class PPOCRPredictor:
    """Reads crops of any size: whole pages, regions, single lines."""

    def __init__(
        self,
        detector: nn.Module,
        recogniser: Any,
        characters: Sequence[str],
        *,
        name: str,
        device: str,
        blue_first: bool = True,
    ) -> None:
        """``blue_first`` is the order of colours that the recogniser was trained on."""
        self.name = name
        self.device = device
        self.max_batch = 1 if device == "cpu" else CROPS_PER_BATCH
        self._lines_per_batch = 1 if device == "cpu" else LINES_PER_BATCH
        self._detector = detector
        self._recogniser = recogniser
        self._characters = characters
        self._blue_first = blue_first
        self._dtype = next(detector.parameters()).dtype

    @classmethod
    def from_folder(cls, folder: Path, device: str, dtype: str) -> "PPOCRPredictor":
        """The predictor of a folder that ``convert`` wrote, or of one with two checkpoints.

        Those are transformers' own, the detector in ``det`` and the recogniser, with the list of
        its characters, in ``rec``. Raises ModelError when the folder is neither.
        """
        if (folder / RECOGNISER / PROCESSING_NAME).exists():
            return cls._from_saved(folder, device, dtype)
        try:
            config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
            characters = config["characters"].split("\n")
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(f"{folder} holds no PP-OCR checkpoint: {error}") from error
        det, rec = folder / DETECTOR, folder / RECOGNISER
        det_config = PPOCRV6SmallDetConfig.from_pretrained(det)
        rec_config = PPOCRV6SmallRecConfig.from_pretrained(rec)
        return cls(
            ready(PPOCRV6SmallDetForObjectDetection(det_config), det, device, dtype),
            ready(PPOCRV6SmallRecForTextRecognition(rec_config), rec, device, dtype),
            characters,
            name=folder.name,
            device=device,
        )

    @classmethod
    def _from_saved(cls, folder: Path, device: str, dtype: str) -> "PPOCRPredictor":
        def load(part: str, auto: Any) -> nn.Module:
            config = pretrained.load_config(folder / part)
            module: nn.Module = pretrained.load_model(
                folder / part, auto, config, device=device, dtype=dtype, attention=Attention.AUTO
            )
            return module

        processing = _processing(folder / RECOGNISER)
        return cls(
            load(DETECTOR, AutoModelForObjectDetection),
            load(RECOGNISER, AutoModelForTextRecognition),
            processing["character_list"],
            name=folder.name,
            device=device,
            blue_first=processing.get("image_processor_type", "").startswith(_BLUE_FIRST),
        )

    def cost(self, item: TextCrop) -> float:
        """Pixels of the crop."""
        return float(item.image.shape[0] * item.image.shape[1])

    def predict(self, batch: Sequence[TextCrop]) -> list[ReadText]:
        """The lines of each crop in reading order; the lines of all crops are read together.

        Raises Interrupted when it is told to end.
        """
        boxes = [self._detect(crop.image) for crop in batch]
        pairs = list(zip(batch, boxes, strict=True))
        readings = iter(self._read([(crop.image, box) for crop, own in pairs for box in own]))
        return [_read_text([next(readings) for _ in own], crop.image) for crop, own in pairs]

    def _detect(self, image: Image) -> list[LineBox]:
        stopping.check()
        scale = _detector_scale(image)
        canvas = _detector_canvas(image, scale)
        pixels = torch.from_numpy(canvas).permute(2, 0, 1)[None]
        with torch.inference_mode():
            output = self._detector(pixels.to(self.device, self._dtype)).last_hidden_state
        found = find_lines(output[0, 0].float().cpu().numpy())
        return [box.scaled(1 / scale, -MARGIN, -MARGIN) for box in found]

    def _read(self, lines: Sequence[tuple[Image, LineBox]]) -> list[_Reading]:
        """One reading per line; a tall box is read in every direction, the surest one is kept."""
        attempts = [
            (i, box, turn, _turned(cut_out(image, box), turn))
            for i, (image, box) in enumerate(lines)
            for turn in _directions(box)
        ]
        decoded = self._recognise([pixels for *_, pixels in attempts])
        best: list[_Reading | None] = [None] * len(lines)
        for (i, box, turn, _), line in zip(attempts, decoded, strict=True):
            known = best[i]
            if known is None or line.confidence > known.line.confidence:
                best[i] = _Reading(box, turn, line)
        return [reading for reading in best if reading is not None]

    def _recognise(self, images: Sequence[Image]) -> list[DecodedLine]:
        widths = [_line_width(image) for image in images]
        groups: dict[int, list[int]] = {}
        for i, width in enumerate(widths):
            groups.setdefault(-(-width // WIDTH_STEP) * WIDTH_STEP, []).append(i)
        decoded: dict[int, DecodedLine] = {}
        for padded, members in groups.items():
            for start in range(0, len(members), self._lines_per_batch):
                batch = members[start : start + self._lines_per_batch]
                lines = [images[i] if self._blue_first else images[i][..., ::-1] for i in batch]
                sizes = [widths[i] for i in batch]
                canvas = np.stack(
                    [
                        _line_canvas(line, width, padded)
                        for line, width in zip(lines, sizes, strict=True)
                    ]
                )
                shares = [widths[i] / padded for i in batch]
                decoded.update(zip(batch, self._decode(canvas, shares), strict=True))
        return [decoded[i] for i in range(len(images))]

    def _decode(self, canvas: FloatArray, shares: Sequence[float]) -> list[DecodedLine]:
        pixels = torch.from_numpy(canvas).permute(0, 3, 1, 2).to(self.device, self._dtype)
        stopping.check()
        with torch.inference_mode():
            logits = _logits(self._recogniser, pixels)
            classes = logits.argmax(-1).cpu().numpy()
            steps = [first_steps(row) for row in classes]
            sure = _probabilities(logits, steps)
        return [
            decode(row, own, confidence, self._characters, share * len(row))
            for row, own, confidence, share in zip(classes, steps, sure, shares, strict=True)
        ]


def _logits(recogniser: Any, pixels: Tensor) -> Tensor:
    """What the recogniser says before the softmax, or what has the same softmax; float32."""
    head = recogniser.head
    if hasattr(head, "encoder") and hasattr(head, "head"):
        features = recogniser.model(pixels).last_hidden_state
        plain: Tensor = head.head(head.encoder(features).last_hidden_state).float()
        return plain
    written: Tensor = recogniser(pixels).last_hidden_state.float()
    return written.clamp_min(torch.finfo(torch.float32).tiny).log()


def _processing(folder: Path) -> dict[str, Any]:
    """The preprocessor_config.json of a recogniser. Raises ModelError when it lists no text."""
    path = folder / PROCESSING_NAME
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not found.get("character_list"):
            raise ValueError("it has no character_list")
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} does not say which characters are read: {error}") from error
    return found


def _probabilities(logits: Tensor, steps: Sequence[npt.NDArray[np.int64]]) -> list[FloatArray]:
    """The highest probability at the given steps of each line.

    A softmax over 18710 classes takes a tenth of a line's time, and few steps need it.
    """
    length = logits.shape[1]
    rows = np.concatenate([i * length + own for i, own in enumerate(steps)])
    chosen = logits.flatten(0, 1)[torch.from_numpy(rows).to(logits.device)]
    sure = (chosen.amax(-1) - chosen.logsumexp(-1)).exp().cpu().numpy()
    return np.split(sure, np.cumsum([len(own) for own in steps])[:-1])


def _detector_scale(image: Image) -> float:
    side = float(max(image.shape[:2]))
    return min(1.0, LARGEST_SIDE / side, max(LEAST_SCALE, ENOUGH_SIDE / side))


def _detector_canvas(image: Image, scale: float) -> FloatArray:
    """Normalised pixels, blue first, with a margin, as large as the detector wants them."""
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    right, bottom = (-(side + 2 * MARGIN) % DETECTOR_STEP + MARGIN for side in (width, height))
    padded = cv2.copyMakeBorder(
        resized, MARGIN, bottom, MARGIN, right, cv2.BORDER_CONSTANT, value=_edge_colour(resized)
    )
    normalised: FloatArray = (padded[..., ::-1].astype(np.float32) - _MEAN) / _STD
    return normalised


def _edge_colour(image: Image) -> tuple[float, ...]:
    edge = np.concatenate((image[0], image[-1], image[:, 0], image[:, -1]))
    return tuple(np.median(edge, axis=0).tolist())


def _directions(box: LineBox) -> tuple[int, ...]:
    """Degrees clockwise by which the text in a box may be turned."""
    if box.height < TALL * box.width:
        return (0,)
    return (0, 90, 270) if box.height < 2 * TALL * box.width else (90, 270)


def _turned(image: Image, turn: int) -> Image:
    """``image`` with text that is turned by ``turn`` degrees clockwise made upright."""
    return np.rot90(image, turn // 90)


def _line_width(image: Image) -> int:
    width: int = round(LINE_HEIGHT * image.shape[1] / image.shape[0])
    return min(max(width, 1), LONGEST_LINE)


def _line_canvas(image: Image, width: int, padded: int) -> FloatArray:
    """Normalised pixels, blue first, with zeros to the right up to ``padded``."""
    canvas = np.zeros((LINE_HEIGHT, padded, 3), np.float32)
    shrinks = image.shape[0] > LINE_HEIGHT
    resized = cv2.resize(
        np.ascontiguousarray(image),
        (width, LINE_HEIGHT),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )
    canvas[:, :width] = resized[..., ::-1] / np.float32(127.5) - 1
    return canvas


def _read_text(readings: Sequence[_Reading], image: Image) -> ReadText:
    height, width = image.shape[:2]
    kept = _in_order([r for r in readings if r.line.confidence >= LEAST_CONFIDENCE])

    def line(box: LineBox, text: str, confidence: float) -> TextLine:
        return TextLine(box.bounds.clipped(width, height).rounded(), text, round(confidence, 4))

    return ReadText(
        tuple(line(r.box, r.line.text, r.line.confidence) for r in kept),
        tuple(
            line(r.box.part(word.start, word.end, r.turn), word.text, word.confidence)
            for r in kept
            for word in r.line.words
        ),
    )


def _in_order(readings: Sequence[_Reading]) -> list[_Reading]:
    """Readings in the order that the direction of most of the text implies."""
    letters: dict[int, int] = {0: 0}
    for reading in readings:
        letters[reading.turn] = letters.get(reading.turn, 0) + len(reading.line.text)
    turn = max(letters, key=lambda turn: letters[turn])
    return [readings[i] for i in reading_order([r.box for r in readings], turn)]


def _characters(graph: OnnxGraph) -> list[str]:
    """Text of each class: none for the blank, the listed characters, the space."""
    listed = graph.metadata.get("character", "")
    return ["", *listed.split("\n"), " "]


def _save(folder: Path, config: Any, graph: OnnxGraph, module: nn.Module) -> None:
    layers = _execution_order(module.eval())
    tensors = onnx_modules.carried_over(graph, onnx_modules.onnx_layers(graph), layers)
    norms = [name for name, part in module.named_modules() if isinstance(part, nn.LayerNorm)]
    for name, (weight, bias) in zip(norms, onnx_modules.onnx_layer_norms(graph), strict=True):
        tensors.update({f"{name}.weight": weight, f"{name}.bias": bias})
    onnx_modules.require_complete(graph, module, tensors)
    folder.mkdir()
    save_checkpoint(folder, config.to_diff_dict(), tensors)


def _execution_order(module: nn.Module) -> list[onnx_modules.TorchLayer]:
    """Layers as the ONNX graph runs them: PaddleOCR's neck begins with the coarsest features."""
    is_detector = isinstance(module, PPOCRV6SmallDetForObjectDetection)
    pixels = torch.zeros(1, 3, 2 * DETECTOR_STEP if is_detector else LINE_HEIGHT, WIDTH_STEP)
    with torch.inference_mode():
        layers = list(onnx_modules.torch_layers(module, lambda: module(pixels)))
    neck = [i for i, layer in enumerate(layers) if _neck_position(layer.name)]
    in_order = sorted((layers[i] for i in neck), key=lambda layer: _neck_position(layer.name) or ())
    for i, layer in zip(neck, in_order, strict=True):
        layers[i] = layer
    return layers


def _neck_position(name: str) -> tuple[int, int] | None:
    match = re.search(r"neck\.(insert|input)_conv\.(\d+)\.", name)
    return (int(match[1] == "input"), -int(match[2])) if match else None
