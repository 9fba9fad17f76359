"""What opening a PDF tells, and which error each kind of bad file gives."""

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepcompress_dagster.pdf import errors
from deepcompress_dagster.pdf.messages import DocumentInfo
from deepcompress_dagster.pdf.worker.document import (
    DocumentCache,
    describe,
    load_page,
    open_document,
)
from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.records import OutlineEntry

NewPdf = Callable[..., Path]


def info_of(path: Path, passwords: tuple[str, ...] = (), max_pages: int = 100) -> DocumentInfo:
    return describe(open_document(path, passwords), path, max_pages)


def raw_pdf(*objects: str, trailer: str = "/Root 1 0 R", xref: bool = True) -> bytes:
    """A PDF from the bodies of its objects 1, 2, 3, ..."""
    out = b"%PDF-1.7\n"
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    start = len(out)
    if xref:
        out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
        out += b"".join(f"{offset:010} 00000 n \n".encode() for offset in offsets)
    out += f"trailer\n<< /Size {len(objects) + 1} {trailer} >>\n".encode()
    return out + (f"startxref\n{start}\n%%EOF\n".encode() if xref else b"")


CATALOG = "<< /Type /Catalog /Pages 2 0 R >>"
ONE_PAGE = "<< /Type /Pages /Kids [3 0 R] /Count 1 >>"
PAGE = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] >>"


def test_reports_pages_sizes_metadata_and_outline(new_pdf: NewPdf) -> None:
    path = new_pdf(
        "a.pdf",
        lambda page: None,
        lambda page: page.set_rotation(90),
        size=(400, 600),
        toc=[[1, "One", 1], [2, "Two", 2]],
        metadata={"title": "A title", "author": " ", "producer": "the maker"},
    )
    info = info_of(path)
    assert info.page_count == 2
    assert info.sizes == ((400.0, 600.0), (400.0, 600.0))
    assert (info.title, info.author, info.producer) == ("A title", None, "the maker")
    assert info.outline == (OutlineEntry(1, "One", 1), OutlineEntry(2, "Two", 2))
    assert not info.repaired
    assert info.notes == ()


def test_sizes_are_those_of_the_page_as_displayed(new_pdf: NewPdf) -> None:
    assert info_of(new_pdf("a.pdf", size=(400, 600), rotation=90)).sizes == ((600.0, 400.0),)


def test_metadata_loses_control_characters_and_lone_surrogates(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    info = "<< /Title <FEFF0041D80000420007> /Author (\\000\\001) >>"
    path.write_bytes(raw_pdf(CATALOG, ONE_PAGE, PAGE, info, trailer="/Root 1 0 R /Info 4 0 R"))
    read = info_of(path)
    assert read.title is not None
    assert read.title.isprintable()
    assert read.author is None


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"\xff\xd8\xff\xe0 jpeg", "a JPEG image"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"PK\x03\x04 zip", "a ZIP archive or an Office document"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"<?xml version='1.0'?>", "an XML file"),
        ("just a note, naïve".encode(), "plain text"),
        (b"\x00\x01\x02", "something unknown"),
    ],
)
def test_a_file_that_is_no_pdf_is_named_for_what_it_looks_like(
    tmp_path: Path, head: bytes, what: str
) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(head)
    with pytest.raises(errors.NotAPdf, match=what):
        open_document(path)


def test_a_pdf_may_start_after_some_junk(new_pdf: NewPdf) -> None:
    path = new_pdf("a.pdf")
    path.write_bytes(b"junk\n" * 50 + path.read_bytes())
    assert info_of(path).page_count == 1


def test_an_image_with_a_pdf_header_is_not_opened_as_an_image(tmp_path: Path) -> None:
    pixmap = pymupdf.Pixmap(pymupdf.csRGB, pymupdf.IRect(0, 0, 20, 20))
    path = tmp_path / "a.pdf"
    path.write_bytes(pixmap.tobytes("png") + b"%PDF-1.7")
    with pytest.raises((errors.NotAPdf, errors.Damaged)):
        open_document(path)


def test_an_empty_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.touch()
    with pytest.raises(errors.EmptyFile, match=r"a\.pdf is empty"):
        open_document(path)


def test_a_missing_file_is_transient(tmp_path: Path) -> None:
    with pytest.raises(errors.FileVanished) as caught:
        open_document(tmp_path / "a.pdf")
    assert caught.value.transient


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_unreadable(new_pdf: NewPdf) -> None:
    path = new_pdf("a.pdf")
    path.chmod(0)
    with pytest.raises(errors.Unreadable, match="permissions"):
        open_document(path)


def test_a_folder_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(errors.Unreadable):
        open_document(tmp_path)


def test_a_document_without_pages_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(raw_pdf(CATALOG, "<< /Type /Pages /Kids [] /Count 0 >>"))
    with pytest.raises(errors.NoPages):
        open_document(path)


def test_a_header_and_nothing_else_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.7\n%%EOF\n")
    with pytest.raises(errors.Damaged, match="cannot be repaired"):
        open_document(path)


def test_a_page_tree_that_only_holds_itself_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(raw_pdf(CATALOG, "<< /Type /Pages /Kids [2 0 R] /Count 1 >>"))
    with pytest.raises(errors.Damaged):
        info_of(path)


def test_a_missing_cross_reference_table_is_repaired_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(raw_pdf(CATALOG, ONE_PAGE, PAGE, xref=False))
    info = info_of(path)
    assert info.page_count == 1
    assert info.repaired
    assert "was repaired" in info.notes[0]


def test_a_cross_reference_table_that_leads_nowhere_is_rebuilt(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    sound = raw_pdf(CATALOG, ONE_PAGE, PAGE)
    table = sound.index(b"xref\n0 4")
    path.write_bytes(sound[:table] + sound[table:].replace(b"0 4\n", b"0 2\n", 1))
    info = info_of(path)
    assert info.page_count == 1
    assert not info.truncated
    assert info.repaired


def test_a_truncated_file_whose_pages_survive_is_repaired(new_pdf: NewPdf) -> None:
    path = new_pdf("a.pdf", *[lambda page: page.insert_text((72, 72), "page " * 10)] * 8)
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex(b"xref", 0, whole.rindex(b"startxref"))])
    info = info_of(path)
    assert info.truncated
    assert info.repaired
    assert info.page_count == 8


def test_a_truncated_file_without_its_page_tree_is_damaged(tmp_path: Path) -> None:
    whole = raw_pdf(PAGE, "<< /Length 0 >>\nstream\nendstream", CATALOG, trailer="/Root 3 0 R")
    path = tmp_path / "a.pdf"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(errors.Damaged):
        info_of(path)


def test_too_many_pages_are_refused(new_pdf: NewPdf) -> None:
    path = new_pdf("a.pdf", *[lambda page: None] * 3)
    with pytest.raises(errors.TooManyPages, match="3 pages, more than the 2 allowed"):
        info_of(path, max_pages=2)


@pytest.fixture
def locked(new_pdf: NewPdf) -> Path:
    return new_pdf("a.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw="right", owner_pw="own")


def test_a_password_is_asked_for(locked: Path) -> None:
    hint = r"none was given.*DEEPCOMPRESS_PASSWORDS_FILE.*deepcompress retry"
    with pytest.raises(errors.Encrypted, match=hint):
        open_document(locked)


def test_a_wrong_password_is_said_to_be_wrong_and_not_repeated(locked: Path) -> None:
    with pytest.raises(errors.Encrypted, match="none that was given opens it") as caught:
        open_document(locked, ("hunter2",))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("password", ["right", "own"])
def test_the_right_password_opens(locked: Path, password: str) -> None:
    assert info_of(locked, ("wrong", password)).page_count == 1


def test_a_file_with_only_an_owner_password_opens_without_one(new_pdf: NewPdf) -> None:
    path = new_pdf("a.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, owner_pw="own")
    assert info_of(path).page_count == 1


def test_an_outline_that_bites_its_tail_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(
        raw_pdf(
            "<< /Type /Catalog /Pages 2 0 R /Outlines 4 0 R >>",
            ONE_PAGE,
            PAGE,
            "<< /Type /Outlines /First 5 0 R /Last 5 0 R >>",
            "<< /Title (loop) /Parent 4 0 R /Next 5 0 R /First 5 0 R /Dest [3 0 R /Fit] >>",
        )
    )
    assert info_of(path).page_count == 1


def test_a_page_that_does_not_exist_is_a_page_error(new_pdf: NewPdf) -> None:
    document = open_document(new_pdf("a.pdf"))
    for number in (0, 2, -1):
        with pytest.raises(errors.PageFailed, match=f"no page {number}"):
            load_page(document, number)


def test_documents_stay_open_until_the_file_changes(new_pdf: NewPdf) -> None:
    cache = DocumentCache()
    path = new_pdf("a.pdf")
    first = cache.get(path)
    assert cache.get(path) is first
    new_pdf("a.pdf", *[lambda page: None] * 2)
    assert cache.get(path).page_count == 2
    assert first.is_closed


def test_the_oldest_document_is_closed(new_pdf: NewPdf) -> None:
    cache = DocumentCache(limit=2)
    paths = [new_pdf(f"{index}.pdf") for index in range(3)]
    opened = [cache.get(path) for path in paths]
    assert [document.is_closed for document in opened] == [True, False, False]


def all_errors() -> list[type[errors.PdfError]]:
    return [kind for kind in vars(errors).values() if _is_error(kind)]


def _is_error(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, errors.PdfError)


@pytest.mark.parametrize("kind", all_errors())
def test_errors_travel_with_their_message(kind: type[errors.PdfError]) -> None:
    received = copy.deepcopy(kind("what and where"))  # the protocol that pickle uses
    assert type(received) is kind
    assert str(received) == "what and where"


def test_error_types_are_distinct() -> None:
    names = [kind.error_type for kind in all_errors() if kind is not errors.PixelBufferFull]
    assert len(set(names)) == len(names)
