"""Figures about one committed document that checks judge: counts, made where the rows are."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import duckdb

from deepcompress_dagster.warehouse.sql import COSTS_CONTENT, first_row, only_row

PREVIEW_ROWS = 12
PREVIEW_COLUMNS = 8
"""Size of the corner of the first table that is read for a preview."""

_PAGES = """
WITH page AS (
    SELECT p.status,
        p.has_text_layer OR EXISTS (
            FROM layouts l WHERE l.document_id = p.document_id AND l.page_number = p.page_number
        ) AS has_ink,
        EXISTS (
            FROM "text" t WHERE t.document_id = p.document_id
            AND t.page_number = p.page_number AND trim(t.content) <> ''
        ) OR EXISTS (
            FROM tables t WHERE t.document_id = p.document_id AND t.page_number = p.page_number
        ) OR EXISTS (
            FROM figures f WHERE f.document_id = p.document_id
            AND f.page_number = p.page_number AND trim(f.inner_text) <> ''
        ) AS has_text
    FROM pages p WHERE p.document_id = $document_id
)
SELECT count(*) AS pages, count(*) FILTER (status = 'failed') AS failed_pages,
    count(*) FILTER (has_ink) AS inked_pages,
    count(*) FILTER (has_ink AND NOT has_text) AS silent_pages
FROM page
"""

_DOCUMENT = f"""
SELECT coalesce(d.page_count, 0) AS page_count, (
    SELECT count(*) FROM errors e
    WHERE e.document_id = d.document_id AND e.page_number IS NOT NULL AND {COSTS_CONTENT}
) AS page_errors
FROM documents d WHERE d.document_id = $document_id
"""

_TEXT = r"""
SELECT coalesce(sum(length(content)), 0)::BIGINT AS characters,
    coalesce(sum(length(
        regexp_replace(content, '[^\p{Co}\p{Cc}\x{FFFD}]|[\n\t\r]', '', 'g')
    )), 0)::BIGINT AS garbled_characters
FROM "text" WHERE document_id = $document_id
"""

_TABLES = """
WITH place AS (
    SELECT page_number, region_id, r, c
    FROM (
        SELECT page_number, region_id, unnest(cells) AS cell
        FROM tables WHERE document_id = $document_id
    ), range(cell."row", cell."row" + cell.row_span) AS rows(r),
       range(cell."column", cell."column" + cell.column_span) AS columns(c)
), overlapping AS (
    SELECT DISTINCT page_number, region_id FROM (
        SELECT page_number, region_id FROM place
        GROUP BY page_number, region_id, r, c HAVING count(*) > 1
    )
)
SELECT (SELECT count(*) FROM tables WHERE document_id = $document_id) AS tables,
    (SELECT count(*) FROM overlapping) AS overlapping_tables
"""

_TRUST = """
SELECT round(avg(quality), 4) AS trust, min(quality) = 0 AS has_unread_pages,
    coalesce(list(page_number ORDER BY page_number) FILTER (quality < $doubtful), [])
        AS doubtful_pages
FROM page_quality WHERE document_id = $document_id
"""

_FIRST_TABLE = f"""
SELECT list_filter(
    cells, lambda cell: cell."row" < {PREVIEW_ROWS} AND cell."column" < {PREVIEW_COLUMNS}
)
FROM tables WHERE document_id = $document_id
ORDER BY page_number, reading_order, region_id LIMIT 1
"""


GRADES: Mapping[str, float] = {"A": 0.95, "B": 0.85, "C": 0.7}
"""Grades by the mean quality of the pages that they begin at; below the last is D. Confidence is
calibrated: of a document at .95 one block in twenty is expected to be wrong."""

DOUBTFUL = 0.85
"""Quality of a page below which it is named as one not to be trusted."""


@dataclass(frozen=True, slots=True)
class DocumentQuality:
    """What the committed rows of one document show.

    A page has ink when it carries a text layer or a region was found on it; it is silent when no
    text, table or text inside a figure was read from it. Garbled characters are replacement,
    private-use and control characters. A table overlaps when two cells take up one place of its
    grid. ``first_table`` is the upper left corner of the first table, row by row. ``trust`` is the
    mean quality of the pages with text, None where there are none, and ``doubtful_pages`` are those
    below ``DOUBTFUL``; see the view page_quality.
    """

    page_count: int
    page_errors: int
    pages: int
    failed_pages: int
    inked_pages: int
    silent_pages: int
    characters: int
    garbled_characters: int
    tables: int
    overlapping_tables: int
    trust: float | None
    has_unread_pages: bool | None
    doubtful_pages: tuple[int, ...]
    first_table: tuple[tuple[str, ...], ...]


def quality(conn: duckdb.DuckDBPyConnection, document_id: str) -> DocumentQuality:
    """The figures of one document; all are 0 where nothing is committed."""
    counts: dict[str, Any] = {"page_count": 0, "page_errors": 0}
    for sql in (_DOCUMENT, _PAGES, _TEXT, _TABLES):
        counts |= _row(conn, sql, document_id)
    counts |= _trust(conn, document_id)
    found = first_row(conn, _FIRST_TABLE, {"document_id": document_id})
    return DocumentQuality(**counts, first_table=_corner(found[0]) if found else ())


def grade(conn: duckdb.DuckDBPyConnection, document_id: str) -> str | None:
    """The grade of a document by ``GRADES``; None where no page with text was read.

    A is not given to a document with a page that failed or of which nothing was read.
    """
    found = _trust(conn, document_id)
    if found["trust"] is None:
        return None
    best = next((name for name, least in GRADES.items() if found["trust"] >= least), "D")
    return "B" if best == "A" and found["has_unread_pages"] else best


def _trust(conn: duckdb.DuckDBPyConnection, document_id: str) -> dict[str, Any]:
    trust, has_unread_pages, doubtful = only_row(
        conn, _TRUST, {"document_id": document_id, "doubtful": DOUBTFUL}
    )
    return {
        "trust": trust,
        "has_unread_pages": has_unread_pages,
        "doubtful_pages": tuple(doubtful),
    }


def _row(conn: duckdb.DuckDBPyConnection, sql: str, document_id: str) -> Mapping[str, Any]:
    rows = conn.sql(sql, params={"document_id": document_id}).to_arrow_table().to_pylist()
    return rows[0] if rows else {}


def _corner(cells: list[Mapping[str, Any]]) -> tuple[tuple[str, ...], ...]:
    if not cells:
        return ()
    height = 1 + max(cell["row"] for cell in cells)
    width = 1 + max(cell["column"] for cell in cells)
    texts = {(cell["row"], cell["column"]): cell["text"] for cell in cells}
    return tuple(
        tuple(texts.get((row, column), "") for column in range(width)) for row in range(height)
    )
