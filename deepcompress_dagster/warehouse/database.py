"""The warehouse file: opened only under the lock, made whole or not at all, kept small."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from deepcompress_dagster.warehouse.errors import DiskError
from deepcompress_dagster.warehouse.files import replace_synced
from deepcompress_dagster.warehouse.lock import WarehouseLock
from deepcompress_dagster.warehouse.migration import initialize, migrate
from deepcompress_dagster.warehouse.schema import quoted
from deepcompress_dagster.warehouse.sql import only_row

STORAGE_VERSION = "v1.2.0"
"""DuckDB's file format: clients of DuckDB 1.2 and later read it. Those before 2.0 refuse 2.0's own
("version number 999"); v1.0.0 takes a quarter more room."""

_CATALOG = "warehouse"
"""Name of the file in the instance of DuckDB that it is attached to."""

_FILE_SIZE = "FROM pragma_database_size() WHERE database_name = current_database()"

_COMPACT_FROM_BYTES = 8 * 1024 * 1024
"""A file below this size is not worth writing anew."""

_COMPACT_FREE_SHARE = 0.5


class Database:
    """``warehouse.duckdb`` of one data folder."""

    def __init__(self, data_dir: Path, *, lock_timeout_s: float) -> None:
        self.path = data_dir / "warehouse.duckdb"
        self.lock = WarehouseLock(data_dir / "warehouse.lock", timeout_s=lock_timeout_s)
        self._temporary = data_dir / "tmp"
        self._config: dict[str, Any] = {
            "threads": 1,
            "temp_directory": str(self._temporary),
            # A checkpoint that keeps old metadata writes statistics that 1.2 and 1.3 trip over.
            "experimental_metadata_reuse": False,
        }
        self._own = threading.local()
        self._is_prepared = False

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """One transaction: committed when the block ends; closing undoes it when it raises.

        Within another such block of this thread it is a part of that one's transaction.
        """
        if (joined := self._joined()) is not None:
            yield joined
            return
        with self.lock.hold(), self._disk_errors(), self._open() as conn:
            conn.execute("BEGIN")
            self._own.writing = conn
            try:
                yield conn
            finally:
                self._own.writing = None
            conn.execute("COMMIT")

    @contextmanager
    def read(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The committed state of now, read-only; writers wait while the block runs.

        Within a ``write`` of this thread it sees what that has written.
        """
        if (joined := self._joined()) is not None:
            yield joined
            return
        if not (self._is_prepared and self.path.exists()):
            with self.lock.hold(), self._disk_errors(), self._open():
                self._is_prepared = True
        with (
            self.lock.hold(shared=True),
            self._disk_errors(),
            self._attached("(READ_ONLY)") as conn,
        ):
            yield conn

    def _joined(self) -> duckdb.DuckDBPyConnection | None:
        """The connection of the transaction that this thread is in."""
        joined: duckdb.DuckDBPyConnection | None = getattr(self._own, "writing", None)
        return joined

    def checkpoint(self, *, rewrite: bool = False) -> None:
        """Bring everything committed into the file itself, and write the file anew where most of
        it is free, where another release made it in another format, or where ``rewrite`` asks for
        it. The caller holds the lock.
        """
        with self._disk_errors(), self._open() as conn:
            conn.execute("CHECKPOINT")
            is_fit = _storage_version(conn) == STORAGE_VERSION and not _is_sparse(conn)
        if (rewrite or not is_fit) and self.is_checkpointed:
            self._rewrite()

    @property
    def is_checkpointed(self) -> bool:
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
        with self._attached() as conn:
            migrate(conn, self.path)
            yield conn

    @contextmanager
    def _attached(self, options: str = "") -> Iterator[duckdb.DuckDBPyConnection]:
        """The file, open while the block runs; what was not committed is undone."""
        instance = self._instance()
        try:
            with instance.cursor() as conn:
                conn.execute(f"ATTACH {quoted(str(self.path))} AS {_CATALOG} {options}")
                conn.execute(f"USE {_CATALOG}")
                yield conn
            instance.execute(f"DETACH {_CATALOG}")
        except BaseException:
            self._own.instance = None
            instance.close()
            raise

    def _instance(self) -> duckdb.DuckDBPyConnection:
        """This thread's own instance of DuckDB, which files are attached to.

        A new one takes 15 ms, attaching a file 2 ms. It works on this thread alone: what is done
        here is small.
        """
        instance: duckdb.DuckDBPyConnection | None = getattr(self._own, "instance", None)
        if instance is None:
            instance = self._own.instance = duckdb.connect(config=self._config)
        return instance

    def _create(self) -> None:
        """Make the file under another name first: a half-written header would never open again."""
        new = self._fresh("warehouse.new")
        with duckdb.connect(config=self._config) as conn:
            _attach_new(conn, new)
            initialize(conn)
        replace_synced(new, self.path)

    def _rewrite(self) -> None:
        new = self._fresh("warehouse.compact")
        try:
            with self._disk_errors(), duckdb.connect(config=self._config) as conn:
                conn.execute(f"ATTACH {quoted(str(self.path))} AS old (READ_ONLY)")
                _attach_new(conn, new)
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
    total, free = only_row(conn, f"SELECT total_blocks, free_blocks {_FILE_SIZE}")
    return free / total if total else 0.0


def _attach_new(conn: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Make a file in the format that clients read, and use it under the name ``new``."""
    options = f"(STORAGE_VERSION {quoted(STORAGE_VERSION)})"
    conn.execute(f"ATTACH {quoted(str(path))} AS new {options}")
    conn.execute("USE new")


def _storage_version(conn: duckdb.DuckDBPyConnection) -> str:
    """The format of the file in use: the first version of DuckDB that reads it."""
    (version,) = only_row(
        conn,
        "SELECT tags['storage_version'] FROM duckdb_databases() "
        "WHERE database_name = current_database()",
    )
    return str(version).removesuffix("+")


def _is_sparse(conn: duckdb.DuckDBPyConnection) -> bool:
    block_bytes, total, free = only_row(
        conn, f"SELECT block_size, total_blocks, free_blocks {_FILE_SIZE}"
    )
    is_large = total * block_bytes >= _COMPACT_FROM_BYTES
    return bool(is_large and free > _COMPACT_FREE_SHARE * total)
