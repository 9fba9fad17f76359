"""Tables that PyMuPDF's table finder sees in given boxes of a page, inside a worker.

Three ways to look, from the surest to the boldest: cells closed by lines; rows between lines and
columns from the alignment of text; rows and columns from text alone. The reading with the highest
confidence wins, and the text of a cell comes from the page's words, not from the finder.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from deepcompress_dagster.pdf.cell_grid import build_table
from deepcompress_dagster.pdf.errors import PageFailed
from deepcompress_dagster.pdf.messages import FoundTable
from deepcompress_dagster.pdf.worker.document import load_page
from deepcompress_dagster.pdf.worker.drawings import page_drawings
from deepcompress_dagster.pdf.worker.mupdf import pymupdf, reading
from deepcompress_dagster.pdf.worker.words import page_words
from deepcompress_dagster.records import BBox, Word

MARGIN = 4.0
"""Points added around a box: its outer rules lie on its edge or just outside."""

SURE = 0.95
"""Confidence at which no other way is tried."""


class _Way(NamedTuple):
    options: dict[str, Any]
    trust: float
    ruled: bool = False


_WAYS = (
    _Way({"strategy": "lines_strict"}, 1.0, ruled=True),
    _Way(
        {"vertical_strategy": "text", "horizontal_strategy": "lines", "refine": True},
        0.95,
    ),
    _Way({"strategy": "text"}, 0.85),
)


def find_tables(document: Any, page_number: int, boxes: Sequence[BBox]) -> list[FoundTable | None]:
    """The table in each box (points as displayed), or None where the finder sees none.

    A page with more drawings than ``page_drawings`` takes gives None for each box: the finder's
    time grows with the square of their number. Raises PageFailed or OutOfMemory.
    """
    page = load_page(document, page_number)
    with reading(f"page {page_number} cannot be searched for tables", PageFailed):
        if not page_drawings(page).is_complete:
            return [None] * len(boxes)
        words = page_words(page.get_displaylist()).words
        searched = _Searched(document, page.number)
        if page.rotation:
            searched = _turned_copy(searched)
        return [_best_table(searched, box, words) for box in boxes]


class _Searched(NamedTuple):
    """The page to search; loaded anew for every search, as the finder may leave a stale one."""

    document: Any
    position: int

    def load(self) -> Any:
        return self.document.load_page(self.position)


def _turned_copy(original: _Searched) -> _Searched:
    """A copy of a turned page, cropped for good.

    The finder rewrites the boxes and content of such a page, and loses its crop box.
    """
    copy = pymupdf.open()
    copy.insert_pdf(original.document, from_page=original.position, to_page=original.position)
    xref = copy[0].xref
    kind, crop_box = copy.xref_get_key(xref, "CropBox")
    if kind == "array":
        copy.xref_set_key(xref, "MediaBox", crop_box)
        copy.xref_set_key(xref, "CropBox", "null")
    return _Searched(copy, 0)


def _best_table(searched: _Searched, box: BBox, words: Sequence[Word]) -> FoundTable | None:
    inside = [word for word in words if box.contains_point(*word.bbox.center)]
    best: FoundTable | None = None
    for way in _WAYS:
        for cells in _found(searched, box.expanded(MARGIN), way.options):
            table = build_table(cells, inside, trust=way.trust, ruled=way.ruled)
            if table and (best is None or table.confidence > best.confidence):
                best = table
        if best and best.confidence >= SURE:
            break
    return best if best and best.confidence > 0 else None


def _found(searched: _Searched, clip: BBox, options: dict[str, Any]) -> list[list[BBox]]:
    """Cells of each table that the finder sees in ``clip``; it fails on some pages, then none."""
    try:
        with reading("the table finder failed", PageFailed):
            page = searched.load()
            finder = page.find_tables(clip=tuple(clip), use_layout=False, **options)
            tables = finder.tables if finder else []
            return [[BBox(*cell[:4]) for cell in table.cells if cell] for table in tables]
    except PageFailed:
        return []
