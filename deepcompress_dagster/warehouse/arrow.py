"""Rows into DuckDB through Arrow: one insert per table, never one statement per row."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import duckdb

if TYPE_CHECKING:
    import pyarrow as pa

Row: TypeAlias = Mapping[str, Any]

Columns: TypeAlias = Mapping[str, str]
"""Names of columns with Arrow's names of their types."""

_VIEW = "_rows"


def insert(conn: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    """Append rows given by column name; a column that a row lacks stays NULL."""
    if not rows:
        return
    schema = conn.table(table).limit(0).to_arrow_table().schema
    with bound(conn, schema, rows) as source:
        conn.execute(f"INSERT INTO {table} BY NAME SELECT * FROM {source}")


@contextmanager
def bound(
    conn: duckdb.DuckDBPyConnection, columns: "Columns | pa.Schema", rows: Sequence[Row]
) -> Iterator[str]:
    """Rows as a table that SQL on this connection can read; the name of it."""
    conn.register(_VIEW, _table(columns, rows))
    try:
        yield _VIEW
    finally:
        conn.unregister(_VIEW)


def _table(columns: "Columns | pa.Schema", rows: Sequence[Row]) -> "pa.Table":
    import pyarrow as pa  # here, since commands that only read do without: .12 s of CPU

    schema = columns
    if isinstance(columns, Mapping):
        schema = pa.schema([(name, pa.type_for_alias(alias)) for name, alias in columns.items()])
    try:
        return pa.Table.from_pylist(list(rows), schema=schema)
    except UnicodeEncodeError:
        return pa.Table.from_pylist([_encodable(row) for row in rows], schema=schema)


def _encodable(value: Any) -> Any:
    """``value`` with surrogates replaced, which PDFs contain and UTF-8 does not."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {key: _encodable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encodable(item) for item in value]
    return value
