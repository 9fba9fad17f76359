"""One document from staging to ``main``, and documents that failed: the body of one transaction.

A commit replaces the rows of the selected assets and nothing else of the document. Errors are
replaced in the same way: those of the selected assets go, those of the staged pages come. A page's
status and the document's are worked out anew from the errors that stand after that.

Not here: staging itself (staging.py), and the lock and the file (database.py).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

import duckdb

from deepcompress_dagster import page_ranges
from deepcompress_dagster.asset_graph import ASSETS, SOURCE, STAGE_ASSET, upstream
from deepcompress_dagster.records import (
    INCOMPLETE,
    BlockUpdate,
    DocumentResult,
    DocumentStatus,
    PageError,
    PageStatus,
    TableUpdate,
)
from deepcompress_dagster.warehouse import full_text, quality, staging
from deepcompress_dagster.warehouse.arrow import bound, insert
from deepcompress_dagster.warehouse.errors import NothingStagedError, UnknownDocumentError
from deepcompress_dagster.warehouse.rows import error_row
from deepcompress_dagster.warehouse.schema import ASSET_TABLES, identifier
from deepcompress_dagster.warehouse.sql import COSTS_CONTENT, first_row, only_row
from deepcompress_dagster.warehouse.types import AssetState, CommittedDocument

_UPDATES = {
    "page_number": "int32",
    "region_id": "string",
    "label": "string",
    "heading_level": "int32",
    "join_previous": "string",
    "monospace": "bool",
    "content": "string",
}

_PARTS = {
    "page_number": "int32",
    "region_id": "string",
    "continues": "string",
    "repeated_rows": "int32",
}

SEARCHED = frozenset({"text", "tables", "figures"})
"""Assets whose words can be searched."""


def commit(
    conn: duckdb.DuckDBPyConnection,
    result: DocumentResult,
    run_id: str,
    versions: Mapping[str, str],
    updates: Sequence[BlockUpdate | TableUpdate],
    now: datetime,
) -> CommittedDocument:
    """Replace the selected assets of one document by what is staged for them.

    Raises NotMaterializedError, NothingStagedError and UnknownDocumentError before anything is
    written, so that the others of its transaction can go on.
    """
    document_id = result.document_id
    sha256 = _sha256(conn, document_id)
    staged = staging.staged_versions(conn, document_id, versions)
    data_versions = staging.committed_data_versions(conn, document_id)
    finished = staging.finished_by_asset(conn, document_id, staged)
    for asset in staged:
        if asset not in finished:
            raise NothingStagedError(
                f"no finished page of {asset} of {document_id} is staged at version "
                f"{versions[asset]} and from its present inputs: run it again"
            )
    states: dict[str, AssetState] = {}
    for asset, version in staged.items():
        _replace_rows(conn, document_id, asset, version, updates)
        data_versions[asset], rows = data_version(conn, document_id, asset)
        inputs = {parent: data_versions[parent] for parent in upstream(asset)}
        states[asset] = AssetState(
            document_id=document_id,
            asset=asset,
            version=versions[asset],
            input_versions=inputs or {SOURCE: sha256},
            data_version=data_versions[asset],
            rows=rows,
            pages=page_ranges.in_short(finished[asset]),
            run_id=run_id,
            at=now,
        )
    _write_states(conn, states.values())
    _replace_errors(conn, result, staged, run_id, now)
    _replace_timings(conn, document_id, staged)
    staging.clear(conn, document_id, staged)
    if not SEARCHED.isdisjoint(staged):
        full_text.refresh(conn, [document_id])
    _refresh_pages(conn, document_id)
    _take_header(conn, document_id, result.page_count)
    status = _refresh_document(conn, document_id, run_id, now)
    return CommittedDocument(document_id, status, states)


def fail(
    conn: duckdb.DuckDBPyConnection,
    result: DocumentResult,
    fatal: PageError,
    run_id: str,
    now: datetime,
) -> None:
    """Record that the document could not be parsed; its rows and staged pages stay."""
    document_id = result.document_id
    _sha256(conn, document_id)
    conn.execute("DELETE FROM errors WHERE document_id = ? AND is_fatal", [document_id])
    _write_document_errors(conn, (fatal, *result.errors), fatal, ASSETS, run_id, now)
    _take_header(conn, document_id, result.page_count)
    conn.execute(
        "UPDATE documents SET status = ?, error = ?, processed_at = ? WHERE document_id = ?",
        [DocumentStatus.FAILED.value, fatal.message, now, document_id],
    )
    count_attempt(conn, [document_id], run_id)


def count_attempt(
    conn: duckdb.DuckDBPyConnection, document_ids: Collection[str], run_id: str
) -> None:
    """Count this run as an attempt at each document, once however often it is called."""
    conn.execute(
        "UPDATE documents SET attempts = attempts + 1, last_run_id = $run_id "
        "WHERE list_contains($ids, document_id) AND last_run_id IS DISTINCT FROM $run_id",
        {"run_id": run_id, "ids": list(document_ids)},
    )


def data_version(conn: duckdb.DuckDBPyConnection, document_id: str, asset: str) -> tuple[str, int]:
    """Hash of an asset's rows of one document, taken in a stable order, and their number."""
    table = ASSET_TABLES[asset]
    names = [column.name for column in table.columns if column.name != "document_id"]
    fields = [f"'{name}': {table.content.get(name, identifier(name))}" for name in names]
    place = ", ".join(table.order_by)
    digest, rows = only_row(
        conn,
        f"""
        SELECT sha256(coalesce(string_agg(row_hash, '' ORDER BY {place}), '')), count(*) FROM (
            SELECT {place}, sha256(to_json({{{", ".join(fields)}}})::VARCHAR) AS row_hash
            FROM {asset} WHERE document_id = ?
        )
        """,
        [document_id],
    )
    return str(digest)[:32], int(rows)


def _sha256(conn: duckdb.DuckDBPyConnection, document_id: str) -> str:
    row = first_row(conn, "SELECT sha256 FROM documents WHERE document_id = ?", [document_id])
    if row is None:
        raise UnknownDocumentError(f"no document {document_id} is registered: register its PDF")
    return str(row[0])


def _replace_rows(
    conn: duckdb.DuckDBPyConnection,
    document_id: str,
    asset: str,
    version: str,
    updates: Sequence[BlockUpdate | TableUpdate],
) -> None:
    conn.execute(f"DELETE FROM {asset} WHERE document_id = ?", [document_id])
    if asset == "text":
        blocks = [update for update in updates if isinstance(update, BlockUpdate)]
        _insert_text(conn, document_id, version, blocks)
        return
    if asset == "tables":
        parts = [update for update in updates if isinstance(update, TableUpdate)]
        _insert_tables(conn, document_id, version, parts)
        return
    place = ", ".join(ASSET_TABLES[asset].order_by)
    conn.execute(
        f"INSERT INTO {asset} BY NAME SELECT * EXCLUDE (version) FROM staging.{asset} "
        f"WHERE document_id = ? AND version = ? ORDER BY {place}",
        [document_id, version],
    )


def _insert_text(
    conn: duckdb.DuckDBPyConnection,
    document_id: str,
    version: str,
    updates: Sequence[BlockUpdate],
) -> None:
    by_region = {
        (update.page_number, update.region_id): {
            "page_number": update.page_number,
            "region_id": update.region_id,
            "label": update.label.value,
            "heading_level": update.heading_level,
            "join_previous": update.join and update.join.value,
            "monospace": update.monospace,
            "content": update.content,
        }
        for update in updates
    }
    with bound(conn, _UPDATES, list(by_region.values())) as source:
        conn.execute(
            f"""
            INSERT INTO text BY NAME
            SELECT t.* EXCLUDE (version, label, heading_level, join_previous, monospace, content),
                coalesce(u.content, t.content) AS content,
                coalesce(u.label, t.label) AS label,
                coalesce(u.monospace, t.monospace) AS monospace,
                CASE WHEN u.label IS NULL THEN t.heading_level ELSE u.heading_level END
                    AS heading_level,
                u.join_previous
            FROM staging.text t
            LEFT JOIN {source} u
                ON u.page_number = t.page_number AND u.region_id = t.region_id
            WHERE t.document_id = ? AND t.version = ?
            ORDER BY t.page_number, t.reading_order, t.region_id
            """,
            [document_id, version],
        )


def _insert_tables(
    conn: duckdb.DuckDBPyConnection,
    document_id: str,
    version: str,
    updates: Sequence[TableUpdate],
) -> None:
    with bound(conn, _PARTS, [asdict(update) for update in updates]) as source:
        conn.execute(
            f"""
            INSERT INTO tables BY NAME
            SELECT t.* EXCLUDE (version, continues, repeated_rows), u.continues, u.repeated_rows
            FROM staging.tables t
            LEFT JOIN {source} u
                ON u.page_number = t.page_number AND u.region_id = t.region_id
            WHERE t.document_id = ? AND t.version = ?
            ORDER BY t.page_number, t.reading_order, t.region_id
            """,
            [document_id, version],
        )


def _write_states(conn: duckdb.DuckDBPyConnection, states: Iterable[AssetState]) -> None:
    rows = [
        {
            "document_id": state.document_id,
            "asset": state.asset,
            "version": state.version,
            "input_versions": list(state.input_versions.items()),
            "data_version": state.data_version,
            "rows": state.rows,
            "pages": state.pages,
            "run_id": state.run_id,
            "at": state.at,
        }
        for state in states
    ]
    conn.execute(
        "DELETE FROM asset_state WHERE list_contains(?, document_id || ' ' || asset)",
        [[f"{row['document_id']} {row['asset']}" for row in rows]],
    )
    insert(conn, "asset_state", rows)


def _replace_errors(
    conn: duckdb.DuckDBPyConnection,
    result: DocumentResult,
    staged: Mapping[str, str],
    run_id: str,
    now: datetime,
) -> None:
    document_id = result.document_id
    conn.execute("DELETE FROM errors WHERE document_id = ? AND is_fatal", [document_id])
    conn.execute(
        "UPDATE errors SET assets = list_filter(assets, lambda a: NOT list_contains(?, a)) "
        "WHERE document_id = ?",
        [list(staged), document_id],
    )
    conn.execute("DELETE FROM errors WHERE document_id = ? AND len(assets) = 0", [document_id])
    conn.execute(
        """
        INSERT INTO errors BY NAME
        SELECT * EXCLUDE (asset, version), list(DISTINCT asset ORDER BY asset) AS assets,
            false AS is_fatal
        FROM staging.errors
        WHERE document_id = ? AND list_contains(?, version)
        GROUP BY ALL
        ORDER BY page_number, stage, error_type, message
        """,
        [document_id, list(staged.values())],
    )
    _write_document_errors(conn, result.errors, None, tuple(staged), run_id, now)


def _write_document_errors(
    conn: duckdb.DuckDBPyConnection,
    errors: Iterable[PageError],
    fatal: PageError | None,
    assets: Sequence[str],
    run_id: str,
    now: datetime,
) -> None:
    insert(
        conn,
        "errors",
        [
            {
                **error_row(error),
                "assets": staging.concerned(error.stage, assets),
                "is_fatal": error is fatal,
                "run_id": run_id,
                "at": now,
            }
            for error in errors
        ],
    )


def _replace_timings(
    conn: duckdb.DuckDBPyConnection, document_id: str, staged: Mapping[str, str]
) -> None:
    own_stages = [stage for stage, asset in STAGE_ASSET.items() if asset in staged]
    parameters = {
        "document_id": document_id,
        "stages": own_stages,
        "versions": list(staged.values()),
    }
    new = (
        "FROM staging.page_timings n "
        "WHERE n.document_id = $document_id AND list_contains($versions, n.version)"
    )
    conn.execute(
        "DELETE FROM page_timings t WHERE t.document_id = $document_id AND ("
        f"list_contains($stages, t.stage) OR (t.page_number, t.stage) IN "
        f"(SELECT (n.page_number, n.stage) {new}))",
        parameters,
    )
    del parameters["stages"]
    conn.execute(
        f"INSERT INTO page_timings BY NAME SELECT n.* EXCLUDE (asset, version) {new} "
        "ORDER BY n.page_number, n.stage",
        parameters,
    )


def _refresh_pages(conn: duckdb.DuckDBPyConnection, document_id: str) -> None:
    conn.execute(
        f"""
        UPDATE pages SET
            status = CASE WHEN e.message IS NULL THEN '{PageStatus.COMPLETE}'
                ELSE '{PageStatus.PARTIAL}' END,
            error = e.message
        FROM pages p
        LEFT JOIN (
            SELECT page_number, first(message ORDER BY stage, error_type, message) AS message
            FROM errors WHERE document_id = $document_id
            AND {COSTS_CONTENT} GROUP BY page_number
        ) e ON e.page_number = p.page_number
        WHERE pages.document_id = $document_id AND p.document_id = $document_id
        AND pages.page_number = p.page_number AND pages.status <> '{PageStatus.FAILED}'
        """,
        {"document_id": document_id},
    )


def _take_header(conn: duckdb.DuckDBPyConnection, document_id: str, page_count: int) -> None:
    conn.execute(
        """
        UPDATE documents SET page_count = s.page_count, title = s.title, author = s.author,
            producer = s.producer, attachments = s.attachments
        FROM staging.documents s
        WHERE s.document_id = documents.document_id AND documents.document_id = ?
        """,
        [document_id],
    )
    conn.execute("DELETE FROM staging.documents WHERE document_id = ?", [document_id])
    if page_count > 0:
        conn.execute(
            "UPDATE documents SET page_count = ? WHERE document_id = ?", [page_count, document_id]
        )


def _refresh_document(
    conn: duckdb.DuckDBPyConnection, document_id: str, run_id: str, now: datetime
) -> DocumentStatus:
    """Say how the document came out, and count the attempt as ``count_attempt`` does."""
    reason = _shortfall(conn, document_id)
    status = DocumentStatus.COMPLETE if reason is None else DocumentStatus.PARTIAL
    conn.execute(
        f"""
        UPDATE documents SET status = $status, error = $error, grade = $grade,
            processed_at = $now, last_run_id = $run_id,
            attempts = CASE WHEN $status = '{DocumentStatus.COMPLETE}' THEN 0
                WHEN last_run_id IS DISTINCT FROM $run_id THEN attempts + 1 ELSE attempts END
        WHERE document_id = $document_id
        """,
        {
            "status": status.value,
            "error": reason,
            "grade": quality.grade(conn, document_id),
            "now": now,
            "run_id": run_id,
            "document_id": document_id,
        },
    )
    return status


def _shortfall(conn: duckdb.DuckDBPyConnection, document_id: str) -> str | None:
    """What keeps a document from being complete, or None."""
    page_count, cut_off, failed_pages, covered = only_row(
        conn,
        f"""
        SELECT d.page_count,
            (SELECT any_value(message) FROM errors
                WHERE document_id = d.document_id AND list_contains($incomplete, error_type)),
            (SELECT count(DISTINCT page_number) FROM errors
                WHERE document_id = d.document_id AND {COSTS_CONTENT}),
            (SELECT map(list(asset), list(pages)) FROM asset_state
                WHERE document_id = d.document_id)
        FROM documents d WHERE d.document_id = $document_id
        """,
        {"document_id": document_id, "incomplete": list(INCOMPLETE)},
    )
    if cut_off:
        return str(cut_off)
    if failed_pages:
        return f"errors on {failed_pages} of {page_count} pages"
    lacking = [asset for asset in ASSETS if asset not in covered]
    if lacking:
        return f"not made yet: {', '.join(lacking)}"
    everything = page_ranges.in_short(range(1, page_count + 1))
    for asset in ASSETS:
        if covered[asset] != everything:
            return f"{asset} cover pages {covered[asset]} of {page_count}"
    return None
