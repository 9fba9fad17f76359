"""PP-OCR as transformers saves it, on torch: for an accelerator.

Any pair of a detector and a recogniser of the family, the detector in ``det`` and the recogniser in
``rec``, with the list of its characters: in the preprocessor_config.json that transformers saves,
or in ``characters.txt``, without the first of them, no character, and the last, a blank.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForObjectDetection, AutoModelForTextRecognition

from deepcompress_dagster.models.device import CPU
from deepcompress_dagster.models.onnx_graph import Array, Floats
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.models.text.ctc import first_steps
from deepcompress_dagster.models.text.ppocr import (
    LineReader,
    PPOCRPredictor,
    ReaderPair,
    Spelled,
)
from deepcompress_dagster.models.text.second_reader import SecondReader
from deepcompress_dagster.models.text.tesseract import TesseractReader
from deepcompress_dagster.models.weights import pretrained
from deepcompress_dagster.models.weights.store import LINE_READER
from deepcompress_dagster.settings import Attention

DETECTOR, RECOGNISER = LINE_READER

PROCESSING_NAME = "preprocessor_config.json"
CHARACTERS_NAME = "characters.txt"

LINES_PER_BATCH = 32
"""On an accelerator; on a CPU lines are read one by one, which is faster there."""

_BLUE_FIRST = "PPOCRV6"
"""Recognisers whose processor turns red, green, blue round; that of the fifth version does not."""


class TorchRecogniser:
    """A recogniser of transformers."""

    def __init__(
        self, module: Any, characters: Sequence[str], *, device: str, blue_first: bool
    ) -> None:
        self.lines_per_batch = 1 if device == CPU else LINES_PER_BATCH
        self.characters = characters
        self.blue_first = blue_first
        self._module = module
        self._device = device

    def spell(self, lines: Floats) -> list[Spelled]:
        with torch.inference_mode():
            pixels = torch.from_numpy(lines).to(self._device, self._module.dtype)
            logits = _logits(self._module, pixels)
            classes = logits.argmax(-1).cpu().numpy()
            steps = [first_steps(row) for row in classes]
            sure = _probabilities(logits, steps)
        return [Spelled(*row) for row in zip(classes, steps, sure, strict=True)]


class PPOCRTorchPredictor(PPOCRPredictor):
    """Reads crops with two checkpoints of transformers."""

    def __init__(
        self,
        detector: Any,
        recogniser: TorchRecogniser,
        *,
        name: str,
        device: str,
        second: SecondReader | None = None,
    ) -> None:
        def detect(page: Floats) -> Floats:
            with torch.inference_mode():
                pixels = torch.from_numpy(page).to(device, detector.dtype)
                found: Floats = detector(pixels).last_hidden_state[0, 0].float().cpu().numpy()
            return found

        pair = ReaderPair(detect, LineReader(recogniser))
        super().__init__(pair, name=name, device=device, second=second)
        # Named here as well, so that the cache finds the weights that it accounts for.
        self._modules = [detector, recogniser._module]

    @classmethod
    def from_folder(
        cls, folder: Path, device: str, dtype: str, *, tessdata: Path | None = None
    ) -> "PPOCRTorchPredictor":
        """The predictor of a folder. Raises ModelError when it does not hold the two.

        ``tessdata`` holds the language data for other scripts; None is where systems keep them.
        """

        def load(part: str, auto: Any) -> Any:
            config = pretrained.load_config(folder / part)
            return pretrained.load_model(
                folder / part, auto, config, device=device, dtype=dtype, attention=Attention.AUTO
            )

        characters, blue_first = _processing(folder / RECOGNISER)
        recogniser = TorchRecogniser(
            load(RECOGNISER, AutoModelForTextRecognition),
            characters,
            device=device,
            blue_first=blue_first,
        )
        detector = load(DETECTOR, AutoModelForObjectDetection)
        second = TesseractReader(tessdata)
        return cls(detector, recogniser, name=folder.name, device=device, second=second)


def _logits(recogniser: Any, pixels: Tensor) -> Tensor:
    """What the recogniser says before the softmax, or what has the same softmax; float32."""
    head = recogniser.head
    if hasattr(head, "encoder") and hasattr(head, "head"):
        features = recogniser.model(pixels).last_hidden_state
        plain: Tensor = head.head(head.encoder(features).last_hidden_state).float()
        return plain
    written: Tensor = recogniser(pixels).last_hidden_state.float()
    return written.clamp_min(torch.finfo(torch.float32).tiny).log()


def _processing(folder: Path) -> tuple[Sequence[str], bool]:
    """The characters of a recogniser, and whether it sees blue first.

    Raises ModelError when no file lists them.
    """
    listed = folder / CHARACTERS_NAME
    if listed.exists():
        return ["", *listed.read_text(encoding="utf-8").removesuffix("\n").split("\n"), " "], True
    path = folder / PROCESSING_NAME
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if not found.get("character_list"):
            raise ValueError("it has no character_list")
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} does not say which characters are read: {error}") from error
    order = found.get("image_processor_type", "")
    return found["character_list"], order.startswith(_BLUE_FIRST)


def _probabilities(logits: Tensor, steps: Sequence[Array]) -> list[Floats]:
    """The highest probability at the given steps of each line.

    A softmax over 18710 classes takes a tenth of a line's time, and few steps need it.
    """
    length = logits.shape[1]
    rows = np.concatenate([i * length + own for i, own in enumerate(steps)])
    chosen = logits.flatten(0, 1)[torch.from_numpy(rows).to(logits.device)]
    sure = (chosen.amax(-1) - chosen.logsumexp(-1)).exp().cpu().numpy()
    return np.split(sure, np.cumsum([len(own) for own in steps])[:-1])
