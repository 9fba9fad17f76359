"""Parsing in the run's own process: models are loaded for this run and go with its process."""

import os
from collections.abc import Collection, Generator, Iterable
from pathlib import Path

from deepcompress_dagster.hosts.host import HostUsage, counted
from deepcompress_dagster.hosts.warm.client import ask_to_rest
from deepcompress_dagster.models.cache import model_cache
from deepcompress_dagster.models.device import CPU
from deepcompress_dagster.pipeline.model_source import CatalogModels, Models
from deepcompress_dagster.pipeline.parse import ParseEvent, Parser, RegionLookup
from deepcompress_dagster.records import DocumentTask
from deepcompress_dagster.settings import Settings


class ProcessHost:
    """A parser over the model cache of this process."""

    def __init__(self, settings: Settings, models: Models | None = None) -> None:
        """Without ``models`` they are those that the settings choose."""
        self._models = models or CatalogModels(settings)
        if self._models.device != CPU:
            ask_to_rest(settings.data_dir)
        self._cache = model_cache()
        self._cache.configure(
            memory_fraction=settings.gpu_memory_fraction, lock_dir=settings.data_dir / "locks"
        )
        self._before = self._cache.stats()
        self._parser = Parser(
            settings,
            buffer_dir=pixel_folder(settings),
            models=self._models,
        )

    def parse(
        self,
        tasks: Iterable[DocumentTask],
        selection: Collection[str],
        regions: RegionLookup | None = None,
    ) -> Generator[ParseEvent, None, None]:
        """As ``Parser.parse``."""
        return self._parser.parse(tasks, selection, regions)

    def usage(self) -> HostUsage:
        """Loads and hits of this process since the host was made."""
        place = f"the run's own process {os.getpid()}"
        return counted(place, self._before, self._cache.stats(), self._parser.stages())

    def close(self) -> None:
        """End the worker processes; loaded models stay with this process."""
        self._parser.close()


def pixel_folder(settings: Settings) -> Path:
    """Where rendered pages lie when shared memory is short."""
    return settings.data_dir / "tmp" / "pixels"
