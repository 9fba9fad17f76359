from collections.abc import Iterator

import duckdb
import pytest

from deepcompress_dagster.warehouse.schema import (
    MAIN_TABLES,
    STAGING_TABLES,
    Table,
    create_schema,
)
from deepcompress_dagster.warehouse.views import VIEWS, View

PROMISED = {
    "documents": "document_id sha256 file_name bytes page_count title author producer status error "
    "is_current superseded_by first_seen_at processed_at grade",
    "sources": "path document_id bytes mtime_ns inode seen_at present",
    "pages": "document_id page_number width height rotation dpi pixel_width pixel_height "
    "image_path has_text_layer status error",
    "layouts": "document_id page_number region_id label x0 y0 x1 y1 score reading_order model",
    "text": "document_id page_number region_id label x0 y0 x1 y1 reading_order heading_level "
    "content source confidence lines model font_size bold join_previous",
    "tables": "document_id page_number region_id label x0 y0 x1 y1 reading_order n_rows n_columns "
    "cells html markdown caption confidence model",
    "figures": "document_id page_number region_id label x0 y0 x1 y1 reading_order kind caption "
    "inner_text data image_path model",
    "errors": "document_id page_number stage error_type message attempts run_id at",
    "asset_state": "document_id asset version input_versions data_version rows run_id at",
    "page_timings": "document_id page_number stage seconds batch_size device run_id",
    "blocks": "document_id page_number reading_order content is_stale",
    "document_markdown": "document_id markdown",
    "table_cells": "document_id page_number region_id text",
    "page_status": "document_id page_number status",
    "page_quality": "document_id page_number quality",
    "live_pages": "document_id page_number status",
    "live_blocks": "document_id page_number reading_order content",
    "stale_partitions": "document_id asset",
}


@pytest.fixture
def conn() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as conn:
        create_schema(conn)
        yield conn


@pytest.mark.parametrize("name", PROMISED)
def test_tables_and_views_have_the_columns_that_people_are_told_of(
    conn: duckdb.DuckDBPyConnection, name: str
) -> None:
    found = {row[0] for row in conn.execute(f"DESCRIBE FROM {name}").fetchall()}
    assert set(PROMISED[name].split()) <= found


def test_every_table_view_and_column_has_a_comment(conn: duckdb.DuckDBPyConnection) -> None:
    for kind, names in (
        ("columns", "table_name, column_name"),
        ("tables", "table_name"),
        ("views", "view_name"),
    ):
        bare = conn.execute(
            f"SELECT {names} FROM duckdb_{kind}() WHERE NOT internal AND comment IS NULL"
        ).fetchall()
        assert bare == [], kind


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_has_the_columns_that_it_comments_on_in_order(
    conn: duckdb.DuckDBPyConnection, view: View
) -> None:
    described = conn.execute(f"DESCRIBE {view.name}").fetchall()
    assert [row[0] for row in described] == list(view.columns)


@pytest.mark.parametrize("table", [*MAIN_TABLES, *STAGING_TABLES], ids=lambda table: table.name)
def test_a_key_is_made_of_columns_of_its_table(table: Table) -> None:
    assert set(table.key) <= {column.name for column in table.columns}
