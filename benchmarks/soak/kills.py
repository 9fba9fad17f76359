"""Processes killed at random moments: a run, a worker that renders, the services of ``up``."""

import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.soak.bench import Bench, few_documents, unfinished, write_pdf
from benchmarks.soak.nursery import Nursery
from benchmarks.soak.verdict import Row, judge
from benchmarks.walk import say, wait_for


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
