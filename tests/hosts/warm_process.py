"""A warm process with stand-in models: ``python -m tests.hosts.warm_process SECONDS_A_PAGE``."""

import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks.tiny import TinyModel, TinyModels
from deepcompress_dagster.hosts.warm.server import WarmProcess
from deepcompress_dagster.models.catalog import Task
from deepcompress_dagster.settings import load_settings


class SlowModel(TinyModel):
    """Takes its time."""

    seconds = 0.0

    def predict(self, batch: Sequence[Any]) -> list[Any]:
        time.sleep(self.seconds)
        return super().predict(batch)


class SlowModels(TinyModels):
    """Finds regions slowly."""

    def predictor(self, task: Task) -> TinyModel:
        return SlowModel(task) if task is Task.LAYOUT else TinyModel(task)


if __name__ == "__main__":
    SlowModel.seconds = float(sys.argv[1])
    WarmProcess(load_settings(), lambda settings: SlowModels()).serve()
