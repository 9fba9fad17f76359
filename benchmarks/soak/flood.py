"""Many documents at once: how many runs wait or work, and how long it takes."""

import time
from pathlib import Path

from benchmarks.soak.bench import Bench, unfinished, write_pdf
from benchmarks.soak.verdict import Row, judge
from benchmarks.walk import say, wait_for
from deepcompress_dagster.settings import load_settings
from deepcompress_dagster.warehouse import Warehouse


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
