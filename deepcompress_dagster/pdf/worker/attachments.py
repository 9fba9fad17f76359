"""Files inside a PDF: attached to the document or pinned to a page; listed, and taken out.

A stream is unpacked piece by piece and never beyond a limit: 1 KB may unpack to 1 MB.
"""

import hashlib
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepcompress_dagster.pdf.errors import PageFailed, PdfError
from deepcompress_dagster.pdf.worker.mupdf import one_line, pymupdf, reading
from deepcompress_dagster.records import Attachment

HEADER_BYTES = 1024
"""A PDF has ``%PDF-`` in its first bytes, see document.py."""

MOST_ATTACHMENTS = 1000
"""Attachments of a document that are listed."""

LARGEST_ATTACHMENT = 256 * 1024 * 1024
"""Bytes, packed and unpacked, up to which an attachment is read."""

MOST_SEARCHED_PAGES = 2000
"""Pages of a document that are searched for files pinned to them."""

_LONGEST_NAME = 200
_LONGEST_STEM = 200
"""Bytes; file systems take 255 for the whole name."""

_MOST_UNPACKED = 1100
"""Times that other filters than Flate, or several in a row, are taken to grow a stream."""


@dataclass(frozen=True)
class _Found:
    name: str
    xref: int
    """Number of the object that holds the bytes."""


def attachments(document: Any) -> tuple[tuple[Attachment, ...], list[str]]:
    """The files in the document in its order, and notes about those that could not be read."""
    listed: list[Attachment] = []
    notes: list[str] = []
    for found in _found(document, notes):
        content = _readable(document, found, notes)
        digest = hashlib.sha256(content).hexdigest() if content is not None else None
        size = len(content) if content is not None else None
        listed.append(Attachment(found.name, size, digest, _is_pdf(content)))
    return tuple(listed), notes


def extract_pdfs(document: Any, folder: Path) -> list[Path]:
    """Write the attached PDFs into ``folder``, each in a folder named by its hash. Raises OSError.

    What is no PDF by its first bytes stays inside, and so does what cannot be read.
    """
    written = []
    for found in _found(document, []):
        content = _readable(document, found, [])
        if content is None or not _is_pdf(content):
            continue
        target = folder / hashlib.sha256(content).hexdigest() / _file_name(found.name)
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(".part")
            temporary.write_bytes(content)
            temporary.replace(target)
        written.append(target)
    return written


def is_portfolio(document: Any) -> bool:
    """Whether the PDF is a cover for the files in it (ISO 32000-1, 12.3.5)."""
    return "Collection" in document.xref_get_keys(document.pdf_catalog())


def _found(document: Any, notes: list[str]) -> Iterator[_Found]:
    for number, found in enumerate(_everywhere(document, notes)):
        if number == MOST_ATTACHMENTS:
            notes.append(f"only the first {MOST_ATTACHMENTS:,} attachments are listed")
            return
        yield found


def _everywhere(document: Any, notes: list[str]) -> Iterator[_Found]:
    """Files of the document, then those pinned to pages, each stream once."""
    seen: set[int] = set()
    for specification in (*_of_document(document, notes), *_of_pages(document)):
        found = _file(specification)
        if found is not None and found.xref not in seen:
            seen.add(found.xref)
            yield found


def _of_document(document: Any, notes: list[str]) -> list[Any]:
    mupdf = pymupdf.mupdf
    pdf = pymupdf._as_pdf_document(document)
    try:
        with reading("the attachments cannot be read", PageFailed):
            tree = mupdf.pdf_load_name_tree(pdf, pymupdf.PDF_NAME("EmbeddedFiles"))
            count = mupdf.pdf_dict_len(tree) if tree.m_internal else 0
            return [mupdf.pdf_dict_get_val(tree, i) for i in range(count)]
    except PdfError as error:
        notes.append(str(error))
        return []


def _of_pages(document: Any) -> Iterator[Any]:
    mupdf, name = pymupdf.mupdf, pymupdf.PDF_NAME
    for number in range(min(document.page_count, MOST_SEARCHED_PAGES)):
        try:
            with reading(f"the annotations of page {number + 1} cannot be read", PageFailed):
                page = mupdf.pdf_lookup_page_obj(pymupdf._as_pdf_document(document), number)
                annotations = mupdf.pdf_dict_get(page, name("Annots"))
                pinned = [
                    mupdf.pdf_dict_get(entry, name("FS"))
                    for i in range(mupdf.pdf_array_len(annotations))
                    if _is_file(entry := mupdf.pdf_array_get(annotations, i))
                ]
        except PageFailed:
            continue  # rendering the page says what is wrong with it
        yield from pinned


def _is_file(annotation: Any) -> bool:
    subtype = pymupdf.mupdf.pdf_dict_get(annotation, pymupdf.PDF_NAME("Subtype"))
    return bool(pymupdf.mupdf.pdf_to_name(subtype) == "FileAttachment")


def _file(specification: Any) -> _Found | None:
    """The name and the stream of a file specification, None where it holds no file."""
    mupdf, name = pymupdf.mupdf, pymupdf.PDF_NAME
    for key in ("UF", "F"):
        stream = mupdf.pdf_dict_getl(specification, name("EF"), name(key))
        if stream.m_internal and mupdf.pdf_is_stream(stream):
            stated = (
                mupdf.pdf_to_text_string(mupdf.pdf_dict_get(specification, name(each)))
                for each in ("UF", "F")
            )
            title = next((text for text in stated if text.strip()), "")
            return _Found(_clean_name(title), mupdf.pdf_to_num(stream))
    return None


def _clean_name(name: str) -> str:
    text = "".join(c if c.isprintable() else " " for c in name)
    return one_line(text, _LONGEST_NAME) or "unnamed"


def _is_pdf(content: bytes | None) -> bool:
    return content is not None and b"%PDF-" in content[:HEADER_BYTES]


def _file_name(name: str) -> str:
    """The name as that of a file: without folders, and ending in .pdf."""
    last = re.split(r"[/\\]", name)[-1].lstrip(".") or "unnamed"
    stem = last[:-4] if last.lower().endswith(".pdf") else last
    return stem.encode("utf-8", "replace")[:_LONGEST_STEM].decode("utf-8", "ignore") + ".pdf"


def _readable(document: Any, found: _Found, notes: list[str]) -> bytes | None:
    try:
        with reading(f"the attachment {found.name} cannot be read", PageFailed):
            content = _content(document, found.xref)
    except PdfError as error:
        notes.append(str(error))
        return None
    if content is None:
        notes.append(
            f"the attachment {found.name} is larger than {LARGEST_ATTACHMENT // 2**20} MB and was"
            " not read"
        )
    return content


def _content(document: Any, xref: int) -> bytes | None:
    """The bytes of a stream, None where there are too many of them."""
    kind, length = document.xref_get_key(xref, "Length")
    if kind == "int" and int(length) > LARGEST_ATTACHMENT:
        return None
    packed: bytes = document.xref_stream_raw(xref)
    if len(packed) > LARGEST_ATTACHMENT:
        return None
    _, filters = document.xref_get_key(xref, "Filter")
    if filters in ("null", "[]"):
        return packed
    if filters.strip("[]/ ") == "FlateDecode":
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(packed, LARGEST_ATTACHMENT + 1)
        return content if len(content) <= LARGEST_ATTACHMENT else None
    if len(packed) * _MOST_UNPACKED > LARGEST_ATTACHMENT:
        return None
    unpacked: bytes = document.xref_stream(xref)
    return unpacked
