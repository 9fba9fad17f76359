"""Files inside PDFs that the tests write."""

import hashlib
import zlib
from pathlib import Path
from typing import Any

import pytest

from deepcompress_dagster.pdf.worker import attachments
from deepcompress_dagster.pdf.worker.document import describe, open_document
from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.records import Attachment
from tests.raw_pdf import PAGES, page, stream, write_pdf

INNER = b"%PDF-1.7 not much of one"


def attached(name: str, content: bytes) -> Attachment:
    digest = hashlib.sha256(content).hexdigest()
    return Attachment(name, len(content), digest, content.startswith(b"%PDF"))


@pytest.fixture
def holder(tmp_path: Path) -> Path:
    """A PDF with a PDF and a table in it, and a note with a file pinned to its page."""
    document = pymupdf.open()
    pages = document.new_page()
    document.embfile_add("a", INNER, filename="Ångström/../deal.PDF")
    document.embfile_add("b", b"x;y\n1;2\n", filename="prices.csv")
    pages.add_file_annot((50, 50), b"pinned", "note.txt")
    document.save(tmp_path / "holder.pdf", deflate=True)
    return tmp_path / "holder.pdf"


def test_files_of_the_document_and_of_its_pages_are_listed(holder: Path) -> None:
    info = describe(open_document(holder), holder, 9)
    assert info.attachments == (
        attached("Ångström/../deal.PDF", INNER),
        attached("prices.csv", b"x;y\n1;2\n"),
        attached("note.txt", b"pinned"),
    )
    assert not info.is_portfolio


def test_a_tree_of_names_is_followed_and_a_portfolio_is_known(tmp_path: Path) -> None:
    path = write_pdf(
        tmp_path / "tree.pdf",
        b"<< /Type /Catalog /Pages 2 0 R /Collection << >> /Names << /EmbeddedFiles"
        b" << /Kids [5 0 R 6 0 R] >> >> >>",
        PAGES,
        page(),
        stream(b""),
        b"<< /Limits [(a) (a)] /Names [(a) << /F (one.pdf) /EF << /F 7 0 R >> >>] >>",
        b"<< /Limits [(b) (b)] /Names [(b) << /F (two.bin) /EF << /F 8 0 R >> >>] >>",
        stream(INNER),
        stream(zlib.compress(b"two"), b"/Filter /FlateDecode"),
    )
    info = describe(open_document(path), path, 9)
    assert info.attachments == (attached("one.pdf", INNER), attached("two.bin", b"two"))
    assert info.is_portfolio


def test_pdfs_are_taken_out_under_names_that_stay_in_the_folder(
    holder: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        (written,) = attachments.extract_pdfs(open_document(holder), tmp_path / "out")
    assert written == tmp_path / "out" / hashlib.sha256(INNER).hexdigest() / "deal.pdf"
    assert written.read_bytes() == INNER


def test_what_unpacks_to_more_than_the_limit_is_listed_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachments, "LARGEST_ATTACHMENT", 2**20)
    document: Any = pymupdf.open()
    document.new_page()
    document.embfile_add("bomb", bytes(2**21), filename="bomb.bin")
    document.embfile_add("fine", b"fine", filename="fine.txt")
    document.save(tmp_path / "bomb.pdf", deflate=True)
    listed, notes = attachments.attachments(open_document(tmp_path / "bomb.pdf"))
    assert listed == (Attachment("bomb.bin", None, None), attached("fine.txt", b"fine"))
    assert notes == ["the attachment bomb.bin is larger than 1 MB and was not read"]
