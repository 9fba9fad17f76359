"""Stand-in models for Ray actors, which find them here by name."""

from benchmarks.tiny import TinyModel, TinyModels
from deepcompress_dagster.models.catalog import Task
from deepcompress_dagster.settings import Settings
from tests.hosts.warm_process import SlowModel


class _Slow(SlowModel):
    seconds = 0.1


class _SlowModels(TinyModels):
    def predictor(self, task: Task) -> TinyModel:
        return _Slow(task) if task is Task.LAYOUT else TinyModel(task)


def instant(settings: Settings) -> TinyModels:
    return TinyModels()


def slow(settings: Settings) -> TinyModels:
    """A tenth of a second for the regions of a page."""
    return _SlowModels()
