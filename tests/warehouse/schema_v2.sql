-- The warehouse as schema version 2 made it, without comments, with one document in it.

CREATE SCHEMA staging;
CREATE TABLE schema_version (
    "version" INTEGER NOT NULL,
    "at" TIMESTAMP NOT NULL
);
CREATE TABLE documents (
    "document_id" VARCHAR NOT NULL,
    "sha256" VARCHAR NOT NULL,
    "file_name" VARCHAR NOT NULL,
    "bytes" BIGINT NOT NULL,
    "page_count" INTEGER,
    "title" VARCHAR,
    "author" VARCHAR,
    "producer" VARCHAR,
    "status" VARCHAR NOT NULL,
    "error" VARCHAR,
    "is_current" BOOLEAN NOT NULL,
    "superseded_by" VARCHAR,
    "attempts" INTEGER NOT NULL,
    "last_run_id" VARCHAR,
    "first_seen_at" TIMESTAMP NOT NULL,
    "processed_at" TIMESTAMP,
    PRIMARY KEY (document_id),
    UNIQUE (sha256)
);
CREATE TABLE sources (
    "path" VARCHAR NOT NULL,
    "document_id" VARCHAR NOT NULL,
    "bytes" BIGINT NOT NULL,
    "mtime_ns" BIGINT NOT NULL,
    "inode" UBIGINT NOT NULL,
    "seen_at" TIMESTAMP NOT NULL,
    "present" BOOLEAN NOT NULL,
    PRIMARY KEY (path)
);
CREATE TABLE pages (
    "document_id" VARCHAR NOT NULL,
    "page_number" INTEGER NOT NULL,
    "width" DOUBLE NOT NULL,
    "height" DOUBLE NOT NULL,
    "rotation" INTEGER NOT NULL,
    "dpi" DOUBLE NOT NULL,
    "pixel_width" INTEGER NOT NULL,
    "pixel_height" INTEGER NOT NULL,
    "image_path" VARCHAR,
    "has_text_layer" BOOLEAN NOT NULL,
    "status" VARCHAR NOT NULL,
    "error" VARCHAR
);
CREATE TABLE layouts (
    "document_id" VARCHAR NOT NULL,
    "page_number" INTEGER NOT NULL,
    "region_id" VARCHAR NOT NULL,
    "label" VARCHAR NOT NULL,
    "x0" DOUBLE NOT NULL,
    "y0" DOUBLE NOT NULL,
    "x1" DOUBLE NOT NULL,
    "y1" DOUBLE NOT NULL,
    "score" DOUBLE NOT NULL,
    "reading_order" DOUBLE NOT NULL,
    "model" VARCHAR NOT NULL
);
CREATE TABLE text (
    "document_id" VARCHAR NOT NULL,
    "page_number" INTEGER NOT NULL,
    "region_id" VARCHAR NOT NULL,
    "label" VARCHAR NOT NULL,
    "x0" DOUBLE NOT NULL,
    "y0" DOUBLE NOT NULL,
    "x1" DOUBLE NOT NULL,
    "y1" DOUBLE NOT NULL,
    "reading_order" DOUBLE NOT NULL,
    "heading_level" INTEGER,
    "content" VARCHAR NOT NULL,
    "source" VARCHAR NOT NULL,
    "confidence" DOUBLE NOT NULL,
    "lines" STRUCT(text VARCHAR, x0 DOUBLE, y0 DOUBLE, x1 DOUBLE, y1 DOUBLE, confidence DOUBLE)[] NOT NULL,
    "model" VARCHAR NOT NULL,
    "font_size" DOUBLE,
    "bold" BOOLEAN NOT NULL,
    "join_previous" VARCHAR,
    "monospace" BOOLEAN NOT NULL
);
CREATE TABLE tables (
    "document_id" VARCHAR NOT NULL,
    "page_number" INTEGER NOT NULL,
    "region_id" VARCHAR NOT NULL,
    "label" VARCHAR NOT NULL,
    "x0" DOUBLE NOT NULL,
    "y0" DOUBLE NOT NULL,
    "x1" DOUBLE NOT NULL,
    "y1" DOUBLE NOT NULL,
    "reading_order" DOUBLE NOT NULL,
    "n_rows" INTEGER NOT NULL,
    "n_columns" INTEGER NOT NULL,
    "cells" STRUCT("row" INTEGER, "column" INTEGER, row_span INTEGER, column_span INTEGER, is_header BOOLEAN, text VARCHAR, box STRUCT(x0 DOUBLE, y0 DOUBLE, x1 DOUBLE, y1 DOUBLE))[] NOT NULL,
    "html" VARCHAR NOT NULL,
    "markdown" VARCHAR NOT NULL,
    "caption" VARCHAR,
    "confidence" DOUBLE NOT NULL,
    "model" VARCHAR NOT NULL
);
CREATE TABLE figures (
    "document_id" VARCHAR NOT NULL,
    "page_number" INTEGER NOT NULL,
    "region_id" VARCHAR NOT NULL,
    "label" VARCHAR NOT NULL,
    "x0" DOUBLE NOT NULL,
    "y0" DOUBLE NOT NULL,
    "x1" DOUBLE NOT NULL,
    "y1" DOUBLE NOT NULL,
    "reading_order" DOUBLE NOT NULL,
    "kind" VARCHAR NOT NULL,
    "caption" VARCHAR,
    "inner_text" VARCHAR,
    "data" STRUCT(columns VARCHAR[], rows VARCHAR[][]),
    "image_path" VARCHAR,
    "model" VARCHAR NOT NULL
);
CREATE TABLE errors (
    "document_id" VARCHAR NOT NULL,
    "page_number" INTEGER,
    "stage" VARCHAR NOT NULL,
    "error_type" VARCHAR NOT NULL,
    "message" VARCHAR NOT NULL,
    "attempts" INTEGER NOT NULL,
    "assets" VARCHAR[] NOT NULL,
    "is_fatal" BOOLEAN NOT NULL,
    "run_id" VARCHAR NOT NULL,
    "at" TIMESTAMP NOT NULL
);
CREATE TABLE asset_state (
    "document_id" VARCHAR NOT NULL,
    "asset" VARCHAR NOT NULL,
    "version" VARCHAR NOT NULL,
    "input_versions" MAP(VARCHAR, VARCHAR) NOT NULL,
    "data_version" VARCHAR NOT NULL,
    "rows" BIGINT NOT NULL,
    "pages" VARCHAR NOT NULL,
    "run_id" VARCHAR NOT NULL,
    "at" TIMESTAMP NOT NULL
);
CREATE TABLE page_timings (
    "document_id" VARCHAR NOT NULL,
    "page_number" INTEGER NOT NULL,
    "stage" VARCHAR NOT NULL,
    "seconds" DOUBLE NOT NULL,
    "batch_size" INTEGER NOT NULL,
    "device" VARCHAR NOT NULL,
    "run_id" VARCHAR NOT NULL
);
CREATE TABLE current_versions (
    "asset" VARCHAR NOT NULL,
    "version" VARCHAR NOT NULL
);
CREATE TABLE staging.documents (
    "document_id" VARCHAR NOT NULL,
    "page_count" INTEGER,
    "title" VARCHAR,
    "author" VARCHAR,
    "producer" VARCHAR
);
CREATE TABLE staging.pages (
    "version" VARCHAR NOT NULL,
    "document_id" VARCHAR NOT NULL,
    "page_number" INTEGER NOT NULL,
    "width" DOUBLE NOT NULL,
    "height" DOUBLE NOT NULL,
    "rotation" INTEGER NOT NULL,
    "dpi" DOUBLE NOT NULL,
    "pixel_width" INTEGER NOT NULL,
    "pixel_height" INTEGER NOT NULL,
    "image_path" VARCHAR,
    "has_text_layer" BOOLEAN NOT NULL,
    "status" VARCHAR NOT NULL,
    "error" VARCHAR
);
CREATE TABLE staging.layouts (
    "version" VARCHAR NOT NULL,
    "document_id" VARCHAR NOT NULL,
    "page_number" INTEGER NOT NULL,
    "region_id" VARCHAR NOT NULL,
    "label" VARCHAR NOT NULL,
    "x0" DOUBLE NOT NULL,
    "y0" DOUBLE NOT NULL,
    "x1" DOUBLE NOT NULL,
    "y1" DOUBLE NOT NULL,
    "score" DOUBLE NOT NULL,
    "reading_order" DOUBLE NOT NULL,
    "model" VARCHAR NOT NULL
);
CREATE TABLE staging.text (
    "version" VARCHAR NOT NULL,
    "document_id" VARCHAR NOT NULL,
    "page_number" INTEGER NOT NULL,
    "region_id" VARCHAR NOT NULL,
    "label" VARCHAR NOT NULL,
    "x0" DOUBLE NOT NULL,
    "y0" DOUBLE NOT NULL,
    "x1" DOUBLE NOT NULL,
    "y1" DOUBLE NOT NULL,
    "reading_order" DOUBLE NOT NULL,
    "heading_level" INTEGER,
    "content" VARCHAR NOT NULL,
    "source" VARCHAR NOT NULL,
    "confidence" DOUBLE NOT NULL,
    "lines" STRUCT(text VARCHAR, x0 DOUBLE, y0 DOUBLE, x1 DOUBLE, y1 DOUBLE, confidence DOUBLE)[] NOT NULL,
    "model" VARCHAR NOT NULL,
    "font_size" DOUBLE,
    "bold" BOOLEAN NOT NULL,
    "join_previous" VARCHAR,
    "monospace" BOOLEAN NOT NULL
);
CREATE TABLE staging.tables (
    "version" VARCHAR NOT NULL,
    "document_id" VARCHAR NOT NULL,
    "page_number" INTEGER NOT NULL,
    "region_id" VARCHAR NOT NULL,
    "label" VARCHAR NOT NULL,
    "x0" DOUBLE NOT NULL,
    "y0" DOUBLE NOT NULL,
    "x1" DOUBLE NOT NULL,
    "y1" DOUBLE NOT NULL,
    "reading_order" DOUBLE NOT NULL,
    "n_rows" INTEGER NOT NULL,
    "n_columns" INTEGER NOT NULL,
    "cells" STRUCT("row" INTEGER, "column" INTEGER, row_span INTEGER, column_span INTEGER, is_header BOOLEAN, text VARCHAR, box STRUCT(x0 DOUBLE, y0 DOUBLE, x1 DOUBLE, y1 DOUBLE))[] NOT NULL,
    "html" VARCHAR NOT NULL,
    "markdown" VARCHAR NOT NULL,
    "caption" VARCHAR,
    "confidence" DOUBLE NOT NULL,
    "model" VARCHAR NOT NULL
);
CREATE TABLE staging.figures (
    "version" VARCHAR NOT NULL,
    "document_id" VARCHAR NOT NULL,
    "page_number" INTEGER NOT NULL,
    "region_id" VARCHAR NOT NULL,
    "label" VARCHAR NOT NULL,
    "x0" DOUBLE NOT NULL,
    "y0" DOUBLE NOT NULL,
    "x1" DOUBLE NOT NULL,
    "y1" DOUBLE NOT NULL,
    "reading_order" DOUBLE NOT NULL,
    "kind" VARCHAR NOT NULL,
    "caption" VARCHAR,
    "inner_text" VARCHAR,
    "data" STRUCT(columns VARCHAR[], rows VARCHAR[][]),
    "image_path" VARCHAR,
    "model" VARCHAR NOT NULL
);
CREATE TABLE staging.finished (
    "document_id" VARCHAR NOT NULL,
    "asset" VARCHAR NOT NULL,
    "version" VARCHAR NOT NULL,
    "page_number" INTEGER NOT NULL,
    "page_width" DOUBLE NOT NULL,
    "page_height" DOUBLE NOT NULL,
    "run_id" VARCHAR NOT NULL,
    "at" TIMESTAMP NOT NULL
);
CREATE TABLE staging.errors (
    "asset" VARCHAR NOT NULL,
    "version" VARCHAR NOT NULL,
    "document_id" VARCHAR NOT NULL,
    "page_number" INTEGER,
    "stage" VARCHAR NOT NULL,
    "error_type" VARCHAR NOT NULL,
    "message" VARCHAR NOT NULL,
    "attempts" INTEGER NOT NULL,
    "run_id" VARCHAR NOT NULL,
    "at" TIMESTAMP NOT NULL
);
CREATE TABLE staging.page_timings (
    "asset" VARCHAR NOT NULL,
    "version" VARCHAR NOT NULL,
    "document_id" VARCHAR NOT NULL,
    "page_number" INTEGER NOT NULL,
    "stage" VARCHAR NOT NULL,
    "seconds" DOUBLE NOT NULL,
    "batch_size" INTEGER NOT NULL,
    "device" VARCHAR NOT NULL,
    "run_id" VARCHAR NOT NULL
);
CREATE VIEW stale_partitions AS
WITH upstream(asset, made_from) AS (
    VALUES ('layouts', 'pages'), ('text', 'layouts'), ('tables', 'layouts'), ('figures', 'layouts')
), own AS (
    SELECT s.document_id, s.asset, u.made_from, CASE
        WHEN v.version <> s.version THEN 'code version changed'
        WHEN u.made_from IS NULL THEN NULL
        WHEN p.data_version IS NULL THEN u.made_from || ' is gone'
        WHEN p.data_version <> s.input_versions[u.made_from] THEN u.made_from || ' changed'
    END AS reason
    FROM asset_state s
    JOIN documents d ON d.document_id = s.document_id AND d.is_current
    LEFT JOIN current_versions v ON v.asset = s.asset
    LEFT JOIN upstream u ON u.asset = s.asset
    LEFT JOIN asset_state p ON p.document_id = s.document_id AND p.asset = u.made_from
)
SELECT s.document_id, s.asset, coalesce(
    s.reason,
    CASE WHEN a.reason IS NOT NULL THEN a.asset || ' is stale' END,
    CASE WHEN b.reason IS NOT NULL THEN a.asset || ' is stale' END
) AS reason
FROM own s
LEFT JOIN own a ON a.document_id = s.document_id AND a.asset = s.made_from
LEFT JOIN own b ON b.document_id = s.document_id AND b.asset = a.made_from
WHERE coalesce(s.reason, a.reason, b.reason) IS NOT NULL;
CREATE VIEW blocks AS
SELECT b.document_id, d.file_name, b.page_number, b.reading_order, b.region_id, b.kind, b.label, b.x0, b.y0, b.x1, b.y1, b.heading_level, b.join_previous, b.content, b.confidence, b.image_path, b.model, s.asset IS NOT NULL AS is_stale
FROM (SELECT document_id, page_number, reading_order, region_id, 'text' AS kind, 'text' AS asset, x0, y0, x1, y1, model, label, heading_level, join_previous, content, confidence, NULL AS image_path FROM main.text UNION ALL SELECT document_id, page_number, reading_order, region_id, 'table' AS kind, 'tables' AS asset, x0, y0, x1, y1, model, label, NULL AS heading_level, NULL AS join_previous, markdown AS content, confidence, NULL AS image_path FROM main.tables UNION ALL SELECT document_id, page_number, reading_order, region_id, 'figure' AS kind, 'figures' AS asset, x0, y0, x1, y1, model, label, NULL AS heading_level, NULL AS join_previous, inner_text AS content, NULL AS confidence, image_path FROM main.figures) b
JOIN documents d ON d.document_id = b.document_id AND d.is_current
LEFT JOIN stale_partitions s ON s.document_id = b.document_id AND s.asset = b.asset
ORDER BY b.document_id, b.page_number, b.reading_order, b.region_id;
CREATE VIEW document_markdown AS
WITH captions AS (
    SELECT document_id, page_number, string_agg(trim(regexp_replace(caption, '\s+', ' ', 'g')), chr(10)) AS captions
    FROM (
        SELECT document_id, page_number, caption FROM tables
        UNION ALL
        SELECT document_id, page_number, caption FROM figures
    )
    GROUP BY document_id, page_number
), body AS (
    SELECT t.* FROM main.text t
    LEFT JOIN captions c ON c.document_id = t.document_id AND c.page_number = t.page_number
    WHERE t.label NOT IN ('page_header', 'page_footer') AND trim(t.content) <> ''
    AND CASE WHEN t.label = 'caption' AND c.captions IS NOT NULL
        THEN NOT contains(c.captions, trim(regexp_replace(t.content, '\s+', ' ', 'g'))) ELSE true END
), flow AS (
    SELECT * REPLACE (monospace AND 2 * sum(length(content)) FILTER (monospace) OVER (PARTITION BY document_id) < sum(length(content)) OVER (PARTITION BY document_id) AND NOT contains(content, '```') AS monospace),
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
        first(page_number ORDER BY document_id, page_number, reading_order, region_id) AS page_number,
        first(reading_order ORDER BY document_id, page_number, reading_order, region_id) AS reading_order,
        first(region_id ORDER BY document_id, page_number, reading_order, region_id) AS region_id,
        first(label ORDER BY document_id, page_number, reading_order, region_id) AS label,
        first(heading_level ORDER BY document_id, page_number, reading_order, region_id) AS heading_level,
        first(monospace ORDER BY document_id, page_number, reading_order, region_id) AS monospace,
        trim(string_agg(
            CASE join_previous WHEN 'space' THEN ' ' ELSE '' END ||
            CASE join_next
                WHEN 'hyphen' THEN regexp_replace(content, '[-\x{00AD}\x{2010}]\s*$', '')
                WHEN 'space' THEN rtrim(content)
                ELSE content
            END,
            '' ORDER BY document_id, page_number, reading_order, region_id
        )) AS content
    FROM pieces
    GROUP BY document_id, strand, paragraph
), parts AS (
    SELECT document_id, page_number, reading_order, region_id, label = 'list_item' AS is_item,
        label = 'footnote' AS is_note,
        CASE
            WHEN monospace THEN '```' || chr(10) || rtrim(content) || chr(10) || '```'
            WHEN label IN ('title', 'section_header') THEN repeat('#', greatest(1, least(6, coalesce(heading_level, CASE label WHEN 'title' THEN 1 ELSE 2 END)))) || ' ' || trim(regexp_replace(regexp_replace(regexp_replace(regexp_replace(content, '(?m)^[ \t]+', '', 'g'), '(?m)^(#|>|~~~|```|[-=]+[ \t]*$|[-+*][ \t])', '\\\1', 'g'), '<([A-Za-z/!?])', '\\<\1', 'g'), '\s+', ' ', 'g'))
            WHEN label = 'list_item' THEN CASE WHEN regexp_matches(content, '^\s*\(?[0-9A-Za-z]{1,3}[.)]\s') THEN '' ELSE '- ' END || replace(regexp_replace(regexp_replace(regexp_replace(trim(regexp_replace(content, '^\s*[-*+•‣◦▪▫●○■□–—·]\s+', '')), '(?m)^[ \t]+', '', 'g'), '(?m)^(#|>|~~~|```|[-=]+[ \t]*$|[-+*][ \t])', '\\\1', 'g'), '<([A-Za-z/!?])', '\\<\1', 'g'), chr(10), chr(10) || '  ')
            WHEN label = 'formula' THEN '$$' || chr(10) || content || chr(10) || '$$'
            ELSE regexp_replace(regexp_replace(regexp_replace(content, '(?m)^[ \t]+', '', 'g'), '(?m)^(#|>|~~~|```|[-=]+[ \t]*$|[-+*][ \t])', '\\\1', 'g'), '<([A-Za-z/!?])', '\\<\1', 'g')
        END AS part
    FROM paragraphs
    UNION ALL
    SELECT document_id, page_number, reading_order, region_id, false AS is_item, false AS is_note,
        coalesce(regexp_replace(regexp_replace(regexp_replace(trim(regexp_replace(caption, '\s+', ' ', 'g')), '(?m)^[ \t]+', '', 'g'), '(?m)^(#|>|~~~|```|[-=]+[ \t]*$|[-+*][ \t])', '\\\1', 'g'), '<([A-Za-z/!?])', '\\<\1', 'g') || chr(10) || chr(10), '') ||
        CASE WHEN len(list_filter(cells, lambda cell: cell.row_span > 1 OR cell.column_span > 1)) > 0 THEN html ELSE markdown END AS part
    FROM tables
    UNION ALL
    SELECT document_id, page_number, reading_order, region_id, false AS is_item, false AS is_note,
        '![' || regexp_replace(trim(regexp_replace(kind || coalesce(': ' || caption, ''), '\s+', ' ', 'g')), '([\[\]])', '\\\1', 'g') || '](' ||
        coalesce(image_path, '') || ')' AS part
    FROM figures
), spaced AS (
    SELECT *, chr(10) || CASE
        WHEN is_item AND lag(is_item) OVER page_order THEN ''
        ELSE chr(10)
    END AS gap
    FROM parts
    WHERE part <> ''
    WINDOW page_order AS (
        PARTITION BY document_id ORDER BY is_note, page_number, reading_order, region_id
    )
)
SELECT document_id,
    ltrim(string_agg(gap || part, '' ORDER BY is_note, document_id, page_number, reading_order, region_id), chr(10)) AS markdown
FROM spaced
WHERE document_id IN (SELECT document_id FROM documents WHERE is_current)
GROUP BY document_id;
CREATE VIEW table_cells AS
SELECT t.document_id, t.file_name, t.page_number, t.region_id,
    t.cell."row" AS row_index, t.cell."column" AS column_index, t.cell.row_span AS row_span,
    t.cell.column_span AS column_span, t.cell.is_header AS is_header, t.cell.text AS text,
    t.cell.box.x0 AS x0, t.cell.box.y0 AS y0, t.cell.box.x1 AS x1, t.cell.box.y1 AS y1
FROM (
    SELECT t.document_id, d.file_name, t.page_number, t.reading_order, t.region_id,
        unnest(t.cells) AS cell
    FROM tables t JOIN documents d ON d.document_id = t.document_id AND d.is_current
) t
ORDER BY t.document_id, t.page_number, t.reading_order, t.region_id, row_index, column_index;
CREATE VIEW page_status AS
SELECT p.document_id, d.file_name, p.page_number, p.status, p.error,
    coalesce(regions, 0) AS regions, coalesce(text_blocks, 0) AS text_blocks,
    coalesce(tables, 0) AS tables, coalesce(figures, 0) AS figures,
    coalesce(errors, 0) AS errors, coalesce(seconds, 0) AS seconds
FROM pages p
JOIN documents d ON d.document_id = p.document_id AND d.is_current
LEFT JOIN (SELECT document_id, page_number, count(*) AS regions FROM main.layouts GROUP BY document_id, page_number) _regions ON _regions.document_id = p.document_id AND _regions.page_number = p.page_number
LEFT JOIN (SELECT document_id, page_number, count(*) AS text_blocks FROM main.text GROUP BY document_id, page_number) _text_blocks ON _text_blocks.document_id = p.document_id AND _text_blocks.page_number = p.page_number
LEFT JOIN (SELECT document_id, page_number, count(*) AS tables FROM main.tables GROUP BY document_id, page_number) _tables ON _tables.document_id = p.document_id AND _tables.page_number = p.page_number
LEFT JOIN (SELECT document_id, page_number, count(*) AS figures FROM main.figures GROUP BY document_id, page_number) _figures ON _figures.document_id = p.document_id AND _figures.page_number = p.page_number
LEFT JOIN (SELECT document_id, page_number, count(*) AS errors FROM main.errors GROUP BY document_id, page_number) _errors ON _errors.document_id = p.document_id AND _errors.page_number = p.page_number
LEFT JOIN (SELECT document_id, page_number, sum(seconds) AS seconds FROM main.page_timings GROUP BY document_id, page_number) _seconds ON _seconds.document_id = p.document_id AND _seconds.page_number = p.page_number
ORDER BY p.document_id, p.page_number;
CREATE VIEW live_pages AS
WITH staged AS (
SELECT DISTINCT f.document_id, f.asset, f.version
FROM staging.finished f
WHERE NOT EXISTS (
    FROM asset_state s WHERE s.document_id = f.document_id AND s.asset = f.asset
)
QUALIFY f.version = first_value(f.version) OVER (
    PARTITION BY f.document_id, f.asset ORDER BY f.at DESC, f.version
)
)
SELECT p.document_id, d.file_name, p.* EXCLUDE (document_id)
FROM (
    SELECT document_id, page_number, width, height, rotation, image_path, has_text_layer, status, error, true AS is_committed FROM pages
    UNION ALL
    SELECT document_id, page_number, width, height, rotation, image_path, has_text_layer, status, error, false AS is_committed
    FROM staging.pages JOIN (FROM staged WHERE asset = 'pages') USING (document_id, version)
) p
JOIN documents d ON d.document_id = p.document_id AND d.is_current
ORDER BY p.document_id, p.page_number;
CREATE VIEW live_blocks AS
WITH staged AS (
SELECT DISTINCT f.document_id, f.asset, f.version
FROM staging.finished f
WHERE NOT EXISTS (
    FROM asset_state s WHERE s.document_id = f.document_id AND s.asset = f.asset
)
QUALIFY f.version = first_value(f.version) OVER (
    PARTITION BY f.document_id, f.asset ORDER BY f.at DESC, f.version
)
)
SELECT b.document_id, d.file_name, b.page_number, b.reading_order, b.region_id, b.kind, b.label, b.x0, b.y0, b.x1, b.y1, b.heading_level, b.join_previous, b.content, b.confidence, b.image_path, b.model, b.is_committed
FROM (
    SELECT *, true AS is_committed FROM (SELECT document_id, page_number, reading_order, region_id, 'text' AS kind, 'text' AS asset, x0, y0, x1, y1, model, label, heading_level, join_previous, content, confidence, NULL AS image_path FROM main.text UNION ALL SELECT document_id, page_number, reading_order, region_id, 'table' AS kind, 'tables' AS asset, x0, y0, x1, y1, model, label, NULL AS heading_level, NULL AS join_previous, markdown AS content, confidence, NULL AS image_path FROM main.tables UNION ALL SELECT document_id, page_number, reading_order, region_id, 'figure' AS kind, 'figures' AS asset, x0, y0, x1, y1, model, label, NULL AS heading_level, NULL AS join_previous, inner_text AS content, NULL AS confidence, image_path FROM main.figures)
    UNION ALL BY NAME
    SELECT r.* EXCLUDE (version), false AS is_committed
    FROM (SELECT document_id, page_number, reading_order, region_id, 'text' AS kind, 'text' AS asset, x0, y0, x1, y1, model, label, heading_level, join_previous, content, confidence, NULL AS image_path, version FROM staging.text UNION ALL SELECT document_id, page_number, reading_order, region_id, 'table' AS kind, 'tables' AS asset, x0, y0, x1, y1, model, label, NULL AS heading_level, NULL AS join_previous, markdown AS content, confidence, NULL AS image_path, version FROM staging.tables UNION ALL SELECT document_id, page_number, reading_order, region_id, 'figure' AS kind, 'figures' AS asset, x0, y0, x1, y1, model, label, NULL AS heading_level, NULL AS join_previous, inner_text AS content, NULL AS confidence, image_path, version FROM staging.figures) r
    JOIN staged USING (document_id, asset, version)
) b
JOIN documents d ON d.document_id = b.document_id AND d.is_current
ORDER BY b.document_id, b.page_number, b.reading_order, b.region_id;
INSERT INTO schema_version VALUES (2, '2026-01-01');
INSERT INTO documents BY NAME SELECT
    'old-0123456789ab' AS document_id, repeat('0123456789abcdef', 4) AS sha256,
    'old.pdf' AS file_name, 10 AS bytes, 1 AS page_count, 'partial' AS status,
    true AS is_current, 1 AS attempts, TIMESTAMP '2026-01-01' AS first_seen_at;
INSERT INTO text BY NAME SELECT
    'old-0123456789ab' AS document_id, 1 AS page_number, unnest(['r1', 'r2']) AS region_id,
    unnest(['title', 'text']) AS label, 0 AS x0, 0 AS y0, 1 AS x1, 1 AS y1,
    unnest([0, 1]) AS reading_order, unnest(['Old', 'words']) AS content, 'ocr' AS source,
    0.5 AS confidence, [] AS lines, 'm' AS model, false AS bold,
    false AS monospace;
INSERT INTO staging.finished VALUES
    ('old-0123456789ab', 'text', 'v', 2, 1, 1, 'run', '2026-01-01');
