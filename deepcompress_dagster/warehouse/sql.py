"""What queries share. One row is asked for whole: ``fetchone`` would leave a result open."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from deepcompress_dagster.records import FURNITURE, HARMLESS

if TYPE_CHECKING:
    import duckdb

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]

COSTS_CONTENT = f"error_type NOT IN ({', '.join(map(repr, HARMLESS))})"
"""Predicate of ``errors``: rows that make their page partial."""

IN_FLOW = f"label NOT IN ({', '.join(repr(label.value) for label in FURNITURE)})"
"""Predicate of ``text``: rows that are part of the text that runs over the pages."""


def first_row(
    conn: "duckdb.DuckDBPyConnection", sql: str, parameters: Parameters = ()
) -> tuple[Any, ...] | None:
    """The first row of a short result, None where it has none."""
    rows = conn.execute(sql, parameters).fetchall()
    return rows[0] if rows else None


def only_row(
    conn: "duckdb.DuckDBPyConnection", sql: str, parameters: Parameters = ()
) -> tuple[Any, ...]:
    """The row of a result that always has one."""
    (row,) = conn.execute(sql, parameters).fetchall()
    return tuple(row)
