"""One lock over threads and processes: a file, unlocked by the system when its holder dies.

The holder of an exclusive lock writes its process id into the file, for the message of whoever
waits in vain. Not here: what a lock protects, and what its users are told.
"""

import fcntl
import math
import os
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_FIRST_WAIT_S = 0.002
_LONGEST_WAIT_S = 0.05
"""Between two tries: a commit takes some ms, and 20 tries a second cost nothing."""


class LockHeldError(Exception):
    """Others held a lock for longer than the time limit; ``holder`` is the process id it states."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is held by process {holder}")
        self.holder = holder


class HeldLock:
    """A lock that is held until it is released or forgotten, or until the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._close = weakref.finalize(self, os.close, descriptor)

    def release(self) -> None:
        """Give the lock back."""
        self._close()


def acquire(
    path: Path,
    *,
    shared: bool = False,
    timeout_s: float = math.inf,
    on_wait: Callable[[str], object] | None = None,
) -> HeldLock:
    """Hold the lock of a file, which is made where it is missing.

    ``on_wait`` is told the holder once, when the lock is not free at once. Raises LockHeldError
    after ``timeout_s``, OSError where the file cannot be opened for writing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _wait(path, descriptor, shared, time.monotonic() + timeout_s, on_wait)
        if not shared:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return HeldLock(descriptor)


@contextmanager
def hold(path: Path, *, shared: bool = False, timeout_s: float = math.inf) -> Iterator[None]:
    """Hold the lock of a file while the block runs. Raises as ``acquire``."""
    lock = acquire(path, shared=shared, timeout_s=timeout_s)
    try:
        yield
    finally:
        lock.release()


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock exclusively, or may: its file cannot be looked at."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return not _try(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _wait(
    path: Path,
    descriptor: int,
    shared: bool,
    deadline: float,
    on_wait: Callable[[str], object] | None,
) -> None:
    wait = _FIRST_WAIT_S
    while not _try(descriptor, shared=shared):
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace") or "unknown"
        if time.monotonic() >= deadline:
            raise LockHeldError(path, holder)
        if on_wait and wait == _FIRST_WAIT_S:
            on_wait(holder)
        time.sleep(wait)
        wait = min(2 * wait, _LONGEST_WAIT_S)


def _try(descriptor: int, *, shared: bool) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
