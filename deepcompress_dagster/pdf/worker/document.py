"""Opening a document inside a worker: whether it can be read, and what its header says.

MuPDF runs no JavaScript unless it is switched on, which nothing here does, and follows no reference
to another file or address. What kinds of files there are is kinds.py's.

Not here: anything about a page, see render.py and words.py.
"""

from collections import OrderedDict
from pathlib import Path
from typing import Any

from deepcompress_dagster.pdf.errors import (
    Damaged,
    EmptyFile,
    Encrypted,
    FileVanished,
    NoPages,
    PageFailed,
    PdfError,
    TooManyPages,
    Unreadable,
)
from deepcompress_dagster.pdf.messages import DocumentInfo
from deepcompress_dagster.pdf.worker import attachments
from deepcompress_dagster.pdf.worker.kinds import open_as_what_it_is
from deepcompress_dagster.pdf.worker.mupdf import one_line, pymupdf, reading
from deepcompress_dagster.records import OutlineEntry
from deepcompress_dagster.unicode_text import normalised

HEADER_BYTES = attachments.HEADER_BYTES
"""Readers accept ``%PDF-`` anywhere in the first 1,024 bytes (Adobe's implementation notes)."""

TRAILER_BYTES = 4096
"""The end marker stands in the last of these bytes; some writers add padding behind it."""

REBUILD_LIMIT = 256 * 1024 * 1024
"""Largest file, in bytes, that is read into memory to rebuild its cross-references."""

HOW_TO_UNLOCK = (
    "put a line `file name or pattern = password` into the file that DEEPCOMPRESS_PASSWORDS_FILE "
    "names, or set DEEPCOMPRESS_PASSWORD; then run `deepcompress retry`"
)

MAX_OUTLINE = 20_000
"""Entries of an outline that are kept."""

MAX_FIELD = 1000
"""Characters of title, author and producer that are kept."""


def open_document(path: Path, passwords: tuple[str, ...] = ()) -> Any:
    """The opened ``pymupdf.Document``, authenticated and with at least one page.

    Raises FileVanished, Unreadable, EmptyFile, NotAPdf, Encrypted, Damaged, NoPages or OutOfMemory.
    """
    head = _head(path)
    with reading(f"{path.name} is damaged and cannot be repaired; get a complete copy", Damaged):
        document = open_as_what_it_is(path, head)
        _unlock(document, path, passwords)
        if document.page_count == 0 and not document.is_repaired:
            document = _rebuilt(document, path, passwords)
        if document.page_count > 0:
            return document
    if document.is_repaired:
        raise Damaged(f"{path.name} is damaged: no page could be recovered; get a complete copy")
    raise NoPages(f"{path.name} has no pages; look at the program that wrote it")


def _head(path: Path) -> bytes:
    """The first bytes of the file, which say what it is."""
    try:
        with path.open("rb") as file:
            head = file.read(HEADER_BYTES)
    except FileNotFoundError as error:
        raise FileVanished(
            f"{path} is not there any more; put it back, or `deepcompress forget` the document"
        ) from error
    except PermissionError as error:
        raise Unreadable(f"{path} may not be read; change its permissions") from error
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror or error}") from error
    if not head:
        raise EmptyFile(f"{path.name} is empty (0 bytes); copy it again")
    return head


def _unlock(document: Any, path: Path, passwords: tuple[str, ...]) -> None:
    if not document.needs_pass:
        return
    if any(document.authenticate(password) for password in passwords):
        return
    problem = "and none that was given opens it" if passwords else "and none was given"
    raise Encrypted(f"{path.name} needs a password {problem}; {HOW_TO_UNLOCK}")


def _rebuilt(document: Any, path: Path, passwords: tuple[str, ...]) -> Any:
    """The document read again with its cross-reference pointers hidden, if that finds pages.

    MuPDF believes a cross-reference table that parses, also one that leads nowhere; without a
    pointer to it, it scans the file for objects.
    """
    if path.stat().st_size > REBUILD_LIMIT:
        return document
    rebuilt = pymupdf.open(
        stream=path.read_bytes().replace(b"startxref", b"startnone"), filetype="pdf"
    )
    _unlock(rebuilt, path, passwords)
    if rebuilt.page_count == 0:
        return document
    document.close()
    return rebuilt


def is_cut_off(path: Path) -> bool:
    """Whether a file lacks the end marker that every whole PDF has (ISO 32000-1, 7.5.5)."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TRAILER_BYTES))
        tail = file.read()
    return b"%%EOF" not in tail and b"startxref" not in tail


def describe(document: Any, path: Path, max_pages: int) -> DocumentInfo:
    """Page sizes, metadata and outline of the document opened from ``path``.

    Raises TooManyPages, or Damaged where not one page can be read.
    """
    name, count = path.name, document.page_count
    if count > max_pages:
        raise TooManyPages(
            f"{name} has {count:,} pages, more than the {max_pages:,} allowed; "
            "raise DEEPCOMPRESS_MAX_PAGES or split it"
        )
    sizes = tuple(_page_size(document, index) for index in range(count))
    if not any(width for width, _ in sizes):
        raise Damaged(f"{name} is damaged: none of its pages can be read; get a complete copy")
    notes = []
    try:
        outline = _outline(document, count)
    except PdfError as error:
        outline = ()
        notes.append(str(error))
    repaired = bool(document.is_repaired)
    truncated = repaired and is_cut_off(path)
    if repaired:
        state = "is cut off" if truncated else "is damaged"
        notes.append(
            f"{name} {state} and was repaired: pages recovered: {count:,}, "
            "some may be missing; compare with a complete copy"
        )
    attached, unread = attachments.attachments(document) if document.is_pdf else ((), [])
    metadata = document.metadata or {}
    return DocumentInfo(
        page_count=count,
        sizes=sizes,
        title=_field(metadata.get("title")),
        author=_field(metadata.get("author")),
        producer=_field(metadata.get("producer")),
        outline=outline,
        repaired=repaired,
        truncated=truncated,
        attachments=attached,
        unread_attachments=tuple(unread),
        is_portfolio=document.is_pdf and attachments.is_portfolio(document),
        is_dynamic_form=document.is_pdf and is_dynamic_form(document),
        notes=tuple(notes),
    )


def is_dynamic_form(document: Any) -> bool:
    """Whether a viewer has to build the pages from XFA before anything of the form is seen.

    Such a form says so (NeedsRendering, ISO 32000-1, 7.7.2), or has XFA and not one field of PDF's
    own.
    """
    catalog = document.pdf_catalog()
    if document.xref_get_key(catalog, "AcroForm/XFA")[0] == "null":
        return False
    if document.xref_get_key(catalog, "NeedsRendering")[1] == "true":
        return True
    return not document.is_form_pdf


def load_page(document: Any, page_number: int) -> Any:
    """The ``pymupdf.Page`` with this number, counted from 1. Raises PageFailed or OutOfMemory."""
    if not 1 <= page_number <= document.page_count:
        raise PageFailed(f"there is no page {page_number} of {document.page_count}")
    with reading(f"page {page_number} cannot be read", PageFailed):
        return document.load_page(page_number - 1)


def _page_size(document: Any, index: int) -> tuple[float, float]:
    try:
        rect = load_page(document, index + 1).rect
    except PageFailed:
        return 0.0, 0.0
    return round(rect.width, 2), round(rect.height, 2)


def _outline(document: Any, page_count: int) -> tuple[OutlineEntry, ...]:
    with reading("the outline cannot be read", PageFailed):
        entries = document.get_toc(simple=True)
    return tuple(
        OutlineEntry(level, title, page_number)
        for level, raw_title, page_number in entries[:MAX_OUTLINE]
        if 1 <= page_number <= page_count and (title := _field(raw_title))
    )


def _field(value: str | None) -> str | None:
    """A metadata string without control characters and lone surrogates; None for nothing."""
    if not value:
        return None
    text = "".join(c if c.isprintable() else " " for c in value[: 2 * MAX_FIELD])
    return one_line(normalised(text), MAX_FIELD) or None


class DocumentCache:
    """The last few documents of a worker, kept open.

    An entry is good for one state of the file: path, modification time, size and passwords.
    """

    def __init__(self, limit: int = 4) -> None:
        self._limit = limit
        self._documents: OrderedDict[tuple[Path, int, int, tuple[str, ...]], Any] = OrderedDict()

    def get(self, path: Path, passwords: tuple[str, ...] = ()) -> Any:
        """The opened document. Raises what ``open_document`` raises."""
        key = (*_state(path), passwords)
        document = self._documents.pop(key, None)
        if document is None:
            self.forget(path)
            document = open_document(path, passwords)
        self._documents[key] = document
        if len(self._documents) > self._limit:
            _, oldest = self._documents.popitem(last=False)
            oldest.close()
        return document

    def forget(self, path: Path) -> None:
        """Close what is open of ``path``."""
        for key in [key for key in self._documents if key[0] == path]:
            self._documents.pop(key).close()


def _state(path: Path) -> tuple[Path, int, int]:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise FileVanished(
            f"{path} is not there any more; put it back, or `deepcompress forget` the document"
        ) from error
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror or error}") from error
    return path, status.st_mtime_ns, status.st_size
