"""Reads the numbers behind a chart with DePlot, or another Pix2Struct that writes tables.

DePlot writes a table in one line: a title, then rows between marks of a new line, cells between
bars (arXiv:2212.10505).
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageFont
from transformers import AutoModelForImageTextToText, AutoProcessor

from deepcompress_dagster.models.device import CPU
from deepcompress_dagster.models.predictor import (
    FigureContent,
    Image,
    ModelError,
    PartialBatchError,
)
from deepcompress_dagster.models.shared.generation import Decoding, generate, usable
from deepcompress_dagster.models.weights import pretrained
from deepcompress_dagster.records import ChartData, FigureKind
from deepcompress_dagster.settings import Attention

QUESTION = "Generate underlying data table of the figure below:"
"""What DePlot was trained to be asked; it is drawn above the figure."""

_FONT_SIZE = 36
_NEW_LINE = re.compile(r"<0x0A>|\n")
_NUMBER = re.compile(r"\d")
_TITLE = re.compile(r"title\b", re.IGNORECASE)


class Pix2StructPredictor:
    """Reads figures as tables."""

    def __init__(
        self, module: Any, processor: Any, *, name: str, device: str, decoding: Decoding
    ) -> None:
        self.name = name
        self.device = device
        self._module = module
        self._decoding = decoding
        self._images = processor.image_processor
        self._tokenizer = processor.tokenizer
        self._font = _font()

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        device: str = CPU,
        dtype: str = "float32",
        *,
        attention: str = Attention.AUTO,
        **limits: Any,
    ) -> "Pix2StructPredictor":
        """The predictor of a checkpoint folder; ``limits`` are those of ``Decoding``.

        Raises ModelError when the folder cannot be used.
        """
        processor, module = pretrained.load(
            folder,
            AutoProcessor,
            AutoModelForImageTextToText,
            device=device,
            dtype=dtype,
            attention=attention,
        )
        return cls(module, processor, name=folder.name, device=device, decoding=Decoding(**limits))

    def predict(self, batch: Sequence[Image]) -> list[FigureContent]:
        """The table in each figure; what is no table is kept as it was written.

        Raises PartialBatchError when some texts must not be used.
        """
        if not batch:
            return []
        encoded = self._images(
            [self._asked(image) for image in batch], is_vqa=False, return_tensors="pt"
        )
        inputs = {
            "flattened_patches": encoded["flattened_patches"].to(
                self.device, self._module.dtype, non_blocking=True
            ),
            "attention_mask": encoded["attention_mask"].to(self.device, non_blocking=True),
        }
        written = generate(
            self._module,
            inputs,
            self._decoding,
            prompt_length=1,
            pad=self._tokenizer.pad_token_id,
            ends={self._tokenizer.eos_token_id},
        )
        return PartialBatchError.raise_if_any(
            text
            if isinstance(text, ModelError)
            else content_of(self._tokenizer.decode(list(text.tokens), skip_special_tokens=True))
            for text in usable(self.name, written)
        )

    def _asked(self, image: Image) -> Image:
        """The figure with the question above it, where the checkpoint wants one; channels first."""
        figure = np.ascontiguousarray(image.transpose(2, 0, 1))
        if not self._images.is_vqa:
            return figure
        asked: Image = self._images.render_header(figure, QUESTION, font_bytes=self._font)
        return asked


def _font() -> bytes:
    """A font that Pillow brings along; transformers would download one."""
    font = ImageFont.load_default(_FONT_SIZE)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise ModelError("Pillow was built without FreeType, which draws the question to a chart")
    return font.font_bytes


def content_of(text: str) -> FigureContent:
    """A chart with its numbers; or, where ``text`` is no table, the text itself.

    A table has a row of names and rows of as many values, two or more; it is a chart's when most
    values are numbers. Text that is none is kept in ``data``, as the one value of a row without
    columns.
    """
    rows = [[cell.strip() for cell in line.split("|")] for line in _NEW_LINE.split(text)]
    rows = [row for row in rows if any(row)]
    if rows and _TITLE.match(rows[0][0]):
        rows = rows[1:]
    width = len(rows[0]) if rows else 0
    if len(rows) < 2 or width < 2 or any(len(row) != width for row in rows):
        raw = text.strip()
        return FigureContent(FigureKind.UNKNOWN, ChartData((), ((raw,),)) if raw else None)
    values = [cell for row in rows[1:] for cell in row[1:]]
    numbers = sum(_NUMBER.search(value) is not None for value in values)
    kind = FigureKind.CHART if 2 * numbers > len(values) else FigureKind.UNKNOWN
    return FigureContent(kind, ChartData(tuple(rows[0]), tuple(tuple(row) for row in rows[1:])))
