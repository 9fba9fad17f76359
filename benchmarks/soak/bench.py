"""Where a soak works: a data folder with tiny models, its documents, the processes on it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pymupdf

from benchmarks.walk import Place, wait_for
from deepcompress_dagster.orchestration import run_records, server
from deepcompress_dagster.pipeline.stages import code_versions
from deepcompress_dagster.settings import load_settings
from deepcompress_dagster.warehouse import Warehouse

SELF = (sys.executable, "-m", "benchmarks.soak")


PORT = 3231


SENSOR_S = 2


def write_pdf(path: Path, pages: int, seed: int) -> Path:
    """A PDF of some words a page, different for every seed."""
    with pymupdf.open() as document:
        for number in range(1, pages + 1):
            page = document.new_page(width=300, height=400)
            page.insert_text((36, 60), f"Document {seed}, page {number}, some words.")
        path.parent.mkdir(parents=True, exist_ok=True)
        document.save(path)
    return path


class Bench(Place):
    """A place whose runs use tiny models; ``complete`` documents have been seen so and stay so."""

    def __init__(self, folder: Path, **settings: object) -> None:
        super().__init__(
            folder,
            device="cpu",
            settle_s=0,
            sensor_interval_s=SENSOR_S,
            min_free_mb=50,
            viewer_port=0,
            **settings,
        )
        self.complete: set[str] = set()

    def child(self, *arguments: str) -> "subprocess.Popen[str]":
        """A process of this module that works on this place."""
        return subprocess.Popen(
            [*SELF, *arguments], env=self.environment, stdout=subprocess.PIPE, text=True
        )

    def process(self, *files: Path) -> "subprocess.Popen[str]":
        """Parse files in a process of their own."""
        return self.child("process", *map(str, files))

    def note(self) -> None:
        """Remember what is complete now."""
        if Warehouse(self.data).exists:
            rows = Warehouse(self.data).documents()
            self.complete |= {row.document_id for row in rows if row.status == "complete"}

    def all_complete(self) -> bool:
        """Whether each current document is complete, and there are as many as files."""
        if not Warehouse(self.data).exists:
            return False
        rows = [row for row in Warehouse(self.data).documents() if row.is_current]
        return len(rows) == len(list(self.inbox.rglob("*.pdf"))) and all(
            row.status == "complete" for row in rows
        )

    def staged(self) -> int:
        """Pages of unfinished documents that are put away."""
        warehouse = Warehouse(self.data)
        if not warehouse.exists:
            return 0
        versions = code_versions(load_settings())
        rows = [row for row in warehouse.documents() if row.status == "registered"]
        return sum(len(warehouse.finished_pages(row.document_id, versions)) for row in rows)

    @contextmanager
    def serving(self) -> "Iterator[subprocess.Popen[str]]":
        """``deepcompress up`` with tiny models, until the block is left, by Ctrl-C."""
        server = self.child("serve", str(PORT))
        try:
            wait_for(lambda: "UI is at" in (server.stdout.readline() if server.stdout else ""))
            yield server
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)


def few_documents(bench: Bench, number: int, pages: int = 12) -> list[Path]:
    return [
        write_pdf(bench.inbox / f"{number}-{part}.pdf", pages, 10 * number + part)
        for part in range(2)
    ]


def wait_for_end(process: "subprocess.Popen[str]") -> int:
    with process:
        return process.wait(300)


def unfinished(bench: Bench) -> int:
    with server.open_instance(load_settings(data_dir=bench.data, inbox=bench.inbox)) as instance:
        return len(run_records.unfinished_runs(instance))
