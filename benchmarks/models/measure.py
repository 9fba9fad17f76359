"""What the comparisons share: the models of the catalog, CPU seconds, means and shares."""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from deepcompress_dagster.models.cache import model_cache
from deepcompress_dagster.models.catalog import (
    CHECKPOINTS,
    PackageOrigin,
    Task,
    checkpoint_for,
    spec_for,
)
from deepcompress_dagster.models.predictor import Predictor
from deepcompress_dagster.settings import Settings


def predictor(settings: Settings, task: Task, name: str | None = None) -> Predictor[Any, Any]:
    """The loaded model of a task: the one named, or the profile's."""
    chosen = settings.model_copy(update={task.value: name}) if name else settings
    spec = spec_for(chosen, task)
    if spec is None:
        raise ValueError(f"the profile {settings.profile} has no model for {task}")
    return model_cache().get(spec)


def named_default(settings: Settings, task: Task) -> str:
    """The name of the model that serves a task under these settings."""
    checkpoint = checkpoint_for(settings, task)
    return checkpoint.name if checkpoint else "none"


def embedded(task: Task) -> list[str]:
    """Names of the catalog's models of a task that come from a package."""
    return [
        name
        for name, checkpoint in CHECKPOINTS.items()
        if checkpoint.task is task and isinstance(checkpoint.origin, PackageOrigin)
    ]


class Clock:
    """CPU seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def of(self, *names: str) -> Iterator[None]:
        """Add what the block takes to each of ``names``."""
        started = time.process_time()
        yield
        for name in names:
            self.seconds[name] += time.process_time() - started


def mean(values: Iterable[float]) -> str:
    found = list(values)
    return f"{sum(found) / len(found):.3f}" if found else "-"


def share(part: float, whole: float) -> str:
    return f"{part / whole:.2f}" if whole else "-"


@contextmanager
def with_constant(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute of a module or class with another value for a while."""
    usual = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, usual)
