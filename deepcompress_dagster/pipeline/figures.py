"""Figures: the crop on disk, and what kind of figure it is.

The kind is judged by what can be explained: a chart has an axis of numbers, or percentages that
make up a whole; a diagram is drawn, and labelled with words; a photograph has soft changes of
colour nearly everywhere. Everything else is ``unknown``.

The thresholds are from 149 figures of 68 documents, labelled by eye: 74 charts, 19 diagrams, 11
photographs and 45 others (logos, clip art, screenshots, forms). Wrongly named are two: a drawing
that explains a chart, and a graphical abstract with charts in it. Of 76 tables taken for pictures
three are called charts. Left ``unknown`` are 10 charts (without numbers, or with unread ones), 3
diagrams (images, mostly) and 5 photographs (strips of less than half an inch). ``python -m
benchmarks.models CORPUS figures`` prints the table.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image as PillowImage

from deepcompress_dagster.models.predictor import FigureContent, Image
from deepcompress_dagster.pipeline.chart_axes import Chart
from deepcompress_dagster.pipeline.charts import chart_data
from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.numbers import plain_number
from deepcompress_dagster.records import BBox, FigureKind, Word

AxisTick: TypeAlias = tuple[float, float]
"""Place along the axis, points, and value."""

GEOMETRY = "geometry"
"""``model`` of figures that no model looked at."""

MIN_SIDE = 36.0
"""Points. Of smaller figures nothing is said: they are icons, logos and strips."""

SOFT, HARD = 24, 48
"""Neighbouring pixels (of 255) that differ by less than the first are a soft change, by the second
and more an edge; the second is what the assessment of the text layer calls ink."""

PHOTO_SOFT, GRAIN = 0.4, 0.8
"""Photographs have soft changes at .42 to .76 of their pixels; charts and diagrams at most at .25,
screenshots and blurred logos at up to .62. More is the grain of a scan, whatever it shows."""

PHOTO_EDGES = 0.07
"""Edges for each soft change: at most .06 in photographs, .08 and more in screenshots, logos and
covers. Photographs of foliage have more and stay unknown."""

PHOTO_COMMONEST = 0.45
"""Share of the commonest colour: at most .41 in photographs; paper has more."""

PHOTO_TEXT = 0.1
"""Share of text in a photograph, at most .07; banners and screenshots have .2 to .3."""

CERTAIN = 0.8
"""Confidence from which a line is text; photographs are misread with .5 to .75."""

MIN_TICKS = 4
"""Neighbouring numbers of a row or column from which they are an axis; three where there are no
others. Two charts may stand on each other."""

TICK_SLACK = 0.1
"""How far a step between two numbers of an axis may be off, as a share of a step."""

MIN_PARTS = 3
"""Percentages of a pie."""

PERCENT_SLACK = 3.0
"""How far the parts of a pie may be from 100 % in all."""

CHART_TEXT = 0.25
"""Share of text in a chart: at most .2; tables and listings that are images have more."""

DRAWN_PATHS = 8
"""Vector paths from which a figure counts as drawn; diagrams have 12 to 168."""

DIAGRAM_LABELS = 5
"""Lines of words in a diagram, at least; drawings with fewer are clip art and logos."""

DIAGRAM_NUMBERS = 0.15
"""Share of numbers among the words of a diagram, at most; charts without an axis have more."""

DIAGRAM_TEXT = 0.35
"""Share of text in a diagram, at most; forms have more."""


@dataclass(frozen=True)
class FigureJob:
    """One figure to save and to classify.

    ``bbox`` and the ``lines`` of text inside it are in upright points; ``vector_paths`` are those
    inside it. ``chart`` is what is drawn and written there, None on a turned page.
    """

    crop: Image
    path: Path
    quality: int
    bbox: BBox
    lines: tuple[PageLine, ...]
    vector_paths: int
    chart: Chart | None = None

    @property
    def words(self) -> list[Word]:
        return [word for line in self.lines for word in line.words]

    @property
    def text_share(self) -> float:
        """Share of the figure that lines cover, 0 to 1; doubtful ones may be no text at all."""
        certain = [line for line in self.lines if line.confidence >= CERTAIN]
        covered = sum(line.bbox.intersection(self.bbox) for line in certain)
        return min(1.0, covered / max(1.0, self.bbox.area))


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
    """The kind by numbers, words, paths and colours; ``unknown`` without certainty.

    The numbers of a chart are read from its drawing, where that can be done with certainty.
    """
    kind = _kind(job)
    is_chart = kind is FigureKind.CHART
    return FigureContent(kind, chart_data(job.chart) if is_chart and job.chart else None)


def _kind(job: FigureJob) -> FigureKind:
    if min(job.bbox.width, job.bbox.height) < MIN_SIDE:
        return FigureKind.UNKNOWN
    if job.text_share <= CHART_TEXT and (_has_axis(job.words) or _is_a_whole(job.words)):
        return FigureKind.CHART
    if _is_photo(job):
        return FigureKind.PHOTO
    return FigureKind.DIAGRAM if _is_diagram(job) else FigureKind.UNKNOWN


def _is_photo(job: FigureJob) -> bool:
    soft, edges = _changes(job.crop)
    return (
        PHOTO_SOFT <= soft <= GRAIN
        and edges <= PHOTO_EDGES * soft
        and _commonest(job.crop) <= PHOTO_COMMONEST
        and job.text_share <= PHOTO_TEXT
    )


def _is_diagram(job: FigureJob) -> bool:
    labels = sum(any(letter.isalpha() for letter in line.text) for line in job.lines)
    numbers = sum(plain_number(word.text) is not None for word in job.words)
    return (
        job.vector_paths >= DRAWN_PATHS
        and labels >= DIAGRAM_LABELS
        and numbers <= DIAGRAM_NUMBERS * len(job.words)
        and job.text_share <= DIAGRAM_TEXT
    )


def _changes(image: Image) -> tuple[float, float]:
    """Share of the pixels that differ softly, and hard, from the one to their left."""
    green = image[:, :, 1].astype(np.int16)
    steps = np.abs(np.diff(green, axis=1))
    return float(((steps > 0) & (steps < SOFT)).mean()), float((steps >= HARD).mean())


def _commonest(image: Image) -> float:
    """Share of the commonest of the 16 x 16 x 16 coarse colours."""
    coarse = (image[::2, ::2] >> 4).astype(np.uint16).reshape(-1, 3)
    codes = (coarse[:, 0] << 8) | (coarse[:, 1] << 4) | coarse[:, 2]
    return float(np.bincount(codes).max() / codes.size)


def _has_axis(words: Sequence[Word]) -> bool:
    """Whether some row or column of numbers grows in step with its place, as an axis does."""
    numbers = [
        (word.bbox, value) for word in words if (value := plain_number(word.text)) is not None
    ]
    return any(_is_scale(sorted(set(ticks))) for ticks in _rows_and_columns(numbers))


def _rows_and_columns(numbers: Sequence[tuple[BBox, float]]) -> Iterator[list[AxisTick]]:
    """For each number those in its row and those in its column."""
    for box, _ in numbers:
        slack = 0.5 * box.height
        yield [(b.center[0], v) for b, v in numbers if abs(b.y1 - box.y1) <= slack]
        yield [(b.center[1], v) for b, v in numbers if abs(b.x0 - box.x0) <= slack]
        yield [(b.center[1], v) for b, v in numbers if abs(b.x1 - box.x1) <= slack]


def _is_scale(ticks: Sequence[AxisTick]) -> bool:
    """Whether enough neighbours among ``ticks`` lie on one line that rises or falls."""
    needed = min(MIN_TICKS, max(MIN_TICKS - 1, len(ticks)))
    runs = (ticks[start : start + needed] for start in range(len(ticks) - needed + 1))
    return any(_on_a_line(run) for run in runs)


def _on_a_line(ticks: Sequence[AxisTick]) -> bool:
    """Whether the value goes by the place: each step is as steep as all of them."""
    places, values = np.diff(np.array(ticks), axis=0).T
    if values.sum() == 0 or places.min() <= 0:
        return False
    steepness = values / places * (places.sum() / values.sum())
    return bool(np.abs(steepness - 1).max() <= TICK_SLACK)


def _is_a_whole(words: Sequence[Word]) -> bool:
    """Whether the percentages make up 100, as those of a pie do."""
    parts = [plain_number(word.text) or 0.0 for word in words if word.text.endswith("%")]
    return len(parts) >= MIN_PARTS and abs(sum(parts) - 100) <= PERCENT_SLACK
