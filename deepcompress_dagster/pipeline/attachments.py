"""The PDFs that lie inside a PDF, as files; whoever asked for them makes documents of them."""

from pathlib import Path

from deepcompress_dagster.pdf.client import PdfClient
from deepcompress_dagster.records import DocumentTask
from deepcompress_dagster.settings import Settings


def extract_attached_pdfs(task: DocumentTask, folder: Path, settings: Settings) -> list[Path]:
    """Write the PDFs in a document into ``folder``: their paths. Raises PdfError, OSError.

    In a worker process of its own, which few documents need.
    """
    with PdfClient(
        workers=1,
        timeout_s=settings.page_timeout_s,
        memory_mb=settings.worker_memory_mb,
        max_pages=1,
        buffer_dir=folder,
    ) as pdfs:
        return pdfs.extract_pdfs(task.path, folder, task.passwords)
