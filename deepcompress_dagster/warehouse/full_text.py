"""Full-text search: the words of every row, kept beside the rows, and their ranking by BM25.

What belongs here: how text becomes words, the two tables of words, and the SQL macro ``search``.
What does not: passages for other programs, which are the view ``chunks``. All of it is plain SQL:
any client of DuckDB can search a snapshot, without an extension.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

K1 = 1.2
B = 0.75
"""Okapi BM25 as its authors advise (Robertson and Zaragoza, 2009, section 3.4)."""

SNIPPET_BEFORE = 60
SNIPPET_LENGTH = 200
"""Characters: a snippet begins a little before the first word that was looked for."""

_CJK = r"[\p{Han}\p{Hiragana}\p{Katakana}]"
_WORD = rf"{_CJK}+|[\p{{L}}\p{{M}}]+|\p{{N}}+(?:[.,]\p{{N}}+)*"
"""Runs of letters, numbers with their separators, runs of Chinese and Japanese characters."""

FOLDED = "lower(strip_accents(nfc_normalize({text})))"
"""What is compared: small letters without accents."""

_BLOCK_TEXT = """
SELECT document_id, page_number, region_id, 'text' AS asset, content FROM main.text
UNION ALL
SELECT document_id, page_number, region_id, 'tables', concat_ws(' ', caption, array_to_string(
    list_transform(cells, lambda cell: cell.text), ' ')) FROM main.tables
UNION ALL
SELECT document_id, page_number, region_id, 'figures', concat_ws(' ', inner_text)
FROM main.figures
"""


def terms_of(source: str, keys: str) -> str:
    """SQL: a row ``keys, term`` for each word of ``content`` in the relation ``source``.

    Chinese and Japanese are written without blanks: their runs become pairs of neighbours.
    """
    words = f"regexp_extract_all({FOLDED.format(text='content')}, '{_WORD}')"
    is_run = f"length(word) > 1 AND regexp_matches(word, '{_CJK}')"
    return f"""
        WITH words AS (SELECT {keys}, unnest({words}) AS word FROM {source})
        SELECT {keys}, word AS term FROM words WHERE NOT ({is_run})
        UNION ALL
        SELECT {keys}, substr(word, place, 2) AS term
        FROM (SELECT {keys}, word, unnest(range(1, length(word))) AS place FROM words
            WHERE {is_run})
    """


def refresh(conn: "duckdb.DuckDBPyConnection", document_ids: Collection[str] | None = None) -> None:
    """Take the words of these documents' rows anew, or of all documents."""
    chosen = "$ids::VARCHAR[] IS NULL OR list_contains($ids::VARCHAR[], document_id)"
    ids = {"ids": None if document_ids is None else list(document_ids)}
    for table in ("search_blocks", "search_terms"):
        conn.execute(f"DELETE FROM {table} WHERE {chosen}", ids)
    keys = "document_id, page_number, region_id"
    source = f"(SELECT * FROM ({_BLOCK_TEXT}) WHERE {chosen})"
    conn.execute(
        "INSERT INTO search_terms BY NAME "
        f"SELECT {keys}, term, count(*) AS occurrences FROM ({terms_of(source, keys)}) "
        "GROUP BY ALL ORDER BY ALL",
        ids,
    )
    conn.execute(
        "INSERT INTO search_blocks BY NAME "
        f"SELECT {keys}, sum(occurrences)::INTEGER AS words FROM search_terms "
        f"WHERE {chosen} GROUP BY ALL ORDER BY ALL",
        ids,
    )


_FIRST_PLACE = (
    f"coalesce(list_min(list_filter(list_transform(q.terms, lambda term: "
    f"strpos({FOLDED.format(text='b.content')}, term)), lambda place: place > 0)), 1)"
)

SEARCH_MACRO = f"""
CREATE OR REPLACE MACRO search(wanted) AS TABLE
WITH asked AS (
    SELECT DISTINCT term FROM ({terms_of("(SELECT wanted AS content, 1 AS one)", "one")})
), size AS (
    SELECT count(*) AS blocks, avg(words) AS mean_words FROM search_blocks
), hits AS (
    SELECT t.*, count(*) OVER (PARTITION BY term) AS blocks_with_term
    FROM search_terms t SEMI JOIN asked USING (term)
), ranked AS (
    SELECT h.document_id, h.page_number, h.region_id,
        sum(ln(1 + (s.blocks - blocks_with_term + 0.5) / (blocks_with_term + 0.5))
            * occurrences * {K1 + 1}
            / (occurrences + {K1} * (1 - {B} + {B} * l.words / s.mean_words))) AS score,
        count(*) AS terms_found
    FROM hits h JOIN search_blocks l USING (document_id, page_number, region_id), size s
    GROUP BY ALL
)
SELECT r.document_id, b.file_name, r.page_number, r.region_id, b.kind, b.label, round(r.score, 4)
        AS score, r.terms_found, b.x0, b.y0, b.x1, b.y1,
    substr(b.content, greatest(1, {_FIRST_PLACE} - {SNIPPET_BEFORE}), {SNIPPET_LENGTH}) AS snippet
FROM ranked r
JOIN blocks b USING (document_id, page_number, region_id),
    (SELECT list(term) AS terms FROM asked) q
ORDER BY r.score DESC, r.document_id, r.page_number, r.region_id
"""


@dataclass(frozen=True)
class Hit:
    """One row that answers a search, its box in points; ``score`` compares hits of one search."""

    document_id: str
    file_name: str
    page_number: int
    region_id: str
    kind: str
    label: str
    score: float
    terms_found: int
    x0: float
    y0: float
    x1: float
    y1: float
    snippet: str


def search(
    conn: "duckdb.DuckDBPyConnection",
    words: str,
    *,
    documents: Collection[str] = (),
    since: datetime | None = None,
    limit: int = 10,
) -> list[Hit]:
    """The best ``limit`` rows for ``words``; of these documents, seen first at ``since`` or later.

    Rows with more of the words come first, then those of the higher score.
    """
    rows = conn.execute(
        "SELECT s.* FROM search($words) s "
        "JOIN documents d ON d.document_id = s.document_id "
        "WHERE (len($documents::VARCHAR[]) = 0 OR list_contains($documents, s.document_id)) "
        "AND ($since::TIMESTAMP IS NULL OR d.first_seen_at >= $since::TIMESTAMP) "
        "ORDER BY s.terms_found DESC, s.score DESC, s.document_id, s.page_number, s.region_id "
        "LIMIT $limit",
        {"words": words, "documents": list(documents), "since": since, "limit": limit},
    ).fetchall()
    return [Hit(*row) for row in rows]
