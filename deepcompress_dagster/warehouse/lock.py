"""The locks of the data folder, and what is said when one of them is held for too long."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepcompress_dagster import file_lock
from deepcompress_dagster.file_lock import LockHeldError
from deepcompress_dagster.warehouse.errors import WarehouseBusyError


class WarehouseLock:
    """One lock over processes and threads; shared for readers of the file, else exclusive."""

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s

    @contextmanager
    def hold(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the lock while the block runs.

        Raises WarehouseBusyError when others hold it for longer than the time limit.
        """
        try:
            lock = file_lock.acquire(self._path, shared=shared, timeout_s=self._timeout_s)
        except LockHeldError as error:
            raise WarehouseBusyError(
                f"{self._path} was held for {self._timeout_s:.0f} s, last written by process "
                f"{error.holder}: wait for it to finish, or end it"
            ) from error
        try:
            yield
        finally:
            lock.release()
