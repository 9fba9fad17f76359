"""The inboxes: which files in folders and object stores are documents at rest. Knows no Dagster.

A tick that runs out of time stops at a file and the next one goes on behind it, so files are
visited in one fixed order: by the parts of their path below the folder, or as a store lists them.
"""

import logging
import os
import time
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from deepcompress_dagster import document_names, object_store
from deepcompress_dagster.object_store import Bucket, Object
from deepcompress_dagster.settings import Inbox

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse.types import FileStat, RemoteFile

logger = logging.getLogger(__name__)

CLOCK_SKEW_S = 60.0
"""A time stamp further in the future says nothing about when a file changed."""

FIRST_WAIT_S = 30.0
LONGEST_WAIT_S = 3600.0
"""An unreadable file is tried again after 30 s, then after twice as long each time, up to 1 h."""

_Parts = tuple[str, ...]


class InboxError(RuntimeError):
    """An inbox cannot be looked into; the message names it and says what to do."""


@dataclass(frozen=True)
class Candidate:
    """A file that may become a document. ``after`` is where a later look goes on behind it."""

    file: "Path | RemoteFile"
    stat: "FileStat"
    is_stable: bool
    after: str

    @property
    def refusal(self) -> str:
        """Why it does not become one, and what to do; empty where it does."""
        return document_names.refusal(self.stat.name)


@dataclass
class Backoff:
    """What failed, such as a file that could not be read, and when it is tried again.

    Times are seconds of ``clock``.
    """

    clock: Callable[[], float] = time.monotonic
    _waits: dict[Hashable, tuple[float, float]] = field(default_factory=dict)

    def ready(self, what: Hashable) -> bool:
        """Whether it may be tried now."""
        return what not in self._waits or self.clock() >= self._waits[what][1]

    def failed(self, what: Hashable) -> float:
        """Put it off. Returns the seconds it has to wait."""
        wait = FIRST_WAIT_S
        if what in self._waits:
            wait = min(2 * self._waits[what][0], LONGEST_WAIT_S)
        self._waits[what] = (wait, self.clock() + wait)
        return wait

    def succeeded(self, what: Hashable) -> None:
        """Forget its failures."""
        self._waits.pop(what, None)


def _is_wanted(name: str) -> bool:
    """Whether there is something to do about a file of this name, or to say."""
    return document_names.is_document(name) or bool(document_names.refusal(name))


def is_stable(stat: os.stat_result, settle_s: float, now: float) -> bool:
    """Whether a file has not changed for ``settle_s``.

    Its status time counts as well as its own: copying programs set the latter back when they are
    done. Time stamps from the future, as a wrong clock writes them, are not waited for.
    """
    changes = (time for time in (stat.st_mtime, stat.st_ctime) if time <= now + CLOCK_SKEW_S)
    return all(now - change >= settle_s for change in changes)


def candidates(inbox: Inbox, *, settle_s: float, after: str = "") -> Iterator[Candidate]:
    """The documents of an inbox in order, those behind ``after`` only, and what is refused.

    What is in a store is whole, and stable. Raises InboxError where it cannot be looked into.
    """
    if isinstance(inbox, Path):
        if not inbox.is_dir():
            raise InboxError(f"the inbox {inbox} is missing: create it")
        yield from files(inbox, settle_s=settle_s, after=after)
        return
    try:
        bucket = Bucket(inbox)
        for found in bucket.list(after):
            parts = PurePosixPath(found.path).parts
            if _is_wanted(parts[-1]) and not any(part.startswith(".") for part in parts):
                yield _of_bucket(bucket, found)
    except (object_store.ObjectStoreError, ValueError) as error:
        raise InboxError(str(error)) from error


def object_at(address: str) -> Candidate | None:
    """The object that an address names, where it is one. Raises InboxError."""
    folder, _, name = object_store.check_address(address).rpartition("/")
    try:
        bucket = Bucket(folder)
        found = bucket.find(name)
    except (object_store.ObjectStoreError, ValueError) as error:
        raise InboxError(str(error)) from error
    return _of_bucket(bucket, found) if found else None


def _of_bucket(bucket: Bucket, found: Object) -> Candidate:
    from deepcompress_dagster.warehouse.types import RemoteFile

    file = RemoteFile.of(
        f"{bucket.address}/{found.path}",
        found.bytes,
        found.mtime_ns,
        found.version,
        partial(bucket.fetch, found.path),
    )
    return Candidate(file, file.stat, True, found.path)


def files(
    folder: Path, *, settle_s: float, after: str = "", now: float | None = None
) -> Iterator[Candidate]:
    """The documents under ``folder`` in order, and what is refused.

    Only those behind ``after``, a path relative to the folder. Links are followed, each folder is
    entered once. What cannot be listed or examined is logged and left out.
    """
    from deepcompress_dagster.warehouse.types import FileStat

    moment = time.time() if now is None else now
    for entry, place in _walk(folder.absolute(), (), Path(after).parts, set()):
        try:
            stat = entry.stat()
        except OSError as error:
            logger.warning("cannot examine %s: %s", entry.path, error.strerror)
            continue
        path = Path(entry.path)
        yield Candidate(
            path, FileStat.of(path, stat), is_stable(stat, settle_s, moment), "/".join(place)
        )


def _walk(
    folder: Path, order: _Parts, after: _Parts, entered: set[tuple[int, int]]
) -> Iterator[tuple[os.DirEntry[str], _Parts]]:
    try:
        stat = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        logger.warning("cannot list %s: %s", folder, error.strerror)
        return
    if (stat.st_dev, stat.st_ino) in entered:
        return
    entered.add((stat.st_dev, stat.st_ino))
    for entry in entries:
        place = (*order, entry.name)
        kind = _kind(entry)
        if kind == "folder" and not entry.name.startswith("."):
            if place >= after[: len(place)]:
                yield from _walk(Path(entry.path), place, after, entered)
        elif kind == "file" and _is_wanted(entry.name) and place > after:
            yield entry, place


def _kind(entry: os.DirEntry[str]) -> str | None:
    """``folder``, ``file``, or None for a pipe, a device, or a link that leads nowhere."""
    try:
        if entry.is_dir():
            return "folder"
        return "file" if entry.is_file() else None
    except OSError as error:  # a link that leads to itself, a disk that fails
        logger.warning("cannot examine %s: %s", entry.path, error.strerror)
        return None
