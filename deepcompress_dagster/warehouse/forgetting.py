"""Documents that are forgotten: all rows of theirs, and what is remembered of them, their hash."""

from collections.abc import Collection, Iterable
from datetime import datetime

import duckdb

from deepcompress_dagster.warehouse.arrow import insert
from deepcompress_dagster.warehouse.pdf_store import StoredPdf
from deepcompress_dagster.warehouse.schema import MAIN_TABLES, STAGING_TABLES
from deepcompress_dagster.warehouse.types import Place


def forget(conn: duckdb.DuckDBPyConnection, hashes: dict[str, str], now: datetime) -> None:
    """Delete every row of these documents, given with their sha256, and remember the latter."""
    ids = list(hashes)
    for table in (*MAIN_TABLES, *STAGING_TABLES):
        if any(column.name == "document_id" for column in table.columns):
            conn.execute(f"DELETE FROM {table.name} WHERE list_contains(?, document_id)", [ids])
    conn.execute(
        "UPDATE documents SET superseded_by = NULL WHERE list_contains(?, superseded_by)", [ids]
    )
    recall(conn, hashes.values())
    rows = [{"sha256": sha256, "forgotten_at": now} for sha256 in hashes.values()]
    insert(conn, "forgotten", rows)


def recall(conn: duckdb.DuckDBPyConnection, hashes: Iterable[str]) -> None:
    """Let files with these hashes become documents again."""
    conn.execute("DELETE FROM forgotten WHERE list_contains(?, sha256)", [list(hashes)])


def refusals(
    conn: duckdb.DuckDBPyConnection, files: Collection[StoredPdf]
) -> dict[Place, tuple[StoredPdf, str]]:
    """Those of the files that were forgotten, by path, with what is to be said of each."""
    found = dict(
        conn.execute(
            "SELECT sha256, forgotten_at FROM forgotten WHERE list_contains(?, sha256)",
            [[file.sha256 for file in files]],
        ).fetchall()
    )
    return {
        file.stat.path: (
            file,
            f"was forgotten on {found[file.sha256]:%Y-%m-%d} and is not taken up: remove the file,"
            f" or name it, deepcompress process {file.stat.path}",
        )
        for file in files
        if file.sha256 in found
    }
