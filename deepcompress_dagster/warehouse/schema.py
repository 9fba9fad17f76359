"""The tables: names, column types, keys and comments, and the DDL made from them.

``main`` holds what is committed; ``staging`` holds finished pages of documents that are still in
work, in tables of the same columns with the version they were made at. The views are in views.py.

Keys are declared where rows are added or updated in place. Tables whose rows are replaced whole
(delete and insert in one transaction) state their key in the comment instead: the single writer
keeps it, while an index there makes files a quarter larger and puts delete-and-insert under one
key into the replay of the write-ahead log, which is where index defects of DuckDB have been.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.records import PageStatus
from deepcompress_dagster.warehouse.views import MACROS, VIEWS

if TYPE_CHECKING:
    import duckdb

SCHEMA_VERSION = 3
"""Version of everything below and of views.py; migration.py brings older files here."""


@dataclass(frozen=True)
class Column:
    """One column; ``not_null`` is False where the value may be missing."""

    name: str
    type: str
    comment: str
    not_null: bool = True

    @property
    def ddl(self) -> str:
        return f"{identifier(self.name)} {self.type}{' NOT NULL' if self.not_null else ''}"


@dataclass(frozen=True)
class Table:
    """One table; ``key`` is enforced by an index only where ``has_index``.

    Of an asset's table, ``order_by`` are the columns that put the rows of one document in order.
    The asset's data version is a hash of its columns; ``content`` gives for some of them the SQL
    of what counts instead of the value.
    """

    name: str
    comment: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    has_index: bool = False
    unique: tuple[str, ...] = ()
    order_by: tuple[str, ...] = ()
    content: Mapping[str, str] = field(default_factory=dict)

    @property
    def ddl(self) -> str:
        parts = [column.ddl for column in self.columns]
        if self.has_index:
            parts.append(f"PRIMARY KEY ({', '.join(self.key)})")
        parts += [f"UNIQUE ({name})" for name in self.unique]
        return f"CREATE TABLE {self.name} ({', '.join(parts)})"

    def comments(self) -> Iterator[str]:
        """The statements that say in the file what the table and its columns are."""
        comment = f"{self.comment} Key: {', '.join(self.key)}."
        yield f"COMMENT ON TABLE {self.name} IS {quoted(comment)}"
        for column in self.columns:
            name = f"{self.name}.{identifier(column.name)}"
            yield f"COMMENT ON COLUMN {name} IS {quoted(column.comment)}"


def identifier(name: str) -> str:
    """``name`` as an SQL identifier: ``at`` and ``column`` are words of DuckDB's own."""
    return '"' + name.replace('"', '""') + '"'


def quoted(text: str) -> str:
    """``text`` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _optional(name: str, type_: str, comment: str) -> Column:
    return Column(name, type_, comment, not_null=False)


_DOCUMENT_ID = Column("document_id", "VARCHAR", "The document, see documents.")
_PAGE_NUMBER = Column("page_number", "INTEGER", "Page, from 1.")
_RUN_ID = Column("run_id", "VARCHAR", "Run that wrote this row.")
_AT = Column("at", "TIMESTAMP", "When this row was written, UTC.")
_BOX = (
    Column("x0", "DOUBLE", "Left edge: points from the left of the page as displayed."),
    Column("y0", "DOUBLE", "Upper edge: points from the top of the page as displayed."),
    Column("x1", "DOUBLE", "Right edge: points from the left of the page as displayed."),
    Column("y1", "DOUBLE", "Lower edge: points from the top of the page as displayed."),
)
_REGION = (
    _DOCUMENT_ID,
    _PAGE_NUMBER,
    Column("region_id", "VARCHAR", "The region: a hash of its page and rounded box."),
)
_ORDER = Column(
    "reading_order",
    "DOUBLE",
    "Place on the page, ascending; fractions are text that OCR found between regions.",
)
_MODEL = Column("model", "VARCHAR", "Model that this row comes from: checkpoint@revision.")
_EDGES = "x0 DOUBLE, y0 DOUBLE, x1 DOUBLE, y1 DOUBLE"
_BOX_STRUCT = f"STRUCT({_EDGES})"
STYLE_STRUCT = (
    "STRUCT(font VARCHAR, size DOUBLE, bold BOOLEAN, italic BOOLEAN, monospace BOOLEAN, "
    "color INTEGER)"
)
"""``style`` of a line of text: how most of its characters are set."""
_REGION_KEY = ("document_id", "page_number", "region_id")
_READING_ORDER = ("page_number", "reading_order", "region_id")

DOCUMENTS = Table(
    "documents",
    "One row per document: a PDF by its bytes.",
    ("document_id",),
    (
        Column("document_id", "VARCHAR", "Slug of the file name and the head of the sha256."),
        Column("sha256", "VARCHAR", "Hash of the PDF's bytes, hexadecimal: its identity."),
        Column("file_name", "VARCHAR", "Name of the file that it was first seen as."),
        Column("bytes", "BIGINT", "Size of the PDF in bytes."),
        _optional("page_count", "INTEGER", "Pages of the PDF; missing until it was opened."),
        _optional("title", "VARCHAR", "Title that the PDF states."),
        _optional("author", "VARCHAR", "Author that the PDF states."),
        _optional("producer", "VARCHAR", "Program that wrote the PDF, as the PDF states."),
        Column(
            "status",
            "VARCHAR",
            "registered: seen, not parsed. complete: all pages of all assets, no page error. "
            "partial: page errors, or pages or assets lacking. failed: the last run could not "
            "parse it.",
        ),
        _optional("error", "VARCHAR", "Why it is failed or partial."),
        Column("is_current", "BOOLEAN", "False once other bytes took its place at its path."),
        _optional("superseded_by", "VARCHAR", "Document that took its place."),
        Column("attempts", "INTEGER", "Runs that took it up since it was last complete."),
        _optional("last_run_id", "VARCHAR", "Run that took it up last."),
        Column("first_seen_at", "TIMESTAMP", "When it was registered, UTC."),
        _optional("processed_at", "TIMESTAMP", "When a run last committed or failed it, UTC."),
        Column(
            "attachments",
            "STRUCT(name VARCHAR, bytes BIGINT, sha256 VARCHAR, is_pdf BOOLEAN)[]",
            "Files inside the PDF; none until it was opened. Also view attachments.",
        ),
        _optional(
            "grade",
            "VARCHAR",
            "How far its text and tables can be trusted, by the mean of its pages in page_quality: "
            "A from .95, if no page is 0; B from .85; C from .7; D below. Missing until a page "
            "with text was read.",
        ),
    ),
    has_index=True,
    unique=("sha256",),
)

SOURCES = Table(
    "sources",
    "One row per path or address at which a PDF was seen.",
    ("path",),
    (
        Column(
            "path", "VARCHAR", "Absolute path, with bytes that are not UTF-8 escaped; or address."
        ),
        Column("document_id", "VARCHAR", "The document found there last."),
        Column("bytes", "BIGINT", "Size of the file in bytes."),
        Column("mtime_ns", "BIGINT", "Modification time, ns since 1970."),
        Column(
            "inode", "UBIGINT", "Inode of the file; of an object a hash of its version or etag."
        ),
        Column("seen_at", "TIMESTAMP", "When it was last read, UTC."),
        Column("present", "BOOLEAN", "False once the file was missed."),
    ),
    has_index=True,
)

PAGES = Table(
    "pages",
    "One row per rendered page.",
    ("document_id", "page_number"),
    (
        _DOCUMENT_ID,
        _PAGE_NUMBER,
        Column("width", "DOUBLE", "Width as displayed, points."),
        Column("height", "DOUBLE", "Height as displayed, points."),
        Column("rotation", "INTEGER", "Rotation that the PDF states, degrees clockwise."),
        Column("dpi", "DOUBLE", "Resolution of the rendering, dots per inch."),
        Column("pixel_width", "INTEGER", "Width of the rendering, pixels."),
        Column("pixel_height", "INTEGER", "Height of the rendering, pixels."),
        _optional("image_path", "VARCHAR", "Page image, relative to the data folder."),
        Column("has_text_layer", "BOOLEAN", "Whether the PDF carries text for this page."),
        Column(
            "status",
            "VARCHAR",
            "complete; partial: errors cost some of it; failed: it could not be rendered.",
        ),
        _optional("error", "VARCHAR", "First standing error of this page."),
        Column(
            "hidden_text_share",
            "DOUBLE",
            "Share of the text layer's characters that are drawn invisibly, 0 to 1; near 1 for the "
            "layer that OCR laid over a scan.",
        ),
        _optional("label", "VARCHAR", "Number of the page as the document itself counts: iv, A-3."),
        Column(
            "fields",
            "STRUCT(name VARCHAR, kind VARCHAR, value VARCHAR, checked BOOLEAN, label VARCHAR, "
            f"{_EDGES})[]",
            "Form fields, a row for each box. Also view form_fields.",
        ),
        Column(
            "annotations",
            f"STRUCT(kind VARCHAR, text VARCHAR, marked_text VARCHAR, author VARCHAR, {_EDGES})[]",
            "Notes, marks, stamps. Also view annotations.",
        ),
        Column(
            "links",
            f"STRUCT(kind VARCHAR, target VARCHAR, target_page INTEGER, text VARCHAR, {_EDGES})[]",
            "Places that lead elsewhere. Also view links.",
        ),
    ),
    order_by=("page_number",),
    content={"status": f"status = '{PageStatus.FAILED}'", "error": "NULL"},  # those of later stages
)

LAYOUTS = Table(
    "layouts",
    "One row per region that the layout model found.",
    _REGION_KEY,
    (
        *_REGION,
        Column(
            "label",
            "VARCHAR",
            "Class of the region: one of the eleven of DocLayNet, document_index, watermark or "
            "line_numbers.",
        ),
        *_BOX,
        Column("score", "DOUBLE", "Confidence of the layout model, 0 to 1."),
        _ORDER,
        _MODEL,
    ),
    order_by=_READING_ORDER,
)

TEXT = Table(
    "text",
    "One row per text block.",
    _REGION_KEY,
    (
        *_REGION,
        Column("label", "VARCHAR", "Class of the block after the document pass."),
        *_BOX,
        _ORDER,
        _optional("heading_level", "INTEGER", "1 is the highest; missing for other blocks."),
        Column("content", "VARCHAR", "The text."),
        Column("source", "VARCHAR", "text_layer: words of the PDF. ocr: read from pixels."),
        Column(
            "confidence",
            "DOUBLE",
            "Share of blocks read like this that are right, 0 to 1: by a curve from what the "
            "reader says of its lines; 1 for words of the PDF.",
        ),
        Column(
            "lines",
            "STRUCT(text VARCHAR, x0 DOUBLE, y0 DOUBLE, x1 DOUBLE, y1 DOUBLE, confidence DOUBLE, "
            f"style {STYLE_STRUCT})[]",
            "The lines of the block with their boxes in points, confidences and styles; color is "
            "0xRRGGBB as a number; OCR tells no style.",
        ),
        _MODEL,
        _optional("font_size", "DOUBLE", "Size of its font, points."),
        Column("bold", "BOOLEAN", "Whether its font is bold."),
        _optional(
            "join_previous",
            "VARCHAR",
            "How it goes on from the block before it: space, or hyphen (a word was divided).",
        ),
        Column("monospace", "BOOLEAN", "Whether it is program code or the like, lines kept."),
    ),
    order_by=_READING_ORDER,
)

TABLES = Table(
    "tables",
    "One row per table.",
    _REGION_KEY,
    (
        *_REGION,
        Column("label", "VARCHAR", "Always table."),
        *_BOX,
        _ORDER,
        Column("n_rows", "INTEGER", "Rows of the grid."),
        Column("n_columns", "INTEGER", "Columns of the grid."),
        Column(
            "cells",
            'STRUCT("row" INTEGER, "column" INTEGER, row_span INTEGER, column_span INTEGER, '
            f"is_header BOOLEAN, text VARCHAR, box {_BOX_STRUCT})[]",
            "The cells; rows and columns count from 0, boxes in points. Also view table_cells.",
        ),
        Column("html", "VARCHAR", "The table as HTML, with its spans."),
        Column("markdown", "VARCHAR", "The table as Markdown."),
        _optional("caption", "VARCHAR", "Its caption, which is a row of text as well."),
        Column(
            "confidence",
            "DOUBLE",
            "0 to 1: falls with words that the grid tears, merges or leaves out, and where sound "
            "readings differ.",
        ),
        _MODEL,
        _optional(
            "continues",
            "VARCHAR",
            "region_id of the table on the page before that this one is a part of; view "
            "whole_tables.",
        ),
        _optional(
            "repeated_rows", "INTEGER", "Rows at its top that repeat the header of that table."
        ),
    ),
    order_by=_READING_ORDER,
)

FIGURES = Table(
    "figures",
    "One row per figure.",
    _REGION_KEY,
    (
        *_REGION,
        Column("label", "VARCHAR", "Always picture."),
        *_BOX,
        _ORDER,
        Column("kind", "VARCHAR", "What it shows; unknown without certainty."),
        _optional("caption", "VARCHAR", "Its caption, which is a row of text as well."),
        _optional("inner_text", "VARCHAR", "Text inside the figure."),
        _optional(
            "data",
            "STRUCT(columns VARCHAR[], rows VARCHAR[][], confidence DOUBLE)",
            "The numbers of a chart; missing without certainty. Without columns: what a model "
            "wrote that is no table. confidence is 0 to 1 for what was read from the drawing.",
        ),
        _optional("image_path", "VARCHAR", "Image of the figure, relative to the data folder."),
        _MODEL,
    ),
    order_by=_READING_ORDER,
)

ERRORS = Table(
    "errors",
    "One row per failure that still stands, or part of a page left out.",
    ("document_id", "page_number", "stage", "error_type", "message"),
    (
        _DOCUMENT_ID,
        _optional("page_number", "INTEGER", "Page, from 1; missing: the whole document."),
        Column("stage", "VARCHAR", "Stage of the pipeline that failed."),
        Column("error_type", "VARCHAR", "Kind of failure."),
        Column("message", "VARCHAR", "What went wrong, where, and what to do."),
        Column("attempts", "INTEGER", "Tries within the run."),
        Column(
            "assets", "VARCHAR[]", "Assets that it was recorded for; committing them clears it."
        ),
        Column("is_fatal", "BOOLEAN", "True when it kept the document from being parsed."),
        _RUN_ID,
        _AT,
    ),
)

ASSET_STATE = Table(
    "asset_state",
    "One row per committed asset of a document, written with its rows.",
    ("document_id", "asset"),
    (
        _DOCUMENT_ID,
        Column("asset", "VARCHAR", f"One of {', '.join(ASSETS)}."),
        Column("version", "VARCHAR", "Code version that made the rows."),
        Column(
            "input_versions",
            "MAP(VARCHAR, VARCHAR)",
            "Data version of what the rows were made from; of source it is the sha256.",
        ),
        Column("data_version", "VARCHAR", "Hash of the content of the rows."),
        Column("rows", "BIGINT", "Number of rows."),
        Column("pages", "VARCHAR", "Page numbers covered, as in 1-5,8."),
        _RUN_ID,
        _AT,
    ),
)

PAGE_TIMINGS = Table(
    "page_timings",
    "One row per page and stage: what it took.",
    ("document_id", "page_number", "stage"),
    (
        _DOCUMENT_ID,
        _PAGE_NUMBER,
        Column("stage", "VARCHAR", "Stage of the pipeline."),
        Column("seconds", "DOUBLE", "Time, the page's share of the batches it was part of."),
        Column("batch_size", "INTEGER", "Size of the batch."),
        Column("device", "VARCHAR", "Device that it ran on."),
        _RUN_ID,
    ),
)

SEARCH_BLOCKS = Table(
    "search_blocks",
    "One row per text block, table or figure with words; see the macro search.",
    _REGION_KEY,
    (*_REGION, Column("words", "INTEGER", "Words of its text.")),
)

SEARCH_TERMS = Table(
    "search_terms",
    "One row per different word of a text block, table or figure, folded as search compares it.",
    (*_REGION_KEY, "term"),
    (
        *_REGION,
        Column("term", "VARCHAR", "Small letters without accents; pairs of CJK characters."),
        Column("occurrences", "BIGINT", "How often the word stands there."),
    ),
)

CURRENT_VERSIONS = Table(
    "current_versions",
    "Code versions that are current: what a stale row differs from.",
    ("asset",),
    (
        Column("asset", "VARCHAR", f"One of {', '.join(ASSETS)}."),
        Column("version", "VARCHAR", "Its code version today."),
    ),
)

FORGOTTEN = Table(
    "forgotten",
    "One row per document that was forgotten: its file is not taken up again unless asked for.",
    ("sha256",),
    (
        Column("sha256", "VARCHAR", "Hash of the PDF's bytes, hexadecimal; nothing else is kept."),
        Column("forgotten_at", "TIMESTAMP", "When it was forgotten, UTC."),
    ),
)

SCHEMA_VERSIONS = Table(
    "schema_version",
    "Versions of the schema that this file went through; the highest is the present one.",
    ("version",),
    (
        Column("version", "INTEGER", "Version of the schema."),
        Column("at", "TIMESTAMP", "When the file came to it, UTC."),
    ),
)

ASSET_TABLES = {table.name: table for table in (PAGES, LAYOUTS, TEXT, TABLES, FIGURES)}

_STAGED_ASSET = Column("asset", "VARCHAR", "Asset that the page was finished for.")
_STAGED_VERSION = Column(
    "version", "VARCHAR", "Code version of the asset, hashed with what it was made from."
)
_STAGED_KEY = ("document_id", "asset", "version", "page_number")


def _staged(table: Table) -> Table:
    return Table(
        f"staging.{table.name}",
        f"Rows of {table.name} that are not committed yet.",
        (*table.key, "version"),
        (_STAGED_VERSION, *table.columns),
    )


_HEADER = ("document_id", "page_count", "title", "author", "producer", "attachments")
"""Columns of documents that opening the file tells."""

STAGED_DOCUMENTS = Table(
    "staging.documents",
    "What the header of a document in work says.",
    ("document_id",),
    tuple(column for column in DOCUMENTS.columns if column.name in _HEADER),
)
FINISHED = Table(
    "staging.finished",
    "One row per page that is through for an asset, with or without rows.",
    _STAGED_KEY,
    (
        _DOCUMENT_ID,
        _STAGED_ASSET,
        _STAGED_VERSION,
        _PAGE_NUMBER,
        Column("page_width", "DOUBLE", "Width as displayed, points."),
        Column("page_height", "DOUBLE", "Height as displayed, points."),
        _RUN_ID,
        _AT,
    ),
)
STAGED_ERRORS = Table(
    "staging.errors",
    "Failures of pages that are not committed yet, once per asset concerned.",
    (*_STAGED_KEY, "stage", "error_type", "message"),
    (
        _STAGED_ASSET,
        _STAGED_VERSION,
        *(column for column in ERRORS.columns if column.name not in ("assets", "is_fatal")),
    ),
)
STAGED_TIMINGS = Table(
    "staging.page_timings",
    "Timings of pages that are not committed yet.",
    (*_STAGED_KEY, "stage"),
    (_STAGED_ASSET, _STAGED_VERSION, *PAGE_TIMINGS.columns),
)

STAGED_BY_ASSET = (FINISHED, STAGED_ERRORS, STAGED_TIMINGS)
"""Staging tables that have an ``asset`` column, apart from the five of the assets."""

MAIN_TABLES = (
    SCHEMA_VERSIONS,
    DOCUMENTS,
    SOURCES,
    *(ASSET_TABLES[asset] for asset in ASSETS),
    ERRORS,
    ASSET_STATE,
    PAGE_TIMINGS,
    SEARCH_BLOCKS,
    SEARCH_TERMS,
    CURRENT_VERSIONS,
    FORGOTTEN,
)

STAGING_TABLES = (
    STAGED_DOCUMENTS,
    *(_staged(ASSET_TABLES[asset]) for asset in ASSETS),
    *STAGED_BY_ASSET,
)


def create_schema(conn: "duckdb.DuckDBPyConnection") -> None:
    """Make all tables and views in an empty database; the caller owns the transaction."""
    create_tables(conn, MAIN_TABLES)
    create_staging(conn)
    create_views(conn)


def create_staging(conn: "duckdb.DuckDBPyConnection") -> None:
    """Make the staging schema, which is not there, and its tables."""
    conn.execute("CREATE SCHEMA staging")
    create_tables(conn, STAGING_TABLES)


def create_views(conn: "duckdb.DuckDBPyConnection") -> None:
    """Make or replace all views and macros with their comments."""
    for macro in MACROS:
        conn.execute(macro.sql)
        conn.execute(f"COMMENT ON MACRO TABLE {macro.name} IS {quoted(macro.comment)}")
    for view in VIEWS:
        conn.execute(f"CREATE OR REPLACE VIEW {view.name} AS {view.sql}")
        conn.execute(f"COMMENT ON VIEW {view.name} IS {quoted(view.comment)}")
        for name, comment in view.columns.items():
            conn.execute(f"COMMENT ON COLUMN {view.name}.{name} IS {quoted(comment)}")


def create_tables(conn: "duckdb.DuckDBPyConnection", tables: Sequence[Table]) -> None:
    """Make tables, which are not there, with their comments."""
    for table in tables:
        conn.execute(table.ddl)
    comment_on(conn, tables)


def comment_on(conn: "duckdb.DuckDBPyConnection", tables: Iterable[Table]) -> None:
    """Write or renew the comments of tables that are there."""
    for table in tables:
        for statement in table.comments():
            conn.execute(statement)
