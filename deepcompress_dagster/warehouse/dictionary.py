"""The data dictionary: tables, views and columns with types and comments, as text or Markdown.

What a file holds is described where it is declared, in schema.py and views.py; here it is only
shown, as a new file has it.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import duckdb

from deepcompress_dagster.warehouse.errors import WarehouseError
from deepcompress_dagster.warehouse.schema import MAIN_TABLES, create_schema
from deepcompress_dagster.warehouse.sql import only_row
from deepcompress_dagster.warehouse.views import VIEWS


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a table or view."""

    name: str
    type: str
    may_be_null: bool
    comment: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One table or view with its columns in order."""

    name: str
    is_view: bool
    comment: str
    fields: tuple[Field, ...]


def entries(names: Collection[str] = ()) -> list[Entry]:
    """What people query, or of it what is named: tables first, both in order of making.

    Raises WarehouseError for a name that is neither a table nor a view.
    """
    kinds = {table.name: "table" for table in MAIN_TABLES} | {view.name: "view" for view in VIEWS}
    unknown = sorted(set(names) - set(kinds))
    if unknown:
        known = ", ".join(kinds)
        raise WarehouseError(f"no table or view is named {', '.join(unknown)}: there are {known}")
    with duckdb.connect(config={"threads": 1}) as conn:
        create_schema(conn)
        return [
            _entry(conn, name, kind) for name, kind in kinds.items() if not names or name in names
        ]


def plain_text(shown: Sequence[Entry]) -> str:
    """For a terminal: a heading line for each, and a line for each column."""
    return "\n\n".join("\n".join(_plain_lines(entry)) for entry in shown)


def markdown(shown: Sequence[Entry]) -> str:
    """For a document: a heading and a table for each."""
    return "\n\n".join("\n".join(_markdown_lines(entry)) for entry in shown)


def _entry(conn: duckdb.DuckDBPyConnection, name: str, kind: str) -> Entry:
    (comment,) = only_row(
        conn,
        f"SELECT comment FROM duckdb_{kind}s() WHERE schema_name = 'main' AND {kind}_name = ?",
        [name],
    )
    columns = conn.execute(
        "SELECT column_name, data_type, is_nullable, comment FROM duckdb_columns() "
        "WHERE schema_name = 'main' AND table_name = ? ORDER BY column_index",
        [name],
    ).fetchall()
    return Entry(name, kind == "view", comment, tuple(Field(*column) for column in columns))


def _plain_lines(entry: Entry) -> Iterator[str]:
    yield f"{entry.name}{' (view)' if entry.is_view else ''}: {entry.comment}"
    width = max(len(field.name) for field in entry.fields)
    for field in entry.fields:
        yield f"  {field.name:<{width}}  {field.type}"
        yield f"  {'':<{width}}  {field.comment}"


def _markdown_lines(entry: Entry) -> Iterator[str]:
    yield f"### {entry.name}"
    yield ""
    yield entry.comment
    yield ""
    yield "| column | type | null | meaning |"
    yield "| --- | --- | --- | --- |"
    for field in entry.fields:
        null = "yes" if field.may_be_null and not entry.is_view else ""
        meaning = field.comment.replace("|", "\\|")
        yield f"| {field.name} | {field.type} | {null} | {meaning} |"
