import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from deepcompress_dagster.warehouse import QueryError, Warehouse, WarehouseError
from deepcompress_dagster.warehouse import database as database_module
from deepcompress_dagster.warehouse.database import Database
from deepcompress_dagster.warehouse.snapshots import Snapshots
from tests.builders import (
    page_of,
)
from tests.warehouse.helpers import (
    commit,
    register,
)

COUNT = "SELECT count(*) AS n FROM documents"

WRITE_AND_DIE = """
import os, signal, sys
import duckdb
conn = duckdb.connect(sys.argv[1])
conn.execute("CREATE TABLE mine AS SELECT 1 AS one")
conn.execute("UPDATE documents SET file_name = 'spoiled'")
if sys.argv[2] == "checkpoint":
    conn.execute("CHECKPOINT")
os.kill(os.getpid(), signal.SIGKILL)
"""

WRITE_AS_USER = """
import os, sys
import duckdb
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    duckdb.connect(sys.argv[1])
except duckdb.IOException as error:
    print(error)
"""


class Clock:
    """Wall-clock time that a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)


def _count(warehouse: Warehouse) -> int:
    return int(warehouse.query(COUNT).to_pylist()[0]["n"])


def _generations(warehouse: Warehouse) -> list[str]:
    return sorted(path.name for path in (warehouse.data_dir / "snapshots").glob("*.duckdb"))


def _run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60
    )


def test_the_link_opens_in_any_client_and_shows_what_was_published(
    warehouse: Warehouse, inbox: Path
) -> None:
    register(warehouse, inbox, "a.pdf")
    assert warehouse.publish(force=True)
    assert warehouse.snapshot_path == warehouse.data_dir / "deepcompress.duckdb"
    with duckdb.connect(warehouse.snapshot_path, read_only=True) as conn:
        assert conn.execute(COUNT).fetchall() == [(1,)]


def test_a_snapshot_is_read_only_and_linked_relatively(warehouse: Warehouse) -> None:
    warehouse.publish(force=True)
    target = warehouse.data_dir / "snapshots" / "000001.duckdb"
    assert target.stat().st_mode & 0o777 == 0o444
    assert warehouse.snapshot_path.readlink() == Path("snapshots/000001.duckdb")


def test_each_publication_is_a_new_file_and_two_are_kept(warehouse: Warehouse, inbox: Path) -> None:
    for name in "abcd":
        register(warehouse, inbox, f"{name}.pdf")
        assert warehouse.publish(force=True)
        assert _count(warehouse) == ord(name) - ord("a") + 1
    assert _generations(warehouse) == ["000003.duckdb", "000004.duckdb"]


def test_nothing_new_is_not_published_even_by_force(warehouse: Warehouse) -> None:
    assert warehouse.publish(force=True)
    warehouse.documents()
    assert not warehouse.publish(force=True)
    assert len(_generations(warehouse)) == 1


def test_publishing_waits_its_turn_unless_forced(data_dir: Path, inbox: Path) -> None:
    clock = Clock()
    warehouse = Warehouse(data_dir, clock=clock)
    assert warehouse.publish()
    register(warehouse, inbox, "a.pdf")
    clock.now += 2.9
    assert not warehouse.publish()
    assert not Warehouse(data_dir, clock=clock).publish(), "another process waits as well"
    clock.now += 60
    assert warehouse.publish()
    register(warehouse, inbox, "b.pdf")
    assert warehouse.publish(force=True)


def test_a_slow_publication_makes_the_pause_longer(
    data_dir: Path, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    warehouse = Warehouse(data_dir, clock=clock)
    checkpoint = Database.checkpoint

    def slow(database: Database) -> None:
        time.sleep(0.5)
        checkpoint(database)

    with monkeypatch.context() as patch:
        patch.setattr(Database, "checkpoint", slow)
        warehouse.publish(force=True)
    register(warehouse, inbox, "a.pdf")
    clock.now += 9.9
    assert not warehouse.publish()
    clock.now += 30
    assert warehouse.publish()


def test_a_clock_set_back_does_not_stop_publishing(data_dir: Path, inbox: Path) -> None:
    clock = Clock()
    warehouse = Warehouse(data_dir, clock=clock)
    warehouse.publish()
    register(warehouse, inbox, "a.pdf")
    clock.now -= 86_400
    assert warehouse.publish()


def test_a_reader_keeps_its_generation_while_others_are_published(
    warehouse: Warehouse, inbox: Path
) -> None:
    warehouse.publish(force=True)
    with warehouse.reader() as old:
        for name in "abc":
            register(warehouse, inbox, f"{name}.pdf")
            warehouse.publish(force=True)
        assert old.execute(COUNT).fetchall() == [(0,)]
        with warehouse.reader() as new:
            assert new.execute(COUNT).fetchall() == [(3,)]


def test_a_reader_of_an_empty_folder_finds_empty_tables(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "nothing" / "here")
    assert _count(warehouse) == 0


def test_readers_cannot_leave_the_snapshot(warehouse: Warehouse, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("a\n1\n")
    for sql in (
        f"FROM read_csv('{outside}')",
        f"COPY documents TO '{tmp_path / 'out.csv'}'",
        f"ATTACH '{tmp_path / 'other.duckdb'}'",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "INSTALL httpfs",
        "LOAD httpfs",
        f"FROM read_text('{outside}')",
        f"FROM glob('{tmp_path}/*')",
        f"COPY documents FROM '{outside}'",
        f"EXPORT DATABASE '{tmp_path / 'exported'}'",
        f"SELECT 1; COPY documents TO '{tmp_path / 'out.csv'}'",
        "CREATE TABLE mine AS SELECT 1",
        "SELECT getenv('HOME')",
        "DELETE FROM documents",
        "FROM outside",
    ):
        with pytest.raises(QueryError):
            warehouse.query(sql)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "outside.csv"]


@pytest.mark.parametrize("how", ["log", "checkpoint"])
def test_a_client_that_wrote_to_a_snapshot_and_died_does_no_harm(
    warehouse: Warehouse, inbox: Path, how: str
) -> None:
    if os.geteuid() != 0:
        warehouse.publish(force=True)
        warehouse.snapshot_path.resolve().chmod(0o644)
    document_id = register(warehouse, inbox, "a.pdf")
    warehouse.publish(force=True)
    assert _run(WRITE_AND_DIE, str(warehouse.snapshot_path), how).returncode == -signal.SIGKILL
    with warehouse.reader() as conn:
        assert conn.execute("SELECT file_name FROM documents").fetchall() == [("a.pdf",)]
        with pytest.raises(duckdb.CatalogException):
            conn.execute("FROM mine")
    with duckdb.connect(warehouse.snapshot_path, read_only=True) as conn:
        assert conn.execute("SELECT file_name FROM documents").fetchall() == [("a.pdf",)]
    assert list((warehouse.data_dir / "snapshots").glob("*.wal*")) == []
    assert [row.document_id for row in warehouse.documents()] == [document_id]


def test_a_user_cannot_open_a_snapshot_for_writing(warehouse: Warehouse) -> None:
    warehouse.publish(force=True)
    for folder in warehouse.snapshot_path.resolve().parents:
        if folder.stat().st_mode & 0o005 != 0o005:
            folder.chmod(0o755)
    assert "Permission denied" in _run(WRITE_AS_USER, str(warehouse.snapshot_path)).stdout


def _truncate(path: Path) -> None:
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size // 2)


def _spoil_header(path: Path) -> None:
    """Other bytes, with the size and time that they had before."""
    found = path.stat()
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.write(b"\0" * 12_288)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


@pytest.mark.parametrize("damage", [Path.unlink, _truncate, _spoil_header])
def test_a_damaged_snapshot_is_published_anew(
    warehouse: Warehouse, inbox: Path, damage: Callable[[Path], None]
) -> None:
    register(warehouse, inbox, "a.pdf")
    warehouse.publish(force=True)
    damage(warehouse.snapshot_path.resolve())
    assert _count(warehouse) == 1


@pytest.mark.parametrize("name", ["deepcompress.duckdb", "snapshots/published.json"])
def test_a_lost_link_or_record_is_made_anew(warehouse: Warehouse, inbox: Path, name: str) -> None:
    register(warehouse, inbox, "a.pdf")
    warehouse.publish(force=True)
    (warehouse.data_dir / name).unlink()
    assert _count(warehouse) == 1
    assert warehouse.snapshot_path.resolve().name == "000002.duckdb"


def test_a_record_that_is_no_record_is_made_anew(warehouse: Warehouse) -> None:
    warehouse.publish(force=True)
    (warehouse.data_dir / "snapshots" / "published.json").write_text('{"generation": 7')
    assert _count(warehouse) == 0


def test_damage_that_comes_back_is_an_error(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = Snapshots._publish

    def spoil(snapshots: Snapshots) -> None:
        publish(snapshots)
        _spoil_header(snapshots.link.resolve())

    monkeypatch.setattr(Snapshots, "_publish", spoil)
    with pytest.raises(WarehouseError, match="cannot be opened, not even published anew"):
        warehouse.query(COUNT)


def test_what_killed_publishers_left_is_removed(warehouse: Warehouse, inbox: Path) -> None:
    warehouse.publish(force=True)
    folder = warehouse.data_dir / "snapshots"
    strays = [folder / "000002.part", folder / "published.part", folder / "000001.duckdb.wal"]
    strays.append(warehouse.data_dir / "deepcompress.duckdb.wal")
    for stray in strays:
        stray.write_bytes(b"half")
        stray.chmod(0o444)
    register(warehouse, inbox, "a.pdf")
    warehouse.publish(force=True)
    assert [stray for stray in strays if stray.exists()] == []
    assert _count(warehouse) == 1


def test_readers_and_publishers_in_one_process_do_not_meet(
    warehouse: Warehouse, inbox: Path
) -> None:
    stop = threading.Event()
    problems: list[BaseException] = []
    seen: list[int] = []

    def read() -> None:
        try:
            while not stop.is_set():
                seen.append(_count(warehouse))
        except BaseException as error:
            problems.append(error)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(8):
        register(warehouse, inbox, f"{number}.pdf")
        warehouse.publish(force=True)
    stop.set()
    for reader in readers:
        reader.join()
    assert problems == []
    assert _count(warehouse) == 8
    assert set(seen) <= set(range(9))


def test_a_file_that_is_mostly_free_is_written_anew(
    warehouse: Warehouse, inbox: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_COMPACT_FROM_BYTES", 0)
    document_id = register(warehouse, inbox, "a.pdf")
    commit(warehouse, document_id, [page_of(document_id, 1)])
    path = warehouse.data_dir / "warehouse.duckdb"
    with duckdb.connect(path) as conn:
        conn.execute("CREATE TABLE bulk AS SELECT hash(i) AS h FROM range(3_000_000) t(i)")
        conn.execute("CHECKPOINT")
        conn.execute("CREATE TABLE behind AS SELECT hash(i) AS h FROM range(200_000) t(i)")
        conn.execute("CHECKPOINT")
        conn.execute("DROP TABLE bulk")
        conn.execute("CHECKPOINT")
        comments = _comments(conn)
    before = path.stat().st_size
    states = warehouse.asset_states()
    assert warehouse.publish(force=True)
    assert path.stat().st_size < before / 2
    assert warehouse.asset_states() == states
    with duckdb.connect(path) as conn:
        assert _comments(conn) == comments
        keys = "SELECT count(*) FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY'"
        assert conn.execute(keys).fetchall() == [(2,)]
    assert warehouse.figures([document_id])[document_id][0].markdown.startswith("page 1")
    assert not warehouse.publish(force=True)
    commit(warehouse, document_id, [page_of(document_id, 1)])


def _format(path: Path) -> int:
    """Version number in the header of a DuckDB file."""
    return int.from_bytes(path.read_bytes()[12:20], "little")


def test_a_file_in_a_format_that_older_clients_refuse_is_written_anew_once(
    warehouse: Warehouse, inbox: Path
) -> None:
    document_id = register(warehouse, inbox, "a.pdf")
    commit(warehouse, document_id, [page_of(document_id, 1)])
    path = warehouse.data_dir / "warehouse.duckdb"
    newest = path.with_name("newest.duckdb")
    with duckdb.connect() as conn:
        conn.execute(f"ATTACH '{path}' AS old (READ_ONLY)")
        conn.execute(f"ATTACH '{newest}' AS new (STORAGE_VERSION 'latest')")
        conn.execute("COPY FROM DATABASE old TO new")
    newest.replace(path)
    assert _format(path) > 65
    states = warehouse.asset_states()
    for _ in range(2):
        warehouse.publish(force=True)
        assert _format(path) == _format(warehouse.snapshot_path) == 65
    assert _generations(warehouse) == ["000001.duckdb"]
    assert warehouse.asset_states() == states


def _comments(conn: duckdb.DuckDBPyConnection) -> list[tuple[object, ...]]:
    return conn.execute(
        "SELECT schema_name, table_name, column_name, comment FROM duckdb_columns() "
        "WHERE NOT internal ORDER BY ALL"
    ).fetchall()


SHORT_OF_ROOM = """
import resource, sys
from pathlib import Path
from deepcompress_dagster.warehouse import Warehouse
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    Warehouse(Path(sys.argv[1])).publish(force=True)
except OSError as error:
    print(error)
"""


def test_a_publication_that_finds_no_room_leaves_no_half_copy(
    warehouse: Warehouse, inbox: Path
) -> None:
    register(warehouse, inbox, "a.pdf")
    done = _run(SHORT_OF_ROOM, str(warehouse.data_dir))
    assert "File too large" in done.stdout, done.stderr
    assert [path.name for path in (warehouse.data_dir / "snapshots").iterdir()] == []
    assert warehouse.publish(force=True)
    assert _count(warehouse) == 1
