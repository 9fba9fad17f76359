"""Passages of documents, for programs that read or embed text piece by piece.

What belongs here: the SQL of the view ``chunks`` and of the macro ``chunks_of(size, overlap)``.

A passage is filled with blocks in reading order until it holds ``size`` tokens; it begins with the
blocks of about ``overlap`` tokens that ended the one before. It never crosses a heading of level 1
or 2. A table is a passage of its own, or several, each with its header; a block larger than a
passage is cut between sentences.
"""

from deepcompress_dagster.warehouse.sql import IN_FLOW

SIZE = 400
OVERLAP = 50
"""Tokens: passages of 200 to 500 tokens are what sentence embeddings are made for."""

_CJK = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]"

_LEVELS = range(1, 7)

_SENTENCE = r"[^.!?。！？]+[.!?。！？]*\s*"


def tokens(text: str) -> str:
    """SQL: about how many tokens ``text`` has.

    A Chinese, Japanese or Korean character counts as one, four others as one.
    """
    plain = f"length(regexp_replace({text}, '{_CJK}', '', 'g'))"
    return f"(ceil({plain} / 4.0) + length({text}) - {plain})::INTEGER"


def _headings() -> str:
    """For each level the last heading up to a row and its place, as columns h1, p1, h2, p2, ..."""
    over = "OVER (PARTITION BY document_id ORDER BY place)"
    return ", ".join(
        f"arg_max(content, place) FILTER (level = {k}) {over} AS h{k}, "
        f"coalesce(max(place) FILTER (level = {k}) {over}, 0) AS p{k}"
        for k in _LEVELS
    )


def _path() -> str:
    """The headings that a row stands under, the highest first."""
    parts = []
    for k in _LEVELS:
        above = ", ".join(["0", *(f"p{j}" for j in range(1, k))])
        parts.append(f"CASE WHEN p{k} > greatest({above}) THEN h{k} END")
    return f"list_filter([{', '.join(parts)}], lambda heading: heading IS NOT NULL)"


def chunks_sql(size: str | int = SIZE, overlap: str | int = OVERLAP) -> str:
    """The passages of all current documents; ``size`` and ``overlap`` are SQL expressions."""
    return f"""
WITH rows AS (
    SELECT document_id, page_number, reading_order, region_id, 'text' AS kind, content, x0, y0, x1,
        y1, CASE WHEN label IN ('title', 'section_header')
            THEN least(6, coalesce(heading_level, CASE label WHEN 'title' THEN 1 ELSE 2 END)) END
            AS level, join_previous
    FROM main.text WHERE {IN_FLOW} AND trim(content) <> ''
    UNION ALL BY NAME
    SELECT document_id, page_number, reading_order, region_id, 'table' AS kind,
        concat_ws(chr(10) || chr(10), caption, markdown) AS content, x0, y0, x1, y1
    FROM main.tables
    UNION ALL BY NAME
    SELECT document_id, page_number, reading_order, region_id, 'text' AS kind,
        concat_ws(chr(10), caption, inner_text) AS content, x0, y0, x1, y1
    FROM main.figures WHERE inner_text IS NOT NULL
), placed AS (
    SELECT r.*, d.file_name, row_number() OVER (
        PARTITION BY document_id ORDER BY page_number, reading_order, region_id
    ) AS place
    FROM rows r JOIN documents d USING (document_id) WHERE d.is_current
), headed AS (
    SELECT *, {_headings()} FROM placed
), sections AS (
    SELECT *, greatest(p1, p2) AS section, {_path()} AS heading_path FROM headed
), split AS (
    SELECT * EXCLUDE (content), content AS piece, 0 AS part FROM sections
    WHERE kind = 'text' AND {tokens("content")} <= {size}
    UNION ALL BY NAME
    SELECT * EXCLUDE (content, pieces), unnest(pieces) AS piece,
        generate_subscripts(pieces, 1) AS part
    FROM (
        SELECT *, regexp_extract_all(content, '{_SENTENCE}') AS pieces FROM sections
        WHERE kind = 'text' AND {tokens("content")} > {size}
    )
), counted AS (
    SELECT *, sum({tokens("piece")}) OVER (
        PARTITION BY document_id, section ORDER BY place, part
    ) - {tokens("piece")} AS start
    FROM split
), filled AS (
    SELECT *, start // {size} AS bucket FROM counted
), begun AS (
    SELECT document_id, section, bucket, min(start) AS begins, min(place) AS first_place
    FROM filled GROUP BY ALL
), passages AS (
    SELECT f.*, b.bucket AS passage, b.first_place
    FROM begun b JOIN filled f ON f.document_id = b.document_id AND f.section = b.section
        AND (f.bucket = b.bucket OR f.bucket = b.bucket - 1 AND b.begins - f.start <= {overlap})
), texts AS (
    SELECT document_id, any_value(file_name) AS file_name, 'text' AS kind,
        any_value(heading_path ORDER BY place, part) FILTER (bucket = passage) AS heading_path,
        min(page_number) AS page_number, max(page_number) AS last_page,
        trim(string_agg(
            CASE WHEN part > 1 THEN '' WHEN join_previous IS NOT NULL THEN ' '
                ELSE chr(10) || chr(10) END
            || CASE WHEN level IS NULL THEN piece ELSE repeat('#', level) || ' ' || piece END,
            '' ORDER BY place, part
        ), chr(10) || ' ') AS content,
        list_sort(list(DISTINCT {{'page_number': page_number, 'region_id': region_id,
            'x0': x0, 'y0': y0, 'x1': x1, 'y1': y1}})) AS boxes,
        first_place AS place
    FROM passages GROUP BY document_id, section, passage, first_place
), lines AS (
    SELECT * EXCLUDE (content), string_split(content, chr(10)) AS lines,
        list_position(list_transform(string_split(content, chr(10)),
            lambda line: regexp_matches(line, '^\\|( ?:?-+:? ?\\|)+$')), true) AS rule
    FROM sections WHERE kind = 'table'
), bodies AS (
    SELECT * EXCLUDE (lines), array_to_string(lines[:coalesce(rule, 0)], chr(10)) AS header,
        unnest(lines[coalesce(rule, 0) + 1:]) AS line,
        generate_subscripts(lines[coalesce(rule, 0) + 1:], 1) AS number
    FROM lines
), measured AS (
    SELECT *, (sum({tokens("line")}) OVER (
        PARTITION BY document_id, place ORDER BY number
    ) - {tokens("line")}) // greatest(1, {size} - {tokens("header")}) AS bucket
    FROM bodies
), tables AS (
    SELECT document_id, any_value(file_name) AS file_name, 'table' AS kind,
        any_value(heading_path) AS heading_path, page_number, page_number AS last_page,
        concat_ws(chr(10), nullif(any_value(header), ''),
            string_agg(line, chr(10) ORDER BY number)) AS content,
        [{{'page_number': page_number, 'region_id': region_id,
            'x0': any_value(x0), 'y0': any_value(y0), 'x1': any_value(x1), 'y1': any_value(y1)}}]
            AS boxes,
        place + bucket / 1000000.0 AS place
    FROM measured GROUP BY document_id, page_number, region_id, place, bucket
)
SELECT document_id, file_name, row_number() OVER (
        PARTITION BY document_id ORDER BY place, kind
    )::INTEGER AS chunk, kind, heading_path, page_number, last_page, content,
    {tokens("content")} AS tokens, boxes
FROM (FROM texts UNION ALL BY NAME FROM tables)
ORDER BY document_id, chunk
"""


CHUNKS_MACRO = (
    f"CREATE OR REPLACE MACRO chunks_of(size, overlap) AS TABLE {chunks_sql('size', 'overlap')}"
)
