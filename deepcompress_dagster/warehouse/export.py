"""Query results out of the warehouse: as text for people, as files for programs."""

import os
import shutil
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa

from deepcompress_dagster.warehouse.schema import identifier, quoted


class Format(StrEnum):
    """How a result is written; nested values are JSON in csv, and themselves in the others."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


_OPTIONS = {
    Format.CSV: "FORMAT csv, HEADER",
    Format.JSON: "FORMAT json, ARRAY",
    Format.PARQUET: "FORMAT parquet, COMPRESSION zstd",
}


def write(rows: pa.RecordBatchReader, form: Format, target: Path | BinaryIO) -> None:
    """Write a result to a file, whole or not at all, or to a binary stream.

    Raises OSError and duckdb.Error; a file that was there before is replaced only at the end.
    """
    if isinstance(target, Path):
        _write_file(rows, form, target)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result"
        _render(rows, form, path)
        with path.open("rb") as result:
            shutil.copyfileobj(result, target)


def _write_file(rows: pa.RecordBatchReader, form: Format, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        _render(rows, form, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _render(rows: pa.RecordBatchReader, form: Format, path: Path) -> None:
    with duckdb.connect() as conn:
        if form is Format.TABLE:
            conn.register("result", rows.read_all())
            path.write_text(f"{conn.table('result')}\n", encoding="utf-8")
        else:
            conn.register("result", rows)
            columns = _with_json(rows.schema) if form is Format.CSV else "*"
            conn.execute(
                f"COPY (SELECT {columns} FROM result) TO {quoted(str(path))} ({_OPTIONS[form]})"
            )


def _with_json(schema: pa.Schema) -> str:
    nested = [identifier(f.name) for f in schema if pa.types.is_nested(f.type)]
    return f"* REPLACE ({', '.join(f'to_json({n}) AS {n}' for n in nested)})" if nested else "*"
