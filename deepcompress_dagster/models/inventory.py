"""What ``deepcompress models list`` shows: every model of the catalog and of the settings."""

from dataclasses import dataclass

from deepcompress_dagster.models.catalog import (
    CHECKPOINTS,
    Checkpoint,
    FolderOrigin,
    HubOrigin,
    needed_checkpoints,
)
from deepcompress_dagster.models.predictor import MissingModelError
from deepcompress_dagster.models.weights.store import locate
from deepcompress_dagster.settings import Settings


@dataclass(frozen=True)
class Entry:
    """One model: where it comes from, whether it is on this machine and in use."""

    checkpoint: Checkpoint
    origin: str
    present: bool
    in_use: bool


def entries(settings: Settings) -> list[Entry]:
    """The catalog's models by task, then those that only the settings name.

    Raises ModelError for a model that is here and must not be used.
    """
    needed = needed_checkpoints(settings)
    known = sorted(CHECKPOINTS.values(), key=lambda checkpoint: checkpoint.task)
    unlisted = [checkpoint for checkpoint in needed if checkpoint.name not in CHECKPOINTS]
    return [
        Entry(
            checkpoint,
            _origin(checkpoint),
            _is_present(checkpoint, settings),
            checkpoint in needed,
        )
        for checkpoint in (*known, *unlisted)
    ]


def _origin(checkpoint: Checkpoint) -> str:
    origin = checkpoint.origin
    if isinstance(origin, FolderOrigin):
        return f"folder {origin.folder}"
    if isinstance(origin, HubOrigin):
        return f"hub {origin.repo}@{origin.revision}"
    return f"package {origin.package}=={origin.version}"


def _is_present(checkpoint: Checkpoint, settings: Settings) -> bool:
    try:
        locate(checkpoint, settings.models_dir)
    except MissingModelError:
        return False
    return True
