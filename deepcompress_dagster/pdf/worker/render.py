"""Rendering a page in the worker: pixels into a buffer, the image file, what is on the page.

How words come from lines is words.py's, drawings are drawings.py's.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from deepcompress_dagster.pdf.errors import NoRoom, PageFailed, PixelBufferFull
from deepcompress_dagster.pdf.messages import PageContent, PageImage, PageNote, RenderRequest
from deepcompress_dagster.pdf.worker.covered import covered_share
from deepcompress_dagster.pdf.worker.document import load_page
from deepcompress_dagster.pdf.worker.drawings import PageDrawings, page_drawings
from deepcompress_dagster.pdf.worker.drawn_marks import with_drawn_marks
from deepcompress_dagster.pdf.worker.font_maps import map_named_glyphs, map_symbol_fonts
from deepcompress_dagster.pdf.worker.interactive import Overlay, page_label, page_overlay
from deepcompress_dagster.pdf.worker.mupdf import pymupdf, reading
from deepcompress_dagster.pdf.worker.ruled_grids import ruled_grids
from deepcompress_dagster.pdf.worker.words import PageWords, page_words
from deepcompress_dagster.records import OVERLAY_LEFT_OUT, PART_UNREADABLE
from deepcompress_dagster.unicode_text import REPLACEMENT

MAX_SIDE = 65_000
"""Pixels. JPEG ends at 65,535 a side."""

MUPDF_PIXELS = 350_000_000
"""MuPDF refuses RGB images from 2^31 / 6 pixels on."""

SMOOTH = 8
"""Bits of anti-aliasing, MuPDF's default."""

LARGEST_SHEET = 1191
"""Points: the longer side of A3."""

T = TypeVar("T")


def effective_dpi(width: float, height: float, dpi: float, max_pixels: int) -> float:
    """``dpi``, or less where a page of this size (points) would exceed the pixel limits."""
    max_pixels = min(max_pixels, MUPDF_PIXELS)
    scale = dpi / 72
    area, side = width * height * scale * scale, max(width, height) * scale
    if area > max_pixels:
        scale *= math.sqrt(max_pixels / area)
        side = max(width, height) * scale
    if side > MAX_SIDE:
        scale *= MAX_SIDE / side
    return round(scale * 72, 4)


def render_page(document: Any, request: RenderRequest) -> PageContent:
    """Render one page of an opened document and report what is on it.

    Annotations and form fields are drawn as a viewer shows them. A text layer or drawings that
    cannot be read cost themselves, not the page: ``notes`` says so. Raises PageFailed, OutOfMemory
    or NoRoom.
    """
    page = load_page(document, request.page_number)
    label = f"page {request.page_number}"
    notes: list[PageNote] = []
    if document.is_pdf:
        _optional(lambda: map_symbol_fonts(document, page), None, "symbol fonts", notes)
    graphics = _optional(lambda: page_drawings(page), PageDrawings(), "drawings", notes)
    with reading(f"{label} cannot be rendered", PageFailed):
        display_list = page.get_displaylist()
        rect = page.rect
        wanted = request.dpi if document.is_pdf else min(request.dpi, _own_dpi(page))
        dpi = effective_dpi(rect.width, rect.height, wanted, request.max_pixels)
        pixmap = _pixmap(display_list, dpi, smooth=graphics.is_complete)
    if request.buffer is not None:
        _fill_buffer(request.buffer, pixmap.samples_mv)
    if request.image is not None:
        _write_image(pixmap, dpi, request.image)

    words = _optional(lambda: _words(document, page, display_list), PageWords(), "words", notes)
    overlay = _optional(
        lambda: page_overlay(page, words.words, with_authors=request.annotation_authors),
        Overlay(),
        "form fields and annotations",
        notes,
    )
    covered = 0.0
    if words.words and document.is_pdf:
        covered = _optional(lambda: covered_share(page), 0.0, "order of drawing", notes)
    own_number = _optional(lambda: page_label(page), None, "label", notes)
    notes += [note for note in (words.note, graphics.note) if note is not None]
    notes += [PageNote(OVERLAY_LEFT_OUT, reason) for reason in overlay.notes]
    return PageContent(
        page_number=request.page_number,
        width=round(rect.width, 2),
        height=round(rect.height, 2),
        rotation=page.rotation,
        dpi=dpi,
        pixel_width=pixmap.width,
        pixel_height=pixmap.height,
        words=tuple(with_drawn_marks(words.words, graphics)),
        hidden_text_share=max(words.hidden_share, covered),
        drawings=graphics.paths,
        rulings=tuple(ruling.bbox for ruling in graphics.rulings),
        ruled_grids=ruled_grids(graphics.rulings),
        label=own_number,
        fields=overlay.fields,
        annotations=overlay.annotations,
        links=overlay.links,
        notes=tuple(notes),
    )


def _own_dpi(page: Any) -> float:
    """The resolution of a picture that is a page larger than any sheet, as photos are that state
    none: to draw it larger than it is would show nothing more. Without limit for other pages."""
    side = max(page.rect.width, page.rect.height)
    pictures = page.get_image_info() if side > LARGEST_SHEET else ()
    sides = (max(picture["width"], picture["height"]) for picture in pictures)
    return max((72 * pixels / side for pixels in sides), default=math.inf)


def _words(document: Any, page: Any, display_list: Any) -> PageWords:
    """The page's words; read once more where fonts tell more by the names of their glyphs."""
    found = page_words(display_list)
    garbled = any(REPLACEMENT in word.text for word in found.words)
    if garbled and document.is_pdf and map_named_glyphs(document, page):
        return page_words(load_page(document, page.number + 1).get_displaylist())
    return found


def _optional(read: Callable[[], T], nothing: T, what: str, notes: list[PageNote]) -> T:
    """What ``read`` gives, or ``nothing`` and a note where the PDF is broken in that part."""
    try:
        with reading(f"the {what} of the page cannot be read", PageFailed):
            return read()
    except PageFailed as error:
        notes.append(PageNote(PART_UNREADABLE, str(error)))
        return nothing


def _pixmap(display_list: Any, dpi: float, *, smooth: bool) -> Any:
    """The page in RGB; drawings keep their jagged edges unless ``smooth``.

    60,000 long lines take 21 s with MuPDF's anti-aliasing and 0.7 s without.
    """
    mupdf = pymupdf.mupdf
    mupdf.fz_set_graphics_aa_level(SMOOTH if smooth else 0)
    try:
        matrix = pymupdf.Matrix(dpi / 72, dpi / 72)
        return display_list.get_pixmap(matrix=matrix, colorspace=pymupdf.csRGB, alpha=0)
    finally:
        mupdf.fz_set_graphics_aa_level(SMOOTH)


def _fill_buffer(buffer: Path, samples: memoryview) -> None:
    # Writing instead of mapping: a full disk is an error here and would be a SIGBUS there.
    try:
        with buffer.open("r+b", buffering=0) as file:
            written = 0
            while written < len(samples):
                written += file.write(samples[written:]) or 0
    except OSError as error:
        raise PixelBufferFull(
            f"no room for the pixels of a page in {buffer.parent}: {error}"
        ) from error


def _write_image(pixmap: Any, dpi: float, target: PageImage) -> None:
    # Pillow's JPEG encoder takes 6 to 8 ms a page, MuPDF's 50 to 90.
    size = (pixmap.width, pixmap.height)
    image = Image.frombuffer("RGB", size, pixmap.samples_mv, "raw", "RGB", 0, 1)
    resolution = max(1, round(dpi))
    try:
        target.path.parent.mkdir(parents=True, exist_ok=True)
        image.save(target.temporary, "JPEG", quality=target.quality, dpi=(resolution, resolution))
        target.temporary.replace(target.path)
    except OSError as error:
        raise NoRoom(f"the page image {target.path} cannot be written: {error}") from error
