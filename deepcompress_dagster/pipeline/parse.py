"""Documents in, finished pages and documents out: one stream over any number of documents.

``Parser`` owns what outlives one call: the worker processes and the choice of models. What a stage
does is told by stage_runs.py, what becomes of a page by page.py, how much goes at once by
batching.py.
"""

import threading
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.pdf.client import PdfClient
from deepcompress_dagster.pdf.errors import PdfError
from deepcompress_dagster.pdf.messages import DocumentInfo
from deepcompress_dagster.pdf.pool import PoolClosed
from deepcompress_dagster.pipeline import stages
from deepcompress_dagster.pipeline.batching import Batching
from deepcompress_dagster.pipeline.model_source import CatalogModels, Models
from deepcompress_dagster.pipeline.page import PageFlow
from deepcompress_dagster.pipeline.page_view import PageOptions
from deepcompress_dagster.pipeline.shortcomings import shortcomings
from deepcompress_dagster.pipeline.stage_calls import PageJob, page_error
from deepcompress_dagster.pipeline.stage_runs import StageRuns
from deepcompress_dagster.pipeline.stages import Plan
from deepcompress_dagster.records import (
    DocumentOpened,
    DocumentResult,
    DocumentTask,
    PageError,
    PageResult,
    Region,
)
from deepcompress_dagster.settings import Attachments, Settings
from deepcompress_dagster.streaming import (
    Flow,
    FlowTimings,
    StageMetrics,
    Stream,
    StreamMetrics,
    total,
)

ParseEvent: TypeAlias = DocumentOpened | PageResult | DocumentResult

RegionLookup: TypeAlias = Callable[[str, int], tuple[Region, ...]]
"""The committed regions of a page, by document and page number."""


@dataclass(frozen=True)
class _Opened:
    """A document at the head of the stream: what was found, and how many pages will follow."""

    event: DocumentOpened | None
    result: DocumentResult
    pages: int


class Parser:
    """Parses documents. ``close`` ends the worker processes; so does leaving it as a context."""

    def __init__(
        self, settings: Settings, *, buffer_dir: Path, models: Models | None = None
    ) -> None:
        """``buffer_dir`` is a folder for pixel files where shared memory is short.

        Without ``models`` they are those that the settings choose, in the process-wide cache.
        """
        self._settings = settings
        self._models = models or CatalogModels(settings)
        self._batching = Batching(settings, self._models.device)
        self._pdfs = PdfClient(
            workers=self._batching.render_workers,
            timeout_s=settings.page_timeout_s,
            document_timeout_s=settings.document_timeout_s,
            memory_mb=settings.worker_memory_mb,
            max_pages=settings.worker_max_pages,
            buffer_dir=buffer_dir,
        )
        self._interrupted = threading.Event()
        self._metrics = StreamMetrics()
        self._earlier: tuple[StageMetrics, ...] = ()

    def __enter__(self) -> "Parser":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes and give back their memory."""
        self._pdfs.close()

    def parse(
        self,
        tasks: Iterable[DocumentTask],
        selection: Collection[str] = ASSETS,
        regions: RegionLookup | None = None,
    ) -> Generator[ParseEvent, None, None]:
        """Parse documents and yield what is finished, as soon as it is.

        For each task a DocumentOpened, its PageResults in any order, and a DocumentResult; pages
        of different documents interleave. ``regions`` looks up the committed regions of a
        page; it is needed when the selection leaves out ``layouts``.

        Leaving it early interrupts the calls under way; this parser opens no document after that.
        Raises MissingModelError before anything is read when weights are not on this machine, and
        ValueError for a selection that cannot be run.
        """
        plan = stages.plan(selection)
        if plan.stored_regions and regions is None:
            raise ValueError(f"{', '.join(plan.assets)} need the regions of layouts")
        self._models.require(plan.tasks)
        options = self._options(plan)
        self._interrupted = threading.Event()
        runs = StageRuns(
            self._settings,
            self._batching,
            self._pdfs,
            self._models,
            self._interrupted,
            metrics=lambda: stream.metrics,
        )
        stream = Stream(runs.stages(), budget=self._batching.budget, interrupt=self._interrupt)
        self._earlier, self._metrics = self.stages(), stream.metrics
        stored = regions if plan.stored_regions else None

        def flow(item: _Opened | PageJob, timings: FlowTimings) -> Flow[Any]:
            if isinstance(item, _Opened):
                return _pass(item)
            return PageFlow(item, options, timings).run()

        results = stream.run(self._items(tasks, stored, stream.metrics), flow, self._size)
        with closing(results):
            yield from _accounted(results)

    def stages(self) -> tuple[StageMetrics, ...]:
        """What each stage has done in all calls of ``parse`` so far, and what waits for it."""
        return tuple(total([*self._earlier, *self._metrics.stages.values()]).values())

    def _options(self, plan: Plan) -> PageOptions:
        return PageOptions(
            plan,
            self._models.device,
            self._settings.jpeg_quality,
            locates_lines=not plan.reads_text or self._models.locates_lines(),
        )

    def _interrupt(self) -> None:
        """End the calls under way: what they would give is of no use any more."""
        self._interrupted.set()
        self._pdfs.interrupt()

    def _items(
        self,
        tasks: Iterable[DocumentTask],
        stored: RegionLookup | None,
        metrics: StreamMetrics,
    ) -> Iterator[_Opened | PageJob]:
        for task in tasks:
            try:
                info = self._open(task)
            except PdfError as error:
                yield _unopened(task, error)
                continue
            except PoolClosed:
                if self._interrupted.is_set():
                    return
                raise
            numbers = _page_numbers(task, info)
            metrics.expect(len(numbers))
            parses = self._settings.attachments is Attachments.PARSE
            yield _opened(task, info, len(numbers), parses_attachments=parses)
            for number in numbers:
                regions = stored(task.document_id, number) if stored else None
                yield PageJob(task, info, number, regions)

    def _open(self, task: DocumentTask) -> DocumentInfo:
        limit = self._settings.max_pages
        try:
            return self._pdfs.open(task.path, task.passwords, max_pages=limit)
        except PdfError as error:
            if not error.transient:
                raise
        return self._pdfs.open(task.path, task.passwords, max_pages=limit)

    def _size(self, item: _Opened | PageJob) -> int:
        """Bytes that a page's pixels will take."""
        if isinstance(item, _Opened):
            return 0
        return self._batching.page_bytes(*item.info.sizes[item.page_number - 1])


def _pass(item: _Opened) -> Generator[Any, Any, _Opened]:
    """A flow that asks nothing of any stage."""
    yield from ()
    return item


def _page_numbers(task: DocumentTask, info: DocumentInfo) -> list[int]:
    """The pages that are to be done."""
    wanted = task.pages or range(1, info.page_count + 1)
    return [
        number
        for number in wanted
        if 1 <= number <= info.page_count and number not in task.finished_pages
    ]


def _opened(
    task: DocumentTask, info: DocumentInfo, pages: int, *, parses_attachments: bool
) -> _Opened:
    event = DocumentOpened(
        task.document_id,
        info.page_count,
        info.title,
        info.author,
        info.producer,
        info.attachments,
    )
    found = shortcomings(info, task.path.name, parses_attachments=parses_attachments)
    errors = tuple(
        PageError(task.document_id, None, stages.OPEN, kind, _told(task, message))
        for kind, message in found
    )
    result = DocumentResult(task.document_id, info.page_count, errors=errors, outline=info.outline)
    return _Opened(event, result, pages)


def _unopened(task: DocumentTask, error: PdfError) -> _Opened:
    fatal = page_error(task.document_id, None, stages.OPEN, error, attempts=1)
    fatal = replace(fatal, message=_told(task, fatal.message))
    return _Opened(None, DocumentResult(task.document_id, 0, fatal=fatal), 0)


def _told(task: DocumentTask, message: str) -> str:
    """The message with the name that the file was seen as: the kept file's own is a hash."""
    return message.replace(task.path.name, task.file_name or task.document_id)


def _accounted(results: Iterable[_Opened | PageResult]) -> Iterator[ParseEvent]:
    """Events in the order of the stream, each document's result after its last page."""
    waiting: dict[str, _Opened] = {}
    left: dict[str, int] = {}
    for item in results:
        if isinstance(item, _Opened):
            if item.event is not None:
                yield item.event
            document_id = item.result.document_id
            waiting[document_id], left[document_id] = item, item.pages
        else:
            yield item
            document_id = item.document_id
            left[document_id] -= 1
        if left[document_id] == 0:
            del left[document_id]
            yield waiting.pop(document_id).result
