"""The PDFs' bytes, kept under their hash: re-materialising works after the inbox file is gone."""

import hashlib
import os
import stat
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from deepcompress_dagster.warehouse.errors import WarehouseBusyError, WarehouseError
from deepcompress_dagster.warehouse.files import clone_descriptor, replace_synced
from deepcompress_dagster.warehouse.lock import WarehouseLock
from deepcompress_dagster.warehouse.types import FileStat, Place, RemoteFile

_CHUNK_BYTES = 1024 * 1024


class UnreadableFileError(WarehouseError):
    """A file cannot be registered; the message says why."""


@dataclass(frozen=True, slots=True)
class StoredPdf:
    """A file whose bytes are kept: what it was when they were read, and their hash."""

    stat: FileStat
    sha256: str


class PdfStore:
    """``pdfs/<first two hex>/<sha256>.pdf`` of one data folder."""

    def __init__(self, data_dir: Path, *, lock_timeout_s: float) -> None:
        self._root = data_dir / "pdfs"
        self._incoming = self._root / ".incoming"
        self._lock_path = self._root / ".incoming.lock"
        self._lock_timeout_s = lock_timeout_s

    def path(self, sha256: str) -> Path:
        """Where the bytes with this hash are kept, or would be."""
        return self._root / sha256[:2] / f"{sha256}.pdf"

    def has(self, sha256: str, size: int) -> bool:
        """Whether the bytes are there, in full length."""
        try:
            return self.path(sha256).stat().st_size == size
        except FileNotFoundError:
            return False

    def remove(self, sha256: str) -> None:
        """Delete the bytes with this hash, if they are there."""
        self.path(sha256).unlink(missing_ok=True)

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """Files may be taken in while the block runs; before it, what killed processes left of
        theirs is removed, if nobody else is taking files in."""
        self._incoming.mkdir(parents=True, exist_ok=True)
        with suppress(WarehouseBusyError), WarehouseLock(self._lock_path, timeout_s=0).hold():
            for leftover in self._incoming.iterdir():
                leftover.unlink()
        with WarehouseLock(self._lock_path, timeout_s=self._lock_timeout_s).hold(shared=True):
            yield

    def take(self, path: Path) -> StoredPdf:
        """Copy and hash the file in one go, and keep the copy. Only within ``receiving``.

        Raises UnreadableFileError for a file that cannot be read, is none, or changes meanwhile.
        """
        return self._keep(path, lambda temporary: _copy(path, temporary))

    def fetch(self, file: RemoteFile) -> StoredPdf:
        """Fetch an object of a store, hash it and keep it. Only within ``receiving``.

        Raises UnreadableFileError for one that cannot be fetched, or is another by now.
        """
        return self._keep(file.stat.path, lambda temporary: _fetch(file, temporary))

    def _keep(self, place: Place, copy: Callable[[Path], StoredPdf]) -> StoredPdf:
        temporary = self._incoming / uuid.uuid4().hex
        try:
            kept = copy(temporary)
            if not self.has(kept.sha256, kept.stat.bytes):
                target = self.path(kept.sha256)
                target.parent.mkdir(exist_ok=True)
                replace_synced(temporary, target)
        except OSError as error:
            where = error.filename if error.filename is not None else place
            raise UnreadableFileError(
                f"cannot read or keep {place}: {error.strerror} ({where})"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)
        return kept


def _fetch(file: RemoteFile, target: Path) -> StoredPdf:
    try:
        file.fetch(target)
    except RuntimeError as error:
        raise UnreadableFileError(f"cannot fetch {file.stat.path}: {error}") from error
    with target.open("rb") as fetched:
        digest = hashlib.file_digest(fetched, "sha256").hexdigest()
    if target.stat().st_size != file.stat.bytes:
        raise UnreadableFileError(
            f"{file.stat.path} changed while it was fetched: register it again later"
        )
    target.chmod(0o444)
    return StoredPdf(file.stat, digest)


def _copy(path: Path, target: Path) -> StoredPdf:
    source = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(source)
        if not stat.S_ISREG(before.st_mode):
            raise UnreadableFileError(f"{path} is no regular file")
        copy = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
        try:
            digest, size = _fill(source, copy)
        finally:
            os.close(copy)
        after = os.fstat(source)
    finally:
        os.close(source)
    if size != before.st_size or _state(before) != _state(after):
        raise UnreadableFileError(f"{path} changed while it was read: register it again later")
    return StoredPdf(FileStat.of(path, before), digest)


def _fill(source: int, copy: int) -> tuple[str, int]:
    """Hash and size of the bytes that went into ``copy``."""
    is_cloned = clone_descriptor(source, copy)
    reading = copy if is_cloned else source
    digest = hashlib.sha256()
    size = 0
    while chunk := os.read(reading, _CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
        if not is_cloned:
            _write(copy, chunk)
    return digest.hexdigest(), size


def _write(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


def _state(found: os.stat_result) -> tuple[int, ...]:
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns
