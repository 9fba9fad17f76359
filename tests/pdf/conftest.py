"""PDFs built on the spot, workers shared by tests that do not harm them, and other processes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deepcompress_dagster.pdf.mupdf import pymupdf
from deepcompress_dagster.pdf.workers import PdfWorkers

Draw = Callable[[Any], None]
NewPdf = Callable[..., Path]


def text_page(page: Any) -> None:
    """Two lines of text, the second in bold."""
    page.insert_text((72, 100), "Plain words on a page", fontsize=12)
    page.insert_text((72, 130), "Bold words below", fontsize=14, fontname="hebo")


@pytest.fixture
def new_pdf(tmp_path: Path) -> NewPdf:
    """``new_pdf(name, *draws, size=, rotation=, **save)`` writes a PDF with a page per ``draw``."""

    def build(
        name: str,
        *draws: Draw,
        size: tuple[float, float] = (400, 600),
        rotation: int = 0,
        toc: list[Any] | None = None,
        metadata: dict[str, str] | None = None,
        **save: Any,
    ) -> Path:
        document = pymupdf.open()
        for draw in draws or (text_page,):
            page = document.new_page(width=size[0], height=size[1])
            draw(page)
            page.set_rotation(rotation)
        if toc:
            document.set_toc(toc)
        if metadata:
            document.set_metadata(metadata)
        path = tmp_path / name
        document.save(path, **save)
        document.close()
        return path

    return build


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PdfWorkers]:
    """Two workers with generous limits."""
    with PdfWorkers(
        workers=2,
        timeout_s=60,
        memory_mb=1024,
        max_pages=1000,
        slot_dir=tmp_path_factory.mktemp("slots"),
    ) as pool:
        yield pool


@pytest.fixture
def start_python() -> Callable[..., "subprocess.Popen[str]"]:
    """``start_python("-c", code, ...)`` runs this interpreter with its output in a pipe."""

    def start(*arguments: str | Path) -> "subprocess.Popen[str]":
        command = [sys.executable, *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    return start
