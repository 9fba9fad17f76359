"""Asking for one row: ``fetchone`` would leave a result open, in the way of what follows."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import duckdb

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]


def first_row(
    conn: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters = ()
) -> tuple[Any, ...] | None:
    """The first row of a short result, None where it has none."""
    rows = conn.execute(sql, parameters).fetchall()
    return rows[0] if rows else None


def only_row(
    conn: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters = ()
) -> tuple[Any, ...]:
    """The row of a result that always has one."""
    (row,) = conn.execute(sql, parameters).fetchall()
    return tuple(row)
