"""What the document pass sees of the staged tables of a document, in one query.

Only tables that begin or end the text of a page are looked at, and only their first and last rows
leave the database: memory never holds a document.
"""

from collections.abc import Mapping
from typing import Any

import duckdb

from deepcompress_dagster.records import BBox, OutlineColumn, OutlineTable
from deepcompress_dagster.warehouse.sql import IN_FLOW

HEAD_ROWS = 4
"""Rows at the top of a table that are shown: more than a header has."""

MARGIN = 0.1
"""Share of the page's height that running headers and footers take at either end."""

_FIGURE = (
    r"[-+\x{2212}\x{2013}(<>~]*[$\x{20AC}\x{A3}\x{A5}]?\s*"
    r"\d[\d.,:/%\x{2019}\s-]*[a-z%*)]{0,2}"
)
"""A cell that holds a figure, roughly: the columns of two tables are compared by their share."""


def outline_tables(
    conn: duckdb.DuckDBPyConnection, document_id: str, staged: Mapping[str, str]
) -> list[OutlineTable]:
    """The tables of a document at their staged versions, by page and place on it.

    What stands beside them is told by the layouts of the same run, or else the committed ones.
    """
    layouts = "main.layouts WHERE $layouts IS NULL"
    if "layouts" in staged:
        layouts = "staging.layouts WHERE version = $layouts"
    parameters = {
        "document_id": document_id,
        "version": staged["tables"],
        "layouts": staged.get("layouts"),
    }
    return [_table(*row) for row in conn.execute(_query(layouts), parameters).fetchall()]


def _query(layouts: str) -> str:
    return f"""
    WITH found AS (
        SELECT t.*, f.page_height FROM staging.tables t
        JOIN staging.finished f ON f.document_id = t.document_id AND f.version = t.version
            AND f.page_number = t.page_number AND f.asset = 'tables'
        WHERE t.document_id = $document_id AND t.version = $version
    ), flow AS (
        SELECT l.page_number, l.region_id, (l.y0 + l.y1) / 2 AS y
        FROM (SELECT * FROM {layouts} AND document_id = $document_id) l
        JOIN (SELECT DISTINCT page_number, page_height FROM found) p USING (page_number)
        WHERE l.{IN_FLOW} AND l.label NOT IN ('caption', 'footnote')
            AND l.y1 > {MARGIN} * p.page_height AND l.y0 < {1 - MARGIN} * p.page_height
    ), edges AS (
        SELECT *,
            NOT EXISTS (SELECT 1 FROM flow l WHERE l.page_number = t.page_number
                AND l.region_id <> t.region_id AND l.y < t.y0) AS is_first,
            NOT EXISTS (SELECT 1 FROM flow l WHERE l.page_number = t.page_number
                AND l.region_id <> t.region_id AND l.y > t.y1) AS is_last
        FROM found t
    ), placed AS (
        SELECT page_number, region_id, n_rows, unnest(cells) AS cell FROM edges
        WHERE is_first OR is_last
    ), columns AS (
        SELECT page_number, region_id, cell."column" AS place,
            min(cell.box.x0) AS x0, max(cell.box.x1) AS x1,
            coalesce(avg(regexp_full_match(trim(cell.text), '{_FIGURE}')::INTEGER)
                FILTER (cell.text <> ''), 0.0) AS figures
        FROM placed WHERE cell.column_span = 1 AND cell.box IS NOT NULL GROUP BY ALL
    ), sides AS (
        SELECT page_number, region_id,
            list(struct_pack(place := place, x0 := x0, x1 := x1, figures := figures)) AS columns
        FROM columns GROUP BY ALL
    ), texts AS (
        SELECT page_number, region_id,
            list(struct_pack("row" := cell."row", "column" := cell."column", text := cell.text))
                AS texts
        FROM placed WHERE cell."row" < {HEAD_ROWS} OR cell."row" = n_rows - 1 GROUP BY ALL
    )
    SELECT page_number, region_id, x0, y0, x1, y1, page_height, caption, is_first, is_last,
        n_rows, n_columns, columns, texts
    FROM edges
    LEFT JOIN sides USING (page_number, region_id)
    JOIN texts USING (page_number, region_id)
    ORDER BY page_number, reading_order, region_id
    """


def _table(
    page: int, region: str, x0: float, y0: float, x1: float, y1: float, *rest: Any
) -> OutlineTable:
    height, caption, is_first, is_last, n_rows, n_columns, columns, cells = rest
    texts = {(cell["row"], cell["column"]): cell["text"] for cell in cells}

    def row(number: int) -> tuple[str, ...]:
        return tuple(texts.get((number, column), "") for column in range(n_columns))

    known = {column["place"]: column for column in columns or ()}
    places = [known[place] for place in range(n_columns)] if len(known) == n_columns else []
    return OutlineTable(
        page_number=page,
        region_id=region,
        bbox=BBox(x0, y0, x1, y1),
        page_height=height,
        caption=caption,
        is_first=is_first,
        is_last=is_last,
        columns=tuple(OutlineColumn(c["x0"], c["x1"], c["figures"]) for c in places),
        head=tuple(row(number) for number in range(min(HEAD_ROWS, n_rows))),
        tail=row(n_rows - 1),
    )
