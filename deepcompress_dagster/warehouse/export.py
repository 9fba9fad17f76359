"""Query results out of the warehouse: as text for people, as files for programs."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import duckdb

from deepcompress_dagster.warehouse.schema import identifier, quoted
from deepcompress_dagster.warehouse.types import Format

if TYPE_CHECKING:
    import pyarrow as pa

_OPTIONS = {
    Format.CSV: "FORMAT csv, HEADER",
    Format.JSON: "FORMAT json, ARRAY",
    Format.PARQUET: "FORMAT parquet, COMPRESSION zstd",
}


def write(rows: duckdb.DuckDBPyRelation, form: Format, target: Path | BinaryIO) -> None:
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


def _write_file(rows: duckdb.DuckDBPyRelation, form: Format, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        _render(rows, form, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _render(rows: duckdb.DuckDBPyRelation, form: Format, path: Path) -> None:
    if form is Format.TABLE:
        path.write_text(f"{rows}\n", encoding="utf-8")
        return
    reader = rows.to_arrow_reader()  # a locked-down connection writes no files itself
    with duckdb.connect() as conn:
        conn.register("result", reader)
        columns = _with_json(reader.schema) if form is Format.CSV else "*"
        conn.execute(
            f"COPY (SELECT {columns} FROM result) TO {quoted(str(path))} ({_OPTIONS[form]})"
        )


def _with_json(schema: "pa.Schema") -> str:
    import pyarrow as pa

    nested = [identifier(f.name) for f in schema if pa.types.is_nested(f.type)]
    return f"* REPLACE ({', '.join(f'to_json({n}) AS {n}' for n in nested)})" if nested else "*"
