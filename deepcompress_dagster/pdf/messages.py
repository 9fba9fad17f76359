"""What the parent asks of workers and what they report: plain records, no PyMuPDF.

Coordinates are points of the page as displayed, see records.py.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from deepcompress_dagster.records import (
    Annotation,
    Attachment,
    BBox,
    FormField,
    Link,
    OutlineEntry,
    TableCell,
    Word,
)


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
    attachments: tuple[Attachment, ...] = ()
    unread_attachments: tuple[str, ...] = ()
    """What is wrong with attachments that could not be read."""
    is_portfolio: bool = False
    """The pages are a cover for the attachments."""
    is_dynamic_form: bool = False
    """The form is built by a viewer from XFA; the pages that stand in the PDF are a stand-in."""
    notes: tuple[str, ...] = ()
    """What did not go as it should without costing the document."""


@dataclass(frozen=True, slots=True)
class PageNote:
    """What of a page was cut short or left out: an ``error_type`` of records.py, and why."""

    error_type: str
    message: str


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
    annotation_authors: bool = False
    """Whether annotations tell who made them."""


Point: TypeAlias = tuple[float, float]
"""Across and down, points as displayed."""


class Drawing(NamedTuple):
    """One vector path, in points as displayed. Colours are sRGB, 0xRRGGBB, None where unpainted."""

    bbox: BBox
    fill: int | None = None
    stroke: int | None = None
    rects: tuple[BBox, ...] = ()
    """Its rectangles along the axes."""
    lines: tuple[tuple[Point, ...], ...] = ()
    """Its chains of straight segments."""
    is_curved: bool = False


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
    drawings: tuple[Drawing, ...] = ()
    rulings: tuple[BBox, ...] = ()
    """Straight strokes and thin filled rectangles along an axis."""
    ruled_grids: tuple[tuple[BBox, ...], ...] = ()
    """The cells of each grid that rules close, see ruled_grids.py."""
    label: str | None = None
    """The page's number as the document itself counts."""
    fields: tuple[FormField, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    links: tuple[Link, ...] = ()
    notes: tuple[PageNote, ...] = ()

    def __reduce__(self) -> tuple[Callable[..., "PageContent"], tuple[dict[str, Any]]]:
        # Pickling 1,000 Word objects takes 7.5 ms on either side, their rows 0.3 and 1.6 ms.
        state = {item.name: getattr(self, item.name) for item in fields(self)}
        state["words"] = [_word_row(word) for word in self.words]
        state["ruled_grids"] = [[tuple(cell) for cell in grid] for grid in self.ruled_grids]
        state["drawings"] = [tuple(drawing) for drawing in self.drawings]
        state["rulings"] = [tuple(box) for box in self.rulings]
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
        word.rise,
        word.spaced,
        word.vertical,
    )


def _drawing(row: tuple[Any, ...]) -> Drawing:
    bbox, fill, stroke, rects, *rest = row
    return Drawing(BBox(*bbox), fill, stroke, tuple(BBox(*rect) for rect in rects), *rest)


def _page_content(state: dict[str, Any]) -> PageContent:
    state["words"] = tuple(Word(BBox(*row[:4]), *row[4:]) for row in state["words"])
    state["ruled_grids"] = tuple(
        tuple(BBox(*cell) for cell in grid) for grid in state["ruled_grids"]
    )
    state["drawings"] = tuple(_drawing(row) for row in state["drawings"])
    state["rulings"] = tuple(BBox(*row) for row in state["rulings"])
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
