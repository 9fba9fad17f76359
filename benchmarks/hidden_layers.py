"""How far invisible text layers of drawn scans differ from what is read of the scan.

    python -m benchmarks.hidden_layers

Twelve pages, from clean to noisy, each with layers in which 0 to 30 % of the letters are wrong as
OCR gets them wrong. Prints the difference at the median line that pipeline/hidden_text.py judges
by; its threshold is to lie between layers worth keeping and the others.
"""

import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import pymupdf
from PIL import Image as PillowImage
from PIL import ImageFilter

from benchmarks.models import predictor
from benchmarks.quality import markdown_table
from deepcompress_dagster.models.catalog import Task
from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.pipeline.hidden_text import MAX_ERROR, SAMPLE_LINES, differences
from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.records import BBox, TextSource, Word
from deepcompress_dagster.settings import load_settings

RATES = (0.0, 0.01, 0.02, 0.03, 0.05, 0.08, 0.12, 0.2, 0.3)
NOISE = (0, 1, 2, 3)
TYPE = (("tiro", 11.0), ("helv", 9.0), ("tiro", 8.0))
DPI = 150
WORDS = (
    "the mill stands where river leaves gorge and has ground rye barley since year of great flood",
    "wheel turns slowly in dry months miller keeps second smaller stone for those days farmers",
    "bring their sacks by boat weir cart road was paved last spring Invoice No. 4711 10,250.00",
)
MISREAD = dict(zip("eloagishnumtrcd15", "c10sq1abuvwfvelIS", strict=True))


@dataclass(frozen=True)
class Scan:
    """A drawn page: its pixels, and the lines on it with boxes in pixels."""

    pixels: Image
    lines: tuple[tuple[str, BBox], ...]


def scans() -> Iterator[Scan]:
    """One page for each noise and type, always the same."""
    rng = random.Random(7)
    for noise in NOISE:
        for font, size in TYPE:
            yield _scan(noise, font, size, rng)


def _scan(noise: int, font: str, size: float, rng: random.Random) -> Scan:
    page = pymupdf.open().new_page(width=595, height=842)
    words = " ".join(WORDS).split()
    lines = []
    for row in range(SAMPLE_LINES):
        text = " ".join(rng.choice(words) for _ in range(9))
        y = 80 + 100 * row
        page.insert_text((72, y), text, fontsize=size, fontname=font)
        width = pymupdf.get_text_length(text, font, size)
        box = BBox(70, y - size, 74 + width, y + 0.4 * size).scaled(DPI / 72)
        lines.append((text, box))
    pixmap = page.get_pixmap(dpi=DPI)
    image = PillowImage.frombytes("RGB", (pixmap.width, pixmap.height), pixmap.samples)
    return Scan(_worn(image, noise), tuple(lines))


def _worn(image: PillowImage.Image, noise: int) -> Image:
    """The page as a worse and worse scanner sees it: blurred, grainy, compressed."""
    if not noise:
        return np.asarray(image)
    blurred = np.asarray(image.filter(ImageFilter.GaussianBlur(0.6 * noise)), dtype=np.float64)
    grain = np.random.default_rng(1).normal(0, 8 * noise, blurred.shape)
    worn = PillowImage.fromarray((blurred + grain).clip(0, 255).astype(np.uint8))
    file = io.BytesIO()
    worn.save(file, "JPEG", quality=80 - 20 * noise)
    return np.asarray(PillowImage.open(file).convert("RGB"))


def _misread(text: str, rate: float, rng: random.Random) -> str:
    return "".join(
        MISREAD.get(letter, "x") if letter != " " and rng.random() < rate else letter
        for letter in text
    )


def _line(text: str) -> PageLine:
    box = BBox(0, 0, 100, 10)
    return PageLine(box, tuple(Word(box, word) for word in text.split()), TextSource.TEXT_LAYER)


def measure() -> list[Sequence[str]]:
    """For each rate of wrong letters: the differences of all pages, and how many are dropped."""
    reader = predictor(load_settings(), Task.TEXT)
    rng = random.Random(11)
    found: dict[float, list[float]] = {rate: [] for rate in RATES}
    unsure = 0
    for scan in scans():
        boxes = [tuple(int(edge) for edge in box) for _, box in scan.lines]
        crops = [scan.pixels[y0:y1, x0:x1] for x0, y0, x1, y1 in boxes]
        read = [reader.predict([crop])[0] for crop in crops]
        for rate in RATES:
            lines = [_line(_misread(text, rate, rng)) for text, _ in scan.lines]
            errors = differences(lines, read)
            if errors:
                found[rate].append(median(errors))
        unsure += not errors
    print(f"{unsure} of {len(NOISE) * len(TYPE)} scans are not read with certainty\n")
    return [
        [
            f"{rate:.2f}",
            f"{min(all_of):.3f}",
            f"{median(all_of):.3f}",
            f"{max(all_of):.3f}",
            f"{sum(error > MAX_ERROR for error in all_of)} of {len(all_of)}",
        ]
        for rate, all_of in found.items()
    ]


if __name__ == "__main__":
    header = ["wrong letters", "least difference", "median", "most", "dropped"]
    print(markdown_table(header, measure()))
