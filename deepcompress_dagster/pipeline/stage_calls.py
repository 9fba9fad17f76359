"""What the flow of a page asks of the stages, typed; and the record of what failed.

``yield from calls.ask(LAYOUT, pixels)`` gives what the stage returns for these pixels, as its
reference says, or None with the failure on record.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from deepcompress_dagster.models.predictor import (
    CellGrid,
    Detection,
    FigureContent,
    Image,
    Orientation,
    ReadText,
)
from deepcompress_dagster.pdf.client import RenderedPage
from deepcompress_dagster.pdf.errors import PdfError
from deepcompress_dagster.pdf.messages import DocumentInfo, FoundTable
from deepcompress_dagster.pipeline import stages
from deepcompress_dagster.pipeline.figures import FigureJob
from deepcompress_dagster.records import BBox, DocumentTask, PageError, Region
from deepcompress_dagster.streaming import Call, Flow, ItemFailed

In = TypeVar("In")
Out = TypeVar("Out")
Value = TypeVar("Value")


@dataclass(frozen=True)
class PageJob:
    """One page to do; ``stored`` are its committed regions where ``layouts`` is not selected."""

    document: DocumentTask
    info: DocumentInfo
    page_number: int
    stored: tuple[Region, ...] | None = None

    @property
    def image_path(self) -> Path:
        return self.document.image_dir / f"page-{self.page_number:05d}.jpg"

    def relative(self, path: Path) -> str:
        """``images/<document_id>/<file>``: relative to the data folder, so that it can move."""
        return str(path.relative_to(self.document.image_dir.parent.parent))


@dataclass(frozen=True)
class RuledTablesJob:
    """Boxes (points as displayed) in which PyMuPDF's table finder is to look."""

    page: PageJob
    boxes: tuple[BBox, ...]


@dataclass(frozen=True)
class ModelOutput(Generic[Value]):
    """What a model stage returns: the result and the name of the model that gave it."""

    value: Value
    model: str


@dataclass(frozen=True)
class StageRef(Generic[In, Out]):
    """A stage by its name, with the types of one item and of its result."""

    name: str


RENDER = StageRef[PageJob, RenderedPage](stages.RENDER)
ORIENTATION = StageRef[Image, ModelOutput[Orientation]](stages.ORIENTATION)
LAYOUT = StageRef[Image, ModelOutput[list[Detection]]](stages.LAYOUT)
TEXT = StageRef[Image, ModelOutput[ReadText]](stages.TEXT)
RULED_TABLES = StageRef[RuledTablesJob, list[FoundTable | None]](stages.RULED_TABLES)
TABLES = StageRef[Image, ModelOutput[CellGrid]](stages.TABLES)
FIGURES = StageRef[FigureJob, ModelOutput[FigureContent]](stages.FIGURES)


@dataclass
class StageCalls:
    """Asks stages on behalf of one page and keeps what failed."""

    job: PageJob
    errors: list[PageError] = field(default_factory=list)

    def ask(self, stage: StageRef[In, Out], item: In) -> Flow[Out | None]:
        """What the stage returns, or None with the failure on record."""
        try:
            output: Out = yield Call(stage.name, item)
        except ItemFailed as failure:
            self.record(failure)
            return None
        return output

    def ask_all(self, stage: StageRef[In, Out], items: Sequence[In]) -> Flow[list[Out | None]]:
        """What the stage returns for each item; where it fails None, with the failure on record."""
        if not items:
            return []
        outputs: list[Out | ItemFailed] = yield [Call(stage.name, item) for item in items]
        return [self._unless_failed(output) for output in outputs]

    def _unless_failed(self, output: Out | ItemFailed) -> Out | None:
        if isinstance(output, ItemFailed):
            self.record(output)
            return None
        return output

    def record(self, failure: ItemFailed) -> None:
        """Put the failure of a stage on the page's record."""
        stage = stages.RECORDED_STAGE.get(failure.stage, failure.stage)
        document_id, number = self.job.document.document_id, self.job.page_number
        self.errors.append(page_error(document_id, number, stage, failure.cause, failure.attempts))

    def note(self, stage: StageRef[Any, Any], error_type: str, message: str) -> None:
        """Put on the page's record what a stage left out; once for each kind."""
        if all(error.error_type != error_type for error in self.errors):
            document_id, number = self.job.document.document_id, self.job.page_number
            self.errors.append(PageError(document_id, number, stage.name, error_type, message))


def page_error(
    document_id: str, page_number: int | None, stage: str, cause: BaseException, attempts: int
) -> PageError:
    """The record of a failure; its type is the PDF error's own name or the exception's class."""
    kind = cause.error_type if isinstance(cause, PdfError) else type(cause).__name__
    message = str(cause) or kind
    return PageError(document_id, page_number, stage, kind, message, attempts)
