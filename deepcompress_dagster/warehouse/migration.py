"""From an older schema to today's, one version at a time and all in one transaction.

A step brings the tables of ``main`` from one version to the next. Views, comments and ``staging``
are made anew after the last step, so pages that were staged before are computed again.

To change the schema, change schema.py and the step that leads to ``SCHEMA_VERSION``; a step that a
release has shipped stays as it is. A new column goes at the end of its table and into its step by
``add_column(conn, TEXT, "language", "''")``, a new table by ``create_tables(conn, [CHUNKS])``. A
test brings files of every older version here and compares them with a new file.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from deepcompress_dagster.warehouse import full_text
from deepcompress_dagster.warehouse.errors import NewerSchemaError, WarehouseError
from deepcompress_dagster.warehouse.schema import (
    DOCUMENTS,
    FORGOTTEN,
    MAIN_TABLES,
    PAGES,
    SCHEMA_VERSION,
    SEARCH_BLOCKS,
    SEARCH_TERMS,
    STYLE_STRUCT,
    TABLES,
    TEXT,
    Table,
    comment_on,
    create_schema,
    create_staging,
    create_tables,
    create_views,
    identifier,
)
from deepcompress_dagster.warehouse.sql import only_row

Step = Callable[[duckdb.DuckDBPyConnection], None]


def add_column(
    conn: duckdb.DuckDBPyConnection, table: Table, name: str, value: str = "NULL"
) -> None:
    """Give the file the column ``name`` as today's ``table`` has it.

    ``value`` is an SQL constant: what rows that are there already get.
    """
    column = next(column for column in table.columns if column.name == name)
    place, quoted_name = f"ALTER TABLE {table.name}", identifier(name)
    conn.execute(f"{place} ADD COLUMN {quoted_name} {column.type} DEFAULT {value}")
    if column.not_null:
        conn.execute(f"{place} ALTER COLUMN {quoted_name} SET NOT NULL")
    conn.execute(f"{place} ALTER COLUMN {quoted_name} DROP DEFAULT")


def _to_version_2(conn: duckdb.DuckDBPyConnection) -> None:
    add_column(conn, TEXT, "monospace", "false")


def _to_version_3(conn: duckdb.DuckDBPyConnection) -> None:
    add_column(conn, PAGES, "hidden_text_share", "0.0")
    add_column(conn, PAGES, "label")
    for name in ("fields", "annotations", "links"):
        add_column(conn, PAGES, name, "[]")
    add_column(conn, DOCUMENTS, "attachments", "[]")
    conn.execute(f"ALTER TABLE text ADD COLUMN lines.element.style {STYLE_STRUCT}")
    conn.execute("ALTER TABLE figures ADD COLUMN data.confidence DOUBLE")
    add_column(conn, DOCUMENTS, "grade")
    for name in ("continues", "repeated_rows"):
        add_column(conn, TABLES, name)
    create_tables(conn, [SEARCH_BLOCKS, SEARCH_TERMS, FORGOTTEN])
    full_text.refresh(conn)


STEPS: Mapping[int, Step] = {1: _to_version_2, 2: _to_version_3}
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
        comment_on(conn, MAIN_TABLES)
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
