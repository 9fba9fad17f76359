"""Dagster's events that come together, stored in one transaction of its SQLite files.

Dagster stores every event by itself: two or three files opened, written and synced, 5 to 10 ms of
CPU; a document has some fifteen. Other storages (PostgreSQL) are left as they are.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import dagster as dg
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage
from dagster._core.storage.sql import create_engine
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import Connection, NullPool


@contextmanager
def one_transaction(instance: dg.DagsterInstance) -> Iterator[None]:
    """What this thread stores within the block is committed at its end, or not at all.

    What it reads shows it already. Other threads and processes wait to write until then.
    """
    storage = instance.event_log_storage
    own = vars(storage)
    if type(storage) is not SqliteEventLogStorage or "_connect" in own:
        yield
        return
    with _HeldConnections(storage) as held:
        own["_connect"] = held.connect
        try:
            yield
        finally:
            del own["_connect"]


class _HeldConnections:
    """One connection to each file, in one transaction until the block ends."""

    def __init__(self, storage: SqliteEventLogStorage) -> None:
        self._storage = storage
        self._connect = storage._connect
        self._lock = threading.RLock()
        self._stack = ExitStack()
        self._connections: dict[str, Connection] = {}
        self._is_over = False

    def __enter__(self) -> "_HeldConnections":
        self._lock.acquire()
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            self._is_over = True
            self._stack.__exit__(*error)
        finally:
            self._lock.release()

    @contextmanager
    def connect(self, shard: str) -> Iterator[Connection]:
        """In place of the storage's own; that one for threads that waited until the end."""
        with self._lock:
            if self._is_over:
                with self._connect(shard) as connection:
                    yield connection
                return
            if shard not in self._connections:
                self._connections[shard] = self._opened(shard)
            yield self._connections[shard]

    def _opened(self, shard: str) -> Connection:
        with self._connect(shard):
            pass  # that makes the file if it is new; it cannot stay open, it holds a lock
        engine = create_engine(
            self._storage.conn_string_for_shard(shard),
            poolclass=NullPool,
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
        )
        self._stack.callback(engine.dispose)
        connection = self._stack.enter_context(engine.connect())
        self._stack.enter_context(connection.begin())
        return connection
