"""A long document that is killed near its end: what the next run does again."""

import time
from pathlib import Path

from benchmarks.soak.bench import Bench, wait_for_end, write_pdf
from benchmarks.soak.verdict import Row, judge
from benchmarks.walk import say, wait_for


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
