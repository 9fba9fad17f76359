"""Workers shared by tests that do not harm them, and other processes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deepcompress_dagster.pdf.client import PdfClient


@pytest.fixture(scope="session")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PdfClient]:
    """Two workers with generous limits."""
    with PdfClient(
        workers=2,
        timeout_s=60,
        memory_mb=1024,
        max_pages=1000,
        buffer_dir=tmp_path_factory.mktemp("buffers"),
    ) as pool:
        yield pool


@pytest.fixture
def start_python() -> Callable[..., "subprocess.Popen[str]"]:
    """``start_python("-c", code, ...)`` runs this interpreter with its output in a pipe."""

    def start(*arguments: str | Path) -> "subprocess.Popen[str]":
        command = [sys.executable, *map(str, arguments)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    return start
