"""Tiny checkpoints of the full profile that have learnt one answer each, by heart.

They are trained here for a few hundred steps on what the test shows them, through transformers'
own processors and losses, so that what they answer is known.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as PillowImage
from PIL import ImageFont
from torch import Tensor
from torch.nn import functional
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoModelForObjectDetection,
    AutoProcessor,
)

from benchmarks.checkpoints import DOCLAYNET, TABLE_PARTS, build
from deepcompress_dagster.models.predictor import Image

GAIN = 0.5
"""Weights to begin with: small ones learn fast."""


@dataclass(frozen=True)
class Box:
    """A labelled box; corners as shares of the image."""

    label: str
    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def centred(self) -> list[float]:
        width, height = self.x1 - self.x0, self.y1 - self.y0
        return [self.x0 + width / 2, self.y0 + height / 2, width, height]


def detector(folder: Path, model_type: str, images: Sequence[Image], answer: Sequence[Box]) -> Path:
    """A DETR or Table Transformer that finds ``answer`` in each of ``images``."""
    build(model_type, folder, gain=GAIN, num_queries=len(answer) + 1)
    names = DOCLAYNET if model_type == "detr" else TABLE_PARTS
    model = AutoModelForObjectDetection.from_pretrained(folder)
    processor = AutoImageProcessor.from_pretrained(folder)
    labels = torch.tensor([*(names.index(box.label) for box in answer), len(names)])
    boxes = torch.tensor([[box.centred for box in answer]])
    pictures = [processor(images=[image], return_tensors="pt") for image in images]

    def loss() -> Tensor:
        outputs = [model(**picture) for picture in pictures]
        wrong = [functional.cross_entropy(one.logits[0], labels) for one in outputs]
        away = [(one.pred_boxes[:, : len(answer)] - boxes).abs().mean() for one in outputs]
        return torch.stack(wrong).mean() + 10 * torch.stack(away).mean()

    return _learn(model, loss, folder, enough=0.1)


def reader(folder: Path, images: Sequence[Image], answers: Sequence[str]) -> Path:
    """A GOT-OCR2 that reads in each of ``images`` the answer beside it."""
    build("got_ocr2", folder, gain=GAIN)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    pictures = [PillowImage.fromarray(image) for image in images]
    prompt = processor(images=pictures, num_image_tokens=4, return_tensors="pt")
    end = processor.tokenizer.eos_token_id
    targets = [[*processor.tokenizer(answer)["input_ids"], end] for answer in answers]
    longest = max(map(len, targets))
    texts = torch.tensor([[*target, *[end] * (longest - len(target))] for target in targets])
    labels = torch.tensor([[*target, *[-100] * (longest - len(target))] for target in targets])
    tokens = torch.cat([prompt["input_ids"], texts], 1)
    labels = torch.cat([torch.full_like(prompt["input_ids"], -100), labels], 1)

    def loss() -> Tensor:
        output = model(
            input_ids=tokens,
            attention_mask=torch.ones_like(tokens),
            pixel_values=prompt["pixel_values"],
            labels=labels,
        )
        return output.loss

    return _learn(model, loss, folder, enough=0.02)


def chart_reader(folder: Path, images: Sequence[Image], answer: str) -> Path:
    """A Pix2Struct that writes ``answer`` for each of ``images``, asked as DePlot is."""
    build("pix2struct", folder, gain=GAIN)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    question = "Generate underlying data table of the figure below:"
    font = ImageFont.load_default(36).font_bytes
    asked = [
        processor.image_processor.render_header(
            np.ascontiguousarray(image.transpose(2, 0, 1)), question, font_bytes=font
        )
        for image in images
    ]
    inputs = processor.image_processor(asked, is_vqa=False, return_tensors="pt")
    target = [*processor.tokenizer(answer)["input_ids"], processor.tokenizer.eos_token_id]
    labels = torch.tensor([target] * len(images))
    return _learn(model, lambda: model(**inputs, labels=labels).loss, folder, enough=0.02)


def _learn(model: Any, loss: Callable[[], Tensor], folder: Path, enough: float) -> Path:
    """Train until the loss is below ``enough``; the test cannot go on with a model that is not."""
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(600):
        optimiser.zero_grad()
        value = loss()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if value.item() < enough:
            break
    assert value.item() < enough, f"not learnt: the loss is {value.item():.3f}"
    model.save_pretrained(folder)
    return folder
