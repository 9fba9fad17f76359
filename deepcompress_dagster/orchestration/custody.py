"""Who looks after a data folder: one pipeline at a time, known by a lock."""

from pathlib import Path

from deepcompress_dagster import file_lock
from deepcompress_dagster.file_lock import HeldLock, LockHeldError


class FolderTakenError(Exception):
    """Another process looks after a data folder; the message says which and what to do."""


class Custody:
    """Whoever has it looks after a data folder alone, until its process ends or forgets this.

    Two pipelines on one folder would parse each document twice, each for its own assets.
    """

    def __init__(self, data_dir: Path, role: str) -> None:
        """``role`` is what is taken: ``up`` and the sensor below it are in nobody's way."""
        self._data_dir = data_dir
        self._path = data_dir / "locks" / f"{role}.lock"
        self._lock: HeldLock | None = None

    def take(self) -> None:
        """Have it from now on. Raises FolderTakenError, OSError."""
        if self._lock is None:
            try:
                self._lock = file_lock.acquire(self._path, timeout_s=0)
            except LockHeldError as error:
                raise FolderTakenError(
                    f"process {error.holder} looks after {self._data_dir} already: stop it, or give"
                    " this one a data folder of its own (DEEPCOMPRESS_DATA_DIR, or data_dir of the"
                    " component)"
                ) from None
