"""Wires the stages into a stream: documents in, finished pages and documents out.

``Parser`` owns what outlives one call (worker processes, the choice of models); ``parse`` runs one
stream over any number of documents, whose pages share every microbatch.
"""

import os
import threading
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.models import catalog, device, registry
from deepcompress_dagster.models.batching import adaptive_batch
from deepcompress_dagster.models.cache import ModelCache, model_cache
from deepcompress_dagster.models.cancellation import cancel_when
from deepcompress_dagster.models.catalog import ModelSpec, Task
from deepcompress_dagster.models.predictor import (
    ModelError,
    PartialBatchError,
    Predictor,
)
from deepcompress_dagster.models.weights.store import locate
from deepcompress_dagster.pdf.client import PdfClient, RenderedPage
from deepcompress_dagster.pdf.errors import PdfError
from deepcompress_dagster.pdf.messages import DocumentInfo
from deepcompress_dagster.pdf.pool import PoolClosed
from deepcompress_dagster.pipeline import stages
from deepcompress_dagster.pipeline.figures import (
    CHART,
    GEOMETRY,
    UNKNOWN,
    FigureJob,
    describe,
    save_crop,
)
from deepcompress_dagster.pipeline.page import PageFlow
from deepcompress_dagster.pipeline.page_view import PageOptions
from deepcompress_dagster.pipeline.stage_calls import (
    ModelOutput,
    PageJob,
    RuledTablesJob,
    page_error,
)
from deepcompress_dagster.pipeline.stages import Plan
from deepcompress_dagster.records import (
    TRUNCATED,
    DocumentOpened,
    DocumentResult,
    DocumentTask,
    PageError,
    PageResult,
    Region,
)
from deepcompress_dagster.settings import Settings
from deepcompress_dagster.streaming import BatchSizer, FlowTimings, Stage, Stream, StreamMetrics

ParseEvent = DocumentOpened | PageResult | DocumentResult
RegionLookup = Callable[[str, int], tuple[Region, ...]]

PAGES_IN_FLIGHT = 4
"""On a CPU: enough to keep every stage busy, few enough that first results come early."""

BATCHES_IN_FLIGHT = 3
"""On an accelerator: one batch in the model, one rendering, one being written."""

PAGE_POINTS = 612 * 792
"""Area of a letter page, by which the memory for pages in flight is counted."""

REPAIRED = "repaired"
"""``error_type`` of a damaged document whose pages could be recovered."""

ACCELERATOR_BATCH = {
    stages.LAYOUT: 8,
    stages.ORIENTATION: 8,
    stages.TEXT: 16,
    stages.TABLES: 8,
    stages.FIGURES: 4,
}
"""Batch sizes on an accelerator where the settings say auto."""

LARGEST_BATCH = 64
"""Items that a batch may hold whatever the settings."""


@dataclass(frozen=True)
class _Opened:
    """A document at the head of the stream: what was found, and how many pages will follow."""

    event: DocumentOpened | None
    result: DocumentResult
    pages: int


class Parser:
    """Parses documents. A context manager: leaving it ends the worker processes.

    ``buffer_dir`` is a folder for pixel files where shared memory is short.
    """

    def __init__(
        self, settings: Settings, *, buffer_dir: Path, cache: ModelCache | None = None
    ) -> None:
        self._settings = settings
        self._cache = cache or model_cache()
        self._device = catalog.device_for(settings)
        self._workers = PdfClient(
            workers=self._render_workers(),
            timeout_s=settings.page_timeout_s,
            document_timeout_s=settings.document_timeout_s,
            memory_mb=settings.worker_memory_mb,
            max_pages=settings.worker_max_pages,
            buffer_dir=buffer_dir,
        )
        self._specs: dict[Task, ModelSpec | None] = {}
        self._interrupted = threading.Event()
        self.metrics = StreamMetrics()

    def __enter__(self) -> "Parser":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes and give back their memory."""
        self._workers.close()

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
        self._require_models(plan)
        options = PageOptions(
            plan,
            self._device,
            self._settings.jpeg_quality,
            locates_lines=not plan.reads_text or self._locates_lines(),
        )
        self._interrupted = threading.Event()
        stream = Stream(self._stages(), budget=self._budget(), interrupt=self._interrupt)
        self.metrics = stream.metrics
        stored = regions if plan.stored_regions else None

        def flow(item: _Opened | PageJob, timings: FlowTimings) -> Generator[Any, Any, Any]:
            if isinstance(item, _Opened):
                return _pass(item)
            return PageFlow(item, options, timings).run()

        results = stream.run(self._items(tasks, stored, stream.metrics), flow, self._size)
        with closing(results):
            yield from _accounted(results)

    def _interrupt(self) -> None:
        """End the calls under way: what they would give is of no use any more."""
        self._interrupted.set()
        self._workers.interrupt()

    def _require_models(self, plan: Plan) -> None:
        """One clear error before the first page, not one for each page."""
        for checkpoint in catalog.needed_checkpoints(self._settings, plan.tasks):
            locate(
                checkpoint, self._settings.models_dir, allow_download=self._settings.allow_download
            )

    def _spec(self, task: Task) -> ModelSpec | None:
        if task not in self._specs:
            self._specs[task] = catalog.spec_for(self._settings, task)
        return self._specs[task]

    def _locates_lines(self) -> bool:
        spec = self._spec(Task.TEXT)
        return spec is None or registry.locates_lines(spec)

    # What enters the stream

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
            jobs = _page_jobs(task, info, stored)
            metrics.expect(len(jobs))
            yield _opened(task, info, len(jobs))
            yield from jobs

    def _open(self, task: DocumentTask) -> DocumentInfo:
        limit = self._settings.max_pages
        try:
            return self._workers.open(task.path, task.passwords, max_pages=limit)
        except PdfError as error:
            if not error.transient:
                raise
        return self._workers.open(task.path, task.passwords, max_pages=limit)

    def _size(self, item: _Opened | PageJob) -> int:
        """Bytes that a page's pixels will take."""
        if isinstance(item, _Opened):
            return 0
        width, height = item.info.sizes[item.page_number - 1]
        pixels = width * height * (self._settings.dpi / 72) ** 2
        return 3 * int(min(pixels, self._settings.max_page_pixels))

    def _budget(self) -> int:
        if self._settings.stream_memory_mb:
            return self._settings.stream_memory_mb * 2**20
        pages = PAGES_IN_FLIGHT
        if self._device != "cpu":
            pages = BATCHES_IN_FLIGHT * self._batch_size(stages.LAYOUT)
        return pages * 3 * int(PAGE_POINTS * (self._settings.dpi / 72) ** 2)

    # The stages

    def _stages(self) -> list[Stage[Any, Any]]:
        return [
            self._pdf_stage(stages.RENDER, self._render, unit="pages"),
            self._model_stage(stages.ORIENTATION, self._orient, unit="pages"),
            self._model_stage(stages.LAYOUT, self._detect, unit="pages"),
            self._model_stage(stages.TEXT, self._read, unit="crops", workers=self._cpu_workers()),
            self._pdf_stage(stages.RULED_TABLES, self._find_tables, unit="pages"),
            self._model_stage(stages.TABLES, self._see_tables, unit="tables"),
            self._model_stage(stages.FIGURES, self._describe, unit="figures"),
        ]

    def _pdf_stage(
        self, name: str, run: Callable[[list[Any]], list[Any]], unit: str
    ) -> Stage[Any, Any]:
        return Stage(
            name=name,
            run=run,
            workers=self._render_workers(),
            unit=unit,
            is_permanent=lambda error: isinstance(error, PdfError) and not error.transient,
        )

    def _model_stage(
        self, name: str, run: Callable[[list[Any]], list[Any]], unit: str, workers: int = 1
    ) -> Stage[Any, Any]:
        return Stage(
            name=name,
            run=run,
            workers=workers,
            sizer=self._sizer(name),
            cost=_pixels,
            linger_s=self._settings.linger_ms / 1000,
            timeout_s=self._settings.model_timeout_s,
            is_out_of_memory=device.is_out_of_memory,
            free_memory=device.empty_cache,
            is_permanent=lambda error: isinstance(error, ModelError),
            unit=unit,
        )

    def _sizer(self, stage: str) -> BatchSizer:
        memory = device.device_memory(self._device) if self._settings.adaptive else None
        if self._given_batch_size(stage) or memory is None:
            return BatchSizer(self._batch_size(stage))
        free = memory.free
        return BatchSizer(LARGEST_BATCH, wanted=lambda: adaptive_batch(free, self.metrics.expected))

    def _batch_size(self, stage: str) -> int:
        size = self._given_batch_size(stage)
        return size or (1 if self._device == "cpu" else ACCELERATOR_BATCH[stage])

    def _given_batch_size(self, stage: str) -> int:
        """The size that the settings ask for, 0 where they leave it open."""
        given = {
            stages.LAYOUT: self._settings.layout_batch_size,
            stages.TEXT: self._settings.ocr_batch_size,
            stages.TABLES: self._settings.table_batch_size,
            stages.FIGURES: self._settings.figure_batch_size,
        }
        return given.get(stage, 0)

    def _render_workers(self) -> int:
        return self._settings.render_workers or max(1, min(4, (os.cpu_count() or 1) - 1))

    def _cpu_workers(self) -> int:
        """Readers at once: one a core on a CPU, where reading is what takes the time."""
        return max(1, min(8, os.cpu_count() or 1)) if self._device == "cpu" else 1

    def _predictor(self, task: Task) -> Predictor[Any, Any]:
        spec = self._spec(task)
        if spec is None:
            raise ModelError(f"the profile {self._settings.profile} has no model for {task}")
        return self._cache.get(spec)

    def _predict(
        self, task: Task, stage: str, batch: Sequence[Any]
    ) -> list[ModelOutput[Any] | ModelError]:
        """The model's outputs; an item that it could not do has the error in its place."""
        predictor = self._predictor(task)
        device.reset_peak_memory(predictor.device)
        with cancel_when(self._interrupted):
            try:
                values = predictor.predict(batch)
            except PartialBatchError as failure:
                values = failure.outcomes
        self.metrics.note_peak(stage, device.peak_memory(predictor.device))
        return [
            value if isinstance(value, ModelError) else ModelOutput(value, predictor.name)
            for value in values
        ]

    def _render(self, batch: list[PageJob]) -> list[RenderedPage]:
        return [
            self._workers.render(
                job.document.path,
                job.page_number,
                dpi=self._settings.dpi,
                max_pixels=self._settings.max_page_pixels,
                image_path=job.image_path,
                jpeg_quality=self._settings.jpeg_quality,
                passwords=job.document.passwords,
            )
            for job in batch
        ]

    def _orient(self, batch: list[Any]) -> list[ModelOutput[Any] | ModelError]:
        return self._predict(Task.ORIENTATION, stages.ORIENTATION, batch)

    def _detect(self, batch: list[Any]) -> list[ModelOutput[Any] | ModelError]:
        return self._predict(Task.LAYOUT, stages.LAYOUT, batch)

    def _read(self, batch: list[Any]) -> list[ModelOutput[Any] | ModelError]:
        return self._predict(Task.TEXT, stages.TEXT, batch)

    def _see_tables(self, batch: list[Any]) -> list[ModelOutput[Any] | ModelError]:
        return self._predict(Task.TABLE, stages.TABLES, batch)

    def _find_tables(self, batch: list[RuledTablesJob]) -> list[Any]:
        return [
            self._workers.find_tables(
                job.page.document.path,
                job.page.page_number,
                job.boxes,
                passwords=job.page.document.passwords,
            )
            for job in batch
        ]

    def _describe(self, batch: list[FigureJob]) -> list[ModelOutput[Any] | ModelError]:
        """What each figure is; what may be a chart is read by the model, where there is one."""
        for job in batch:
            save_crop(job)
        known = [describe(job) for job in batch]
        outputs: list[ModelOutput[Any] | ModelError] = [
            ModelOutput(content, GEOMETRY) for content in known
        ]
        if catalog.checkpoint_for(self._settings, Task.FIGURE) is None:
            return outputs
        charts = [i for i, content in enumerate(known) if content.kind in (CHART, UNKNOWN)]
        crops = [batch[i].crop for i in charts]
        read = self._predict(Task.FIGURE, stages.FIGURES, crops) if crops else []
        for i, output in zip(charts, read, strict=True):
            outputs[i] = _with_kind(output, known[i].kind)
        return outputs


def _with_kind(output: ModelOutput[Any] | ModelError, kind: str) -> ModelOutput[Any] | ModelError:
    """The output with the kind that drawing operators gave away, where they did."""
    if isinstance(output, ModelError) or kind == UNKNOWN:
        return output
    return replace(output, value=replace(output.value, kind=kind))


def _pixels(item: Any) -> float:
    """Cost of an item: the pixels of its image."""
    image = getattr(item, "crop", item)
    return float(image.shape[0] * image.shape[1])


def _pass(item: _Opened) -> Generator[Any, Any, _Opened]:
    """A flow that asks nothing of any stage."""
    yield from ()
    return item


def _page_jobs(
    task: DocumentTask, info: DocumentInfo, stored: RegionLookup | None
) -> list[PageJob]:
    wanted = task.pages or range(1, info.page_count + 1)
    return [
        PageJob(task, info, number, stored)
        for number in wanted
        if 1 <= number <= info.page_count and number not in task.finished_pages
    ]


def _opened(task: DocumentTask, info: DocumentInfo, pages: int) -> _Opened:
    event = DocumentOpened(
        task.document_id, info.page_count, info.title, info.author, info.producer
    )
    errors: tuple[PageError, ...] = ()
    if info.repaired:
        kind = TRUNCATED if info.truncated else REPAIRED
        message = _told(task, "; ".join(info.notes))
        errors = (PageError(task.document_id, None, stages.OPEN, kind, message),)
    result = DocumentResult(task.document_id, info.page_count, errors=errors, outline=info.outline)
    return _Opened(event, result, pages)


def _unopened(task: DocumentTask, error: PdfError) -> _Opened:
    fatal = page_error(task.document_id, None, stages.OPEN, error, attempts=1)
    fatal = replace(fatal, message=_told(task, fatal.message))
    return _Opened(None, DocumentResult(task.document_id, 0, fatal=fatal), 0)


def _told(task: DocumentTask, message: str) -> str:
    """The message with the document's name: the kept file's own name is a hash."""
    return message.replace(task.path.name, task.document_id)


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
