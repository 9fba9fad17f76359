"""The warehouse file: opened only under the lock, made whole or not at all, kept small."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from deepcompress_dagster.warehouse.errors import DiskError
from deepcompress_dagster.warehouse.files import replace_synced
from deepcompress_dagster.warehouse.lock import FileLock
from deepcompress_dagster.warehouse.migration import initialize, migrate
from deepcompress_dagster.warehouse.schema import quoted
from deepcompress_dagster.warehouse.sql import only_row

THREADS = 4
"""DuckDB's threads per connection: work here is small, and each opening starts them anew."""

_COMPACT_FROM_BYTES = 8 * 1024 * 1024
"""A file below this size is not worth writing anew."""

_COMPACT_FREE_SHARE = 0.5


class Database:
    """``warehouse.duckdb`` of one data folder."""

    def __init__(self, data_dir: Path, *, lock_timeout_s: float) -> None:
        self.path = data_dir / "warehouse.duckdb"
        self.lock = FileLock(data_dir / "warehouse.lock", timeout_s=lock_timeout_s)
        self._temporary = data_dir / "tmp"
        self._is_prepared = False

    @property
    def config(self) -> dict[str, Any]:
        """Settings of every connection to the file: within a process DuckDB wants them equal."""
        return {"threads": THREADS, "temp_directory": str(self._temporary)}

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction: committed when the block ends; closing undoes it when it raises."""
        with self.lock.hold(), self._disk_errors(), self._open() as conn:
            conn.execute("BEGIN")
            yield conn
            conn.execute("COMMIT")

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The committed state of now, read-only; writers wait while the block runs."""
        if not (self._is_prepared and self.path.exists()):
            with self.lock.hold(), self._disk_errors(), self._open():
                self._is_prepared = True
        with self.lock.hold(shared=True), self._disk_errors():
            conn = duckdb.connect(self.path, read_only=True, config=self.config)
            try:
                yield conn
            finally:
                conn.close()

    def settle(self) -> None:
        """Bring everything committed into the file itself, and write the file anew where most of
        it is free. The caller holds the lock."""
        with self._disk_errors(), self._open() as conn:
            conn.execute("CHECKPOINT")
            is_sparse = _is_sparse(conn)
        if is_sparse and self.is_settled:
            self._compact()

    @property
    def is_settled(self) -> bool:
        """Whether the file holds everything, and nothing waits in a log beside it."""
        return not any(self.path.parent.glob(f"{self.path.name}.wal*"))

    @contextmanager
    def _disk_errors(self) -> Iterator[None]:
        """What DuckDB says when it cannot read or write the file, as an error of ours."""
        try:
            yield
        except (duckdb.IOException, duckdb.FatalException) as error:
            raise DiskError(
                f"{self.path} cannot be read or written: {error}; make room on its disk or mend"
                " it, nothing that was committed is lost"
            ) from error

    @contextmanager
    def _open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if not self.path.exists():
            self._create()
        conn = duckdb.connect(self.path, config=self.config)
        try:
            migrate(conn, self.path)
            yield conn
        finally:
            conn.close()

    def _create(self) -> None:
        """Make the file under another name first: a half-written header would never open again."""
        new = self._fresh("warehouse.new")
        conn = duckdb.connect(new, config=self.config)
        try:
            initialize(conn)
        finally:
            conn.close()
        replace_synced(new, self.path)

    def _compact(self) -> None:
        new = self._fresh("warehouse.compact")
        try:
            with self._disk_errors(), duckdb.connect(config=self.config) as conn:
                conn.execute(f"ATTACH {quoted(str(self.path))} AS old (READ_ONLY)")
                conn.execute(f"ATTACH {quoted(str(new))} AS new")
                conn.execute("COPY FROM DATABASE old TO new")
            replace_synced(new, self.path)
        finally:
            new.unlink(missing_ok=True)

    def _fresh(self, name: str) -> Path:
        """A path for a temporary file, cleared of what a killed process left."""
        self._temporary.mkdir(parents=True, exist_ok=True)
        for leftover in self._temporary.glob(f"{name}*"):
            leftover.unlink()
        return self._temporary / name


def free_blocks(conn: duckdb.DuckDBPyConnection) -> float:
    """Share of the file's blocks that hold nothing."""
    total, free = only_row(conn, "SELECT total_blocks, free_blocks FROM pragma_database_size()")
    return free / total if total else 0.0


def _is_sparse(conn: duckdb.DuckDBPyConnection) -> bool:
    block_bytes, total, free = only_row(
        conn, "SELECT block_size, total_blocks, free_blocks FROM pragma_database_size()"
    )
    is_large = total * block_bytes >= _COMPACT_FROM_BYTES
    return bool(is_large and free > _COMPACT_FREE_SHARE * total)
