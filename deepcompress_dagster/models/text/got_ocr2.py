"""Reads text with GOT-OCR2, which writes what it sees, plain or with formatting marks.

It says nothing of places: the lines of a crop share its height evenly.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from deepcompress_dagster.models.device import CPU
from deepcompress_dagster.models.predictor import (
    Image,
    ModelError,
    PartialBatchError,
    ReadText,
)
from deepcompress_dagster.models.shared.generation import Decoding, Written, generate, usable
from deepcompress_dagster.models.shared.preprocessing import Preprocessing
from deepcompress_dagster.models.weights import pretrained
from deepcompress_dagster.records import BBox, TextLine
from deepcompress_dagster.settings import Attention, OcrMode

NECK_STRIDE = 4
"""Patches of the image along one side of a token: two convolutions, each of stride 2."""


class GotOcr2Predictor:
    """Reads crops. ``formatted`` asks for tables, formulas and headings in markup."""

    def __init__(
        self,
        module: Any,
        processor: Any,
        *,
        name: str,
        device: str,
        decoding: Decoding,
        formatted: bool = False,
    ) -> None:
        self.name = name
        self.device = device
        self._module = module
        self._decoding = decoding
        self._preprocessing = Preprocessing.of(processor.image_processor)
        self._tokenizer = processor.tokenizer
        self._prompt = _prompt(processor, module.config.vision_config, formatted=formatted)
        self._ends = {
            self._tokenizer.eos_token_id,
            self._tokenizer.convert_tokens_to_ids(processor.message_end_token),
        }

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        device: str = CPU,
        dtype: str = "float32",
        *,
        ocr_mode: str = OcrMode.BASE,
        attention: str = Attention.AUTO,
        **limits: Any,
    ) -> "GotOcr2Predictor":
        """The predictor of a checkpoint folder; ``limits`` are those of ``Decoding``.

        The mode ``large`` reads formatted. Raises ModelError when the folder cannot be used.
        """
        processor, module = pretrained.load(
            folder,
            AutoProcessor,
            AutoModelForImageTextToText,
            device=device,
            dtype=dtype,
            attention=attention,
        )
        return cls(
            module,
            processor,
            name=folder.name,
            device=device,
            decoding=Decoding(**limits),
            formatted=ocr_mode == OcrMode.LARGE,
        )

    def predict(self, batch: Sequence[Image]) -> list[ReadText]:
        """The lines of each crop, top to bottom.

        Raises PartialBatchError when some texts must not be used: they repeat themselves without
        end, took too long, or are no numbers.
        """
        if not batch:
            return []
        pixels = torch.stack([self._preprocessing.fitted(image, self.device) for image in batch])
        prompt = torch.tensor([self._prompt] * len(batch), device=self.device)
        inputs = {
            "input_ids": prompt,
            "attention_mask": torch.ones_like(prompt),
            "pixel_values": pixels.to(self._module.dtype),
        }
        written = generate(
            self._module,
            inputs,
            self._decoding,
            prompt_length=len(self._prompt),
            pad=self._tokenizer.pad_token_id,
            ends=self._ends,
        )
        return PartialBatchError.raise_if_any(
            text if isinstance(text, ModelError) else self._read(image, text)
            for image, text in zip(batch, usable(self.name, written), strict=True)
        )

    def _read(self, image: Image, written: Written) -> ReadText:
        text = self._tokenizer.decode(list(written.tokens), skip_special_tokens=True)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        height, width = image.shape[0] / max(1, len(lines)), image.shape[1]
        confidence = round(written.confidence, 4)
        return ReadText(
            tuple(
                TextLine(BBox(0.0, i * height, width, (i + 1) * height).rounded(), line, confidence)
                for i, line in enumerate(lines)
            )
        )


def _prompt(processor: Any, vision: Any, *, formatted: bool) -> list[int]:
    """The tokens before the answer, the same for every crop."""
    side = vision.image_size // vision.patch_size // NECK_STRIDE
    blank = np.zeros((vision.image_size, vision.image_size, 3), np.uint8)
    # The count is given, because a processor that was saved forgets it and goes back to 256.
    made = processor(images=blank, format=formatted, num_image_tokens=side * side)
    tokens: list[int] = np.asarray(made["input_ids"]).reshape(-1).tolist()
    return tokens
