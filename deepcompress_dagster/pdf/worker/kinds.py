"""What a file is by its content, and MuPDF's document of it.

PDF, XPS, EPUB and CBZ, and the images PNG, JPEG, TIFF (a page for each image in it) and WebP. The
page of an image is as large as its resolution says, 96 dots per inch where it says none.

Not here: what a PDF in particular has to be asked (document.py).
"""

import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from PIL import Image, ImageOps, ImageSequence

from deepcompress_dagster.document_names import conversion
from deepcompress_dagster.pdf.errors import Damaged, NotAPdf
from deepcompress_dagster.pdf.worker.mupdf import pymupdf

PDF = "pdf"

EPUB_WIDTH, EPUB_HEIGHT = 595, 842
EPUB_FONT_SIZE = 11
"""Points. An e-book has no pages of its own, so it is set on A4 in 11 point, as the layout models
know pages: a book of 120 chapters and 270,000 words takes 480 pages, 960 on MuPDF's own 400 x 600,
and each page costs the models the same."""

_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_OFFICE_FOLDERS = ("word/", "xl/", "ppt/")
_OFFICE_TYPES = "application/vnd.oasis.opendocument"
_IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".gif", ".bmp"})

_IMAGES: Sequence[tuple[bytes, str, str]] = (
    (b"\x89PNG", "png", "a PNG image"),
    (b"\xff\xd8\xff", "jpeg", "a JPEG image"),
    (b"II*\x00", "tiff", "a TIFF image"),
    (b"MM\x00*", "tiff", "a TIFF image"),
)

_SIGNATURES: Sequence[tuple[bytes, str]] = (
    (b"GIF8", "a GIF image"),
    (b"BM", "a bitmap image"),
    (_ZIP, "a ZIP archive or an Office document"),
    (b"%!PS", "a PostScript file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a RAR archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"AT&TFORM", "a DjVu document"),
)


def open_as_what_it_is(path: Path, head: bytes) -> Any:
    """MuPDF's document of a file that begins with ``head``.

    Raises NotAPdf for what is none of these kinds, Damaged for a PDF without objects.
    """
    if b"%PDF-" in head:
        return _opened_pdf(path)
    kind, what = _kind(path, head)
    try:
        if kind == "webp":
            return pymupdf.open(stream=_as_tiff(path), filetype="tiff")
        document = pymupdf.open(path, filetype=kind)
        if document.is_reflowable:
            document.layout(width=EPUB_WIDTH, height=EPUB_HEIGHT, fontsize=EPUB_FONT_SIZE)
        if document.page_count <= 1:
            document.load_page(0)  # only now does MuPDF look into an image
        return document
    except (pymupdf.FileDataError, pymupdf.mupdf.FzErrorBase, OSError, ValueError) as error:
        raise _unreadable(path, what) from error


def _unreadable(path: Path, what: str) -> NotAPdf:
    return NotAPdf(
        f"{path.name} is not a PDF: it looks like {what}, and cannot be read as that; get a"
        " complete copy or remove it"
    )


def _opened_pdf(path: Path) -> Any:
    try:
        return pymupdf.open(path, filetype=PDF)
    except pymupdf.FileDataError as error:
        raise Damaged(
            f"{path.name} is damaged and cannot be repaired: it holds no PDF objects that can be"
            " read; get a complete copy"
        ) from error


def _kind(path: Path, head: bytes) -> tuple[str, str]:
    """MuPDF's name of the kind, and how it is called. Raises NotAPdf for any other."""
    for signature, kind, what in _IMAGES:
        if head.startswith(signature):
            return kind, what
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp", "a WebP image"
    if head.startswith(_ZIP):
        return _packed_kind(path)
    if head.startswith((_OLE, b"{\\rtf")):
        raise _office(path)
    raise NotAPdf(
        f"{path.name} is not a PDF: it looks like {_looks_like(head)}; convert it or remove it"
    )


def _packed_kind(path: Path) -> tuple[str, str]:
    """The kind of a ZIP archive, by the names of the files in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
            said = (
                archive.read("mimetype")[:100].decode("ascii", "replace")
                if ("mimetype" in names)
                else ""
            )
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise _plain_archive(path) from error
    if said.startswith("application/epub+zip"):
        return "epub", "an e-book (EPUB)"
    if any(name.lower().endswith(".fdseq") for name in names):
        return "xps", "an XPS document"
    if said.startswith(_OFFICE_TYPES) or any(name.startswith(_OFFICE_FOLDERS) for name in names):
        raise _office(path)
    if _are_pictures(names):
        return "cbz", "a comic book archive (CBZ)"
    raise _plain_archive(path)


def _are_pictures(names: Iterable[str]) -> bool:
    """Whether the files of an archive are the pages of a book, and next to nothing else."""
    suffixes = [PurePosixPath(name).suffix.lower() for name in names]
    pictures = sum(suffix in _IMAGE_SUFFIXES for suffix in suffixes)
    return pictures > 0 and 2 * pictures > len(suffixes)


def _office(path: Path) -> NotAPdf:
    return NotAPdf(
        f"{path.name} is not a PDF: it looks like an Office document; turn it into one,"
        f" {conversion(path.name)}"
    )


def _plain_archive(path: Path) -> NotAPdf:
    return NotAPdf(
        f"{path.name} is not a PDF: it looks like a ZIP archive or an Office document; unpack or"
        " convert it, or remove it"
    )


def _looks_like(head: bytes) -> str:
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    start = head.lstrip()[:15].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "an HTML page"
    if start.startswith(b"<?xml"):
        return "an XML file"
    return "plain text" if _is_text(head) else "something unknown"


def _is_text(head: bytes) -> bool:
    if b"\0" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3  # a character cut in two at the end
    return True


def _as_tiff(path: Path) -> bytes:
    """The pictures of an image that MuPDF does not read as one that it does, without loss.

    Raises OSError or ValueError where it is damaged.
    """
    with Image.open(path) as image:
        dpi = image.info.get("dpi", (96, 96))
        first, *others = [
            ImageOps.exif_transpose(frame.convert("RGBA" if "A" in frame.mode else "RGB"))
            for frame in ImageSequence.Iterator(image)
        ]
    target = io.BytesIO()
    first.save(target, "TIFF", save_all=True, append_images=others, dpi=dpi)
    return target.getvalue()
