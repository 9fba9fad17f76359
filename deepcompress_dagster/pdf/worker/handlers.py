"""What a worker process does for its parent; called by name over the connection."""

from collections.abc import Sequence
from pathlib import Path

from deepcompress_dagster.pdf.messages import DocumentInfo, FoundTable, PageContent, RenderRequest
from deepcompress_dagster.pdf.worker import attachments, document, render, table_finder
from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.records import BBox

_documents = document.DocumentCache()


def open_pdf(path: Path, passwords: tuple[str, ...], max_pages: int) -> DocumentInfo:
    """What the document says of itself. Raises PdfError."""
    pymupdf.TOOLS.reset_mupdf_warnings()
    return document.describe(_documents.get(path, passwords), path, max_pages)


def render_page(path: Path, passwords: tuple[str, ...], request: RenderRequest) -> PageContent:
    """Render a page into its buffer. Raises PdfError."""
    pymupdf.TOOLS.reset_mupdf_warnings()
    return render.render_page(_documents.get(path, passwords), request)


def extract_pdfs(path: Path, passwords: tuple[str, ...], folder: Path) -> list[Path]:
    """Write the PDFs attached to a document into a folder. Raises PdfError."""
    return attachments.extract_pdfs(_documents.get(path, passwords), folder)


def find_tables(
    path: Path, passwords: tuple[str, ...], page_number: int, boxes: Sequence[BBox]
) -> list[FoundTable | None]:
    """The table in each box of a page. Raises PdfError."""
    pymupdf.TOOLS.reset_mupdf_warnings()
    return table_finder.find_tables(_documents.get(path, passwords), page_number, boxes)
