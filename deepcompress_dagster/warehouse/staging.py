"""Finished pages of documents in work: stored as they come, read to resume.

A staged row is keyed by document, asset and version. The version is a hash of the asset's code
version and of what the rows were made from: the staged version of the upstream asset where that is
made in the same run, else the data version of its committed rows. Pages that an interrupted run
left are thus used again only where they would come out the same.

Not here: how staged rows become committed ones (commit.py).
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import duckdb

from deepcompress_dagster.asset_graph import STAGE_ASSET, in_order, upstream
from deepcompress_dagster.records import (
    BBox,
    BrokenText,
    DocumentOpened,
    Label,
    OutlineBlock,
    PageError,
    PageResult,
    TextStyle,
)
from deepcompress_dagster.warehouse.arrow import Row, insert
from deepcompress_dagster.warehouse.errors import NotMaterializedError
from deepcompress_dagster.warehouse.rows import asset_rows, error_row
from deepcompress_dagster.warehouse.schema import STAGED_BY_ASSET
from deepcompress_dagster.warehouse.sql import first_row

Versions = Mapping[str, str]

_EDGE_CHARACTERS = 240
"""How much of a block's beginning and end the document pass sees: more than a long heading."""


def staged_versions(
    conn: duckdb.DuckDBPyConnection, document_id: str, versions: Versions
) -> dict[str, str]:
    """The staged version of each selected asset of a document, upstream first.

    Raises NotMaterializedError when an asset that is not selected has to be there and is not.
    """
    committed = committed_data_versions(conn, document_id)
    staged: dict[str, str] = {}
    for asset in in_order(versions):
        origin = "\n".join(
            _origin(document_id, asset, parent, staged, committed) for parent in upstream(asset)
        )
        key = f"{asset}\n{versions[asset]}\n{origin}"
        staged[asset] = hashlib.sha256(key.encode()).hexdigest()[:32]
    return staged


def _origin(
    document_id: str, asset: str, parent: str, staged: Versions, committed: Versions
) -> str:
    """What an asset is made from as one of its inputs: staged in the same run, or committed."""
    if parent not in staged and parent not in committed:
        raise NotMaterializedError(
            f"{asset} of {document_id} is made from its {parent}, which are not there: "
            f"materialise {parent} first or with it"
        )
    return staged.get(parent) or committed[parent]


def committed_data_versions(conn: duckdb.DuckDBPyConnection, document_id: str) -> dict[str, str]:
    """Data version of each committed asset of a document."""
    rows = conn.execute(
        "SELECT asset, data_version FROM asset_state WHERE document_id = ?", [document_id]
    ).fetchall()
    return dict(rows)


def finished_pages(
    conn: duckdb.DuckDBPyConnection, document_id: str, staged: Versions
) -> frozenset[int]:
    """Pages that are through for every asset of ``staged`` at its staged version."""
    rows = conn.execute(
        "SELECT page_number FROM staging.finished "
        "WHERE document_id = ? AND list_contains(?, version) "
        "GROUP BY page_number HAVING count(*) = ?",
        [document_id, list(staged.values()), len(staged)],
    ).fetchall()
    return frozenset(number for (number,) in rows)


def finished_by_asset(
    conn: duckdb.DuckDBPyConnection, document_id: str, staged: Versions
) -> dict[str, list[int]]:
    """Pages that are through for each asset of ``staged``, where there are any."""
    rows = conn.execute(
        "SELECT asset, list(page_number) FROM staging.finished "
        "WHERE document_id = ? AND list_contains(?, version) GROUP BY asset",
        [document_id, list(staged.values())],
    ).fetchall()
    return dict(rows)


def stage(
    conn: duckdb.DuckDBPyConnection,
    run_id: str,
    versions: Versions,
    opened: Sequence[DocumentOpened],
    pages: Sequence[PageResult],
    now: datetime,
) -> None:
    """Store headers and pages; a page that is there already at the same version is replaced."""
    _stage_headers(conn, [header for header in opened if _is_known(conn, header.document_id)])
    by_document: dict[str, dict[int, PageResult]] = {}
    for page in pages:
        by_document.setdefault(page.document_id, {})[page.page.page_number] = page
    rows: dict[str, list[Row]] = {}
    for document_id, results in by_document.items():
        if not _is_known(conn, document_id):
            continue  # forgotten meanwhile: its run ends with that reason when it commits
        staged = staged_versions(conn, document_id, versions)
        _forget(conn, document_id, staged, results)
        for result in results.values():
            for table, row in _staged_rows(result, staged, run_id, now):
                rows.setdefault(table, []).append(row)
    for table, table_rows in rows.items():
        insert(conn, f"staging.{table}", table_rows)


def outline(conn: duckdb.DuckDBPyConnection, document_id: str, version: str) -> list[OutlineBlock]:
    """The staged text of a document at one staged version, in reading order."""
    rows = conn.execute(
        """
        SELECT t.page_number, t.region_id, t.label, t.x0, t.y0, t.x1, t.y1, t.reading_order,
            left(t.content, $edge), right(t.content, $edge), t.font_size, t.bold,
            f.page_width, f.page_height, t.monospace, len(t.lines),
            list_aggregate(list_transform(t.lines, lambda line: line.style), 'mode')
        FROM staging.text t
        JOIN staging.finished f ON f.document_id = t.document_id AND f.version = t.version
            AND f.page_number = t.page_number AND f.asset = 'text'
        WHERE t.document_id = $document_id AND t.version = $version
        ORDER BY t.page_number, t.reading_order, t.region_id
        """,
        {"document_id": document_id, "version": version, "edge": _EDGE_CHARACTERS},
    ).fetchall()
    return [_outline_block(*row) for row in rows]


def _outline_block(
    page: int, region: str, label: str, x0: float, y0: float, x1: float, y1: float, *rest: Any
) -> OutlineBlock:
    *others, style = rest
    block = OutlineBlock(page, region, Label(label), BBox(x0, y0, x1, y1), *others)
    return replace(block, style=TextStyle(**style)) if style else block


def broken_texts(
    conn: duckdb.DuckDBPyConnection, document_id: str, version: str
) -> list[BrokenText]:
    """The staged text blocks, code aside, of which some line but the last ends in a hyphen."""
    rows = conn.execute(
        """
        SELECT page_number, region_id, content, list_transform(lines, lambda line: line.text)
        FROM staging.text
        WHERE document_id = ? AND version = ? AND NOT monospace AND len(
            list_filter(lines[:-2], lambda line: right(line.text, 1) IN ('-', chr(8208)))
        ) > 0
        ORDER BY page_number, reading_order, region_id
        """,
        [document_id, version],
    ).fetchall()
    return [BrokenText(page, region, text, tuple(lines)) for page, region, text, lines in rows]


def word_counts(
    conn: duckdb.DuckDBPyConnection, document_id: str, version: str, words: Collection[str]
) -> dict[str, int]:
    """How often each of these words (lower case) stands within a line of the staged text."""
    rows = conn.execute(
        r"""
        WITH found AS (
            SELECT unnest(regexp_extract_all(
                replace(lower(line.text), chr(8208), '-'), '\p{L}+(?:-\p{L}+)*'
            )) AS word
            FROM (
                SELECT unnest(lines) AS line FROM staging.text
                WHERE document_id = ? AND version = ?
            )
        )
        SELECT word, count(*) FROM found WHERE list_contains(?::VARCHAR[], word) GROUP BY word
        """,
        [document_id, version, sorted(words)],
    ).fetchall()
    return dict(rows)


def clear(conn: duckdb.DuckDBPyConnection, document_id: str, assets: Iterable[str]) -> None:
    """Forget everything staged of these assets of a document, at any version."""
    chosen = list(assets)
    for asset in chosen:
        conn.execute(f"DELETE FROM staging.{asset} WHERE document_id = ?", [document_id])
    for table in STAGED_BY_ASSET:
        conn.execute(
            f"DELETE FROM {table.name} WHERE document_id = ? AND list_contains(?, asset)",
            [document_id, chosen],
        )


def superseded(conn: duckdb.DuckDBPyConnection, but: Collection[str]) -> list[str]:
    """Documents with staged pages that are not current any more, without those of ``but``."""
    rows = conn.execute(
        """
        SELECT DISTINCT f.document_id FROM staging.finished f
        JOIN documents d ON d.document_id = f.document_id
        WHERE NOT d.is_current AND NOT list_contains($but::VARCHAR[], f.document_id)
        ORDER BY ALL
        """,
        {"but": list(but)},
    ).fetchall()
    return [document_id for (document_id,) in rows]


def concerned(stage_name: str, assets: Sequence[str]) -> tuple[str, ...]:
    """For which of the selected ``assets`` a failure of a stage is recorded.

    The asset of the stage, or all of them where the stage only served them: a page that was
    rendered again for its text and could not be.
    """
    own = STAGE_ASSET[stage_name]
    return (own,) if own in assets else tuple(assets)


def _stage_headers(conn: duckdb.DuckDBPyConnection, opened: Sequence[DocumentOpened]) -> None:
    if not opened:
        return
    rows = {
        header.document_id: {
            "document_id": header.document_id,
            "page_count": header.page_count,
            "title": header.title,
            "author": header.author,
            "producer": header.producer,
            "attachments": [
                {
                    "name": file.name,
                    "bytes": file.bytes,
                    "sha256": file.sha256,
                    "is_pdf": file.is_pdf,
                }
                for file in header.attachments
            ],
        }
        for header in opened
    }
    conn.execute("DELETE FROM staging.documents WHERE list_contains(?, document_id)", [list(rows)])
    insert(conn, "staging.documents", list(rows.values()))


def _is_known(conn: duckdb.DuckDBPyConnection, document_id: str) -> bool:
    sql = "SELECT 1 FROM documents WHERE document_id = ?"
    return first_row(conn, sql, [document_id]) is not None


def _forget(
    conn: duckdb.DuckDBPyConnection, document_id: str, staged: Versions, pages: Iterable[int]
) -> None:
    these = [document_id, list(staged.values()), list(pages)]
    chosen = "document_id = ? AND list_contains(?, version) AND list_contains(?, page_number)"
    if not first_row(conn, f"SELECT 1 FROM staging.finished WHERE {chosen} LIMIT 1", these):
        return
    for table in (*(f"staging.{asset}" for asset in staged), *(t.name for t in STAGED_BY_ASSET)):
        conn.execute(f"DELETE FROM {table} WHERE {chosen}", these)


def _staged_rows(
    result: PageResult, staged: Versions, run_id: str, now: datetime
) -> Iterable[tuple[str, Row]]:
    page = result.page
    for asset, version in staged.items():
        yield (
            "finished",
            {
                "document_id": result.document_id,
                "asset": asset,
                "version": version,
                "page_number": page.page_number,
                "page_width": page.width,
                "page_height": page.height,
                "run_id": run_id,
                "at": now,
            },
        )
        for row in asset_rows(asset, result):
            yield asset, {"version": version, **row}
    yield from _staged_failures(result.errors, staged, run_id, now)
    for timing in result.timings:
        asset = concerned(timing.stage, tuple(staged))[0]
        yield (
            "page_timings",
            {
                "document_id": result.document_id,
                "asset": asset,
                "version": staged[asset],
                "page_number": timing.page_number,
                "stage": timing.stage,
                "seconds": timing.seconds,
                "batch_size": timing.batch_size,
                "device": timing.device,
                "run_id": run_id,
            },
        )


def _staged_failures(
    errors: Iterable[PageError], staged: Versions, run_id: str, now: datetime
) -> Iterable[tuple[str, Row]]:
    for error in errors:
        for asset in concerned(error.stage, tuple(staged)):
            yield (
                "errors",
                {
                    "asset": asset,
                    "version": staged[asset],
                    **error_row(error),
                    "run_id": run_id,
                    "at": now,
                },
            )
