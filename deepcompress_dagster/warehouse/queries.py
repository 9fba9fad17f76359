"""Questions about documents and their state: what the facade answers, as plain records.

What people ask in SQL are views (views.py); here is what the code asks.
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import duckdb

from deepcompress_dagster import page_ranges
from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.records import (
    DocumentStatus,
    Region,
)
from deepcompress_dagster.warehouse.arrow import insert
from deepcompress_dagster.warehouse.errors import NotMaterializedError, UnknownDocumentError
from deepcompress_dagster.warehouse.rows import region
from deepcompress_dagster.warehouse.sql import COSTS_CONTENT, only_row
from deepcompress_dagster.warehouse.types import (
    AssetState,
    DocumentRow,
    DocumentSummary,
    Failure,
    Place,
    StalePartition,
)

Ids = Collection[str] | None
"""Document ids, or None for all."""

_ASSET_ORDER = f"list_position({list(ASSETS)}, asset)"

_DOCUMENTS = """
SELECT d.document_id, d.sha256, d.file_name, d.bytes, d.page_count, d.title, d.author, d.producer,
    d.status, d.error, d.is_current, d.superseded_by, d.attempts, d.first_seen_at, d.processed_at,
    len(list_filter(d.attachments, lambda file: file.is_pdf)) > 0 AS has_attached_pdfs
FROM documents d
"""


def documents(conn: duckdb.DuckDBPyConnection, ids: Ids) -> list[DocumentRow]:
    """Documents by id, or all, in order of id."""
    return _documents(
        conn,
        "WHERE $ids::VARCHAR[] IS NULL OR list_contains($ids::VARCHAR[], d.document_id) "
        "ORDER BY d.document_id",
        {"ids": _list(ids)},
    )


def document(conn: duckdb.DuckDBPyConnection, document_id: str) -> DocumentRow:
    """One document. Raises UnknownDocumentError."""
    found = documents(conn, [document_id])
    if not found:
        raise UnknownDocumentError(f"no document {document_id} is registered: register its PDF")
    return found[0]


def pending(
    conn: duckdb.DuckDBPyConnection, transient: Collection[str], max_attempts: int
) -> list[DocumentRow]:
    """Current documents that want automatic work and have attempts left, oldest first."""
    return _documents(
        conn,
        """
        WHERE d.is_current AND d.attempts < $max_attempts AND (
            d.status = 'registered'
            OR d.status <> 'complete' AND EXISTS (
                FROM errors e WHERE e.document_id = d.document_id
                AND list_contains($transient::VARCHAR[], e.error_type)
            )
            OR d.status = 'partial' AND $assets > (
                SELECT count(*) FROM asset_state s WHERE s.document_id = d.document_id
            )
        )
        ORDER BY d.first_seen_at, d.document_id
        """,
        {"transient": list(transient), "max_attempts": max_attempts, "assets": len(ASSETS)},
    )


def retryable(conn: duckdb.DuckDBPyConnection) -> list[DocumentRow]:
    """Current documents that were taken up and did not come out complete, oldest first."""
    return _documents(
        conn,
        "WHERE d.is_current AND d.status <> 'complete' "
        "AND (d.status <> 'registered' OR d.attempts > 0) "
        "ORDER BY d.first_seen_at, d.document_id",
        {},
    )


def unparsed_attachments(conn: duckdb.DuckDBPyConnection, ids: Collection[str]) -> list[str]:
    """Documents that are files inside these and that no run took up yet, oldest first."""
    rows = conn.execute(
        """
        SELECT DISTINCT a.document_id, a.first_seen_at FROM documents a
        JOIN (
            SELECT unnest(attachments) AS file FROM documents
            WHERE list_contains($ids::VARCHAR[], document_id)
        ) i ON i.file.sha256 = a.sha256
        WHERE a.status = 'registered' AND a.attempts = 0
        ORDER BY a.first_seen_at, a.document_id
        """,
        {"ids": list(ids)},
    ).fetchall()
    return [document_id for document_id, _ in rows]


def sources(conn: duckdb.DuckDBPyConnection, ids: Collection[str]) -> list[Place]:
    """Paths and addresses at which these documents were seen, in order."""
    rows = conn.execute(
        "SELECT path FROM sources WHERE list_contains($ids::VARCHAR[], document_id) ORDER BY path",
        {"ids": list(ids)},
    ).fetchall()
    return [path if "://" in path else Path(path) for (path,) in rows]


def counts(conn: duckdb.DuckDBPyConnection) -> dict[DocumentStatus, int]:
    """Current documents by status, with an entry for every status."""
    found = dict(
        conn.execute(
            "SELECT status, count(*) FROM documents WHERE is_current GROUP BY status"
        ).fetchall()
    )
    return {status: found.get(status.value, 0) for status in DocumentStatus}


def failures(conn: duckdb.DuckDBPyConnection, ids: Ids) -> list[Failure]:
    """Standing errors of these documents, or of the current ones, document by document."""
    rows = conn.execute(
        """
        SELECT e.document_id, d.file_name, e.page_number, e.stage, e.error_type, e.message,
            e.attempts, e.is_fatal, e.run_id, e.at
        FROM errors e JOIN documents d ON d.document_id = e.document_id
        WHERE CASE WHEN $ids::VARCHAR[] IS NULL THEN d.is_current
            ELSE list_contains($ids::VARCHAR[], e.document_id) END
        ORDER BY e.document_id, e.page_number NULLS FIRST, e.stage, e.error_type, e.message
        """,
        {"ids": _list(ids)},
    ).fetchall()
    return [Failure(*row) for row in rows]


def stale_partitions(conn: duckdb.DuckDBPyConnection) -> list[StalePartition]:
    """Committed assets that are out of date, by document and asset."""
    rows = conn.execute(
        "SELECT document_id, file_name, asset, reason FROM stale_partitions "
        "JOIN documents USING (document_id) "
        f"ORDER BY document_id, {_ASSET_ORDER}"
    ).fetchall()
    return [StalePartition(*row) for row in rows]


def asset_states(conn: duckdb.DuckDBPyConnection, ids: Ids) -> list[AssetState]:
    """Committed states, by document and asset, upstream first."""
    rows = conn.execute(
        f"""
        SELECT s.document_id, s.asset, s.version, s.input_versions, s.data_version, s.rows,
            s.pages, s.run_id, s.at
        FROM asset_state s
        WHERE $ids::VARCHAR[] IS NULL OR list_contains($ids::VARCHAR[], s.document_id)
        ORDER BY s.document_id, {_ASSET_ORDER}
        """,
        {"ids": _list(ids)},
    ).fetchall()
    return [AssetState(*row) for row in rows]


def current_versions(conn: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Code versions that are recorded as today's, by asset."""
    return dict(conn.execute("SELECT asset, version FROM current_versions").fetchall())


def set_current_versions(conn: duckdb.DuckDBPyConnection, versions: Mapping[str, str]) -> None:
    """Record these code versions as today's; others stay."""
    conn.execute(
        "DELETE FROM current_versions WHERE list_contains($assets::VARCHAR[], asset)",
        {"assets": list(versions)},
    )
    rows = [{"asset": asset, "version": version} for asset, version in versions.items()]
    insert(conn, "current_versions", rows)


def regions(
    conn: duckdb.DuckDBPyConnection, document_id: str, page_numbers: Collection[int]
) -> dict[int, tuple[Region, ...]]:
    """Committed layouts of these pages, an entry for each. Raises NotMaterializedError."""
    state = next((s for s in asset_states(conn, [document_id]) if s.asset == "layouts"), None)
    covered = page_ranges.parse(state.pages) if state else frozenset()
    lacking = sorted(set(page_numbers) - covered)
    if lacking:
        raise NotMaterializedError(
            f"layouts of {document_id} cover pages {state.pages if state else 'none'}, "
            f"not {lacking[0]}: materialise layouts first"
        )
    found: dict[int, list[Region]] = {number: [] for number in page_numbers}
    relation = conn.sql(
        "FROM layouts WHERE document_id = $document_id "
        "AND list_contains($pages::INTEGER[], page_number) "
        "ORDER BY page_number, reading_order, region_id",
        params={"document_id": document_id, "pages": list(page_numbers)},
    )
    for row in relation.to_arrow_table().to_pylist():
        found[row["page_number"]].append(region(row))
    return {number: tuple(items) for number, items in found.items()}


def summary(
    conn: duckdb.DuckDBPyConnection, document_id: str, markdown_characters: int
) -> DocumentSummary:
    """Figures about one committed document. Raises UnknownDocumentError."""
    row = document(conn, document_id)
    pages, failed = only_row(
        conn,
        "SELECT count(*), count(*) FILTER (status = 'failed') FROM pages WHERE document_id = ?",
        [document_id],
    )
    (errors,) = only_row(
        conn,
        "SELECT count(*) FROM errors WHERE document_id = ? AND page_number IS NOT NULL "
        f"AND {COSTS_CONTENT}",
        [document_id],
    )
    (confidence,) = only_row(
        conn, "SELECT avg(confidence) FROM text WHERE document_id = ?", [document_id]
    )
    (markdown,) = only_row(
        conn,
        "SELECT left(max(markdown), ?) FROM document_markdown WHERE document_id = ?",
        [markdown_characters, document_id],
    )
    seconds = conn.execute(
        "SELECT stage, sum(seconds) FROM page_timings WHERE document_id = ? "
        "GROUP BY stage ORDER BY stage",
        [document_id],
    ).fetchall()
    return DocumentSummary(
        document_id=document_id,
        file_name=row.file_name,
        status=row.status,
        page_count=row.page_count,
        rows={state.asset: state.rows for state in asset_states(conn, [document_id])},
        pages=pages,
        failed_pages=failed,
        page_errors=errors,
        mean_confidence=confidence,
        seconds=dict(seconds),
        markdown=markdown or "",
    )


def _documents(
    conn: duckdb.DuckDBPyConnection, condition: str, parameters: Mapping[str, Any]
) -> list[DocumentRow]:
    rows = conn.execute(_DOCUMENTS + condition, dict(parameters)).fetchall()
    names = [column[0] for column in conn.description or ()]
    found = [dict(zip(names, row, strict=True)) for row in rows]
    return [DocumentRow(**{**row, "status": DocumentStatus(row["status"])}) for row in found]


def _list(ids: Ids) -> list[str] | None:
    return None if ids is None else list(ids)
