"""From an older schema to today's, one version at a time and all in one transaction.

A step changes the tables of ``main``. Views are made anew after the last step, and so is
``staging``: code versions contain the schema version, so nothing staged before would be used.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from deepcompress_dagster.warehouse.errors import NewerSchemaError, WarehouseError
from deepcompress_dagster.warehouse.schema import (
    SCHEMA_VERSION,
    create_schema,
    create_staging,
    create_views,
)
from deepcompress_dagster.warehouse.sql import only_row

Step = Callable[[duckdb.DuckDBPyConnection], None]


def _add_monospace(conn: duckdb.DuckDBPyConnection) -> None:
    conn.execute("ALTER TABLE text ADD COLUMN monospace BOOLEAN DEFAULT false")
    conn.execute("ALTER TABLE text ALTER COLUMN monospace SET NOT NULL")
    conn.execute("ALTER TABLE text ALTER COLUMN monospace DROP DEFAULT")


STEPS: Mapping[int, Step] = {1: _add_monospace}
"""What leads from a version to the next one, by the version left."""


def initialize(conn: duckdb.DuckDBPyConnection) -> None:
    """Give an empty database today's schema, in one transaction."""
    conn.execute("BEGIN")
    create_schema(conn)
    _record(conn, SCHEMA_VERSION)
    conn.execute("COMMIT")


def migrate(
    conn: duckdb.DuckDBPyConnection,
    path: Path,
    *,
    steps: Mapping[int, Step] = STEPS,
    target: int = SCHEMA_VERSION,
) -> None:
    """Bring the database to ``target``; nothing happens where it is there already.

    Raises NewerSchemaError for a file of a newer release, WarehouseError for one that is no
    warehouse or has no way forward. After an error the file is as it was.
    """
    version = _version(conn, path)
    if version == target:
        return
    if version > target:
        raise NewerSchemaError(
            f"{path} has schema version {version}, this release knows {target}: "
            "install the release that wrote it, or a later one"
        )
    conn.execute("BEGIN")
    try:
        _drop_derived(conn)
        for step in range(version, target):
            if step not in steps:
                raise WarehouseError(
                    f"{path} has schema version {version} and nothing leads from {step} to "
                    f"{step + 1}: open it with the release that wrote it and export its tables"
                )
            steps[step](conn)
            _record(conn, step + 1)
        create_staging(conn)
        create_views(conn)
    except BaseException:
        conn.execute("ROLLBACK")
        raise
    conn.execute("COMMIT")


def _version(conn: duckdb.DuckDBPyConnection, path: Path) -> int:
    try:
        (version,) = only_row(conn, "SELECT max(version) FROM schema_version")
    except duckdb.CatalogException:
        version = None
    if version is None:
        raise WarehouseError(
            f"{path} is a DuckDB file but no warehouse of this project: move it away"
        )
    return int(version)


def _record(conn: duckdb.DuckDBPyConnection, version: int) -> None:
    now = datetime.now(UTC).replace(tzinfo=None)
    conn.execute("INSERT INTO schema_version VALUES (?, ?)", [version, now])


def _drop_derived(conn: duckdb.DuckDBPyConnection) -> None:
    views = conn.execute(
        "SELECT view_name FROM duckdb_views() WHERE NOT internal AND schema_name = 'main'"
    ).fetchall()
    for (name,) in views:
        conn.execute(f'DROP VIEW "{name}"')
    conn.execute("DROP SCHEMA staging CASCADE")
