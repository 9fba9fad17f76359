"""Runs that are asked to stop: by Ctrl-C, and by the UI's Terminate."""

import random
import time
from collections import Counter
from pathlib import Path

from benchmarks.soak.bench import SENSOR_S, Bench, few_documents, unfinished, wait_for_end
from benchmarks.soak.kills import faults_in_a_run, interrupt_run
from benchmarks.soak.ui import TERMINATE, ask, run_statuses
from benchmarks.soak.verdict import Row, judge
from benchmarks.walk import say, wait_for


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
