"""The views and macros: what people query. Each has a comment, a view one for every column.

The SQL of the blocks and of the document's Markdown is put together from small pieces here, since
committed rows and rows in work go through the same ones.

Not here: the tables (schema.py), search (full_text.py), passages (chunks.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from deepcompress_dagster.asset_graph import ASSETS, EDGES
from deepcompress_dagster.warehouse.chunks import CHUNKS_MACRO, chunks_sql
from deepcompress_dagster.warehouse.full_text import SEARCH_MACRO
from deepcompress_dagster.warehouse.sql import COSTS_CONTENT, IN_FLOW


@dataclass(frozen=True)
class View:
    """One view; ``columns`` maps its column names, in order, to their comments."""

    name: str
    comment: str
    columns: Mapping[str, str]
    sql: str


@dataclass(frozen=True)
class Macro:
    """One table macro; ``call`` shows how it is called, ``sql`` makes it."""

    name: str
    call: str
    comment: str
    sql: str


_DOCUMENT = {
    "document_id": "The document, see documents.",
    "file_name": "Name of the file that it was first seen as.",
}
_PAGE = {"page_number": "Page, from 1."}
_BOX = {
    "x0": "Left edge, points.",
    "y0": "Upper edge, points.",
    "x1": "Right edge, points.",
    "y1": "Lower edge, points.",
}
_BLOCK = {
    **_DOCUMENT,
    **_PAGE,
    "reading_order": "Place on the page, ascending.",
    "region_id": "The region: a hash of its page and rounded box.",
    "kind": "text, table or figure: the table that the row is from.",
    "label": "Class of the region.",
    **_BOX,
    "heading_level": "1 is the highest; missing for other blocks.",
    "join_previous": "How a text block goes on from the block before it: space or hyphen.",
    "content": "The text; Markdown of a table; text inside a figure.",
    "confidence": "Confidence of the model, 0 to 1; missing for figures.",
    "image_path": "Image of a figure, relative to the data folder.",
    "model": "Model that the row comes from.",
}
_IS_STALE = {"is_stale": "True when the row would be made anew today, see stale_partitions."}
_IS_COMMITTED = {"is_committed": "False for finished pages of a document still in work."}

_READING_ORDER = "document_id, page_number, reading_order, region_id"

_EDGES = ", ".join(f"('{asset}', '{parent}')" for asset, parent in EDGES)

_STALE = f"""
WITH RECURSIVE upstream(asset, parent) AS (
    VALUES {_EDGES}
), current AS (
    SELECT s.* FROM asset_state s
    JOIN documents d ON d.document_id = s.document_id AND d.is_current
), changed AS (
    SELECT s.document_id, s.asset, 'code version changed' AS reason, 0 AS distance
    FROM current s JOIN current_versions v ON v.asset = s.asset AND v.version <> s.version
    UNION ALL
    SELECT s.document_id, s.asset,
        u.parent || CASE WHEN p.asset IS NULL THEN ' is gone' ELSE ' changed' END, 1
    FROM current s
    JOIN upstream u ON u.asset = s.asset
    LEFT JOIN asset_state p ON p.document_id = s.document_id AND p.asset = u.parent
    WHERE p.data_version IS DISTINCT FROM s.input_versions[u.parent]
), stale AS (
    SELECT * FROM changed
    UNION
    SELECT s.document_id, s.asset, u.parent || ' is stale', p.distance + 1
    FROM stale p
    JOIN upstream u ON u.parent = p.asset
    JOIN asset_state s ON s.document_id = p.document_id AND s.asset = u.asset
)
SELECT document_id, asset, first(reason ORDER BY distance, reason) AS reason
FROM stale
GROUP BY document_id, asset
"""

_NEWEST_STAGED = """
SELECT DISTINCT f.document_id, f.asset, f.version
FROM staging.finished f
WHERE NOT EXISTS (
    FROM asset_state s WHERE s.document_id = f.document_id AND s.asset = f.asset
)
QUALIFY f.version = first_value(f.version) OVER (
    PARTITION BY f.document_id, f.asset ORDER BY f.at DESC, f.version
)
"""

_BOX_NAMES = ", ".join(_BOX)
_BLOCK_COLUMNS = {
    "text": "label, heading_level, join_previous, content, confidence, NULL AS image_path",
    "tables": "label, NULL AS heading_level, NULL AS join_previous, markdown AS content, "
    "confidence, NULL AS image_path",
    "figures": "label, NULL AS heading_level, NULL AS join_previous, inner_text AS content, "
    "NULL AS confidence, image_path",
}
_KINDS = {"text": "text", "tables": "table", "figures": "figure"}


def _block_rows(schema: str, extra: str = "") -> str:
    """Rows of text, tables and figures under the same columns."""
    return " UNION ALL ".join(
        f"SELECT document_id, page_number, reading_order, region_id, '{_KINDS[asset]}' AS kind, "
        f"'{asset}' AS asset, {_BOX_NAMES}, model, {columns}{extra} FROM {schema}.{asset}"
        for asset, columns in _BLOCK_COLUMNS.items()
    )


def _block_selection(alias: str) -> str:
    owners = {"file_name": "d"}
    return ", ".join(f"{owners.get(name, alias)}.{name}" for name in _BLOCK)


_BLOCKS = f"""
SELECT {_block_selection("b")}, s.asset IS NOT NULL AS is_stale
FROM ({_block_rows("main")}) b
JOIN documents d ON d.document_id = b.document_id AND d.is_current
LEFT JOIN stale_partitions s ON s.document_id = b.document_id AND s.asset = b.asset
ORDER BY b.document_id, b.page_number, b.reading_order, b.region_id
"""

_LIVE_BLOCKS = f"""
WITH staged AS ({_NEWEST_STAGED})
SELECT {_block_selection("b")}, b.is_committed
FROM (
    SELECT *, true AS is_committed FROM ({_block_rows("main")})
    UNION ALL BY NAME
    SELECT r.* EXCLUDE (version), false AS is_committed
    FROM ({_block_rows("staging", ", version")}) r
    JOIN staged USING (document_id, asset, version)
) b
JOIN documents d ON d.document_id = b.document_id AND d.is_current
ORDER BY b.document_id, b.page_number, b.reading_order, b.region_id
"""

_LIVE_PAGE_COLUMNS = (
    "document_id, page_number, width, height, rotation, image_path, has_text_layer, status, error"
)
_LIVE_PAGES = f"""
WITH staged AS ({_NEWEST_STAGED})
SELECT p.document_id, d.file_name, p.* EXCLUDE (document_id)
FROM (
    SELECT {_LIVE_PAGE_COLUMNS}, true AS is_committed FROM pages
    UNION ALL
    SELECT {_LIVE_PAGE_COLUMNS}, false AS is_committed
    FROM staging.pages JOIN (FROM staged WHERE asset = 'pages') USING (document_id, version)
) p
JOIN documents d ON d.document_id = p.document_id AND d.is_current
ORDER BY p.document_id, p.page_number
"""


def _per_page(source: str, name: str, value: str = "count(*)") -> str:
    return (
        f"LEFT JOIN (SELECT document_id, page_number, {value} AS {name} FROM {source} "
        f"GROUP BY document_id, page_number) _{name} "
        f"ON _{name}.document_id = p.document_id AND _{name}.page_number = p.page_number"
    )


_PAGE_STATUS = f"""
SELECT p.document_id, d.file_name, p.page_number, p.status, p.error,
    coalesce(regions, 0) AS regions, coalesce(text_blocks, 0) AS text_blocks,
    coalesce(tables, 0) AS tables, coalesce(figures, 0) AS figures,
    coalesce(errors, 0) AS errors, coalesce(seconds, 0) AS seconds
FROM pages p
JOIN documents d ON d.document_id = p.document_id AND d.is_current
{_per_page("main.layouts", "regions")}
{_per_page("main.text", "text_blocks")}
{_per_page("main.tables", "tables")}
{_per_page("main.figures", "figures")}
{_per_page("main.errors", "errors")}
{_per_page("main.page_timings", "seconds", "sum(seconds)")}
ORDER BY p.document_id, p.page_number
"""

_PAGE_QUALITY = f"""
WITH content AS (
    SELECT document_id, page_number, length(content) AS weight, confidence,
        length(regexp_replace(content, '[^\\p{{Co}}\\x{{FFFD}}]', '', 'g')) AS garbled
    FROM main.text
    UNION ALL
    SELECT document_id, page_number,
        list_sum(list_transform(cells, lambda cell: length(cell.text))), confidence, 0
    FROM main.tables
), read AS (
    SELECT document_id, page_number, sum(weight) AS weight,
        sum(weight * confidence) / nullif(sum(weight), 0) AS confidence,
        sum(garbled) / nullif(sum(weight), 0) AS garbled
    FROM content GROUP BY document_id, page_number
), unread AS (
    SELECT DISTINCT document_id, page_number FROM main.layouts WHERE label <> 'picture'
), failed AS (
    SELECT DISTINCT document_id, page_number FROM main.errors WHERE {COSTS_CONTENT}
)
SELECT p.document_id, p.page_number, round(CASE
    WHEN p.status = 'failed' THEN 0
    WHEN r.weight > 0 THEN
        (r.confidence - r.garbled) * CASE WHEN f.page_number IS NULL THEN 1 ELSE 0.5 END
    WHEN u.page_number IS NOT NULL OR f.page_number IS NOT NULL THEN 0
END, 4) AS quality
FROM pages p
LEFT JOIN read r ON r.document_id = p.document_id AND r.page_number = p.page_number
LEFT JOIN unread u ON u.document_id = p.document_id AND u.page_number = p.page_number
LEFT JOIN failed f ON f.document_id = p.document_id AND f.page_number = p.page_number
ORDER BY p.document_id, p.page_number
"""

_CELL_COLUMNS = {
    "row_index": "Row of the cell, from 0.",
    "column_index": "Column of the cell, from 0.",
    "row_span": "Rows that it covers.",
    "column_span": "Columns that it covers.",
    "is_header": "Whether it is a header.",
    "text": "Its text.",
    "number": "Its text as a number: without marks that are set off by a blank, signs of currency "
    "and per cent, and blanks, commas or points between thousands; in brackets it is negative. "
    "Missing where it is none, or more than one.",
    "x0": "Left edge, points; missing without a box, like the other three.",
    "y0": "Upper edge, points.",
    "x1": "Right edge, points.",
    "y1": "Lower edge, points.",
}
_TABLE_CELLS = r"""
SELECT t.document_id, t.file_name, t.page_number, t.region_id,
    t.cell."row" AS row_index, t.cell."column" AS column_index, t.cell.row_span AS row_span,
    t.cell.column_span AS column_span, t.cell.is_header AS is_header, t.cell.text AS text,
    try_cast(CASE
        WHEN regexp_full_match(t.plain, '[-+]?\d{1,3}(,\d{3})+(\.\d+)?')
            THEN replace(t.plain, ',', '')
        WHEN regexp_full_match(t.plain, '[-+]?\d{1,3}( \d{3})+([.,]\d+)?')
            THEN replace(replace(t.plain, ' ', ''), ',', '.')
        WHEN regexp_full_match(t.plain, '[-+]?\d{1,3}(\.\d{3})+,\d+|[-+]?\d{1,3}(\.\d{3}){2,}')
            THEN replace(replace(t.plain, '.', ''), ',', '.')
        WHEN regexp_full_match(t.plain, '[-+]?\d+,\d+') THEN replace(t.plain, ',', '.')
        WHEN regexp_full_match(t.plain, '[-+]?\d*\.?\d+') THEN t.plain
    END AS DOUBLE) AS number,
    t.cell.box.x0 AS x0, t.cell.box.y0 AS y0, t.cell.box.x1 AS x1, t.cell.box.y1 AS y1
FROM (
    SELECT t.*, trim(regexp_replace(
        regexp_replace(
            translate(regexp_replace(
                t.cell.text,
                '\s+([⁰¹²³⁴-⁾ᵃ-ᶻ]+|\^\{[^}]*\}|[*†‡]+)$', ''
            ), '−' || chr(160) || chr(8239), '-  '),
            '[$€£¥%]|^\s+|\s+$', '', 'g'
        ),
        '^\s*\((.*)\)\s*$', '-\1'
    )) AS plain
    FROM (
        SELECT t.document_id, d.file_name, t.page_number, t.reading_order, t.region_id,
            unnest(t.cells) AS cell
        FROM tables t JOIN documents d ON d.document_id = t.document_id AND d.is_current
    ) t
) t
ORDER BY t.document_id, t.page_number, t.reading_order, t.region_id, row_index, column_index
"""


_FIELD_COLUMNS = {
    "name": "Name of the field in the PDF.",
    "kind": "text, checkbox, radio, choice, button, signature or unknown.",
    "value": "What is filled in or chosen; of a box to tick, what ticking it stands for.",
    "checked": "Whether the box is ticked; missing for other kinds.",
    "label": "The field's own caption, else the words beside it.",
    **_BOX,
}
_ANNOTATION_COLUMNS = {
    "kind": "PDF's name for it: text (a note), highlight, free_text, stamp, file_attachment, ...",
    "text": "What it says.",
    "marked_text": "The words that it marks.",
    "author": "Who made it; missing unless DEEPCOMPRESS_ANNOTATION_AUTHORS is on.",
    **_BOX,
}
_LINK_COLUMNS = {
    "kind": "uri, page (of the same document) or file.",
    "target": "Address, file or name that it leads to.",
    "target_page": "Page that it leads to, from 1.",
    "text": "The words that it lies on.",
    **_BOX,
}


def _of_pages(column: str, names: Mapping[str, str]) -> str:
    """One row for each element of a list that the pages have, in the order of the PDF."""
    items = ", ".join(f"i.item.{name} AS {name}" for name in names)
    return f"""
SELECT i.document_id, i.file_name, i.page_number, {items}
FROM (
    SELECT p.document_id, d.file_name, p.page_number, unnest(p.{column}) AS item,
        generate_subscripts(p.{column}, 1) AS place
    FROM pages p JOIN documents d ON d.document_id = p.document_id AND d.is_current
) i
ORDER BY i.document_id, i.page_number, i.place
"""


_ATTACHMENTS = """
SELECT i.document_id, i.file_name, i.item.name AS name, i.item.bytes AS bytes,
    i.item.sha256 AS sha256, i.item.is_pdf AS is_pdf, a.document_id AS attached_document_id
FROM (
    SELECT document_id, file_name, unnest(attachments) AS item,
        generate_subscripts(attachments, 1) AS place
    FROM documents WHERE is_current
) i
LEFT JOIN documents a ON a.sha256 = i.item.sha256
ORDER BY i.document_id, i.place
"""


def _one_line(text: str) -> str:
    return f"trim(regexp_replace({text}, '\\s+', ' ', 'g'))"


def _escaped(text: str) -> str:
    """``text`` without what Markdown would take for a heading, quote, list, rule, fence or tag."""
    flush = f"regexp_replace({text}, '(?m)^[ \\t]+', '', 'g')"
    starts = "#|>|~~~|```|[-=]+[ \\t]*$|[-+*][ \\t]"
    blocks = f"regexp_replace({flush}, '(?m)^({starts})', '\\\\\\1', 'g')"
    return f"regexp_replace({blocks}, '<([A-Za-z/!?])', '\\\\<\\1', 'g')"


_BULLET = r"^\s*[-*+•‣◦▪▫●○■□–—·]\s+"
_NUMBERED = r"^\s*\(?[0-9A-Za-z]{1,3}[.)]\s"
_DIVISION = r"[-\x{00AD}\x{2010}]\s*$"
_LIST_TEXT = f"regexp_replace(content, '{_BULLET}', '')"

_AS_HEADING = (
    "repeat('#', greatest(1, least(6, coalesce(heading_level, "
    "CASE label WHEN 'title' THEN 1 ELSE 2 END)))) || ' ' || " + _one_line(_escaped("content"))
)
_AS_LIST_ITEM = (
    f"CASE WHEN regexp_matches(content, '{_NUMBERED}') THEN '' ELSE '- ' END || "
    f"replace({_escaped(f'trim({_LIST_TEXT})')}, chr(10), chr(10) || '  ')"
)
_IS_SPANNED = "len(list_filter(cells, lambda cell: cell.row_span > 1 OR cell.column_span > 1)) > 0"
_ALT_TEXT = _one_line("kind || coalesce(': ' || caption, '')")

_HAS_TYPES = (
    "2 * sum(length(content)) FILTER (monospace) OVER (PARTITION BY document_id)"
    " < sum(length(content)) OVER (PARTITION BY document_id)"
)
"""Whether monospace type stands for code: in a typescript all of it is monospace."""

_DOCUMENT_MARKDOWN = f"""
WITH captions AS (
    SELECT document_id, page_number, string_agg({_one_line("caption")}, chr(10)) AS captions
    FROM (
        SELECT document_id, page_number, caption FROM tables
        UNION ALL
        SELECT document_id, page_number, caption FROM figures
    )
    GROUP BY document_id, page_number
), body AS (
    SELECT t.* FROM main.text t
    LEFT JOIN captions c ON c.document_id = t.document_id AND c.page_number = t.page_number
    WHERE t.{IN_FLOW} AND trim(t.content) <> ''
    AND CASE WHEN t.label = 'caption' AND c.captions IS NOT NULL
        THEN NOT contains(c.captions, {_one_line("t.content")}) ELSE true END
), flow AS (
    SELECT * REPLACE (monospace AND {_HAS_TYPES} AND NOT contains(content, '```') AS monospace),
        CASE WHEN label IN ('text', 'list_item') THEN 'text' ELSE label END AS strand
    FROM body
), pieces AS (
    SELECT *,
        count(*) FILTER (join_previous IS NULL) OVER strand_order AS paragraph,
        lead(join_previous) OVER strand_order AS join_next
    FROM flow
    WINDOW strand_order AS (
        PARTITION BY document_id, strand ORDER BY page_number, reading_order, region_id
    )
), paragraphs AS (
    SELECT document_id,
        first(page_number ORDER BY {_READING_ORDER}) AS page_number,
        first(reading_order ORDER BY {_READING_ORDER}) AS reading_order,
        first(region_id ORDER BY {_READING_ORDER}) AS region_id,
        first(label ORDER BY {_READING_ORDER}) AS label,
        first(heading_level ORDER BY {_READING_ORDER}) AS heading_level,
        first(monospace ORDER BY {_READING_ORDER}) AS monospace,
        trim(string_agg(
            CASE join_previous WHEN 'space' THEN ' ' ELSE '' END ||
            CASE join_next
                WHEN 'hyphen' THEN regexp_replace(content, '{_DIVISION}', '')
                WHEN 'space' THEN rtrim(content)
                ELSE content
            END,
            '' ORDER BY {_READING_ORDER}
        )) AS content
    FROM pieces
    GROUP BY document_id, strand, paragraph
), parts AS (
    SELECT document_id, page_number, reading_order, region_id, label = 'list_item' AS is_item,
        label = 'footnote' AS is_note,
        label = 'section_header' AND heading_level = 1 + max((label = 'title')::INTEGER)
            OVER (PARTITION BY document_id) AS begins_chapter,
        CASE
            WHEN monospace THEN '```' || chr(10) || rtrim(content) || chr(10) || '```'
            WHEN label IN ('title', 'section_header') THEN {_AS_HEADING}
            WHEN label = 'list_item' THEN {_AS_LIST_ITEM}
            WHEN label = 'document_index'
                THEN '- ' || replace({_escaped("content")}, chr(10), chr(10) || '- ')
            WHEN label = 'formula' THEN '$$' || chr(10) || content || chr(10) || '$$'
            ELSE {_escaped("content")}
        END AS part
    FROM paragraphs
    UNION ALL
    SELECT document_id, page_number, reading_order, region_id, false AS is_item, false AS is_note,
        false AS begins_chapter,
        coalesce({_escaped(_one_line("caption"))} || chr(10) || chr(10), '') ||
        CASE WHEN {_IS_SPANNED} THEN html ELSE markdown END AS part
    FROM tables
    UNION ALL
    SELECT document_id, page_number, reading_order, region_id, false AS is_item, false AS is_note,
        false AS begins_chapter,
        '![' || regexp_replace({_ALT_TEXT}, '([\\[\\]])', '\\\\\\1', 'g') || '](' ||
        coalesce(image_path, '') || ')' AS part
    FROM figures
), chapters AS (
    SELECT *, count(*) FILTER (begins_chapter) OVER (
        PARTITION BY document_id ORDER BY page_number, reading_order, region_id
    ) AS chapter
    FROM parts
    WHERE part <> ''
), spaced AS (
    SELECT *, chr(10) || CASE
        WHEN is_item AND lag(is_item) OVER page_order THEN ''
        ELSE chr(10)
    END AS gap
    FROM chapters
    WINDOW page_order AS (
        PARTITION BY document_id ORDER BY chapter, is_note, page_number, reading_order, region_id
    )
)
SELECT document_id,
    ltrim(
        string_agg(gap || part, '' ORDER BY chapter, is_note, {_READING_ORDER}), chr(10)
    ) AS markdown
FROM spaced
WHERE document_id IN (SELECT document_id FROM documents WHERE is_current)
GROUP BY document_id
"""

_WHOLE_TABLES = """
WITH RECURSIVE parts AS (
    SELECT document_id, region_id AS whole, region_id, 0 AS part, 0 AS dropped, 0 AS first_row
    FROM tables
    WHERE continues IS NULL
        AND document_id IN (SELECT document_id FROM documents WHERE is_current)
    UNION ALL
    SELECT t.document_id, p.whole, t.region_id, p.part + 1, coalesce(t.repeated_rows, 0),
        p.first_row + b.n_rows - p.dropped
    FROM parts p
    JOIN tables b ON b.document_id = p.document_id AND b.region_id = p.region_id
    JOIN tables t ON t.document_id = p.document_id AND t.continues = p.region_id
), pieces AS (
    SELECT p.document_id, p.whole, p.part, t.page_number, t.region_id, t.reading_order,
        t.n_rows - p.dropped AS n_rows, t.n_columns, t.caption, t.confidence,
        list_transform(
            list_filter(t.cells, lambda cell: cell."row" >= p.dropped),
            lambda cell: struct_pack(
                page_number := t.page_number,
                "row" := cell."row" - p.dropped + p.first_row,
                "column" := cell."column",
                row_span := cell.row_span,
                column_span := cell.column_span,
                is_header := cell.is_header,
                text := cell.text,
                box := cell.box
            )
        ) AS cells,
        string_split(t.markdown, chr(10)) AS lines, p.dropped
    FROM parts p JOIN tables t ON t.document_id = p.document_id AND t.region_id = p.region_id
)
SELECT document_id,
    any_value(d.file_name) AS file_name,
    min(page_number) AS page_number,
    max(page_number) AS last_page_number,
    whole AS region_id,
    list(region_id ORDER BY part) AS parts,
    sum(n_rows)::INTEGER AS n_rows,
    max(n_columns) AS n_columns,
    flatten(list(cells ORDER BY part)) AS cells,
    string_agg(
        array_to_string(
            CASE WHEN part = 0 THEN lines
                ELSE list_slice(list_concat(lines[1:1], lines[3:]), dropped + 1, len(lines)) END,
            chr(10)
        ),
        chr(10) ORDER BY part
    ) FILTER (n_rows > 0) AS markdown,
    first(caption ORDER BY part) AS caption,
    min(confidence) AS confidence
FROM pieces JOIN documents d USING (document_id)
GROUP BY document_id, whole
"""

VIEWS = (
    View(
        "stale_partitions",
        "Committed assets of current documents that would come out differently today.",
        {
            "document_id": "The document, see documents.",
            "asset": f"One of {', '.join(ASSETS)}.",
            "reason": "What changed since.",
        },
        _STALE,
    ),
    View(
        "blocks",
        "Text, tables and figures of the current documents in reading order; a caption is a text "
        "block and shown once.",
        {**_BLOCK, **_IS_STALE},
        _BLOCKS,
    ),
    View(
        "document_markdown",
        "Each current document as one Markdown text, without page headers and footers; footnotes "
        "stand at the end of their chapter.",
        {"document_id": "The document, see documents.", "markdown": "Its text as Markdown."},
        _DOCUMENT_MARKDOWN,
    ),
    View(
        "table_cells",
        "One row per cell of the tables of the current documents.",
        {
            **_DOCUMENT,
            **_PAGE,
            "region_id": "The table, see tables.",
            **_CELL_COLUMNS,
        },
        _TABLE_CELLS,
    ),
    View(
        "whole_tables",
        "One row per table of the current documents; a table over several pages is one, and the "
        "rows that repeat its header are left out.",
        {
            **_DOCUMENT,
            **_PAGE,
            "last_page_number": "The page of its last part.",
            "region_id": "Its first part, see tables.",
            "parts": "region_id of each part, see tables.",
            "n_rows": "Rows of all parts.",
            "n_columns": "Columns.",
            "cells": "The cells of all parts, each with its page; rows count on.",
            "markdown": "The table as Markdown.",
            "caption": "Caption of its first part.",
            "confidence": "The lowest of its parts.",
        },
        _WHOLE_TABLES,
    ),
    View(
        "form_fields",
        "One row per box of the forms of the current documents.",
        {**_DOCUMENT, **_PAGE, **_FIELD_COLUMNS},
        _of_pages("fields", _FIELD_COLUMNS),
    ),
    View(
        "annotations",
        "One row per note, mark, stamp or the like in the current documents.",
        {**_DOCUMENT, **_PAGE, **_ANNOTATION_COLUMNS},
        _of_pages("annotations", _ANNOTATION_COLUMNS),
    ),
    View(
        "links",
        "One row per link in the current documents.",
        {**_DOCUMENT, **_PAGE, **_LINK_COLUMNS},
        _of_pages("links", _LINK_COLUMNS),
    ),
    View(
        "attachments",
        "One row per file inside a current document.",
        {
            **_DOCUMENT,
            "name": "Name of the file inside.",
            "bytes": "Its size; missing where it could not be read.",
            "sha256": "Hash of its bytes, hexadecimal; missing where it could not be read.",
            "is_pdf": "Whether it is a PDF by its first bytes.",
            "attached_document_id": "The document that it is as well, see documents.",
        },
        _ATTACHMENTS,
    ),
    View(
        "page_status",
        "One row per page of the current documents: its outcome, row counts and time.",
        {
            **_DOCUMENT,
            **_PAGE,
            "status": "complete, partial or failed.",
            "error": "First standing error of the page.",
            "regions": "Rows in layouts.",
            "text_blocks": "Rows in text.",
            "tables": "Rows in tables.",
            "figures": "Rows in figures.",
            "errors": "Rows in errors.",
            "seconds": "Time over all stages.",
        },
        _PAGE_STATUS,
    ),
    View(
        "page_quality",
        "How far each page can be trusted: the share of its text and tables that is likely right.",
        {
            "document_id": "The document, see documents.",
            **_PAGE,
            "quality": "Mean confidence of text and tables by their characters, less the share of "
            "characters without a meaning; half of it where a stage failed; 0 for a page that "
            "failed, or shows text of which nothing was read; missing for a page without text.",
        },
        _PAGE_QUALITY,
    ),
    View(
        "live_pages",
        "Pages of the current documents, with finished pages of documents never committed.",
        {
            **_DOCUMENT,
            **_PAGE,
            "width": "Width as displayed, points.",
            "height": "Height as displayed, points.",
            "rotation": "Rotation that the PDF states, degrees clockwise.",
            "image_path": "Page image, relative to the data folder.",
            "has_text_layer": "Whether the PDF carries text for this page.",
            "status": "complete, partial or failed.",
            "error": "First error of the page.",
            **_IS_COMMITTED,
        },
        _LIVE_PAGES,
    ),
    View(
        "live_blocks",
        "Blocks of the current documents, with those of documents never committed.",
        {**_BLOCK, **_IS_COMMITTED},
        _LIVE_BLOCKS,
    ),
    View(
        "chunks",
        "Passages of the current documents, for programs that read or embed text piece by piece: "
        "about 400 tokens, with their place and the headings above them. chunks_of(size, overlap) "
        "makes others.",
        {
            **_DOCUMENT,
            "chunk": "Number within the document, from 1.",
            "kind": "text, or table: a table whole or some of its rows, with its header.",
            "heading_path": "The headings that it stands under, the highest first.",
            "page_number": "Page that it begins on, from 1.",
            "last_page": "Page that it ends on.",
            "content": "Its text, as Markdown.",
            "tokens": "About how many tokens it has.",
            "boxes": "Where its blocks are: page, region and box in points.",
        },
        chunks_sql(),
    ),
)

MACROS = (
    Macro(
        "search",
        "search(words)",
        "Rows of text, tables and figures for some words, the best (BM25) first: document, page, "
        "box, score and a snippet.",
        SEARCH_MACRO,
    ),
    Macro(
        "chunks_of",
        "chunks_of(size, overlap)",
        "Passages as in the view chunks, of another size and overlap in tokens.",
        CHUNKS_MACRO,
    ),
)
"""Table macros: ``SELECT * FROM search('words') LIMIT 10``."""
