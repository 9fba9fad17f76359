"""PDFs in worker processes, seen from the parent: open, render, find tables.

The parent imports no PyMuPDF. All methods may be called from several threads at once; each call
waits for a free worker. A call that fails costs its own document or page only.

What a worker does for a call is worker/handlers.py's, how workers live and die pool.py's.
"""

import itertools
import math
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepcompress_dagster.pdf.errors import (
    GivenUp,
    OpenTimeout,
    OutOfMemory,
    PageTimeout,
    PixelBufferFull,
    WorkerDied,
)
from deepcompress_dagster.pdf.messages import (
    DocumentInfo,
    FoundTable,
    PageContent,
    PageImage,
    RenderRequest,
)
from deepcompress_dagster.pdf.pixel_buffers import PixelBuffer, PixelBufferStore
from deepcompress_dagster.pdf.pool import TaskTimeout, WorkerPool
from deepcompress_dagster.records import BBox

DEFAULT_MAX_PAGES = 20_000
"""A longer document is refused unless the caller says otherwise."""

_TASKS = "deepcompress_dagster.pdf.worker.handlers"

_image_numbers = itertools.count(1)


class RenderedPage:
    """A page's content, and its pixels until they are released."""

    def __init__(self, content: PageContent, buffer: PixelBuffer, store: PixelBufferStore) -> None:
        self.content = content
        self._buffer = buffer
        self._store = store
        self._pixels: npt.NDArray[np.uint8] | None = buffer.pixels(
            content.pixel_height, content.pixel_width
        )

    @property
    def pixels(self) -> npt.NDArray[np.uint8]:
        """RGB, (height, width, 3), a read-only view; crops of it show other pages after release.

        Raises ValueError after ``release``.
        """
        if self._pixels is None:
            raise ValueError(f"the pixels of page {self.content.page_number} were released")
        return self._pixels

    def release(self) -> None:
        """Give the buffer to another page; the second time does nothing."""
        self._pixels = None
        self._store.give_back(self._buffer)

    def __enter__(self) -> "RenderedPage":
        return self

    def __exit__(self, *error: object) -> None:
        self.release()


class PdfClient:
    """Opens and renders PDFs in processes that may crash, hang or balloon at no one else's cost.

    A context manager; ``close`` leaves no process, buffer or temporary file.
    """

    def __init__(
        self,
        *,
        workers: int,
        timeout_s: float,
        memory_mb: int,
        max_pages: int,
        buffer_dir: Path,
        document_timeout_s: float = math.inf,
    ) -> None:
        """``timeout_s`` is the deadline of each call, ``memory_mb`` what a worker may take (Linux).

        A worker is replaced after ``max_pages`` calls. ``buffer_dir`` holds pixels where shared
        memory is short. A document on which calls that died or missed their deadline took
        ``document_timeout_s`` in all is given up. Workers start when they are first needed.
        """
        self._timeout_s = timeout_s
        self._document_timeout_s = document_timeout_s
        self._lost_s: defaultdict[Path, float] = defaultdict(float)
        self._pool = WorkerPool(
            workers=workers, timeout_s=timeout_s, memory_mb=memory_mb, max_tasks=max_pages
        )
        self.buffers = PixelBufferStore(buffer_dir)

    def __enter__(self) -> "PdfClient":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that exist."""
        return self._pool.pids

    @property
    def buffers_in_use(self) -> int:
        """Rendered pages that were not released."""
        return self.buffers.in_use

    def open(
        self, path: Path, passwords: tuple[str, ...] = (), *, max_pages: int = DEFAULT_MAX_PAGES
    ) -> DocumentInfo:
        """What the document says of itself; ``passwords`` are tried in turn where it asks for one.

        Raises PdfError: FileVanished, Unreadable, EmptyFile, NotAPdf, Encrypted, Damaged, NoPages,
        TooManyPages, OutOfMemory, OpenTimeout or WorkerDied.
        """
        info: DocumentInfo = self._call(path.name, "open_pdf", path, passwords, max_pages)
        return info

    def render(
        self,
        path: Path,
        page_number: int,
        *,
        dpi: float,
        max_pixels: int,
        image_path: Path | None,
        jpeg_quality: int,
        passwords: tuple[str, ...] = (),
        annotation_authors: bool = False,
    ) -> RenderedPage:
        """Render a page; with ``image_path`` also write it there as JPEG, whole or not at all.

        The caller releases the result. Raises PdfError: PageFailed, PageTimeout, GivenUp,
        OutOfMemory, NoRoom, WorkerDied, or what ``open`` raises.
        """
        image = _page_image(image_path, jpeg_quality)
        buffer = self.buffers.take()
        request = RenderRequest(
            page_number, dpi, max_pixels, buffer.path, image, annotation_authors
        )
        try:
            try:
                content = self._render(path, passwords, request)
            except PixelBufferFull:
                self.buffers.give_back(buffer, keep=False)
                buffer = self.buffers.take(on_disk=True)
                content = self._render(path, passwords, replace(request, buffer=buffer.path))
            return RenderedPage(content, buffer, self.buffers)
        except BaseException:
            self.buffers.give_back(buffer)
            if image is not None:
                image.temporary.unlink(missing_ok=True)
            raise

    def find_tables(
        self,
        path: Path,
        page_number: int,
        boxes: Sequence[BBox],
        passwords: tuple[str, ...] = (),
    ) -> list[FoundTable | None]:
        """The table in each box (points as displayed), None where the finder sees none.

        Raises PdfError: PageFailed, PageTimeout, GivenUp, OutOfMemory, WorkerDied, or what ``open``
        raises.
        """
        label = f"page {page_number}"
        tables: list[FoundTable | None] = self._call(
            label, "find_tables", path, passwords, page_number, tuple(boxes)
        )
        return tables

    def extract_pdfs(self, path: Path, folder: Path, passwords: tuple[str, ...] = ()) -> list[Path]:
        """Write the PDFs that are attached to a document into ``folder``: their paths.

        Raises PdfError as ``open`` does, OSError where they cannot be written.
        """
        written: list[Path] = self._call(path.name, "extract_pdfs", path, passwords, folder)
        return written

    def forget_losses(self, path: Path) -> None:
        """Count the time that a document may lose from here: it is tried anew."""
        self._lost_s.pop(path, None)

    def interrupt(self) -> None:
        """End the calls under way and take no more: both raise PoolClosed."""
        self._pool.interrupt()

    def close(self) -> None:
        """End the workers and remove the buffers; calls under way raise PoolClosed."""
        self._pool.close()
        self.buffers.close()

    def _render(
        self, path: Path, passwords: tuple[str, ...], request: RenderRequest
    ) -> PageContent:
        label = f"page {request.page_number}"
        content: PageContent = self._call(label, "render_page", path, passwords, request)
        return content

    def _call(self, label: str, task: str, path: Path, *args: Any) -> Any:
        self._give_up_if_hopeless(label, path)
        started = time.monotonic()
        try:
            return self._pool.call(f"{_TASKS}:{task}", path, *args)
        except TaskTimeout as error:
            self._lost_s[path] += self._timeout_s
            kind = OpenTimeout if task == "open_pdf" else PageTimeout
            raise kind(
                f"{label} took longer than {self._timeout_s:g} s and was given up; "
                "raise DEEPCOMPRESS_PAGE_TIMEOUT_S if it deserves more"
            ) from error
        except MemoryError as error:
            raise OutOfMemory(
                f"{label} needs more memory than a worker may take; "
                "raise DEEPCOMPRESS_WORKER_MEMORY_MB"
            ) from error
        except WorkerDied as error:
            self._lost_s[path] += min(time.monotonic() - started, self._timeout_s)
            raise WorkerDied(f"{label}: {error}") from error

    def _give_up_if_hopeless(self, label: str, path: Path) -> None:
        """One page may take its time; ten thousand such pages would take it from everyone else."""
        lost = self._lost_s[path]
        if lost >= self._document_timeout_s:
            raise GivenUp(
                f"{label} was not tried: other pages of this document took {lost:.0f} s without a"
                " result; raise DEEPCOMPRESS_DOCUMENT_TIMEOUT_S if it deserves more"
            )


def _page_image(path: Path | None, quality: int) -> PageImage | None:
    if path is None:
        return None
    name = f".{path.name}.{os.getpid()}-{next(_image_numbers)}.tmp"
    return PageImage(path, path.with_name(name), quality)
