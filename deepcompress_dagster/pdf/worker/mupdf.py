"""PyMuPDF, imported once and quietly; only worker processes (and tests) import this module.

PyMuPDF 2.0 imports its layout model and pymupdf4llm where it finds them: 0.95 s, 140 MB and five
threads, against 0.1 s, 48 MB and none without (measured on two cores). Nothing here uses them.
"""

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from deepcompress_dagster.pdf.errors import OutOfMemory, PdfError

_NOT_WANTED = frozenset({"pymupdf.layout", "pymupdf4llm"})


class _Absent(MetaPathFinder):
    """Reports the optional parts of PyMuPDF as not installed, a case that it provides for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in _NOT_WANTED:
            raise ModuleNotFoundError(f"{fullname} is not needed here", name=fullname)
        return None


def _import() -> Any:
    finder = _Absent()
    sys.meta_path.insert(0, finder)
    try:
        module = importlib.import_module("pymupdf")
    finally:
        sys.meta_path.remove(finder)
    module.no_recommend_layout()
    module.set_messages(path=os.devnull)
    module.TOOLS.mupdf_display_errors(False)
    module.TOOLS.mupdf_display_warnings(False)
    return module


pymupdf: Any = _import()

_PREFIX = re.compile(r"^code=\d+: ")
"""MuPDF's number of the kind of error; it tells a reader nothing."""

_ALLOCATION_FAILED = re.compile(r"\b(malloc|calloc|realloc|out of memory|bad_alloc)\b")


@contextmanager
def reading(what: str, failure: Callable[[str], PdfError]) -> Iterator[None]:
    """Turn whatever PyMuPDF raises in the block into ``failure("{what}: {reason}")``.

    It wraps a C library that meets broken files: MuPDF's own errors, RuntimeError, ValueError,
    IndexError, TypeError and more were seen. Raises OutOfMemory where memory ran out; a PdfError
    passes through.
    """
    try:
        yield
    except PdfError:
        raise
    except MemoryError as error:
        raise OutOfMemory(_memory_message(what)) from error
    except Exception as error:
        reason = _PREFIX.sub("", one_line(str(error))) or type(error).__name__
        if _ALLOCATION_FAILED.search(reason):
            raise OutOfMemory(_memory_message(what)) from error
        raise failure(f"{what}: {reason}") from error


def _memory_message(what: str) -> str:
    return (
        f"{what}: needs more memory than a worker may take; "
        "raise DEEPCOMPRESS_WORKER_MEMORY_MB or lower DEEPCOMPRESS_DPI"
    )


def one_line(text: str, limit: int = 200) -> str:
    """``text`` on one line, cut to ``limit`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
