"""What the parent asks of workers and what they report: plain records, no PyMuPDF.

Coordinates are points of the page as displayed, see records.py.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from deepcompress_dagster.records import BBox, OutlineEntry, TableCell, Word


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """What opening a document tells about it."""

    page_count: int
    sizes: tuple[tuple[float, float], ...]
    """Width and height of each page in points, as displayed; (0, 0) where a page is unreadable."""
    title: str | None = None
    author: str | None = None
    producer: str | None = None
    outline: tuple[OutlineEntry, ...] = ()
    repaired: bool = False
    """The file was damaged; what could be recovered was, and ``notes`` says so."""
    truncated: bool = False
    """The damage is that the end of the file is missing."""
    notes: tuple[str, ...] = ()
    """What did not go as it should without costing the document."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """A straight stroke or thin filled rectangle along an axis, in points."""

    bbox: BBox
    horizontal: bool


@dataclass(frozen=True, slots=True)
class Drawing:
    """One vector path: its box in points, how many segments of each kind, and how it is painted."""

    bbox: BBox
    n_lines: int
    n_curves: int
    n_rects: int
    filled: bool
    stroked: bool


@dataclass(frozen=True, slots=True)
class DrawingStats:
    """Sums over the vector paths of a region, and their boxes."""

    n_lines: int
    n_curves: int
    n_rects: int
    n_fills: int
    n_strokes: int
    boxes: tuple[BBox, ...]


def drawing_stats(drawings: Sequence[Drawing], region: BBox) -> DrawingStats:
    """Statistics of the drawings whose centre lies in ``region`` (points)."""
    inside = [drawing for drawing in drawings if region.contains_point(*drawing.bbox.center)]
    return DrawingStats(
        n_lines=sum(drawing.n_lines for drawing in inside),
        n_curves=sum(drawing.n_curves for drawing in inside),
        n_rects=sum(drawing.n_rects for drawing in inside),
        n_fills=sum(drawing.filled for drawing in inside),
        n_strokes=sum(drawing.stroked for drawing in inside),
        boxes=tuple(drawing.bbox for drawing in inside),
    )


@dataclass(frozen=True, slots=True)
class PageImage:
    """Where a page's image goes: written to ``temporary``, then moved to ``path``."""

    path: Path
    temporary: Path
    quality: int
    """JPEG quality, 10 to 100."""


@dataclass(frozen=True, slots=True)
class RenderRequest:
    """What to render and where to put it."""

    page_number: int
    dpi: float
    max_pixels: int
    buffer: Path | None
    """Receives the pixels: RGB, one byte a channel, row by row, no padding. None: nobody asks."""
    image: PageImage | None = None


@dataclass(frozen=True, slots=True)
class PageContent:
    """Everything about one rendered page except its pixels."""

    page_number: int
    width: float
    """Points, as displayed."""
    height: float
    rotation: int
    """Degrees clockwise by which the page is turned for display: 0, 90, 180 or 270."""
    dpi: float
    """Resolution used: pixels = points * dpi / 72. Lower than asked where the page is too large."""
    pixel_width: int
    pixel_height: int
    words: tuple[Word, ...] = ()
    hidden_text_share: float = 0.0
    """Share of the characters that are drawn invisibly; near 1 for the OCR layer of a scan."""
    rulings: tuple[Ruling, ...] = ()
    images: tuple[BBox, ...] = ()
    """Boxes of raster images, clipped to the page."""
    drawings: tuple[Drawing, ...] = ()
    notes: tuple[str, ...] = ()
    """What was cut short or left out, and why."""

    def __reduce__(self) -> tuple[Callable[..., "PageContent"], tuple[dict[str, Any]]]:
        # Pickling 1,000 Word objects takes 7.5 ms on either side, their rows 0.3 and 1.6 ms.
        state = {item.name: getattr(self, item.name) for item in fields(self)}
        state["words"] = [_word_row(word) for word in self.words]
        state["rulings"] = [(tuple(item.bbox), item.horizontal) for item in self.rulings]
        state["drawings"] = [_drawing_row(drawing) for drawing in self.drawings]
        return _page_content, (state,)


def _word_row(word: Word) -> tuple[Any, ...]:
    return (
        *word.bbox,
        word.text,
        word.font_size,
        word.bold,
        word.italic,
        word.block,
        word.line,
        word.monospace,
        word.font,
        word.color,
    )


def _drawing_row(drawing: Drawing) -> tuple[Any, ...]:
    return (
        *drawing.bbox,
        drawing.n_lines,
        drawing.n_curves,
        drawing.n_rects,
        drawing.filled,
        drawing.stroked,
    )


def _page_content(state: dict[str, Any]) -> PageContent:
    state["words"] = tuple(Word(BBox(*row[:4]), *row[4:]) for row in state["words"])
    state["rulings"] = tuple(Ruling(BBox(*box), flag) for box, flag in state["rulings"])
    state["drawings"] = tuple(Drawing(BBox(*row[:4]), *row[4:]) for row in state["drawings"])
    return PageContent(**state)


@dataclass(frozen=True, slots=True)
class FoundTable:
    """A table that PyMuPDF's table finder sees in a box; cells carry text and boxes in points."""

    n_rows: int
    n_columns: int
    cells: tuple[TableCell, ...]
    bbox: BBox
    confidence: float
    """0 to 1, see worker/table_finder.py."""
