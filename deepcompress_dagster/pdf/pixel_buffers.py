"""Pixel buffers: files in memory through which rendered pages come from workers to the parent.

The parent owns the buffers and counts them; a worker is told a buffer's path, writes the pixels
and forgets it. Buffers are mapped once and used again for page after page, so that pages are not
faulted in anew. Each store keeps its buffers in a folder named after its process, with a lock that
ends with the process; a store removes the folders of the dead when it starts.
"""

import itertools
import mmap
import os
import shutil
import threading
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deepcompress_dagster import file_lock
from deepcompress_dagster.file_lock import is_held

SHARED_MEMORY = Path("/dev") / "shm"
"""Memory as files on Linux; elsewhere buffers lie on disk."""

MIN_SHARED_MEMORY = 256 * 2**20
"""Free bytes of shared memory below which buffers lie on disk; Docker's default is 64 MB in all."""

KEEP_BYTES = 64 * 2**20
"""Free buffers are kept for use again up to this sum; a page of A4 takes 6 MB at 144 dpi."""

PREFIX = "deepcompress-"

_store_numbers = itertools.count(1)


@dataclass(eq=False)
class PixelBuffer:
    """A file for the pixels of one page, and the parent's mapping of it."""

    path: Path
    _mapping: mmap.mmap | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Bytes that are mapped."""
        return len(self._mapping) if self._mapping else 0

    def pixels(self, height: int, width: int) -> npt.NDArray[np.uint8]:
        """The RGB pixels that a worker wrote, shape (height, width, 3): a read-only view."""
        size = height * width * 3
        if self._mapping is None or len(self._mapping) < size:
            with self.path.open("rb") as file:
                self._mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        pixels = np.frombuffer(self._mapping, dtype=np.uint8, count=size)
        return pixels.reshape(height, width, 3)

    def remove(self) -> None:
        """Delete the file; its memory is freed when the last view of the pixels is gone."""
        self._mapping = None
        self.path.unlink(missing_ok=True)


class PixelBufferStore:
    """The buffers of one process. Thread-safe."""

    def __init__(self, buffer_dir: Path, *, shared_memory: Path = SHARED_MEMORY) -> None:
        """``buffer_dir`` is used where ``shared_memory`` is missing or short of room."""
        self._buffer_dir = buffer_dir
        self._shared_memory = shared_memory
        self._guard = threading.Lock()
        self._folders: dict[Path, ProcessFolder] = {}
        self._free: list[PixelBuffer] = []
        self._in_use: set[PixelBuffer] = set()
        self._numbers = itertools.count(1)
        self._closed = False
        for base in (shared_memory, buffer_dir):
            remove_stale(base)

    @property
    def in_use(self) -> int:
        """Buffers that are taken and not given back."""
        return len(self._in_use)

    def take(self, *, on_disk: bool = False) -> PixelBuffer:
        """A buffer, used before where there is one; ``on_disk`` asks for one in ``buffer_dir``.

        Raises RuntimeError after ``close``, OSError where no file can be made.
        """
        with self._guard:
            if self._closed:
                raise RuntimeError("the buffer store is closed")
            buffer = None if on_disk else self._largest_free()
            if buffer is None:
                buffer = self._new(self._buffer_dir if on_disk else self._base())
            self._in_use.add(buffer)
            return buffer

    def give_back(self, buffer: PixelBuffer, *, keep: bool = True) -> None:
        """Free a buffer for another page, or remove it; the second time does nothing."""
        with self._guard:
            if buffer not in self._in_use:
                return
            self._in_use.remove(buffer)
            kept = sum(other.size for other in self._free)
            if keep and not self._closed and kept + buffer.size <= KEEP_BYTES:
                self._free.append(buffer)
            else:
                buffer.remove()

    def close(self) -> None:
        """Remove all buffers, also those in use: views that exist stay valid."""
        with self._guard:
            self._closed = True
            for buffer in (*self._free, *self._in_use):
                buffer.remove()
            self._free.clear()
            self._in_use.clear()
            for folder in self._folders.values():
                folder.close()
            self._folders.clear()

    def _largest_free(self) -> PixelBuffer | None:
        if not self._free:
            return None
        buffer = max(self._free, key=lambda buffer: buffer.size)
        self._free.remove(buffer)
        return buffer

    def _base(self) -> Path:
        try:
            free = shutil.disk_usage(self._shared_memory).free
        except OSError:
            return self._buffer_dir
        writable = os.access(self._shared_memory, os.W_OK | os.X_OK)
        return self._shared_memory if writable and free >= MIN_SHARED_MEMORY else self._buffer_dir

    def _new(self, base: Path) -> PixelBuffer:
        folder = self._folders.get(base)
        if folder is None:
            folder = self._folders[base] = ProcessFolder(base)
        buffer = PixelBuffer(folder.path / f"{next(self._numbers)}.buffer")
        buffer.path.touch(mode=0o600, exist_ok=False)
        return buffer


class ProcessFolder:
    """A folder in ``base`` that goes with this process; its lock tells others that it is in use.

    ``remove_stale`` removes those of processes that were killed.
    """

    def __init__(self, base: Path) -> None:
        self.path = base / f"{PREFIX}{os.getpid()}-{next(_store_numbers)}"
        self.path.mkdir(parents=True, mode=0o700)
        self._lock = file_lock.acquire(self.path / "lock")
        self._remove = weakref.finalize(self, _remove_own, self.path, os.getpid())

    def close(self) -> None:
        self._lock.release()
        self._remove()


def _remove_own(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # a forked child that exits leaves its parent's folder alone
        shutil.rmtree(folder, ignore_errors=True)


def remove_stale(base: Path) -> None:
    """Remove the buffer folders in ``base`` whose processes are dead.

    A folder goes when no process has the id in its name (ids are seen within a container) and its
    lock is free (seen across containers that share the memory).
    """
    for folder in base.glob(f"{PREFIX}*-*"):
        if not _process_exists(folder.name) and not is_held(folder / "lock"):
            shutil.rmtree(folder, ignore_errors=True)


def _process_exists(folder_name: str) -> bool:
    number = folder_name.removeprefix(PREFIX).partition("-")[0]
    if not number.isdigit():
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
