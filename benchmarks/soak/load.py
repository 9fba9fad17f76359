"""Work from all sides for a while, and what the services take meanwhile."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import duckdb
import psutil

from benchmarks.soak.bench import Bench, unfinished, wait_for_end, write_pdf
from benchmarks.soak.growth import Sample, growth, write_samples
from benchmarks.soak.ui import run_statuses
from benchmarks.soak.verdict import Row, judge
from benchmarks.walk import say, wait_for
from deepcompress_dagster.orchestration import run_records
from deepcompress_dagster.orchestration.server import open_instance
from deepcompress_dagster.settings import load_settings

READERS = 4


def load(folder: Path, minutes: float) -> list[Row]:
    """A filling inbox, a second run beside the sensor's, four readers and the UI, for a while."""
    bench = Bench(folder, documents_per_run=20)
    row = Row(f"load for {minutes:g} minutes", 1)
    stop = threading.Event()
    tally = {"reads": 0, "failed reads": 0, "UI answers": 0, "UI failures": 0, "commands": 0}
    lock = threading.Lock()

    def count(what: str) -> None:
        with lock:
            tally[what] += 1

    write_pdf(bench.inbox / "first.pdf", 2, 1)
    wait_for_end(bench.process(bench.inbox / "first.pdf"))
    with bench.serving() as server:
        row.problems += exposed(server)
        actors = [
            threading.Thread(target=actor, args=(bench, stop, count))
            for actor in (feed, command, ask_ui)
        ]
        for actor in actors:
            actor.start()
        readers = [bench.child("read") for _ in range(READERS)]
        samples = watch(bench, server, minutes * 60)
        stop.set()
        for actor in actors:
            actor.join()
        for reader in readers:
            reader.send_signal(signal.SIGTERM)
            told = json.loads(reader.communicate()[0])
            tally["reads"] += told["reads"]
            tally["failed reads"] += told["failed"]
        began = time.monotonic()
        wait_for(lambda: bench.all_complete() and not unfinished(bench), 600)
        row.seconds.append(time.monotonic() - began)
    say(", ".join(f"{what} {number}" for what, number in tally.items()))
    row.problems += [
        f"{what}: {tally[what]}" for what in ("failed reads", "UI failures") if tally[what]
    ]
    row.problems += growth(samples)
    write_samples(folder, samples)
    say(row)
    return [judge(bench, row)]


def feed(bench: Bench, stop: threading.Event, count: Callable[[str], None]) -> None:
    """Ten small documents every few seconds."""
    seed = 1000
    while not stop.wait(6):
        for _ in range(5):
            seed += 1
            write_pdf(bench.inbox / f"{seed % 7}" / f"{seed}.pdf", 2, seed)


def command(bench: Bench, stop: threading.Event, count: Callable[[str], None]) -> None:
    """A second run beside those of the sensor, again and again."""
    seed = 100_000
    while not stop.wait(5):
        seed += 1
        path = write_pdf(bench.inbox / "by hand" / f"{seed}.pdf", 4, seed)
        wait_for_end(bench.process(path))
        count("commands")


def read() -> None:
    """A process that opens the newest snapshot, asks, and closes it, until SIGTERM."""
    link = load_settings().data_dir / "deepcompress.duckdb"
    told = {"reads": 0, "failed": 0}
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    while not stop.wait(0.2):
        try:
            with duckdb.connect(str(link.resolve()), read_only=True) as conn:
                conn.execute("SELECT count(*), max(page_number) FROM blocks").fetchall()
            told["reads"] += 1
        except duckdb.Error as error:
            print(error, file=sys.stderr)
            told["failed"] += 1
    print(json.dumps(told))


def ask_ui(bench: Bench, stop: threading.Event, count: Callable[[str], None]) -> None:
    """What the UI's pages ask of the webserver."""
    while not stop.wait(1):
        try:
            run_statuses()
            count("UI answers")
        except (OSError, KeyError, TypeError, ValueError) as error:
            say(error)
            count("UI failures")


def watch(bench: Bench, server: "subprocess.Popen[str]", seconds: float) -> list[Sample]:
    """Samples of the services and of the queue, every two seconds. Runs come and go and are not
    among the memory and descriptors: what must not grow is what stays."""
    samples: list[Sample] = []
    settings = load_settings(data_dir=bench.data, inbox=bench.inbox)
    with open_instance(settings) as instance:
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            family = services(server)
            samples.append(
                Sample(
                    at=time.monotonic() - began,
                    memory_mb=sum(process.memory_info().rss for process in family) / 2**20,
                    descriptors=sum(process.num_fds() for process in family),
                    processes=len(psutil.Process(server.pid).children(recursive=True)),
                    runs=len(run_records.unfinished_runs(instance)),
                    waiting=bench.value(
                        "SELECT count(*) FROM documents WHERE status = 'registered'"
                    ),
                )
            )
            time.sleep(2)
    return samples


def services(server: "subprocess.Popen[str]") -> list[psutil.Process]:
    """Webserver, daemon, code servers: the processes of ``up`` that live as long as it does."""
    words = {"dagster_webserver", "dagster._daemon", "grpc"}
    found = []
    for process in psutil.Process(server.pid).children(recursive=True):
        with suppress(psutil.Error):
            if words & set(process.cmdline()):
                found.append(process)
    return found


def exposed(server: "subprocess.Popen[str]") -> list[str]:
    """Sockets of ``up`` that other machines can reach."""
    found = []
    for process in psutil.Process(server.pid).children(recursive=True):
        with suppress(psutil.Error):
            found += [
                f"{process.name()} listens on {item.laddr.ip}:{item.laddr.port}"
                for item in process.net_connections("inet")
                if item.status == psutil.CONN_LISTEN
                and item.laddr.ip not in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
            ]
    return found
