"""The writer lock: a file lock that the operating system drops when its holder dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deepcompress_dagster.warehouse.errors import WarehouseBusyError

_FIRST_WAIT_S = 0.002
_LONGEST_WAIT_S = 0.05


class FileLock:
    """One lock over processes and threads; shared for readers of the file, else exclusive."""

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        self._path = path
        self._timeout_s = timeout_s

    @contextmanager
    def hold(self, *, shared: bool = False) -> Iterator[None]:
        """Hold the lock while the block runs.

        Raises WarehouseBusyError when others hold it for longer than the time limit.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            self._acquire(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
            if not shared:
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int, mode: int) -> None:
        deadline = time.monotonic() + self._timeout_s
        wait = _FIRST_WAIT_S
        while not _try(descriptor, mode):
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace") or "unknown"
                raise WarehouseBusyError(
                    f"{self._path} was held for {self._timeout_s:.0f} s, last written by process "
                    f"{holder}: wait for it to finish, or end it"
                )
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_S)


def _try(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
