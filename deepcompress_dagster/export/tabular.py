"""Tables and views of some documents as Parquet, CSV or JSON lines: one file a document and table.

Parquet lies hive-style, ``text/document_id=ID/text.parquet``, and says the document in its path
alone, as Spark, Athena, Polars and DuckDB expect it. The others say it in every row.
"""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from deepcompress_dagster.export.forms import ExportError, File, Form
from deepcompress_dagster.warehouse.schema import identifier

if TYPE_CHECKING:
    import pyarrow as pa

Ask: TypeAlias = "Callable[[str, Mapping[str, object]], pa.Table]"
"""A query on the snapshot that is exported, with named parameters."""

_COLUMNS = """
SELECT table_name, column_name, data_type FROM duckdb_columns()
WHERE schema_name = 'main' AND NOT internal ORDER BY table_name, column_index
"""


_ORDER = (
    *("page_number", "reading_order", "region_id", "row_index", "column_index"),
    *("chunk", "stage", "message", "asset", "name"),
)
"""Columns that put rows of a document in order, where a table has them."""


class Columns:
    """The columns of every table and view of a snapshot, with their types."""

    def __init__(self, ask: Ask) -> None:
        self._types: dict[str, dict[str, str]] = {}
        for row in ask(_COLUMNS, {}).to_pylist():
            self._types.setdefault(row["table_name"], {})[row["column_name"]] = row["data_type"]

    def check(self, tables: Sequence[str]) -> None:
        """Raises ExportError unless each is a table or view with rows that belong to documents."""
        known = sorted(name for name, types in self._types.items() if "document_id" in types)
        if unknown := sorted(set(tables) - set(known)):
            raise ExportError(
                f"no table of documents is named {', '.join(unknown)}: there are {', '.join(known)}"
            )

    def nested(self, table: str) -> list[str]:
        """The columns whose values are lists, structs or maps."""
        return [
            name
            for name, kind in self._types[table].items()
            if kind.endswith("[]") or kind.startswith(("STRUCT", "MAP"))
        ]

    def order(self, table: str) -> str:
        """What puts the rows of one document in order."""
        found = [identifier(name) for name in _ORDER if name in self._types[table]]
        return ", ".join(["document_id", *found])


def files(
    ask: Ask, columns: Columns, form: Form, tables: Sequence[str], document_ids: Sequence[str]
) -> Iterator[tuple[str, File]]:
    """The files of these documents, each with its document; a table without rows has one too."""
    for table in tables:
        rows = ask(_query(columns, form, table), {"ids": list(document_ids)})
        for document_id, part in _by_document(rows, document_ids):
            yield document_id, _file(form, table, document_id, part)


def _query(columns: Columns, form: Form, table: str) -> str:
    source = f"{identifier(table)} WHERE list_contains($ids, document_id)"
    order = f"ORDER BY {columns.order(table)}"
    if form is Form.JSONL:
        return f"SELECT document_id, to_json(r)::VARCHAR AS line FROM (FROM {source} {order}) r"
    nested = columns.nested(table) if form is Form.CSV else ()
    texts = ", ".join(f"to_json({identifier(n)})::VARCHAR AS {identifier(n)}" for n in nested)
    return f"SELECT *{f' REPLACE ({texts})' if texts else ''} FROM {source} {order}"


def _by_document(rows: "pa.Table", document_ids: Sequence[str]) -> "Iterator[tuple[str, pa.Table]]":
    """The rows of each document; they stand document by document."""
    import pyarrow.compute as pc

    found = pc.value_counts(rows["document_id"].combine_chunks()).to_pylist()
    counts = {entry["values"]: entry["counts"] for entry in found}
    start = 0
    parts = {}
    for document_id, count in counts.items():
        parts[document_id] = rows.slice(start, count)
        start += count
    for document_id in document_ids:
        yield document_id, parts.get(document_id, rows.slice(0, 0))


def _file(form: Form, table: str, document_id: str, rows: "pa.Table") -> File:
    if form is Form.PARQUET:
        path = f"{table}/document_id={document_id}/{table}.parquet"
        return File(path, _parquet(rows.drop_columns(["document_id"])), rows.num_rows)
    path = f"{table}/{document_id}.{form}"
    content = _csv(rows) if form is Form.CSV else _lines(rows)
    return File(path, content, rows.num_rows)


def _parquet(rows: "pa.Table") -> bytes:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd")
    return buffer.getvalue()


def _csv(rows: "pa.Table") -> bytes:
    import pyarrow.csv

    buffer = io.BytesIO()
    pyarrow.csv.write_csv(rows, buffer)
    return buffer.getvalue()


def _lines(rows: "pa.Table") -> bytes:
    return "".join(f"{line}\n" for line in rows["line"].to_pylist()).encode()
