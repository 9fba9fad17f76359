"""Why a document or a page could not be read: one class for each reason.

The message says what happened, where, and what to do. ``error_type`` is what the ``errors`` table
stores; ``transient`` says whether the same attempt may succeed later.
"""

from typing import ClassVar


class PdfError(Exception):
    """A document or a page could not be read."""

    error_type: ClassVar[str] = "pdf_error"
    transient: ClassVar[bool] = False


class FileVanished(PdfError):
    """There is no file at the path (any more)."""

    error_type = "file_vanished"
    transient = True


class Unreadable(PdfError):
    """The operating system refuses the file: permissions, or the disk itself."""

    error_type = "unreadable"
    transient = True


class EmptyFile(PdfError):
    """The file has no bytes."""

    error_type = "empty_file"


class NotAPdf(PdfError):
    """The file is something else, whatever its name says."""

    error_type = "not_a_pdf"


class Encrypted(PdfError):
    """The document asks for a password, and none that was given opens it."""

    error_type = "encrypted"


class Damaged(PdfError):
    """The document is broken beyond repair."""

    error_type = "damaged"


class NoPages(PdfError):
    """The document is sound and has no pages."""

    error_type = "no_pages"


class TooManyPages(PdfError):
    """The document has more pages than the settings allow."""

    error_type = "too_many_pages"


class PageFailed(PdfError):
    """One page cannot be read or rendered."""

    error_type = "page_failed"


class OutOfMemory(PdfError):
    """A document or page needs more memory than a worker may take."""

    error_type = "out_of_memory"


class NoRoom(PdfError):
    """A disk that pixels or images are written to is full or refuses them."""

    error_type = "no_room"
    transient = True


class PixelBufferFull(NoRoom):
    """The pixels of a page do not fit where its buffer lies."""


class OpenTimeout(PdfError):
    """Opening took longer than the deadline; its worker was killed."""

    error_type = "open_timeout"


class PageTimeout(PdfError):
    """A page took longer than the deadline; its worker was killed."""

    error_type = "page_timeout"


class GivenUp(PdfError):
    """Pages of the document took too much time without a result, so the others are not tried."""

    error_type = "given_up"


class WorkerDied(PdfError):
    """The worker process ended while it held the task: a crash, or killed from outside."""

    error_type = "worker_died"
    transient = True


def transient_error_types() -> frozenset[str]:
    """The ``error_type`` of failures that another attempt may not meet."""
    kinds: list[type[PdfError]] = [PdfError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return frozenset(kind.error_type for kind in kinds if kind.transient)
