"""Figures: the crop on disk, and what kind of figure it is."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from deepcompress_dagster.models.predictor import FigureContent, Image

UNKNOWN = "unknown"
CHART = "chart"
PHOTO = "photo"
DIAGRAM = "diagram"

GEOMETRY = "geometry"
"""``model`` of figures that no model looked at."""

PHOTO_COLOURS = 0.25
"""Share of the 4096 coarse colours that a photograph shows, at least."""

PAPER_SHARE = 0.35
"""Drawings have this much of one colour, the paper, at least."""

DRAWN_PATHS = 8
"""Vector paths from which a figure counts as drawn."""

MIN_PIXELS = 8
"""A crop with a shorter side is too small to say anything about."""


@dataclass(frozen=True)
class FigureJob:
    """One figure to save and to classify. Areas and counts are those inside its box."""

    crop: Image
    path: Path
    quality: int
    text_share: float
    vector_paths: int
    image_share: float


def save_crop(job: FigureJob) -> None:
    """Write the crop as JPEG at ``job.path``; a reader sees the whole file or none."""
    job.path.parent.mkdir(parents=True, exist_ok=True)
    temporary = job.path.with_suffix(f".{os.getpid()}.tmp")
    picture = PillowImage.fromarray(np.ascontiguousarray(job.crop))
    picture.save(temporary, format="JPEG", quality=job.quality)
    temporary.replace(job.path)


def crop(pixels: Image, box: Sequence[float]) -> Image:
    """The pixels inside ``box`` (pixels x0, y0, x1, y1), at least one; a view."""
    height, width = pixels.shape[:2]
    x0, y0 = max(0, int(box[0])), max(0, int(box[1]))
    x1, y1 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    return pixels[min(y0, height - 1) : max(y1, y0 + 1), min(x0, width - 1) : max(x1, x0 + 1)]


def describe(job: FigureJob) -> FigureContent:
    """The kind by drawing operators, colours and text; ``unknown`` without certainty."""
    return FigureContent(kind=_kind(job), data=None)


def _kind(job: FigureJob) -> str:
    if min(job.crop.shape[:2]) < MIN_PIXELS:
        return UNKNOWN
    colours, paper = _colours(job.crop)
    if colours >= PHOTO_COLOURS and paper < PAPER_SHARE:
        return PHOTO
    if job.vector_paths >= DRAWN_PATHS and paper >= PAPER_SHARE:
        return CHART if job.text_share > 0 else DIAGRAM
    return UNKNOWN


def _colours(image: Image) -> tuple[float, float]:
    """Share of the 16 x 16 x 16 coarse colours in use, and share of the commonest one."""
    coarse = (image[::2, ::2] >> 4).astype(np.uint16).reshape(-1, 3)
    codes = (coarse[:, 0] << 8) | (coarse[:, 1] << 4) | coarse[:, 2]
    counts = np.bincount(codes, minlength=4096)
    return float((counts > 0).mean()), float(counts.max() / counts.sum())
