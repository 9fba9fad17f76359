"""Five ways through the same pages with the same models: what streaming gains over the others.

    python -m benchmarks.strategies PDF [PDF ...] [--pages 25] [--plot FOLDER]

Every way runs in a process of its own, with the pipeline's own stages, flows and warehouse, so that
only the order of calls differs:

    load in the loop   page by page, every model loaded for every page
    sequential         page by page, models loaded once
    render ahead       the same, with pages rendered meanwhile
    staged             every stage over all pages in batches, before the next stage begins
    streaming          microbatches through overlapping stages

Prints a Markdown table a file; with --plot, SVG files of who did what when. *Of bound* compares
with the least time that the measured work allows: the larger of all stages' time over the cores,
and the busiest stage's time over its workers.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks.quality import markdown_table
from deepcompress_dagster.models.cache import ModelCache
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.pdf.client import PdfClient
from deepcompress_dagster.pdf.errors import PdfError
from deepcompress_dagster.pipeline import stages as names
from deepcompress_dagster.pipeline.batching import Batching
from deepcompress_dagster.pipeline.commit import Committer
from deepcompress_dagster.pipeline.model_source import CatalogModels, Models
from deepcompress_dagster.pipeline.page import PageFlow
from deepcompress_dagster.pipeline.page_view import PageOptions
from deepcompress_dagster.pipeline.stage_calls import PageJob
from deepcompress_dagster.pipeline.stage_runs import StageRuns
from deepcompress_dagster.records import (
    DocumentOpened,
    DocumentResult,
    DocumentTask,
    PageResult,
)
from deepcompress_dagster.settings import load_settings
from deepcompress_dagster.streaming import (
    Call,
    Flow,
    FlowTimings,
    ItemFailed,
    Stage,
    Stream,
    StreamMetrics,
)
from deepcompress_dagster.warehouse import Warehouse

STAGED_BATCH = 8
"""Items of a batch in the staged way: what the pipeline takes on an accelerator."""


@dataclass
class Timeline:
    """What each stage did when: seconds from the start, and how many items at once."""

    started: float = field(default_factory=time.monotonic)
    calls: list[tuple[str, float, float, int]] = field(default_factory=list)

    def recorded(self, stage: Stage[Any, Any]) -> Stage[Any, Any]:
        """The stage, with every call on record."""

        def run(batch: list[Any]) -> list[Any]:
            begun = time.monotonic()
            try:
                return stage.run(batch)
            finally:
                ended = time.monotonic()
                self.calls.append(
                    (stage.name, begun - self.started, ended - self.started, len(batch))
                )

        return replace(stage, run=run)


@dataclass(frozen=True)
class Outcome:
    """One way, measured. ``calls`` are the timeline's."""

    way: str
    pages: int
    wall_s: float
    cpu_s: float
    first_page_s: float
    peak_mb: float
    loads: int
    bound_s: float
    calls: Sequence[tuple[str, float, float, int]]

    @property
    def fill(self) -> float:
        """Items in a call of a model, on average."""
        items = [n for stage, _, _, n in self.calls if stage not in names.PDF_STAGES]
        return sum(items) / max(1, len(items))


class Work:
    """One document, its pages to do, and everything that does them."""

    def __init__(self, pdf: Path, folder: Path, pages: int, models: Models | None = None) -> None:
        """Without ``models`` they are the embedded ones, in a cache of this work's own."""
        self.settings = load_settings(data_dir=folder, device="cpu")
        self.cache = ModelCache()
        self.models = models or CatalogModels(self.settings, self.cache)
        self.batching = Batching(self.settings, "cpu")
        self.pdfs = PdfClient(
            workers=self.batching.render_workers,
            timeout_s=self.settings.page_timeout_s,
            document_timeout_s=self.settings.document_timeout_s,
            memory_mb=self.settings.worker_memory_mb,
            max_pages=self.settings.worker_max_pages,
            buffer_dir=folder / "tmp",
        )
        self.warehouse = Warehouse(folder)
        document_id = self.warehouse.register([pdf])[0].document_id
        assert document_id is not None
        self.task = DocumentTask(
            document_id,
            self.warehouse.kept_pdf(document_id),
            self.warehouse.image_dir(document_id),
        )
        self.info = self.pdfs.open(self.task.path, (), max_pages=self.settings.max_pages)
        count = min(pages, self.info.page_count)
        self.jobs = [PageJob(self.task, self.info, number) for number in range(1, count + 1)]
        self.timeline = Timeline()
        runs = StageRuns(
            self.settings,
            self.batching,
            self.pdfs,
            self.models,
            threading.Event(),
            metrics=lambda: self.metrics,
        )
        self.stages = {stage.name: self.timeline.recorded(stage) for stage in runs.stages()}
        self.metrics = StreamMetrics(self.stages.values())
        self.options = PageOptions(
            names.plan(), "cpu", self.settings.jpeg_quality, self.models.locates_lines()
        )

    def flow(self, job: PageJob, timings: FlowTimings) -> Flow[PageResult]:
        return PageFlow(job, self.options, timings).run()

    def call(self, call: Call) -> Any:
        """The stage's output for one item, or ItemFailed."""
        try:
            (output,) = self.stages[call.stage].run([call.item])
        except (ModelError, PdfError) as error:
            return ItemFailed(call.stage, error, 1)
        return ItemFailed(call.stage, output, 1) if isinstance(output, Exception) else output


def driven(flow: Flow[PageResult], answer: Callable[[Call], Any]) -> PageResult:
    """The flow's result, each of its calls answered where it stands."""
    reply: Any = None
    try:
        while True:
            asked = flow.throw(reply) if isinstance(reply, ItemFailed) else flow.send(reply)
            reply = answer(asked) if isinstance(asked, Call) else [answer(call) for call in asked]
    except StopIteration as end:
        result: PageResult = end.value
        return result


def load_in_the_loop(work: Work) -> Iterator[PageResult]:
    for job in work.jobs:
        work.cache.unload()
        yield driven(work.flow(job, FlowTimings()), work.call)


def sequential(work: Work) -> Iterator[PageResult]:
    for job in work.jobs:
        yield driven(work.flow(job, FlowTimings()), work.call)


def render_ahead(work: Work) -> Iterator[PageResult]:
    """Pages are rendered on threads of their own, as far ahead as the pipeline's budget allows."""
    ahead = max(1, work.batching.budget // max(1, work.batching.page_bytes(612, 792)))
    with ThreadPoolExecutor(work.batching.render_workers) as pool:
        rendering = {
            job: pool.submit(work.call, Call(names.RENDER, job)) for job in work.jobs[:ahead]
        }

        def answer(call: Call) -> Any:
            if call.stage != names.RENDER:
                return work.call(call)
            return rendering.pop(call.item).result()

        for i, job in enumerate(work.jobs):
            for later in work.jobs[i + ahead : i + ahead + 1]:
                rendering[later] = pool.submit(work.call, Call(names.RENDER, later))
            yield driven(work.flow(job, FlowTimings()), answer)


def staged(work: Work) -> Iterator[PageResult]:
    """All pages go through a stage before the next stage begins."""
    flows = {i: work.flow(job, FlowTimings()) for i, job in enumerate(work.jobs)}
    results: dict[int, PageResult] = {}
    asked = {i: _next(flow, None, results, i) for i, flow in flows.items()}
    while any(calls for calls in asked.values()):
        outputs: dict[tuple[int, int], Any] = {}
        for stage in work.stages.values():
            places = [
                (i, place, call.item)
                for i, calls in asked.items()
                for place, call in enumerate(_listed(calls))
                if call.stage == stage.name
            ]
            for start in range(0, len(places), STAGED_BATCH):
                batch = places[start : start + STAGED_BATCH]
                done = stage.run([item for _, _, item in batch])
                for (i, place, _), output in zip(batch, done, strict=True):
                    failed = isinstance(output, Exception)
                    outputs[i, place] = ItemFailed(stage.name, output, 1) if failed else output
        for i, calls in list(asked.items()):
            if calls:
                replies = [outputs[i, place] for place in range(len(_listed(calls)))]
                reply = replies[0] if isinstance(calls, Call) else replies
                asked[i] = _next(flows[i], reply, results, i)
    yield from results.values()


def _next(flow: Flow[PageResult], reply: Any, results: dict[int, PageResult], i: int) -> Any:
    """What the flow asks next; None at its end, its result put away."""
    try:
        return flow.throw(reply) if isinstance(reply, ItemFailed) else flow.send(reply)
    except StopIteration as end:
        results[i] = end.value
        return None


def _listed(calls: Any) -> Sequence[Call]:
    if calls is None:
        return ()
    return [calls] if isinstance(calls, Call) else calls


def streaming(work: Work) -> Iterator[PageResult]:
    stream = Stream(list(work.stages.values()), budget=work.batching.budget)
    work.metrics = stream.metrics

    def size(job: PageJob) -> int:
        return work.batching.page_bytes(*job.info.sizes[job.page_number - 1])

    yield from stream.run(work.jobs, work.flow, size)


WAYS: Mapping[str, Callable[[Work], Iterable[PageResult]]] = {
    "load in the loop": load_in_the_loop,
    "sequential": sequential,
    "render ahead": render_ahead,
    "staged": staged,
    "streaming": streaming,
}


def measure(way: str, pdf: Path, folder: Path, pages: int) -> Outcome:
    """One way over one document, in this process."""
    work = Work(pdf, folder, pages)
    committer = Committer(work.warehouse, "run", names.code_versions(work.settings))
    work.timeline.started = started = time.monotonic()
    cpu_before = _cpu_seconds()
    first = float("nan")
    committer.take(DocumentOpened(work.task.document_id, len(work.jobs)))
    for result in WAYS[way](work):
        committer.take(result)
        if first != first and _readable(work.warehouse):
            first = time.monotonic() - started
    committer.take(DocumentResult(work.task.document_id, len(work.jobs)))
    committer.flush()
    work.warehouse.publish(force=True)
    wall = time.monotonic() - started
    first = wall if first != first else first
    work.pdfs.close()  # the CPU time of the render workers counts once they have ended
    return Outcome(
        way=way,
        pages=len(work.jobs),
        wall_s=wall,
        cpu_s=_cpu_seconds() - cpu_before,
        first_page_s=first,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        loads=work.cache.stats().total_loads,
        bound_s=_bound(work),
        calls=work.timeline.calls,
    )


def _readable(warehouse: Warehouse) -> bool:
    """Whether a reader finds a page by SQL now."""
    return bool(warehouse.query("SELECT 1 FROM live_pages LIMIT 1").num_rows)


def _cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, both))


def _bound(work: Work) -> float:
    busy: defaultdict[str, float] = defaultdict(float)
    for stage, begun, ended, _ in work.timeline.calls:
        busy[stage] += ended - begun
    slowest = max(busy[name] / stage.workers for name, stage in work.stages.items())
    return max(slowest, sum(busy.values()) / (os.cpu_count() or 1))


def in_own_process(way: str, pdf: Path, pages: int) -> Outcome:
    """``measure`` in a fresh process."""
    with tempfile.TemporaryDirectory(prefix="deepcompress-strategies-") as folder:
        command = [sys.executable, "-m", "benchmarks.strategies", str(pdf)]
        command += ["--pages", str(pages), "--only", way, "--folder", folder]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        return Outcome(**json.loads(done.stdout.splitlines()[-1]))


def table(outcomes: Sequence[Outcome]) -> str:
    header = ["way", "wall, s", "CPU, s", "first page, s", "peak MB", "loads", "fill", "of bound"]
    lines = [
        [
            one.way,
            f"{one.wall_s:.1f}",
            f"{one.cpu_s:.1f}",
            f"{one.first_page_s:.1f}",
            f"{one.peak_mb:.0f}",
            one.loads,
            f"{one.fill:.2f}",
            f"{one.bound_s / one.wall_s:.0%}",
        ]
        for one in outcomes
    ]
    return markdown_table(header, lines)


COLOURS = ("#3b6ea5", "#c0392b", "#2e8b57", "#b8860b", "#7d3c98", "#16a085", "#7f8c8d")


def plot(outcomes: Sequence[Outcome]) -> str:
    """Who did what when: a panel a way, in it a lane a stage, all on one scale of seconds."""
    longest = max(one.wall_s for one in outcomes)
    shown = [name for name in STAGE_ORDER if any(c[0] == name for o in outcomes for c in o.calls)]
    parts, y = [], 10
    for one in outcomes:
        title = f"{one.way}: {one.wall_s:.1f} s"
        parts.append(f'<text x="10" y="{y + 12}" font-weight="bold">{title}</text>')
        y += 20
        for lane, name in enumerate(shown):
            parts.append(f'<text x="100" y="{y + 9}" text-anchor="end">{name}</text>')
            for stage, begun, ended, _ in one.calls:
                if stage == name:
                    x, width = 110 + 780 * begun / longest, 780 * (ended - begun) / longest
                    parts.append(
                        f'<rect x="{x:.1f}" y="{y}" width="{max(0.4, width):.1f}" height="9" '
                        f'fill="{COLOURS[lane % len(COLOURS)]}" fill-opacity=".75"/>'
                    )
            y += 12
        y += 8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="900" height="{y + 10}" '
        'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(parts)}</svg>\n"
    )


STAGE_ORDER = (
    names.RENDER,
    names.ORIENTATION,
    names.LAYOUT,
    names.TEXT,
    names.RULED_TABLES,
    names.TABLES,
    names.FIGURES,
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pdfs", nargs="+", type=Path)
    parser.add_argument("--pages", type=int, default=25, help="pages of each file, from the first")
    parser.add_argument("--plot", type=Path, help="folder for an SVG file a document")
    parser.add_argument("--only", choices=WAYS, help="one way, in this process; prints JSON")
    parser.add_argument("--folder", type=Path, help="data folder of --only")
    options = parser.parse_args(arguments)
    if options.only:
        outcome = measure(options.only, options.pdfs[0].absolute(), options.folder, options.pages)
        print(json.dumps(asdict(outcome)))
        return
    for pdf in options.pdfs:
        outcomes = [in_own_process(way, pdf.absolute(), options.pages) for way in WAYS]
        print(f"## {pdf.name}: {outcomes[0].pages} pages\n\n{table(outcomes)}\n", flush=True)
        if options.plot:
            options.plot.mkdir(parents=True, exist_ok=True)
            target = options.plot / f"strategies-{pdf.stem}.svg"
            target.write_text(plot(outcomes), encoding="utf-8")


if __name__ == "__main__":
    main()
