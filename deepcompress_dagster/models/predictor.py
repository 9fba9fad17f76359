"""What a model is to the pipeline: typed items in, typed results out, in microbatches.

Boxes here are pixels of the image that was handed in. The predictor resizes, normalises and scales
boxes back; the pipeline crops and maps to page points.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from deepcompress_dagster.records import BBox, ChartData, FigureKind, Label, TableCell, TextLine

Image: TypeAlias = npt.NDArray[np.uint8]
"""Pixels, shape (height, width, 3), RGB, uint8; may be a view."""

InT = TypeVar("InT", contravariant=True)
OutT = TypeVar("OutT")
T = TypeVar("T")


class ModelError(RuntimeError):
    """A model cannot be found, loaded or used; the message says which and what to do."""


class MissingModelError(ModelError):
    """The weights are not on this machine; the message gives the command that gets them."""


class PartialBatchError(ModelError):
    """Some items of a batch have a result and others an error; ``outcomes`` has one for each."""

    def __init__(self, outcomes: Sequence[Any]) -> None:
        errors = [outcome for outcome in outcomes if isinstance(outcome, ModelError)]
        super().__init__(f"{len(errors)} of {len(outcomes)} items failed; the first: {errors[0]}")
        self.outcomes = list(outcomes)

    @staticmethod
    def raise_if_any(outcomes: "Iterable[T | ModelError]") -> "list[T]":
        """The results. Raises PartialBatchError when there is an error among them."""
        all_of_them = list(outcomes)
        results = [outcome for outcome in all_of_them if not isinstance(outcome, ModelError)]
        if len(results) < len(all_of_them):
            raise PartialBatchError(all_of_them)
        return results


class Predictor(Protocol, Generic[InT, OutT]):
    """A loaded model with its preprocessing, built once and called from one thread at a time."""

    name: str
    """What the ``model`` columns say: ``checkpoint@revision``."""
    device: str

    def predict(self, batch: Sequence[InT]) -> list[OutT]:
        """One result per item, in order.

        Raises PartialBatchError when some items have one and others do not, and what the model
        raises.
        """
        ...


@dataclass(frozen=True, slots=True)
class Detection:
    """One region that a layout model found, in pixels of the page image."""

    label: Label
    bbox: BBox
    score: float


@dataclass(frozen=True, slots=True)
class Orientation:
    """How far a page is turned clockwise, 0, 90, 180 or 270 degrees, and how sure that is."""

    degrees: int
    score: float


@dataclass(frozen=True, slots=True)
class ReadText:
    """What a text model read: lines in reading order, boxes in pixels of the crop.

    ``words`` are the lines' words, with boxes as good as the model knows them; a model that does
    not know leaves them out. ``note`` says what could not be read, why, and what to do.
    """

    lines: tuple[TextLine, ...]
    words: tuple[TextLine, ...] = ()
    note: str | None = None


@dataclass(frozen=True, slots=True)
class CellGrid:
    """Structure of a table; cells have boxes in pixels of the crop and, as yet, no text."""

    n_rows: int
    n_columns: int
    cells: tuple[TableCell, ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class FigureContent:
    """What a figure model says; text that is no table is the one value of a row of ``data``."""

    kind: FigureKind
    data: ChartData | None


OrientationPredictor: TypeAlias = Predictor[Image, Orientation]
LayoutPredictor: TypeAlias = Predictor[Image, list[Detection]]
TextPredictor: TypeAlias = Predictor[Image, ReadText]
TablePredictor: TypeAlias = Predictor[Image, CellGrid]
FigurePredictor: TypeAlias = Predictor[Image, FigureContent]
