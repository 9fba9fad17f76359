"""Kills, stops, resumes and load over time: real processes, models that answer at once.

    python -m benchmarks.soak [--tries 19] [--services 6] [--documents 2000] [--minutes 10]
                              [--only kills,stops,resume,flood,load] [--work DIR]

Prints one table (fault, tries, lost pages, lost documents, torn documents, time to recover) and
what is left behind; ``load`` writes ``load.csv`` and ``load.svg``: memory, file descriptors and
queue depths over time. The status is 1 where anything was lost, torn or left behind.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import psutil
import pymupdf

from benchmarks.walk import Place, leftovers, say, wait_for
from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.file_lock import is_held
from deepcompress_dagster.orchestration import ingest, run_records, server
from deepcompress_dagster.orchestration.execution.registration import register_documents
from deepcompress_dagster.pipeline.stages import code_versions
from deepcompress_dagster.settings import load_settings
from deepcompress_dagster.warehouse import Warehouse

SELF = (sys.executable, "-m", "benchmarks.soak")
PORT = 3231
READERS = 4
SENSOR_S = 2

RUNS = "{ runsOrError(limit: 50) { ... on Runs { results { runId status } } } }"
TERMINATE = "mutation ($run: String!) { terminateRun(runId: $run) { __typename } }"

TORN = """
WITH held AS (
    SELECT document_id, 'pages' AS asset, count(*) AS n FROM pages GROUP BY ALL
    UNION ALL SELECT document_id, 'layouts', count(*) FROM layouts GROUP BY ALL
    UNION ALL SELECT document_id, 'text', count(*) FROM text GROUP BY ALL
    UNION ALL SELECT document_id, 'tables', count(*) FROM tables GROUP BY ALL
    UNION ALL SELECT document_id, 'figures', count(*) FROM figures GROUP BY ALL
)
SELECT DISTINCT s.document_id FROM asset_state s
LEFT JOIN held h ON h.document_id = s.document_id AND h.asset = s.asset
WHERE coalesce(h.n, 0) <> s.rows
"""
"""Documents whose rows are not as many as their commit said."""

LOST_PAGES = """
SELECT coalesce(sum(d.page_count - p.n), 0)::BIGINT FROM documents d
JOIN (SELECT document_id, count(*) FILTER (status <> 'failed') AS n FROM pages GROUP BY ALL) p
    USING (document_id)
WHERE d.status <> 'failed' AND d.is_current
"""


# What is worked on


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
            folder, device="cpu", settle_s=0, sensor_interval_s=SENSOR_S, min_free_mb=50, **settings
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
            wait_for(lambda: "http" in (server.stdout.readline() if server.stdout else ""))
            yield server
        finally:
            server.send_signal(signal.SIGINT)
            server.wait(60)


# Kills


@dataclass
class Row:
    """One line of the table."""

    fault: str
    tries: int = 0
    lost_pages: int = 0
    lost_documents: int = 0
    torn_documents: int = 0
    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        median = statistics.median(self.seconds) if self.seconds else 0.0
        worst = max(self.seconds, default=0.0)
        return (
            f"| {self.fault} | {self.tries} | {self.lost_pages} | {self.lost_documents} "
            f"| {self.torn_documents} | {median:.1f} (most {worst:.1f}) |"
        )

    @property
    def is_clean(self) -> bool:
        lost = self.lost_pages or self.lost_documents or self.torn_documents
        return not (lost or self.problems)


HEAD = (
    "| fault | tries | lost pages | lost documents | torn documents | seconds to recover |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def judge(bench: Bench, row: Row) -> Row:
    """Fill in what was lost, torn or left, after all is done and no process should be there."""
    warehouse = Warehouse(bench.data)
    warehouse.publish(force=True)
    row.torn_documents = len(bench.rows(TORN))
    row.lost_pages = bench.value(LOST_PAGES)
    now = {item.document_id for item in warehouse.documents() if item.status == "complete"}
    row.lost_documents = len(bench.complete - now)
    row.problems += disagreements(bench)
    row.problems += [f"{count} {what} left" for what, count in left(bench).items() if count]
    held = [path.name for path in (bench.data / "runs").glob("*.lock") if is_held(path)]
    row.problems += [f"lock {name} is stuck" for name in held]
    return row


def left(bench: Bench) -> dict[str, int]:
    """What is left over of this place, and pixel buffers of processes that are gone."""
    slots = Path("/dev/shm").glob("deepcompress-*-*")
    dead = [path for path in slots if not psutil.pid_exists(int(path.name.split("-")[1]))]
    return {**leftovers(bench), "slots": len(dead)}


def disagreements(bench: Bench) -> list[str]:
    """Partitions that Dagster shows as materialised and the tables have not, or the reverse."""
    settings = load_settings(data_dir=bench.data, inbox=bench.inbox)
    held = {(item.document_id, item.asset) for item in Warehouse(bench.data).asset_states()}
    with server.open_instance(settings) as instance:
        shown = {
            (document_id, asset)
            for asset in ASSETS
            for document_id in instance.get_materialized_partitions(dg.AssetKey(asset))
        }
    return [f"only in Dagster: {item}" for item in sorted(shown - held)] + [
        f"only in the tables: {item}" for item in sorted(held - shown)
    ]


class Nursery:
    """Starts run processes without their imports: forks of a process that has done these, which
    has no threads yet."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def __enter__(self) -> "Nursery":
        self._parent = subprocess.Popen(
            [*SELF, "nursery"],
            env=self._bench.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._parent.communicate()

    def start(self, files: Sequence[Path]) -> int:
        """The process id of a run over these files."""
        assert self._parent.stdin
        self._parent.stdin.write(json.dumps([str(path) for path in files]) + "\n")
        self._parent.stdin.flush()
        return int(self._line())

    def wait(self) -> int:
        """The exit status of the run, once it has ended; negative for a signal."""
        return int(self._line())

    def _line(self) -> str:
        assert self._parent.stdout
        line = ""
        while not line.startswith("nursery "):
            line = self._parent.stdout.readline()
            if not line:
                raise RuntimeError("the nursery has ended")
        return line.removeprefix("nursery ")


def nursery() -> None:
    """For each line of files, fork a run, and say its process id and then its exit status."""
    import benchmarks.tiny  # noqa: F401 - what a run imports, once for all

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            leave_with([Path(name) for name in json.loads(line)])
        print(f"nursery {child}", flush=True)
        _, status = os.waitpid(child, 0)
        print(f"nursery {os.waitstatus_to_exitcode(status)}", flush=True)


def leave_with(files: Sequence[Path]) -> None:
    """Parse files and end at once: in a fork, what libraries do at the end may hang."""
    status = 1
    try:
        status = process(files)
    except KeyboardInterrupt:
        status = 130
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(status)


def kill_run(pid: int) -> None:
    """Kill the process of a run, unless it has ended."""
    with suppress(psutil.Error):
        psutil.Process(pid).kill()


def interrupt_run(pid: int) -> None:
    """Ctrl-C for a run, unless it has ended."""
    with suppress(psutil.Error):
        psutil.Process(pid).send_signal(signal.SIGINT)


def kill_worker(pid: int) -> None:
    """Kill one of the processes that render for a run, if it has one just then."""
    with suppress(psutil.Error):
        workers = psutil.Process(pid).children(recursive=True)
        if workers:
            random.choice(workers).kill()


def faults_in_a_run(folder: Path, fault: str, kill: Callable[[int], None], tries: int) -> Row:
    """Kill a run, or a worker of it, at a random moment; then let another finish the work."""
    bench, row = Bench(folder), Row(fault, tries)
    with Nursery(bench) as runner:
        runner.start([write_pdf(bench.inbox / "first.pdf", 3, 0)])
        runner.wait()
        began = time.monotonic()
        runner.start(few_documents(bench, -1))
        runner.wait()
        usual_s = time.monotonic() - began
        for number in range(tries):
            bench.note()
            files = few_documents(bench, number)
            pid = runner.start(files)
            time.sleep(usual_s * random.uniform(0, 1.1))
            kill(pid)
            began = time.monotonic()
            runner.wait()
            bench.note()
            runner.start(files)
            runner.wait()
            row.seconds.append(time.monotonic() - began)
            if not bench.all_complete():
                row.problems.append(f"try {number}: not complete after the next run")
    return judge(bench, row)


def few_documents(bench: Bench, number: int, pages: int = 12) -> list[Path]:
    return [
        write_pdf(bench.inbox / f"{number}-{part}.pdf", pages, 10 * number + part)
        for part in range(2)
    ]


def wait_for_end(process: "subprocess.Popen[str]") -> int:
    with process:
        return process.wait(300)


def is_code_server(process: psutil.Process) -> bool:
    return {"api", "grpc"} <= set(process.cmdline())


def is_daemon(process: psutil.Process) -> bool:
    return "dagster._daemon" in process.cmdline()


def faults_in_a_service(
    folder: Path, fault: str, is_victim: Callable[[psutil.Process], bool], tries: int
) -> Row:
    """Kill a process of ``up`` while it works; ``up`` is on its own after that."""
    bench, row = Bench(folder), Row(fault, tries)
    for number in range(tries):
        bench.note()
        with bench.serving() as server:
            for part in range(3):
                write_pdf(bench.inbox / f"{number}-{part}.pdf", 30, 10 * number + part)
            time.sleep(random.uniform(2, 12))
            kill_first(server, is_victim)
            began = time.monotonic()
            wait_for(bench.all_complete)
            row.seconds.append(time.monotonic() - began)
    with bench.serving():
        wait_for(lambda: not unfinished(bench))
    return judge(bench, row)


def unfinished(bench: Bench) -> int:
    with server.open_instance(load_settings(data_dir=bench.data, inbox=bench.inbox)) as instance:
        return len(run_records.unfinished_runs(instance))


def kill_first(
    server: "subprocess.Popen[str]", is_victim: Callable[[psutil.Process], bool]
) -> None:
    for process in psutil.Process(server.pid).children(recursive=True):
        with suppress(psutil.Error):
            if is_victim(process):
                process.kill()
                return


def kills(folder: Path, tries: int, service_tries: int) -> list[Row]:
    """Kills of each kind: ``tries`` of a run and of its workers, the others of each service."""
    rows = []
    for name, kill in (("run killed", kill_run), ("render worker killed", kill_worker)):
        rows.append(faults_in_a_run(folder / name, name, kill, tries))
        say(rows[-1])
    for name, victim in (("code server killed", is_code_server), ("daemon killed", is_daemon)):
        rows.append(faults_in_a_service(folder / name, name, victim, service_tries))
        say(rows[-1])
    return rows


# Stops


def stops(folder: Path, tries: int) -> list[Row]:
    """Ctrl-C of a run in a terminal, and the UI's Terminate."""
    rows = [faults_in_a_run(folder / "interrupt", "Ctrl-C of a run", interrupt_run, tries)]
    say(rows[-1])
    rows.append(terminations(folder / "terminate", tries))
    say(rows[-1])
    return rows


def terminations(folder: Path, tries: int) -> Row:
    """Terminate runs as the UI does, at random moments: seconds until none is unfinished.

    The sensor must leave alone what was cancelled, and the next run that is asked for ends it.
    """
    bench, row = Bench(folder), Row("run terminated in the UI (seconds until it ended)", tries)
    ends: Counter[str] = Counter()
    with bench.serving():
        for number in range(tries):
            bench.note()
            known = set(run_statuses())
            files = few_documents(bench, number, pages=60)
            wait_for(lambda known=known: "STARTED" in run_statuses(known).values())
            time.sleep(random.uniform(0, 3))
            began = time.monotonic()
            for run_id in run_statuses(known):
                ask(TERMINATE, run=run_id)
            wait_for(lambda: not unfinished(bench))
            row.seconds.append(time.monotonic() - began)
            bench.note()
            ends.update(run_statuses(known).values())
            known = set(run_statuses())
            time.sleep(3 * SENSOR_S)
            row.problems += [f"try {number}: run {run} came unasked" for run in run_statuses(known)]
            wait_for_end(bench.process(*files))
            if not bench.all_complete():
                row.problems.append(f"try {number}: not complete after the next run")
    say(f"how the runs that were to be terminated ended: {dict(ends)}")
    if not ends["CANCELED"]:
        row.problems.append("no run was cancelled")
    return judge(bench, row)


def run_statuses(without: Collection[str] = ()) -> dict[str, str]:
    """Status of each run by its id, as the UI shows them."""
    runs_found = ask(RUNS)["runsOrError"]["results"]
    return {run["runId"]: run["status"] for run in runs_found if run["runId"] not in without}


def ask(query: str, **variables: str) -> dict[str, Any]:
    """What the webserver answers to a query of the UI."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}/graphql",
        data=json.dumps({"query": query, "variables": variables}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        data: dict[str, Any] = json.load(answer)["data"]
        return data


# Resume


def resume(folder: Path, pages: int = 1000) -> list[Row]:
    """A long document killed near its end: what the next run renders, and after a change."""
    bench, row = Bench(folder), Row(f"{pages} pages, killed near the end", 1)
    path = write_pdf(bench.inbox / "long.pdf", pages, 7)
    process = bench.process(path)
    wait_for(lambda: bench.staged() > 0.7 * pages or process.poll() is not None)
    process.kill()
    began = time.monotonic()
    wait_for_end(process)
    wait_for_end(bench.process(path))
    row.seconds.append(time.monotonic() - began)
    by_run = "SELECT count(*) AS n FROM page_timings WHERE stage = 'render' GROUP BY run_id"
    counts = sorted(item["n"] for item in bench.rows(by_run))
    say(f"pages rendered by the first run and by the next: {counts[::-1]}")
    if len(counts) != 2 or sum(counts) != pages:
        row.problems.append(f"pages rendered by run: {counts}")
    bench.environment["DEEPCOMPRESS_DPI"] = "72"
    wait_for_end(bench.process(path))
    counts = [item["n"] for item in bench.rows(by_run)]
    say(f"after a change of the resolution: {counts}")
    if counts != [pages]:
        row.problems.append(f"after a change, pages rendered by run: {counts}")
    say(row)
    return [judge(bench, row)]


def flood(folder: Path, documents: int) -> list[Row]:
    """Many documents at once: how many runs wait or work at most, and how long it takes."""
    bench, row = Bench(folder), Row(f"{documents} documents at once", 1)
    for number in range(documents):
        write_pdf(bench.inbox / f"note-{number:05d}.pdf", 1, number)
    count = "SELECT count(*) FROM documents WHERE status = 'complete'"
    most = 0

    began = time.monotonic()
    with bench.serving():
        while not Warehouse(bench.data).exists or bench.value(count) < documents:
            time.sleep(5)
            most = max(most, unfinished(bench))
        row.seconds.append(time.monotonic() - began)
        bench.note()
        wait_for(lambda: not unfinished(bench))
    bound = load_settings().max_queued_runs
    say(f"runs queued or at work: {most} at most, {bound} allowed")
    if most > bound:
        row.problems.append(f"{most} runs were queued or at work, {bound} are allowed")
    say(row)
    return [judge(bench, row)]


# Load


@dataclass(frozen=True)
class Sample:
    """One moment of the load: seconds, and sums over all processes of the place."""

    at: float
    memory_mb: float
    descriptors: int
    processes: int
    runs: int
    waiting: int


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
    began = time.monotonic()
    settings = load_settings(data_dir=bench.data, inbox=bench.inbox)
    with server.open_instance(settings) as instance:
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


def growth(samples: Sequence[Sample]) -> list[str]:
    """What grew by more than a fifth from the second third to the last."""
    third = len(samples) // 3
    if third < 5:
        return []
    grown = []
    for name in ("memory_mb", "descriptors"):
        middle, last = (
            statistics.median(getattr(item, name) for item in part)
            for part in (samples[third : 2 * third], samples[2 * third :])
        )
        say(f"{name}: {middle:.0f} in the middle third, {last:.0f} in the last")
        if last > 1.2 * middle:
            grown.append(f"{name} grew from {middle:.0f} to {last:.0f}")
    return grown


def write_samples(folder: Path, samples: Sequence[Sample]) -> None:
    """``load.csv``, and ``load.svg`` with a line for each quantity, scaled to its largest value."""
    names = list(Sample.__dataclass_fields__)
    rows = [",".join(f"{getattr(sample, name):.1f}" for name in names) for sample in samples]
    (folder / "load.csv").write_text("\n".join([",".join(names), *rows]) + "\n")
    (folder / "load.svg").write_text(plot(samples, names[1:]))
    say(f"written: {folder / 'load.csv'}, {folder / 'load.svg'}")


def plot(samples: Sequence[Sample], names: Sequence[str]) -> str:
    """An SVG with one panel a quantity over time."""
    width, height, gap = 640, 90, 34
    span = max(samples[-1].at, 1.0)
    parts = []
    for number, name in enumerate(names):
        top = gap + number * (height + gap)
        largest = max(float(getattr(sample, name)) for sample in samples) or 1.0
        points = " ".join(
            f"{60 + (width - 80) * sample.at / span:.1f},"
            f"{top + height * (1 - getattr(sample, name) / largest):.1f}"
            for sample in samples
        )
        parts.append(
            f'<text x="60" y="{top - 6}">{name} (0 to {largest:.0f}, {span:.0f} s)</text>'
            f'<rect x="60" y="{top}" width="{width - 80}" height="{height}" fill="none"'
            f' stroke="#ccc"/><polyline fill="none" stroke="#1f6f8b" points="{points}"/>'
        )
    total = gap + len(names) * (height + gap)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{total}"'
        f' font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(parts)}</svg>\n"
    )


# The processes


def serve(port: int) -> int:
    """``deepcompress up`` on the definitions with tiny models."""
    server.DEFINITIONS = "benchmarks.tiny"
    folder = load_settings().data_dir.parent
    return server.serve(load_settings(), host="127.0.0.1", port=port, log_file=folder / "up.log")


def process(files: Sequence[Path]) -> int:
    """``deepcompress process`` with tiny models."""
    from benchmarks.tiny import defs

    settings = load_settings()
    with server.open_instance(settings) as instance:
        registered = register_documents(instance, Warehouse(settings.data_dir), files)
        ids = [found.document_id for found in registered if found.document_id]
        return 0 if ingest.materialize_documents(instance, defs(), ids).success else 1


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        sys.exit(serve(int(sys.argv[2])))
    if sys.argv[1:2] == ["read"]:
        read()
        return
    if sys.argv[1:2] == ["nursery"]:
        nursery()
        return
    if sys.argv[1:2] == ["process"]:
        sys.exit(process([Path(name) for name in sys.argv[2:]]))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=19)
    parser.add_argument("--services", type=int, default=6, help="tries for each service")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--documents", type=int, default=2000, help="size of the flood")
    parser.add_argument("--only", default="kills,stops,resume,flood,load")
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="deepcompress-soak-"))
    steps = arguments.only.split(",")
    rows = kills(work / "kills", arguments.tries, arguments.services) if "kills" in steps else []
    rows += stops(work / "stops", arguments.services) if "stops" in steps else []
    rows += resume(work / "resume") if "resume" in steps else []
    rows += flood(work / "flood", arguments.documents) if "flood" in steps else []
    rows += load(work / "load", arguments.minutes) if "load" in steps else []
    say(HEAD)
    for row in rows:
        say(row)
    for row in rows:
        for problem in row.problems:
            say(f"{row.fault}: {problem}")
    sys.exit(0 if all(row.is_clean for row in rows) else 1)


if __name__ == "__main__":
    main()
