"""The records that flow from a PDF to its rows: frozen dataclasses without behaviour of their own.

Coordinates are PDF points unless a name says pixels: origin at the top-left corner of the page as
displayed (rotation applied), x to the right, y down. Pages count from 1. Scores are rounded to 4
digits and coordinates to 0.01 pt before anything is compared or ordered. ``reading_order`` ascends
on a page: whole numbers for the regions of ``layouts``, fractions for text that OCR found between
them. Image paths are relative to the data folder.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple


class Label(StrEnum):
    """The eleven region classes of DocLayNet (Pfitzmann et al., 2022), and three of our own.

    No layout model here gives ``document_index`` (a table of contents, as docling calls it),
    ``watermark`` and ``line_numbers``: the text layer shows them.
    """

    CAPTION = "caption"
    DOCUMENT_INDEX = "document_index"
    FOOTNOTE = "footnote"
    FORMULA = "formula"
    LINE_NUMBERS = "line_numbers"
    LIST_ITEM = "list_item"
    PAGE_FOOTER = "page_footer"
    PAGE_HEADER = "page_header"
    PICTURE = "picture"
    SECTION_HEADER = "section_header"
    TABLE = "table"
    TEXT = "text"
    TITLE = "title"
    WATERMARK = "watermark"


FURNITURE = (Label.PAGE_HEADER, Label.PAGE_FOOTER, Label.WATERMARK, Label.LINE_NUMBERS)
"""Labels of what stands on a page and is no part of the text that runs over it."""


TRUNCATED = "truncated"
"""``error_type`` of a file that ends too early; its document is partial, whatever was recovered."""


WORDS_LEFT_OUT = "words_left_out"
"""``error_type`` of a page with more words than are kept: what stands behind them is lost."""

SCRIPT_UNREAD = "script_unread"
"""``error_type`` of a scanned page with lines in a script that nothing installed here reads."""

DRAWINGS_LEFT_OUT = "drawings_left_out"
"""``error_type`` of a page with more vector paths than are looked at."""

PART_UNREADABLE = "part_unreadable"
"""``error_type`` of a page whose text layer or drawings are broken; its pixels are read instead."""

OVERLAY_LEFT_OUT = "overlay_left_out"
"""``error_type`` of a page with more form fields, annotations or links than are kept."""

DYNAMIC_FORM = "dynamic_form"
"""``error_type`` of a form that a viewer builds from XFA; what it shows is not in the pages."""

PORTFOLIO = "portfolio"
"""``error_type`` of a PDF that is a cover for the files in it, some of which were not read."""

INCOMPLETE = (TRUNCATED, DYNAMIC_FORM, PORTFOLIO)
"""Types of errors of a whole document that leave it partial, whatever its pages gave."""

HARMLESS = (DRAWINGS_LEFT_OUT, PART_UNREADABLE)
"""Types of errors that cost no content: a page that has no others is complete."""


class TextSource(StrEnum):
    """Where the words of a text block were read."""

    TEXT_LAYER = "text_layer"
    OCR = "ocr"


class FigureKind(StrEnum):
    """What a figure shows, as far as that can be told."""

    UNKNOWN = "unknown"
    CHART = "chart"
    PHOTO = "photo"
    DIAGRAM = "diagram"


class PageStatus(StrEnum):
    """Outcome of one page; ``failed`` means that it could not be rendered."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"


class DocumentStatus(StrEnum):
    """Outcome of one document; ``registered`` means seen and not parsed yet."""

    REGISTERED = "registered"
    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"


class BBox(NamedTuple):
    """An axis-aligned box, ``x0 <= x1`` and ``y0 <= y1``, in the unit that its owner states."""

    x0: float
    y0: float
    x1: float
    y1: float

    @property
    def width(self) -> float:
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        return max(0.0, self.width) * max(0.0, self.height)

    @property
    def center(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def rounded(self, digits: int = 2) -> "BBox":
        return BBox(*(round(value, digits) for value in self))

    def scaled(self, factor: float) -> "BBox":
        return BBox(*(value * factor for value in self))

    def shifted(self, dx: float, dy: float) -> "BBox":
        return BBox(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)

    def expanded(self, margin: float) -> "BBox":
        return BBox(self.x0 - margin, self.y0 - margin, self.x1 + margin, self.y1 + margin)

    def clipped(self, width: float, height: float) -> "BBox":
        """The part inside ``(0, 0, width, height)``; a box outside collapses onto its edge."""
        x0, x1 = (min(max(x, 0.0), width) for x in (self.x0, self.x1))
        y0, y1 = (min(max(y, 0.0), height) for y in (self.y0, self.y1))
        return BBox(x0, y0, x1, y1)

    def contains_point(self, x: float, y: float) -> bool:
        return self.x0 <= x <= self.x1 and self.y0 <= y <= self.y1

    def intersection(self, other: "BBox") -> float:
        """Area that both boxes cover."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        return max(0.0, width) * max(0.0, height)

    def coverage(self, other: "BBox") -> float:
        """Share of this box that ``other`` covers, 0 for an empty box."""
        return self.intersection(other) / self.area if self.area > 0 else 0.0


def union(boxes: Iterable[BBox]) -> BBox:
    """The smallest box around all of ``boxes``. Raises ValueError when there are none."""
    x0s, y0s, x1s, y1s = zip(*boxes, strict=True)
    return BBox(min(x0s), min(y0s), max(x1s), max(y1s))


def region_id(page_number: int, bbox: BBox) -> str:
    """Identity of a region: a hash of its page and box rounded to whole points.

    It survives a re-run that finds the same region.
    """
    key = f"{page_number}:" + ",".join(f"{value:.0f}" for value in bbox)
    return hashlib.sha256(key.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class TextStyle:
    """How text of the text layer is set: its font's name, points, weight, slant, sRGB colour."""

    font: str
    size: float
    bold: bool
    italic: bool
    monospace: bool
    color: int


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a page's text layer, in reading order of the PDF's own lines.

    ``font`` is the name that the PDF gives it, ``color`` its sRGB value, 0xRRGGBB; ``font_size`` is
    in points, 0 where it is unknown; ``block`` and ``line`` are the PDF's own, or as it shows.
    """

    bbox: BBox
    text: str
    font_size: float = 0.0
    bold: bool = False
    italic: bool = False
    block: int = 0
    line: int = 0
    monospace: bool = False
    font: str = ""
    color: int = 0
    rise: int = 0
    """1 for a superscript, -1 for a subscript, 0 on the baseline."""
    spaced: bool = True
    """Whether a blank stands between it and the word before it."""
    vertical: bool = False
    """Whether it is a column of upright characters, read from top to bottom."""

    @property
    def style(self) -> TextStyle:
        return TextStyle(
            self.font, self.font_size, self.bold, self.italic, self.monospace, self.color
        )


@dataclass(frozen=True, slots=True)
class FormField:
    """One box of a form: a field that appears in several boxes has one for each.

    ``kind`` is text, checkbox, radio, choice, button, signature or unknown. ``checked`` is None
    but for a checkbox or radio button, whose ``value`` is what being ticked stands for. ``label``
    is the field's own caption, else the words beside it.
    """

    name: str
    kind: str
    value: str | None
    checked: bool | None
    label: str | None
    bbox: BBox


@dataclass(frozen=True, slots=True)
class Annotation:
    """A note, mark, stamp or the like: ``kind`` is PDF's name for it in lower case.

    ``text`` is what it says, ``marked_text`` the words that it marks.
    """

    kind: str
    text: str | None
    marked_text: str | None
    author: str | None
    bbox: BBox


@dataclass(frozen=True, slots=True)
class Link:
    """A place that leads elsewhere: ``kind`` is uri, page or file, ``text`` what stands there."""

    kind: str
    target: str | None
    target_page: int | None
    text: str | None
    bbox: BBox


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file inside the PDF; ``bytes`` and ``sha256`` are None where it could not be read."""

    name: str
    bytes: int | None
    sha256: str | None
    is_pdf: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One rendered page. Width and height in points as displayed; rotation in degrees clockwise.

    ``label`` is the page's number as the document itself counts (``iv``).

    ``hidden_text_share`` of the text layer's characters are drawn invisibly.
    """

    page_number: int
    width: float
    height: float
    rotation: int
    dpi: float
    pixel_width: int
    pixel_height: int
    image_path: str | None
    has_text_layer: bool
    hidden_text_share: float = 0.0
    label: str | None = None
    fields: tuple[FormField, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    links: tuple[Link, ...] = ()
    status: PageStatus = PageStatus.COMPLETE
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Region:
    """One region that a layout model found on a page."""

    page_number: int
    region_id: str
    label: Label
    bbox: BBox
    score: float
    reading_order: float
    model: str


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of text with its box and the reader's confidence (1.0 for the text layer).

    ``style`` is that of most of its characters; OCR tells none. ``reader`` tells which of its
    readers a text model read it with, where it has several.
    """

    bbox: BBox
    text: str
    confidence: float = 1.0
    style: TextStyle | None = None
    reader: str | None = None


@dataclass(frozen=True, slots=True)
class TextBlock:
    """The text of one region. ``font_size`` (points) and ``bold`` feed the document pass.

    The ``content`` of monospace text keeps its line breaks and blanks.
    """

    page_number: int
    region_id: str
    label: Label
    bbox: BBox
    reading_order: float
    heading_level: int | None
    content: str
    source: TextSource
    confidence: float
    lines: tuple[TextLine, ...]
    model: str
    font_size: float | None = None
    bold: bool = False
    monospace: bool = False


@dataclass(frozen=True, slots=True)
class TableCell:
    """One cell of a table; rows and columns count from 0, spans from 1."""

    row: int
    column: int
    row_span: int
    column_span: int
    is_header: bool
    text: str
    bbox: BBox | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """One table; ``cells``, ``html`` and ``markdown`` say the same."""

    page_number: int
    region_id: str
    bbox: BBox
    reading_order: float
    n_rows: int
    n_columns: int
    cells: tuple[TableCell, ...]
    html: str
    markdown: str
    caption: str | None
    confidence: float
    model: str


@dataclass(frozen=True, slots=True)
class ChartData:
    """The numbers behind a chart: column names, and rows of equal length.

    ``confidence`` is None where the model that read them tells none.
    No columns at all mean that a model's answer could not be read as a table; the one value of the
    one row is that answer.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure. ``data`` is None where there is no certainty."""

    page_number: int
    region_id: str
    bbox: BBox
    reading_order: float
    kind: FigureKind
    caption: str | None
    inner_text: str | None
    data: ChartData | None
    image_path: str | None
    model: str


@dataclass(frozen=True, slots=True)
class PageError:
    """One failure on record: what went wrong, where, and what to do. No page means the document."""

    document_id: str
    page_number: int | None
    stage: str
    error_type: str
    message: str
    attempts: int = 1

    @property
    def is_harmless(self) -> bool:
        """Whether it cost no content."""
        return self.error_type in HARMLESS


@dataclass(frozen=True, slots=True)
class StageTiming:
    """Seconds that one page took in one stage, its share of the microbatches it was part of."""

    page_number: int
    stage: str
    seconds: float
    batch_size: int
    device: str


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    """One entry of the PDF's own outline (bookmarks)."""

    level: int
    title: str
    page_number: int


@dataclass(frozen=True, slots=True)
class DocumentOpened:
    """A document's file opened: what its header says."""

    document_id: str
    page_count: int
    title: str | None = None
    author: str | None = None
    producer: str | None = None
    attachments: tuple[Attachment, ...] = ()


@dataclass(frozen=True, slots=True)
class PageResult:
    """All rows of one finished page; an asset that was not selected is None."""

    document_id: str
    page: Page
    layouts: tuple[Region, ...] | None = None
    text: tuple[TextBlock, ...] | None = None
    tables: tuple[Table, ...] | None = None
    figures: tuple[Figure, ...] | None = None
    errors: tuple[PageError, ...] = ()
    timings: tuple[StageTiming, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentResult:
    """A document is through: all its PageResults came before.

    ``fatal`` is set when the document could not be parsed at all; ``errors`` are failures of the
    document that cost no page (a damaged file that could be repaired).
    """

    document_id: str
    page_count: int
    fatal: PageError | None = None
    errors: tuple[PageError, ...] = ()
    outline: tuple[OutlineEntry, ...] = field(default=())


class Join(StrEnum):
    """How a block goes on from the block before it, over a column or page break."""

    SPACE = "space"
    HYPHEN = "hyphen"


@dataclass(frozen=True, slots=True)
class OutlineBlock:
    """What the document pass sees of a text block: its frame, fonts, first and last characters.

    ``style`` is that of most of its lines; OCR tells none.
    """

    page_number: int
    region_id: str
    label: Label
    bbox: BBox
    reading_order: float
    head: str
    tail: str
    font_size: float | None
    bold: bool
    page_width: float
    page_height: float
    monospace: bool = False
    n_lines: int = 1
    style: TextStyle | None = None


@dataclass(frozen=True, slots=True)
class BlockUpdate:
    """What the document pass says of a text block; ``join`` None starts a new paragraph."""

    page_number: int
    region_id: str
    label: Label
    heading_level: int | None
    join: Join | None
    monospace: bool
    content: str | None = None
    """The text, where the document's words tell more of its hyphens than the page's did."""


@dataclass(frozen=True, slots=True)
class BrokenText:
    """A text block with lines that end in a hyphen: its text as it was joined, and the lines."""

    page_number: int
    region_id: str
    content: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutlineColumn:
    """A column of a table: from where to where it reaches, and the share of figures in it."""

    x0: float
    x1: float
    values: float


@dataclass(frozen=True, slots=True)
class OutlineTable:
    """What the document pass sees of a table that begins or ends the text of its page.

    ``is_first``: nothing of the flow stands above it; ``is_last``: nothing stands below. ``head``
    are its first rows, at most four, ``tail`` is the last one; a spanning cell's text stands in its
    first column.
    """

    page_number: int
    region_id: str
    bbox: BBox
    page_height: float
    caption: str | None
    is_first: bool
    is_last: bool
    columns: tuple[OutlineColumn, ...]
    head: tuple[tuple[str, ...], ...]
    tail: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TableUpdate:
    """A table that continues another one; its first ``repeated_rows`` repeat that one's header."""

    page_number: int
    region_id: str
    continues: str
    repeated_rows: int


@dataclass(frozen=True, slots=True)
class DocumentTask:
    """One document to parse. ``pages`` None means all; ``finished_pages`` are not done again.

    ``image_dir`` is ``<data>/images/<document_id>``. ``passwords`` are tried in turn where the PDF
    asks for one. Messages call it by ``file_name``, the name that people know it by.
    """

    document_id: str
    path: Path
    image_dir: Path
    pages: tuple[int, ...] | None = None
    finished_pages: frozenset[int] = frozenset()
    passwords: tuple[str, ...] = field(default=(), repr=False)
    file_name: str = ""
