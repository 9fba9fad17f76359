"""Where parsing runs, measured: what a host costs, and what a warm one saves.

    python -m benchmarks.hosts overhead PDF [PDF ...] [--rounds 3]
    python -m benchmarks.hosts overlap LONG_PDF SHORT_PDF
    python -m benchmarks.hosts sensor [PDF ...] [--hosts process,warm]

``overhead`` parses the same files in the run's own process and in a warm one, models loaded, rows
into a real warehouse, by turns; it prints CPU seconds of all processes that have a part in it.
``overlap`` has the warm process parse the short file alone, then while the long one is under way:
what one run costs the other, and what a batch holds.
``sensor`` drops the files one after the other into the inbox of a real ``deepcompress up`` and
waits for each one's rows. CPU of a process that ends between two looks is missed up to the look
before it: ``LOOK_S``.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pymupdf

from benchmarks.quality import markdown_table
from benchmarks.walk import Place, wait_for
from deepcompress_dagster.asset_graph import ASSETS, LAYOUT
from deepcompress_dagster.hosts.host import ParseHost
from deepcompress_dagster.hosts.process import ProcessHost
from deepcompress_dagster.hosts.warm.client import WarmHost, status
from deepcompress_dagster.orchestration.server import open_instance
from deepcompress_dagster.pipeline.commit import Committer
from deepcompress_dagster.pipeline.stages import code_versions
from deepcompress_dagster.records import DocumentTask, PageResult
from deepcompress_dagster.settings import Settings, load_settings
from deepcompress_dagster.warehouse import Warehouse

PORT = 3907
"""Of the UI of ``sensor``."""

LOOK_S = 0.1
"""How often the CPU seconds of processes are read."""

SETTLE_S = 8.0
"""Between a document's rows and the next file: the run's process is to end, the sensor to tick."""

WARM = "deepcompress_dagster.hosts.warm"
RUN = "spawn_main"
"""In the command line of a run's process, which Dagster's code server spawns."""


def cpu_s(process: psutil.Process) -> float:
    """CPU seconds of a process and its children, dead ones that it waited for included."""
    times = process.cpu_times()
    total = times.user + times.system + times.children_user + times.children_system
    return total + sum(map(cpu_s, process.children()))


# What a host costs


@contextmanager
def warm_process(settings: Settings) -> Iterator[psutil.Process]:
    """A warm process of the data folder, until the block is left."""
    environment = {**os.environ, "DEEPCOMPRESS_DATA_DIR": str(settings.data_dir)}
    process = subprocess.Popen([sys.executable, "-m", WARM], env=environment)
    try:
        wait_for(lambda: status(settings.data_dir) is not None)
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def parse_all(host: ParseHost, pdfs: Sequence[Path], settings: Settings) -> int:
    """Parse the files and commit their rows; the pages."""
    shutil.rmtree(settings.data_dir / "bench", ignore_errors=True)
    warehouse = Warehouse(settings.data_dir / "bench")
    registered = warehouse.register(pdfs)
    names = [found.document_id for found in registered if found.document_id]
    tasks = [
        DocumentTask(name, warehouse.kept_pdf(name), warehouse.image_dir(name)) for name in names
    ]
    versions = code_versions(settings)
    committer = Committer(warehouse, "bench", versions, publishes=False)
    pages = 0
    with closing(host), closing(host.parse(tasks, tuple(versions))) as events:
        for event in events:
            committer.take(event)
            pages += isinstance(event, PageResult)
    return pages


def overhead(pdfs: Sequence[Path], rounds: int) -> str:
    """CPU and wall seconds by host, the median of ``rounds``, after one round to load models."""
    seconds: dict[str, list[tuple[float, float]]] = {"process": [], "warm": []}
    pages = 0
    with tempfile.TemporaryDirectory() as work:
        settings = load_settings(data_dir=Path(work), device="cpu")
        with warm_process(settings) as warm:
            ours = psutil.Process()
            for number in range(rounds + 1):
                for name in seconds:
                    host = ProcessHost(settings) if name == "process" else WarmHost(settings)
                    before, began = cpu_s(ours), time.monotonic()
                    pages = parse_all(host, pdfs, settings)
                    if number:
                        spent = cpu_s(ours) - before
                        seconds[name].append((spent, time.monotonic() - began))
            print(f"the warm process takes {warm.memory_info().rss / 2**20:.0f} MB")
    base = statistics.median(cpu for cpu, _ in seconds["process"])
    lines = []
    for name, measured in seconds.items():
        cpu = statistics.median(cpu for cpu, _ in measured)
        wall = statistics.median(wall for _, wall in measured)
        lines.append([name, pages, f"{cpu / pages:.4f}", f"{wall:.1f}", f"{cpu / base - 1:+.1%}"])
    return markdown_table(
        ["host", "pages", "CPU-s a page", "wall, s", "CPU against process"], lines
    )


# What runs at once cost each other


def overlap(long: Path, short: Path) -> str:
    """Seconds of the short file alone and beside the long one, on a CPU and in batches of four."""
    lines = []
    for batch in (0, 4):
        with tempfile.TemporaryDirectory() as work:
            settings = load_settings(data_dir=Path(work), device="cpu", layout_batch_size=batch)
            with warm_process(settings):
                lines += [[batch or 1, *line] for line in _overlapped(long, short, settings)]
    header = ["layout batch", "what", "pages", "wall, s", "pages in a batch"]
    return markdown_table(header, lines)


def _overlapped(long: Path, short: Path, settings: Settings) -> Iterator[list[object]]:
    done: dict[str, list[object]] = {}

    def parse(what: str, pdf: Path) -> None:
        host, began = WarmHost(settings), time.monotonic()
        task = DocumentTask(what, pdf, settings.data_dir / "images" / what)
        with closing(host.parse([task], ASSETS)) as events:
            pages = sum(isinstance(event, PageResult) for event in events)
        seconds = time.monotonic() - began
        layout = next(stage for stage in host.usage().stages if stage.name == LAYOUT)
        done[what] = [what, pages, f"{seconds:.1f}", f"{layout.mean_fill:.2f}"]

    parse("to load models", short)
    parse("short alone", short)
    parse("long alone", long)
    beside = threading.Thread(target=parse, args=("long beside short ones", long))
    beside.start()
    wait_for(lambda: (found := status(settings.data_dir)) is not None and found.runs == 1)
    parse("short beside long", short)
    still = beside.is_alive()
    beside.join()
    yield from (done[what] for what in ("short alone", "short beside long", "long alone"))
    yield done["long beside short ones"]
    if not still:
        yield ["the long one was through before the short one", "", "", ""]


# What a warm one saves


@dataclass
class Watch:
    """CPU seconds of the processes below one, by what they are; the last reading of each counts."""

    root: psutil.Process
    readings: dict[tuple[str, int], float] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopping.set()
        self._thread.join()

    def total(self, kind: str) -> float:
        """CPU seconds of all processes of a kind so far."""
        return sum(seconds for (name, _), seconds in list(self.readings.items()) if name == kind)

    def _look(self) -> None:
        while not self._stopping.wait(LOOK_S):
            self._read(self.root, "up")

    def _read(self, process: psutil.Process, above: str) -> None:
        try:
            kind = above if above in (RUN, WARM) else self._kind(process)
            times = process.cpu_times()
            self.readings[kind, process.pid] = times.user + times.system
            for child in process.children():
                self._read(child, kind)
        except psutil.NoSuchProcess:
            return

    def _kind(self, process: psutil.Process) -> str:
        words = process.cmdline()
        return next((name for name in (RUN, WARM) if any(name in word for word in words)), "other")


@dataclass(frozen=True)
class Drop:
    """One file dropped into the inbox."""

    asked_s: float
    started_s: float
    seconds: float
    """From the file's arrival until its run is asked for, is started, and its rows are there."""
    run_cpu_s: float
    warm_cpu_s: float
    loads: int


def sensor(pdfs: Sequence[Path], hosts: Sequence[str]) -> str:
    """Seconds, CPU and model loads of each file, by host."""
    lines = []
    for host in hosts:
        with tempfile.TemporaryDirectory() as work:
            place = Place(Path(work), parse_on=host)
            drops = list(_drops(place, pdfs))
        for number, drop in enumerate(drops, start=1):
            lines.append(
                [
                    *(host, number, drop.loads),
                    *(f"{drop.asked_s:.1f}", f"{drop.started_s:.1f}", f"{drop.seconds:.1f}"),
                    *(f"{drop.run_cpu_s:.1f}", f"{drop.warm_cpu_s:.1f}"),
                ]
            )
    header = ["host", "file", "model loads", "run asked for after, s", "started", "rows"]
    header.append("CPU-s of the run")
    return markdown_table([*header, "CPU-s of the warm process"], lines)


def _drops(place: Place, pdfs: Sequence[Path]) -> Iterator[Drop]:
    with place.up(PORT) as up, Watch(psutil.Process(up.pid)) as watch:
        time.sleep(SETTLE_S)
        for number, pdf in enumerate(pdfs, start=1):
            run, warm = watch.total(RUN), watch.total(WARM)
            hidden = place.inbox / f".{pdf.name}"
            shutil.copyfile(pdf, hidden)
            hidden.rename(place.inbox / f"{number}-{pdf.name}")
            arrived = time.time()
            seconds = wait_for(place.done(number))
            time.sleep(SETTLE_S)
            record, loads = _newest_run(place)
            yield Drop(
                record.create_timestamp.timestamp() - arrived,
                (record.start_time or 0.0) - arrived,
                seconds,
                watch.total(RUN) - run,
                watch.total(WARM) - warm,
                loads,
            )


def _newest_run(place: Place) -> tuple[dg.RunRecord, int]:
    """The newest run, and how many models it loaded, as its materialization says."""
    with open_instance(load_settings(data_dir=place.data)) as instance:
        (record,) = instance.get_run_records(limit=1)
        event = instance.get_latest_materialization_event(dg.AssetKey("figures"))
    found: Any = event.asset_materialization if event else None
    return record, sum(found.metadata["model loads"].data.values()) if found else -1


def one_page(folder: Path, number: int) -> Path:
    """A born-digital page of its own, with a table that the models are asked about."""
    document = pymupdf.open()
    page = document.new_page()
    page.insert_text((72, 72), f"Note {number}", fontsize=18)
    page.insert_textbox((72, 100, 520, 300), "It rained on the orchard all day. " * 20)
    for row in range(8):
        for column, text in enumerate((f"Tree {row}", f"{row * number} kg", "picked")):
            page.insert_text((90 + 130 * column, 330 + 22 * row), text)
        page.draw_line((80, 336 + 22 * row), (470, 336 + 22 * row))
    path = folder / f"note-{number}.pdf"
    document.save(path)
    return path


def main() -> None:
    """Measure what is asked for and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["overhead", "overlap", "sensor"])
    parser.add_argument("pdfs", nargs="*", type=Path, help="sensor: none means two pages of notes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hosts", default="process,warm")
    options = parser.parse_args()
    if options.what == "overhead":
        print(overhead(options.pdfs, options.rounds))
        return
    if options.what == "overlap":
        print(overlap(*options.pdfs))
        return
    with tempfile.TemporaryDirectory() as folder:
        pdfs = options.pdfs or [one_page(Path(folder), number) for number in (1, 2)]
        print(sensor(pdfs, options.hosts.split(",")))


if __name__ == "__main__":
    main()
