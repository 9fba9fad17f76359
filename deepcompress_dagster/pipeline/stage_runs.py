"""What each stage does with a batch: PDF workers render and find tables, models do the rest.

Which items a batch holds is the stream's affair, what becomes of the results the page's flow.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from deepcompress_dagster.models import device
from deepcompress_dagster.models.cancellation import cancel_when
from deepcompress_dagster.models.catalog import Task
from deepcompress_dagster.models.predictor import (
    FigureContent,
    Image,
    ModelError,
    PartialBatchError,
)
from deepcompress_dagster.pdf.client import PdfClient, RenderedPage
from deepcompress_dagster.pdf.errors import PdfError
from deepcompress_dagster.pdf.messages import FoundTable
from deepcompress_dagster.pipeline.batching import Batching
from deepcompress_dagster.pipeline.figures import (
    GEOMETRY,
    FigureJob,
    describe,
    save_crop,
)
from deepcompress_dagster.pipeline.model_source import Models
from deepcompress_dagster.pipeline.stage_calls import (
    FIGURES,
    LAYOUT,
    ORIENTATION,
    RENDER,
    RULED_TABLES,
    TABLES,
    TEXT,
    ModelOutput,
    PageJob,
    RuledTablesJob,
    StageRef,
)
from deepcompress_dagster.records import FigureKind
from deepcompress_dagster.settings import Settings
from deepcompress_dagster.streaming import Stage, StreamMetrics, not_counted

In = TypeVar("In")
Out = TypeVar("Out")
Value = TypeVar("Value")

Outputs: TypeAlias = list[ModelOutput[Value] | ModelError]
"""One for each item: what a model gave, or why it could not."""


def _area(image: Image) -> float:
    """Cost of an image: its pixels."""
    return float(image.shape[0] * image.shape[1])


MAY_BE_A_CHART = (FigureKind.CHART, FigureKind.UNKNOWN)


@dataclass(frozen=True)
class StageRuns:
    """The stages of one run over ``pdfs`` and ``models``.

    ``metrics`` gives the counts of the stream that runs them; calls of models end early once
    ``interrupted`` is set.
    """

    settings: Settings
    batching: Batching
    pdfs: PdfClient
    models: Models
    interrupted: threading.Event
    metrics: Callable[[], StreamMetrics]

    def stages(self) -> list[Stage[Any, Any]]:
        """All stages, upstream first."""
        readers = self.batching.readers
        orient = self._predicting(Task.ORIENTATION, ORIENTATION)
        return [
            self._pdf_stage(RENDER, self._render),
            self._model_stage(ORIENTATION, orient, "pages"),
            self._model_stage(LAYOUT, self._predicting(Task.LAYOUT, LAYOUT), "pages"),
            self._model_stage(TEXT, self._predicting(Task.TEXT, TEXT), "crops", workers=readers),
            self._pdf_stage(RULED_TABLES, self._find_tables),
            self._model_stage(TABLES, self._predicting(Task.TABLE, TABLES), "tables"),
            self._model_stage(FIGURES, self._describe, "figures", cost=lambda job: _area(job.crop)),
        ]

    def _pdf_stage(
        self, stage: StageRef[In, Out], run: Callable[[list[In]], list[Out]]
    ) -> Stage[In, Out]:
        return Stage(
            name=stage.name,
            run=run,
            workers=self.batching.render_workers,
            unit="pages",
            is_permanent=lambda error: isinstance(error, PdfError) and not error.transient,
        )

    def _model_stage(
        self,
        stage: StageRef[In, ModelOutput[Value]],
        run: Callable[[list[In]], Outputs[Value]],
        unit: str,
        workers: int = 1,
        cost: Callable[[Any], float] = _area,
    ) -> Stage[In, ModelOutput[Value] | ModelError]:
        return Stage(
            name=stage.name,
            run=run,
            workers=workers,
            sizer=self.batching.sizer(stage.name, lambda: self.metrics().expected),
            cost=cost,
            linger_s=self.settings.linger_ms / 1000,
            timeout_s=self.settings.model_timeout_s,
            is_out_of_memory=device.is_out_of_memory,
            free_memory=device.empty_cache,
            is_permanent=lambda error: isinstance(error, ModelError),
            unit=unit,
        )

    # In the PDF workers

    def _render(self, batch: list[PageJob]) -> list[RenderedPage]:
        return [
            self.pdfs.render(
                job.document.path,
                job.page_number,
                dpi=self.settings.dpi,
                max_pixels=self.settings.max_page_pixels,
                image_path=job.image_path,
                jpeg_quality=self.settings.jpeg_quality,
                passwords=job.document.passwords,
                annotation_authors=self.settings.annotation_authors,
            )
            for job in batch
        ]

    def _find_tables(self, batch: list[RuledTablesJob]) -> list[list[FoundTable | None]]:
        return [
            self.pdfs.find_tables(
                job.page.document.path,
                job.page.page_number,
                job.boxes,
                passwords=job.page.document.passwords,
            )
            for job in batch
        ]

    # In the models

    def _predicting(
        self, task: Task, stage: StageRef[In, ModelOutput[Value]]
    ) -> Callable[[list[In]], Outputs[Value]]:
        return lambda batch: self._predict(task, stage, batch)

    def _predict(
        self, task: Task, stage: StageRef[Any, ModelOutput[Value]], batch: Sequence[Any]
    ) -> Outputs[Value]:
        """The model's outputs; an item that it could not do has the error in its place."""
        with not_counted():
            predictor = self.models.predictor(task)
        device.reset_peak_memory(predictor.device)
        with cancel_when(self.interrupted):
            try:
                values = predictor.predict(batch)
            except PartialBatchError as failure:
                values = failure.outcomes
        self.metrics().note_peak(stage.name, device.peak_memory(predictor.device))
        return [
            value if isinstance(value, ModelError) else ModelOutput(value, predictor.name)
            for value in values
        ]

    def _describe(self, batch: list[FigureJob]) -> Outputs[FigureContent]:
        """What each figure is; a chart that its drawing does not tell is the model's, if any."""
        for job in batch:
            save_crop(job)
        known = [describe(job) for job in batch]
        outputs: Outputs[FigureContent] = [ModelOutput(content, GEOMETRY) for content in known]
        charts = [
            i
            for i, content in enumerate(known)
            if content.kind in MAY_BE_A_CHART and content.data is None
        ]
        if not charts or not self.models.serves(Task.FIGURE):
            return outputs
        read = self._predict(Task.FIGURE, FIGURES, [batch[i].crop for i in charts])
        for i, output in zip(charts, read, strict=True):
            outputs[i] = _with_kind(output, known[i].kind)
        return outputs


def _with_kind(
    output: ModelOutput[FigureContent] | ModelError, kind: FigureKind
) -> ModelOutput[FigureContent] | ModelError:
    """The output with the kind that drawing operators gave away, where they did."""
    if isinstance(output, ModelError) or kind == FigureKind.UNKNOWN:
        return output
    return replace(output, value=replace(output.value, kind=kind))
