"""Where an export goes: a folder of this machine, or a prefix of an object store.

Either way a file appears whole or not at all, in place of the one before it.
"""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

from deepcompress_dagster import file_lock, object_store
from deepcompress_dagster.export.forms import ExportError
from deepcompress_dagster.warehouse.files import replace_synced

_PARTIAL = ".partial"
"""Folder of files that are being written. Programs that read the export pass hidden ones by."""

_LOCK = ".export.lock"

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS)


class Target(Protocol):
    """Named files, by paths with slashes below it. Every method raises ExportError."""

    def read(self, path: str) -> bytes | None:
        """The content of a file; None where there is none."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """Make a file or replace it."""
        ...

    def write_last(self, path: str, content: bytes) -> None:
        """The same, once everything that was written before is on its disk."""
        ...

    def remove(self, path: str) -> None:
        """Delete a file, if it is there."""
        ...


@contextmanager
def open_target(place: str) -> Iterator[Target]:
    """The folder or address ``place``, for this exporter alone where it is a folder.

    Raises ExportError where it cannot be used.
    """
    if not object_store.is_address(place):
        folder = Path(place).expanduser().absolute()
        with _disk_errors(folder), _locked(folder):
            yield Folder(folder)
        return
    try:
        yield Prefix(object_store.Bucket(place))
    except (object_store.ObjectStoreError, ValueError) as error:
        raise ExportError(str(error)) from error


class Folder:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._partial = folder / _PARTIAL
        self._partial.mkdir(parents=True, exist_ok=True)
        for leftover in self._partial.iterdir():
            leftover.unlink()

    def read(self, path: str) -> bytes | None:
        try:
            return self._path(path).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, path: str, content: bytes) -> None:
        self._replace(path, content, Path.replace)

    def write_last(self, path: str, content: bytes) -> None:
        os.sync()  # one wait for all files; to sync each of them takes ten times longer
        self._replace(path, content, replace_synced)

    def _replace(self, path: str, content: bytes, replace: Callable[[Path, Path], object]) -> None:
        target = self._path(path)
        temporary = self._partial / target.name
        try:
            temporary.write_bytes(content)
            target.parent.mkdir(parents=True, exist_ok=True)
            replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, path: str) -> None:
        target = self._path(path)
        target.unlink(missing_ok=True)
        for parent in target.parents:
            if parent == self._folder or not parent.is_dir() or any(parent.iterdir()):
                break
            parent.rmdir()

    def _path(self, path: str) -> Path:
        return self._folder / _checked(path)


class Prefix:
    """What lies below an address of an object store."""

    def __init__(self, bucket: object_store.Bucket) -> None:
        self._bucket = bucket

    def read(self, path: str) -> bytes | None:
        return self._bucket.read(_checked(path))

    def write(self, path: str, content: bytes) -> None:
        self._bucket.write(_checked(path), content)

    def write_last(self, path: str, content: bytes) -> None:
        self.write(path, content)

    def remove(self, path: str) -> None:
        self._bucket.remove(_checked(path))


def _checked(path: str) -> str:
    """A manifest is read back from the target, where anybody may have changed it."""
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise ExportError(f"the manifest names {path!r}, which is no place below the target")
    return path


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = file_lock.acquire(folder / _LOCK, timeout_s=0)
    except file_lock.LockHeldError as error:
        raise ExportError(
            f"{folder}: another export (process {error.holder}) is writing there; wait for it"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """What the system says of the folder, as one line."""
    try:
        yield
    except OSError as error:
        where = f"{folder}: the export stopped"
        if error.errno in _NO_ROOM:
            raise ExportError(
                f"{where}, there is no room; make some and export again, every file there is whole"
            ) from error
        if error.errno in _NOT_OURS:
            raise ExportError(
                f"{where}, it is not writable ({error.filename}); give this user access, or"
                " another folder"
            ) from error
        raise ExportError(f"{where}: {error.strerror} ({error.filename})") from error
