"""The whole way with real processes: what happens to documents, runs and readers when.

    python -m benchmarks.walk PDF [PDF ...] [--only STEP,STEP] [--work FOLDER]

Each step works in a data folder of its own and prints what it saw, as in benchmarks/README.md. The
first PDF should have 20 pages or more; the others stand for the small documents of a day.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import psutil
import pymupdf

from deepcompress_dagster.warehouse import Warehouse

CLI = (sys.executable, "-m", "deepcompress_dagster.cli")
TABLES = ("documents", "pages", "layouts", "text", "tables", "figures", "errors")
PATIENCE_S = 400.0


class Place:
    """A data folder and an inbox, and the commands that work on them."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.data, self.inbox = folder / "data", folder / "inbox"
        self.inbox.mkdir(parents=True)
        self.environment = {
            **os.environ,
            "DEEPCOMPRESS_DATA_DIR": str(self.data),
            "DEEPCOMPRESS_INBOX": str(self.inbox),
            "DEEPCOMPRESS_SENSOR_INTERVAL_S": "5",
            **{f"DEEPCOMPRESS_{name.upper()}": str(value) for name, value in settings.items()},
        }

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*CLI, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> str:
        """Output of a command, whatever its exit status."""
        with self.start(*arguments) as process:
            said = process.stdout.read() if process.stdout else ""
        return f"{said.strip()} (exit {process.returncode})"

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return Warehouse(self.data).query(sql).to_pylist()

    def value(self, sql: str) -> Any:
        return next(iter(self.rows(sql)[0].values()))

    def counts(self) -> dict[str, int]:
        return {table: self.value(f"SELECT count(*) FROM {table}") for table in TABLES}

    @contextmanager
    def up(self, port: int) -> Iterator["subprocess.Popen[str]"]:
        """``deepcompress up`` until the block is left, by Ctrl-C."""
        log = self.data.parent / "up.log"
        process = self.start(
            "up", "--port", str(port), "--viewer-port", "0", "--log-file", str(log)
        )
        try:
            wait_for(lambda: "http" in (process.stdout.readline() if process.stdout else ""))
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)

    def done(self, number: int) -> Callable[[], bool]:
        """Whether ``number`` current documents are through."""
        return lambda: (
            (self.data / "deepcompress.duckdb").exists()
            and self.value(
                "SELECT count(*) FROM documents WHERE is_current AND status <> 'registered'"
            )
            >= number
        )


def wait_for(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> float:
    """Seconds until ``condition`` holds. Raises TimeoutError."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > patience_s:
            raise TimeoutError("waited in vain")
        time.sleep(0.2)
    return time.monotonic() - started


def say(text: object) -> None:
    print(text, flush=True)


def batch(place: Place, pdfs: Sequence[Path]) -> None:
    """Small documents, a cut one and a broken one: rows, the failure, the retry."""
    cut, broken = (place.inbox.parent / name for name in ("cut.pdf", "broken.pdf"))
    cut.write_bytes(pdfs[1].read_bytes()[:800])
    broken.write_text("This is not a PDF.")
    say(place.run("process", *map(str, pdfs[1:13]), str(cut), str(broken)))
    say(place.counts())
    say(place.rows("SELECT document_id, stage, error_type, message FROM errors"))
    say(place.run("status"))
    say(place.run("retry"))


def subset(place: Place, pdfs: Sequence[Path]) -> None:
    """``text`` alone again: the stages that ran, and that the other tables keep their rows."""
    place.run("process", str(pdfs[1]))
    digest = "SELECT asset, data_version, run_id FROM asset_state ORDER BY asset"
    before = {row["asset"]: row for row in place.rows(digest)}
    say(place.run("process", str(pdfs[1]), "--assets", "text", "--force"))
    after = {row["asset"]: row for row in place.rows(digest)}
    text_run = after["text"]["run_id"]
    for asset, row in after.items():
        same_rows = row["data_version"] == before[asset]["data_version"]
        same_run = row["run_id"] == before[asset]["run_id"]
        say(f"{asset}: rows unchanged {same_rows}, written by the first run {same_run}")
    ran = f"SELECT DISTINCT stage FROM page_timings WHERE run_id = '{text_run}' ORDER BY 1"
    say(f"stages of the second run: {[row['stage'] for row in place.rows(ran)]}")


def inbox(place: Place, pdfs: Sequence[Path]) -> None:
    """A folder moved in, one file under two names, a changed file."""
    aside = place.inbox.parent / "aside"
    aside.mkdir()
    for pdf in pdfs[1:3]:
        shutil.copy2(pdf, aside)
        os.utime(aside / pdf.name, (1, 1))
    with place.up(3211):
        aside.rename(place.inbox / "moved")
        say(f"folder with old time stamps moved in: {wait_for(place.done(2)):.1f} s, 2 documents")
        shutil.copy(pdfs[1], place.inbox / "same bytes.pdf")
        wait_for(lambda: place.value("SELECT count(*) FROM sources") == 3)
        say(f"same bytes, two names: {place.value('SELECT count(*) FROM documents')} documents")
        shutil.copy(pdfs[3], place.inbox / "same bytes.pdf")
        wait_for(place.done(3))
        wait_for(lambda: place.value("SELECT count(*) FROM documents") == 3)
    say(place.rows("SELECT document_id, status, is_current, superseded_by FROM documents"))
    say(place.rows("SELECT path, document_id, present FROM sources"))


def many(place: Place, pdfs: Sequence[Path], number: int = 500) -> None:
    """Many one-page PDFs at once: runs, and seconds a document outside the stream."""
    for index in range(number):
        document = pymupdf.open()
        document.new_page().insert_text((72, 72), f"Note {index}: nothing to report.")
        document.save(place.inbox / f"note-{index:03d}.pdf")
    started = time.monotonic()
    with place.up(3212):
        wait_for(place.done(number), 1500)
        wall = time.monotonic() - started
    stream = place.value("SELECT sum(seconds) FROM page_timings WHERE stage IN ('layout')")
    runs = place.value("SELECT count(DISTINCT run_id) FROM asset_state")
    say(f"{number} documents in {wall:.0f} s, {runs} runs; layout model {stream:.0f} s")
    say(f"{(wall - stream) / number:.3f} s a document outside the layout model")
    say(place.run("status"))


def live(place: Place, pdfs: Sequence[Path]) -> None:
    """When the first rows of a long document can be read, and how much was rendered by then."""
    process = place.start("process", str(pdfs[0]))
    link = place.data / "deepcompress.duckdb"
    pages = pymupdf.open(pdfs[0]).page_count

    def seen() -> bool:
        return link.exists() and place.value("SELECT count(*) FROM live_pages") > 0

    wait_for(seen)
    rendered = len(list((place.data / "images").rglob("page-*.jpg")))
    readable = place.value("SELECT count(*) FROM live_pages")
    say(f"{pages} pages; first rows readable ({readable}) when {rendered} pages were rendered")
    process.wait()
    say(f"in the end {place.value('SELECT count(*) FROM pages')} pages")


def readers(place: Place, pdfs: Sequence[Path]) -> None:
    """A process that reads in a loop while a run writes, and a client that opened read-write."""
    place.run("process", str(pdfs[1]))
    rude = "import duckdb, sys, time; duckdb.connect(sys.argv[1]); time.sleep(60)"
    client = subprocess.Popen(
        [sys.executable, "-c", rude, str(place.data / "deepcompress.duckdb")],
        stderr=subprocess.DEVNULL,
    )
    done = {"reads": 0, "failed": 0}
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            try:
                target = (place.data / "deepcompress.duckdb").resolve()
                with duckdb.connect(str(target), read_only=True) as connection:
                    connection.execute("SELECT count(*) FROM blocks").fetchall()
                done["reads"] += 1
            except duckdb.Error as error:
                say(error)
                done["failed"] += 1
            time.sleep(0.01)

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(2)
    client.kill()
    say(place.run("process", *map(str, pdfs[2:10])))
    stop.set()
    reader.join()
    say(done)


def crash(place: Place, pdfs: Sequence[Path]) -> None:
    """SIGKILL of a run in the middle of a document: what the next start does, unaided."""
    shutil.copy(pdfs[0], place.inbox)
    with place.up(3213) as process:
        pages = "SELECT count(*) FROM live_pages"
        link = place.data / "deepcompress.duckdb"
        wait_for(lambda: link.exists() and place.value(pages) >= 3)
        victims = [p for p in psutil.Process(process.pid).children(recursive=True) if is_run(p)]
        for victim in victims:
            victim.kill()
        say(f"killed {len(victims)} run process with {place.value(pages)} pages staged")
        kept = place.value(pages)
        say(f"complete {wait_for(place.done(1)):.0f} s later, nobody did anything")
    first = "SELECT count(*) FROM page_timings WHERE stage = 'render'"
    per_run = place.rows(
        "SELECT run_id, count(*) AS pages FROM page_timings WHERE stage = 'render' GROUP BY ALL"
    )
    say(f"rows: {place.counts()}, kept {kept}, rendered {place.value(first)}, by run {per_run}")
    say(f"left over: {leftovers(place)}")


def is_run(process: psutil.Process) -> bool:
    """Whether a process executes a run: it holds a file in ``runs/``."""
    try:
        return any(Path(file.path).parent.name == "runs" for file in process.open_files())
    except psutil.Error:
        return False


def interrupt(place: Place, pdfs: Sequence[Path]) -> None:
    """Ctrl-C of ``up`` during a run: how long it takes, and what the next ``up`` does."""
    shutil.copy(pdfs[0], place.inbox)
    link = place.data / "deepcompress.duckdb"
    with place.up(3214):
        wait_for(lambda: link.exists() and place.value("SELECT count(*) FROM live_pages") >= 3)
        started = time.monotonic()
    say(f"stopped in {time.monotonic() - started:.1f} s; left over: {leftovers(place)}")
    say(place.run("status"))
    with place.up(3215):
        say(f"next start: complete after {wait_for(place.done(1)):.0f} s")
    say(place.run("status"))


def leftovers(place: Place) -> dict[str, int]:
    """Processes, temporary files and pixel buffers that are still there."""
    mine = str(place.data)
    processes = 0
    for process in psutil.process_iter():
        try:
            processes += process.environ().get("DEEPCOMPRESS_DATA_DIR") == mine
        except psutil.Error:
            continue
    return {
        "processes": processes,
        "temporary files": len(list(place.data.rglob("*.tmp"))),
        "slots": len(list(Path("/dev/shm").glob("deepcompress*"))),
    }


STEPS = {
    step.__name__: step for step in (batch, subset, inbox, live, readers, crash, interrupt, many)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pdfs", nargs="+", type=Path)
    parser.add_argument("--only", default=",".join(STEPS))
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="deepcompress-walk-"))
    for name in arguments.only.split(","):
        say(f"\n## {name}: {(STEPS[name].__doc__ or '').splitlines()[0]}")
        STEPS[name](Place(work / name), [pdf.resolve() for pdf in arguments.pdfs])


if __name__ == "__main__":
    main()
