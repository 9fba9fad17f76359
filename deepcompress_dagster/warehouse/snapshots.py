"""Published snapshots: what readers open, so that they never meet a writer.

``snapshots/000123.duckdb`` is a whole copy of the warehouse that is never written again;
``deepcompress.duckdb`` is a link to the newest. ``snapshots/published.json`` says what was
published from what, and tells a snapshot that is damaged or that somebody wrote to.

Not here: when one is published, which warehouse.py decides.
"""

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from deepcompress_dagster.warehouse.database import STORAGE_VERSION, Database
from deepcompress_dagster.warehouse.errors import WarehouseError
from deepcompress_dagster.warehouse.files import clone, replace_link, replace_synced
from deepcompress_dagster.warehouse.schema import SCHEMA_VERSION

_KEPT = 2
"""Generations that stay: a reader may be about to open the one before the newest."""

_SHORTEST_PAUSE_S = 3.0
_PAUSE_PER_PUBLISH = 20.0
"""Publishing takes no more than a twentieth of the time, however large the file."""

_OPEN_ATTEMPTS = 5

_READER_THREADS = 4
"""DuckDB's threads for a query."""

_LOCKED_DOWN: dict[str, Any] = {
    "threads": _READER_THREADS,
    "enable_external_access": False,
    "python_enable_replacements": False,
    "lock_configuration": True,
}
"""What a query may not do: read or write other files, see Python's variables, or undo this."""

Fingerprint = tuple[int, int, int]


@dataclass(frozen=True)
class _Published:
    """The last publication; fingerprints are inode, size and modification time."""

    generation: int
    at: float
    seconds: float
    source: Fingerprint
    snapshot: Fingerprint
    schema: int = SCHEMA_VERSION
    storage: str = ""


class Snapshots:
    """The snapshots of one data folder."""

    def __init__(
        self, data_dir: Path, database: Database, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.link = data_dir / "deepcompress.duckdb"
        self._folder = data_dir / "snapshots"
        self._record = self._folder / "published.json"
        self._database = database
        self._clock = clock

    def publish(self, *, force: bool = False, anew: bool = False) -> bool:
        """Publish what is committed. False where that is published already, or, without
        ``force``, where the last time was too short ago. ``anew`` publishes in any case."""
        if not (force or anew or self._is_due()):
            return False
        with self._database.lock.hold():
            if not anew and (self.is_current or not (force or self._is_due())):
                return False
            self._publish()
            return True

    def publish_alone(self) -> None:
        """Publish from a file written anew, and remove all that was published before.

        Nothing that was deleted is left in free blocks or in older generations; a reader that has
        one of them open keeps it until it closes.
        """
        with self._database.lock.hold():
            self._database.checkpoint(rewrite=True)
            self._publish()
            self._tidy(self._next_generation() - 1, kept=1)

    def open(self) -> duckdb.DuckDBPyConnection:
        """A read-only, locked-down connection to the newest snapshot.

        A snapshot that is missing, damaged or written to is published anew first. Raises
        WarehouseError when that does not help.
        """
        problem: Exception | None = None
        for attempt in range(_OPEN_ATTEMPTS):
            if not self.is_sound:
                self.publish(force=True)
            try:
                return duckdb.connect(
                    self.link.resolve(strict=True),
                    read_only=True,
                    config=_LOCKED_DOWN,
                )
            except (duckdb.Error, OSError) as error:
                problem = error
                if attempt > 0:
                    self.publish(anew=True)
        raise WarehouseError(
            f"{self.link} cannot be opened, not even published anew: {problem}"
        ) from problem

    def _publish(self) -> None:
        start = time.monotonic()
        self._folder.mkdir(parents=True, exist_ok=True)
        self._database.checkpoint()
        generation = self._next_generation()
        target = self._path(generation)
        temporary = target.with_suffix(".part")
        try:
            clone(self._database.path, temporary)
            temporary.chmod(0o444)
            replace_synced(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        replace_link(self.link, target)
        self._tidy(generation)
        self._write(
            _Published(
                generation,
                self._clock(),
                time.monotonic() - start,
                _fingerprint(self._database.path),
                _fingerprint(target),
                storage=STORAGE_VERSION,
            )
        )

    def _next_generation(self) -> int:
        last = self._read()
        return max([last.generation if last else 0, *self._generations()]) + 1

    def _generations(self) -> list[int]:
        return [int(p.stem) for p in self._folder.glob("*.duckdb") if p.stem.isdecimal()]

    def _tidy(self, newest: int, kept: int = _KEPT) -> None:
        """Remove old generations, what killed publishers left, and logs of clients that wrote."""
        for generation in self._generations():
            if generation <= newest - kept:
                old = self._path(generation)
                old.unlink(missing_ok=True)
                shutil.rmtree(old.with_name(f"{old.name}.tmp"), ignore_errors=True)
        for pattern in ("*.part", "*.wal*"):
            for stray in self._folder.glob(pattern):
                stray.unlink(missing_ok=True)
        for stray in self.link.parent.glob(f"{self.link.name}.wal*"):
            stray.unlink(missing_ok=True)

    def _is_due(self) -> bool:
        last = self._read()
        if last is None:
            return True
        pause = self._clock() - last.at
        return not 0 <= pause < max(_SHORTEST_PAUSE_S, _PAUSE_PER_PUBLISH * last.seconds)

    @property
    def published_at(self) -> float | None:
        """When the newest snapshot was published, in seconds since 1970."""
        last = self._read()
        return last.at if last else None

    @property
    def generation(self) -> int | None:
        """The number of the newest snapshot; it grows with each that says something new."""
        last = self._read()
        return last.generation if last else None

    @property
    def is_current(self) -> bool:
        """Whether the newest snapshot holds everything that is committed."""
        last = self._read()
        return (
            last is not None
            and self.is_sound
            and self._database.is_checkpointed
            and _fingerprint_or_none(self._database.path) == last.source
        )

    @property
    def is_sound(self) -> bool:
        """Whether the link leads to the snapshot that was published last, as it was then."""
        last = self._read()
        if last is None or (last.schema, last.storage) != (SCHEMA_VERSION, STORAGE_VERSION):
            return False
        target = self._path(last.generation)
        return (
            self.link.resolve() == target.resolve()
            and _fingerprint_or_none(target) == last.snapshot
            and not any(self._folder.glob(f"{target.name}.wal*"))
        )

    def _path(self, generation: int) -> Path:
        return self._folder / f"{generation:06d}.duckdb"

    def _read(self) -> _Published | None:
        try:
            found: Any = json.loads(self._record.read_text())
            source, snapshot = tuple(found.pop("source")), tuple(found.pop("snapshot"))
            return _Published(**found, source=source, snapshot=snapshot)
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return None

    def _write(self, published: _Published) -> None:
        temporary = self._record.with_suffix(".part")
        temporary.write_text(json.dumps(asdict(published)))
        replace_synced(temporary, self._record)


def _fingerprint(path: Path) -> Fingerprint:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _fingerprint_or_none(path: Path) -> Fingerprint | None:
    try:
        return _fingerprint(path)
    except FileNotFoundError:
        return None
