"""Where the models of a parse come from: a seam, so that others may hand in their own."""

from collections.abc import Collection
from typing import Any, Protocol

from deepcompress_dagster.models import catalog, registry
from deepcompress_dagster.models.cache import ModelCache, model_cache
from deepcompress_dagster.models.catalog import ModelSpec, Task
from deepcompress_dagster.models.predictor import ModelError, Predictor
from deepcompress_dagster.models.weights.store import locate
from deepcompress_dagster.settings import Settings


class Models(Protocol):
    """A model for each task. Called from the threads of a stream."""

    @property
    def device(self) -> str:
        """The device that they run on: cpu, mps, cuda or cuda:N."""
        ...

    def require(self, tasks: Collection[Task]) -> None:
        """Make sure that ``tasks`` can be served, before the first page is read.

        Raises MissingModelError when weights are not on this machine.
        """
        ...

    def serves(self, task: Task) -> bool:
        """Whether there is a model for the task at all."""
        ...

    def predictor(self, task: Task) -> Predictor[Any, Any]:
        """The loaded model of a task. Raises ModelError."""
        ...

    def locates_lines(self) -> bool:
        """Whether the text model says where on an image its lines are. Raises ModelError."""
        ...


class CatalogModels:
    """The models that the settings choose from the catalog, kept in a cache."""

    def __init__(self, settings: Settings, cache: ModelCache | None = None) -> None:
        self._settings = settings
        self._cache = cache or model_cache()
        self._specs: dict[Task, ModelSpec | None] = {}
        self.device = catalog.device_for(settings)

    def require(self, tasks: Collection[Task]) -> None:
        """Raises MissingModelError when weights are not on this machine, nor to be fetched."""
        for checkpoint in catalog.needed_checkpoints(self._settings, tasks):
            locate(
                checkpoint, self._settings.models_dir, allow_download=self._settings.allow_download
            )

    def serves(self, task: Task) -> bool:
        return catalog.checkpoint_for(self._settings, task) is not None

    def predictor(self, task: Task) -> Predictor[Any, Any]:
        spec = self._spec(task)
        if spec is None:
            raise ModelError(f"the profile {self._settings.profile} has no model for {task}")
        return self._cache.get(spec)

    def locates_lines(self) -> bool:
        spec = self._spec(Task.TEXT)
        return spec is None or registry.locates_lines(spec)

    def _spec(self, task: Task) -> ModelSpec | None:
        if task not in self._specs:
            self._specs[task] = catalog.spec_for(self._settings, task)
        return self._specs[task]
