from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from deepcompress_dagster.warehouse import NewerSchemaError, Warehouse, WarehouseError
from deepcompress_dagster.warehouse import database as database_module
from deepcompress_dagster.warehouse.migration import STEPS, Step, add_column, migrate
from deepcompress_dagster.warehouse.schema import DOCUMENTS, Column
from deepcompress_dagster.warehouse.schema import SCHEMA_VERSION as TODAY
from tests.builders import (
    page_of,
)
from tests.warehouse.helpers import (
    commit,
    register,
)

SCHEMAS = {n: (Path(__file__).parent / f"schema_v{n}.sql").read_text() for n in range(1, TODAY)}
"""Files as older schema versions made them, with a document in each. They stay as they are."""


def _old_file(folder: Path, version: int) -> Path:
    path = folder / "data" / "warehouse.duckdb"
    path.parent.mkdir(parents=True)
    with duckdb.connect(path) as conn:
        conn.execute(SCHEMAS[version])
    return path


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    return _old_file(tmp_path, 1)


def _set_version(path: Path, version: int) -> None:
    with duckdb.connect(path) as conn:
        conn.execute("UPDATE schema_version SET version = ?", [version])


def _dump(path: Path) -> list[tuple[object, ...]]:
    with duckdb.connect(path, read_only=True) as conn:
        return conn.execute(
            "SELECT schema_name, table_name, column_name, data_type FROM duckdb_columns() "
            "WHERE NOT internal ORDER BY ALL"
        ).fetchall()


def _described(path: Path) -> set[tuple[object, ...]]:
    """Every table, view, column and constraint, with its type and comment."""
    with duckdb.connect(path, read_only=True) as conn:
        return {
            *conn.execute(
                "SELECT schema_name, table_name, column_name, data_type, is_nullable, "
                "column_default, comment FROM duckdb_columns() WHERE NOT internal"
            ).fetchall(),
            *conn.execute(
                "SELECT schema_name, table_name, comment FROM duckdb_tables() WHERE NOT internal"
            ).fetchall(),
            *conn.execute(
                "SELECT schema_name, table_name, constraint_text FROM duckdb_constraints()"
            ).fetchall(),
        }


@pytest.mark.parametrize("version", SCHEMAS)
def test_an_older_file_becomes_what_a_new_one_is(
    version: int, tmp_path: Path, data_dir: Path
) -> None:
    old = _old_file(tmp_path / "old", version)
    Warehouse(old.parent).documents()
    assert _described(old) == _described(data_dir / "warehouse.duckdb")


@pytest.mark.parametrize("version", SCHEMAS)
def test_a_file_of_an_older_version_opens_and_works(
    version: int, tmp_path: Path, inbox: Path
) -> None:
    old_file = _old_file(tmp_path, version)
    warehouse = Warehouse(old_file.parent)
    (row,) = warehouse.documents()
    assert row.document_id == "old-0123456789ab"
    assert warehouse.figures([row.document_id])[row.document_id][0].markdown == "# Old\n\nwords"
    new = register(warehouse, inbox, "a.pdf")
    commit(warehouse, new, [page_of(new, 1)])
    assert warehouse.query("SELECT count(*) AS n FROM blocks").to_pylist() == [{"n": 5}]
    with duckdb.connect(old_file) as conn:
        assert conn.execute("SELECT max(version) FROM schema_version").fetchall() == [(TODAY,)]


def _add_language(conn: duckdb.DuckDBPyConnection) -> None:
    conn.execute("ALTER TABLE text ADD COLUMN language VARCHAR DEFAULT 'en'")


def _fail(conn: duckdb.DuckDBPyConnection) -> None:
    conn.execute("DROP TABLE figures")
    raise RuntimeError("no space left")


def _migrate(path: Path, steps: dict[int, Step], target: int) -> None:
    with duckdb.connect(path) as conn:
        migrate(conn, path, steps=steps, target=target)


def test_steps_run_in_order_and_keep_the_rows(old_file: Path) -> None:
    def rename(conn: duckdb.DuckDBPyConnection) -> None:
        conn.execute("ALTER TABLE text RENAME COLUMN language TO lang")

    _migrate(
        old_file,
        {**STEPS, TODAY: _add_language, TODAY + 1: rename},
        TODAY + 2,
    )
    with duckdb.connect(old_file) as conn:
        assert conn.execute("SELECT content, lang FROM text ORDER BY 1").fetchall() == [
            ("Old", "en"),
            ("words", "en"),
        ]
        assert conn.execute("SELECT version FROM schema_version ORDER BY 1").fetchall() == [
            (version,) for version in range(1, TODAY + 3)
        ]
        assert conn.execute("SELECT count(*) FROM blocks").fetchall() == [(2,)]
        assert conn.execute("SELECT count(*) FROM staging.finished").fetchall() == [(0,)]


def test_a_step_that_fails_leaves_the_file_as_it_was(old_file: Path) -> None:
    before = _dump(old_file)
    with pytest.raises(RuntimeError, match="no space left"):
        _migrate(
            old_file,
            {**STEPS, TODAY: _add_language, TODAY + 1: _fail},
            TODAY + 2,
        )
    assert _dump(old_file) == before
    assert Warehouse(old_file.parent).documents()[0].document_id == "old-0123456789ab"


def test_a_step_adds_columns_with_a_value_for_the_rows_that_are_there(old_file: Path) -> None:
    notes = replace(
        DOCUMENTS,
        columns=(
            *DOCUMENTS.columns,
            Column("at", "INTEGER", "How many."),
            Column("note", "VARCHAR", "What.", not_null=False),
        ),
    )

    def add(conn: duckdb.DuckDBPyConnection) -> None:
        add_column(conn, notes, "at", "7")
        add_column(conn, notes, "note")

    _migrate(old_file, {**STEPS, TODAY: add}, TODAY + 1)
    with duckdb.connect(old_file) as conn:
        assert conn.execute('SELECT "at", note FROM documents').fetchall() == [(7, None)]
        with pytest.raises(duckdb.ConstraintException, match=r"NOT NULL.*at"):
            conn.execute('UPDATE documents SET "at" = NULL')


def test_a_version_without_a_way_forward_is_refused(old_file: Path) -> None:
    before = _dump(old_file)
    with pytest.raises(WarehouseError, match="nothing leads from 1 to 2"):
        _migrate(old_file, {2: _add_language}, 3)
    assert _dump(old_file) == before


def test_a_newer_file_is_refused_and_left_alone(data_dir: Path) -> None:
    _set_version(data_dir / "warehouse.duckdb", 99)
    before = (data_dir / "warehouse.duckdb").read_bytes()
    with pytest.raises(NewerSchemaError, match=r"schema version 99.*install the release"):
        Warehouse(data_dir).documents()
    assert (data_dir / "warehouse.duckdb").read_bytes() == before


def test_another_duckdb_file_is_refused(tmp_path: Path) -> None:
    with duckdb.connect(tmp_path / "warehouse.duckdb") as conn:
        conn.execute("CREATE TABLE mine AS SELECT 1 AS one")
    with pytest.raises(WarehouseError, match="no warehouse of this project"):
        Warehouse(tmp_path).documents()


def test_snapshots_of_an_older_schema_are_published_anew(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.publish(force=True)
    assert not warehouse.publish(force=True)
    later = Warehouse(warehouse.data_dir)
    monkeypatch.setattr("deepcompress_dagster.warehouse.snapshots.SCHEMA_VERSION", TODAY + 1)
    assert later.publish(force=True)


def test_migration_happens_once_and_under_the_lock(
    old_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _migrated: list[Path] = []
    monkeypatch.setattr(
        database_module,
        "migrate",
        lambda conn, path: migrate(
            conn,
            path,
            steps={**STEPS, TODAY: lambda _: _migrated.append(path)},
            target=TODAY + 1,
        ),
    )
    warehouse = Warehouse(old_file.parent)
    warehouse.documents()
    warehouse.set_current_versions({"pages": "v2"})
    assert _migrated == [old_file]
