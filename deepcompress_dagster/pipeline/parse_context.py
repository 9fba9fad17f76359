"""What the calls of a parser share: workers, models, stages; and how a task becomes pages.

Whether a call has a stream of its own is parse.py's and shared_parse.py's. What a stage does is
told by stage_runs.py, what becomes of a page by page.py, how much goes at once by batching.py.
"""

import threading
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

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
from deepcompress_dagster.settings import Attachments, LayoutEffort, Settings
from deepcompress_dagster.streaming import Flow, FlowTimings, Stream

ParseEvent: TypeAlias = DocumentOpened | PageResult | DocumentResult

RegionLookup: TypeAlias = Callable[[str, int], tuple[Region, ...]]
"""The committed regions of a page, by document and page number."""


@dataclass(frozen=True)
class OpenedDocument:
    """A document at the head of the stream: what was found, and how many pages will follow."""

    event: DocumentOpened | None
    result: DocumentResult
    pages: int


FEWEST_UNDER_WAY = 32
"""Documents and pages of one call that may be under way or wait to be taken, where not twice as
many pages are in flight: few enough that a caller who is slow holds little memory."""


Item: TypeAlias = OpenedDocument | PageJob
"""What goes into a stream; documents and pages come out as themselves and as PageResults."""


@dataclass(frozen=True)
class ParseRequest:
    """What one call asks for; ``stored`` looks up regions where these are not to be found."""

    tasks: Iterable[DocumentTask]
    options: PageOptions
    stored: RegionLookup | None


class ParseContext:
    """Workers and models under one choice of settings. ``close`` ends the worker processes."""

    def __init__(self, settings: Settings, *, buffer_dir: Path, models: Models | None) -> None:
        self._settings = settings
        self._models = models or CatalogModels(settings)
        self._batching = Batching(settings, self._models.device)
        self.pdfs = PdfClient(
            workers=self._batching.render_workers,
            timeout_s=settings.page_timeout_s,
            document_timeout_s=settings.document_timeout_s,
            memory_mb=settings.worker_memory_mb,
            max_pages=settings.worker_max_pages,
            buffer_dir=buffer_dir,
        )
        self._interrupted = threading.Event()

    @property
    def pages_in_flight(self) -> int:
        """Pages of usual size that a stream takes in at once."""
        return self._batching.pages_in_flight

    @property
    def most_under_way(self) -> int:
        """Documents and pages of one of several calls that may be under way or wait to be taken."""
        return max(FEWEST_UNDER_WAY, 2 * self.pages_in_flight)

    def close(self) -> None:
        """End the worker processes and give back their memory."""
        self.pdfs.close()

    def request(
        self,
        tasks: Iterable[DocumentTask],
        selection: Collection[str],
        regions: RegionLookup | None,
    ) -> ParseRequest:
        """What is to be done for ``selection``.

        Raises MissingModelError when weights are not on this machine, and ValueError for a
        selection that cannot be run.
        """
        plan = stages.plan(selection)
        stored = plan.regions_from(regions)
        self._models.require(plan.tasks)
        return ParseRequest(tasks, self._options(plan), stored)

    def _options(self, plan: Plan) -> PageOptions:
        return PageOptions(
            plan,
            self._models.device,
            self._settings.jpeg_quality,
            locates_lines=not plan.reads_text or self._models.locates_lines(),
            skips_plain_pages=self._settings.layout_effort is LayoutEffort.BALANCED,
        )

    def stream(self) -> Stream:
        """A stream over all stages. The calls under way end early once it is left."""
        self._interrupted = threading.Event()
        runs = StageRuns(
            self._settings,
            self._batching,
            self.pdfs,
            self._models,
            self._interrupted,
            metrics=lambda: stream.metrics,
        )
        stream = Stream(runs.stages(), budget=self._batching.budget, interrupt=self._interrupt)
        return stream

    def _interrupt(self) -> None:
        """End the calls under way: what they would give is of no use any more."""
        self._interrupted.set()
        self.pdfs.interrupt()

    def items(
        self, request: ParseRequest, expect: Callable[[int], None]
    ) -> Generator[Item, None, None]:
        """What a request puts into the stream; ``expect`` is told of pages that will follow."""
        for task in request.tasks:
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
            expect(len(numbers))
            parses = self._settings.attachments is Attachments.PARSE
            yield _opened(task, info, len(numbers), parses_attachments=parses)
            for number in numbers:
                regions = request.stored(task.document_id, number) if request.stored else None
                yield PageJob(task, info, number, regions)

    def _open(self, task: DocumentTask) -> DocumentInfo:
        limit = self._settings.max_pages
        self.pdfs.forget_losses(task.path)
        try:
            return self.pdfs.open(task.path, task.passwords, max_pages=limit)
        except PdfError as error:
            if not error.transient:
                raise
        return self.pdfs.open(task.path, task.passwords, max_pages=limit)

    def size(self, item: Item) -> int:
        """Bytes that a page's pixels will take."""
        if isinstance(item, OpenedDocument):
            return 0
        return self._batching.page_bytes(*item.info.sizes[item.page_number - 1])


def flow(item: Item, options: PageOptions, timings: FlowTimings) -> Flow[Any]:
    """The way of an item through the stages."""
    if isinstance(item, OpenedDocument):
        return _pass(item)
    return PageFlow(item, options, timings).run()


def _pass(item: OpenedDocument) -> Generator[Any, Any, OpenedDocument]:
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
) -> OpenedDocument:
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
    return OpenedDocument(event, result, pages)


def _unopened(task: DocumentTask, error: PdfError) -> OpenedDocument:
    fatal = page_error(task.document_id, None, stages.OPEN, error, attempts=1)
    fatal = replace(fatal, message=_told(task, fatal.message))
    return OpenedDocument(None, DocumentResult(task.document_id, 0, fatal=fatal), 0)


def _told(task: DocumentTask, message: str) -> str:
    """The message with the name that the file was seen as: the kept file's own is a hash."""
    return message.replace(task.path.name, task.file_name or task.document_id)


def accounted(results: Iterable[OpenedDocument | PageResult]) -> Iterator[ParseEvent]:
    """Events in the order of the stream, each document's result after its last page."""
    waiting: dict[str, OpenedDocument] = {}
    left: dict[str, int] = {}
    for item in results:
        if isinstance(item, OpenedDocument):
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
