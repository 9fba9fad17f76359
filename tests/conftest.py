"""What tests of several floors share."""

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deepcompress_dagster.settings import Settings
from tests.s3_server import S3Server, running_s3

Draw = Callable[[Any], None]
NewPdf = Callable[..., Path]

SAMPLES = Path(__file__).parents[1] / "samples"


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder of the sample PDFs."""
    return SAMPLES


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a fresh data folder, whatever the environment says; the models' folder stays."""
    return Settings(_env_file=None, data_dir=tmp_path / "data", inbox=tmp_path / "inbox")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A server of S3's protocol for the whole session; ``s3`` leads a test to it."""
    with running_s3() as server:
        yield server


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, with an environment that leads there."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server


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
        from deepcompress_dagster.pdf.worker.mupdf import pymupdf

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


def pytest_unconfigure() -> None:
    """Take DuckDB's modules apart, so that the last line of a session is its result.

    Its binding lists what still lives when the interpreter ends, some ninety lines. Where torch
    was imported too, modules live on until then: the constants of DuckDB's own module, and the
    connections of warehouses that a test left to the garbage collector.
    """
    gc.collect()
    for name in [name for name in sys.modules if name.split(".")[0] in ("duckdb", "_duckdb")]:
        vars(sys.modules.pop(name)).clear()
    gc.collect()
