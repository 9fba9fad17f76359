"""The pipeline with models that answer at once: everything else is real.

Dagster loads ``defs`` from here where a benchmark is about processes and not about models.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg

from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.hosts.process import ProcessHost
from deepcompress_dagster.models.catalog import Task
from deepcompress_dagster.models.predictor import (
    CellGrid,
    Detection,
    Orientation,
    ReadText,
)
from deepcompress_dagster.orchestration.defs.resources import GpuResource
from deepcompress_dagster.records import BBox, Label, TableCell, TextLine
from deepcompress_dagster.settings import Settings, load_settings


@dataclass(frozen=True)
class TinyModel:
    """Says the same of every item: a page is one text over one table."""

    task: Task
    device: str = "cpu"

    @property
    def name(self) -> str:
        return f"tiny-{self.task}@1"

    def predict(self, batch: Sequence[Any]) -> list[Any]:
        return [_ANSWERS[self.task](getattr(item, "crop", item)) for item in batch]


def _layout(image: Any) -> list[Detection]:
    height, width = image.shape[:2]
    return [
        Detection(Label.TEXT, BBox(0, 0, width, height // 2), 0.9),
        Detection(Label.TABLE, BBox(0, height // 2, width, height), 0.9),
    ]


def _grid(image: Any) -> CellGrid:
    height, width = image.shape[:2]
    return CellGrid(1, 1, (TableCell(0, 0, 1, 1, False, "", BBox(0, 0, width, height)),), 0.9)


def _text(image: Any) -> ReadText:
    height, width = image.shape[:2]
    return ReadText((TextLine(BBox(0, 0, width, height), "words", 0.9),))


_ANSWERS = {
    Task.ORIENTATION: lambda image: Orientation(0, 1.0),
    Task.LAYOUT: _layout,
    Task.TEXT: _text,
    Task.TABLE: _grid,
}


class TinyModels:
    """These models for every task but figures."""

    device = "cpu"

    def require(self, tasks: Collection[Task]) -> None:
        return

    def serves(self, task: Task) -> bool:
        return task in _ANSWERS

    def predictor(self, task: Task) -> TinyModel:
        return TinyModel(task)

    def locates_lines(self) -> bool:
        return True


class TinyGpu(GpuResource):
    """Has runs parsed in their own process, by tiny models."""

    def host(self, settings: Settings) -> ProcessHost:
        return ProcessHost(settings, TinyModels())


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions with tiny models."""
    return build_definitions(load_settings(device="cpu"), {"gpu": TinyGpu()})
