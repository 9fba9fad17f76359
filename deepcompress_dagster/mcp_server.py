"""The tables for language models: an MCP server with four read-only tools.

What belongs here: what a model may ask and how an answer is cited. What does not: search and
queries themselves, which the warehouse answers. Needs the extra ``mcp``.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from deepcompress_dagster.settings import Settings
from deepcompress_dagster.viewer import addresses
from deepcompress_dagster.viewer.content import Block, NotFoundError, Results
from deepcompress_dagster.warehouse import WarehouseError

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse import Warehouse

ROWS_SHOWN = 200
"""Rows of a query's answer; a model's context is small, and it can ask for the others."""

INSTRUCTIONS = (
    "Text, tables and figures of PDF documents. Find rows with search, read their page with"
    " read_page, a table's cells with get_table, count and join with query (DuckDB SQL; its schema:"
    " SELECT table_name, column_name, comment FROM duckdb_columns()). Cite document, page and box"
    " (PDF points from the page's top-left corner)."
)

Answer = dict[str, Any]


def create_server(warehouse: "Warehouse", settings: Settings) -> MCPServer:
    """The server over one data folder."""
    tools = Tools(warehouse, settings.viewer_address)
    server = MCPServer("deepcompress", instructions=INSTRUCTIONS)
    for tool in (tools.search, tools.read_page, tools.get_table, tools.query):
        server.tool()(tool)
    return server


class Tools:
    """What a model may ask; each answer says where it stands."""

    def __init__(self, warehouse: "Warehouse", viewer: str) -> None:
        self._warehouse = warehouse
        self._results = Results(warehouse)
        self._viewer = viewer

    def search(
        self, words: str, documents: list[str] | None = None, limit: int = 10
    ) -> list[Answer]:
        """The best rows for some words, of all documents or of those named by id."""
        with _told():
            hits = self._warehouse.search(words, documents=documents or (), limit=limit)
        return [
            {
                "text": hit.snippet,
                "kind": hit.kind,
                "score": hit.score,
                "citation": self._citation(
                    hit.document_id,
                    hit.file_name,
                    hit.page_number,
                    hit.region_id,
                    (hit.x0, hit.y0, hit.x1, hit.y1),
                ),
            }
            for hit in hits
        ]

    def read_page(self, document_id: str, page_number: int) -> Answer:
        """Everything that was read on a page, in reading order."""
        with _told():
            view = self._results.page(document_id, page_number)
        return {
            "file": view.document["file_name"],
            "pages": view.last,
            "blocks": [self._block(view.document, view.number, block) for block in view.blocks],
            "problems": [error["message"] for error in view.errors],
        }

    def get_table(self, document_id: str, page_number: int, region_id: str) -> Answer:
        """The cells of a table, row by row, with its caption and confidence."""
        with _told():
            view = self._results.page(document_id, page_number)
        for block in view.blocks:
            if block.kind == "table" and block.row["region_id"] == region_id:
                return {
                    **self._block(view.document, view.number, block),
                    "rows": [[cell["text"] for cell in row] for row in block.rows],
                    "confidence": block.row["confidence"],
                }
        raise ToolError(f"page {page_number} of {document_id} has no table {region_id}")

    def query(self, sql: str) -> Answer:
        """The answer to one read-only DuckDB query over the tables and views."""
        with _told():
            found = self._warehouse.query(sql)
        rows = found.slice(0, ROWS_SHOWN).to_pylist()
        return {
            # Dates and the like as text: an answer is JSON.
            "rows": json.loads(json.dumps(rows, default=str)),
            "rows_in_all": found.num_rows,
            "citation": {"sql": sql, "snapshot": self._warehouse.snapshot_path.name},
        }

    def _block(self, document: Answer, page_number: int, block: Block) -> Answer:
        row = block.row
        box = (row["x0"], row["y0"], row["x1"], row["y1"])
        place = (document["document_id"], document["file_name"], page_number, row["region_id"])
        return {
            "kind": block.kind,
            "label": row["label"],
            "text": row["content"],
            "region_id": row["region_id"],
            "citation": self._citation(*place, box),
        }

    def _citation(
        self,
        document_id: str,
        file_name: str,
        page_number: int,
        region_id: str,
        box: tuple[float, float, float, float],
    ) -> Answer:
        cited: Answer = {
            "document_id": document_id,
            "file": file_name,
            "page": page_number,
            "region_id": region_id,
            "box": list(box),
        }
        if self._viewer:
            cited["link"] = addresses.region(self._viewer, document_id, page_number, region_id)
        return cited


@contextmanager
def _told() -> Iterator[None]:
    """What a model can do better, as an error that it is shown."""
    try:
        yield
    except (WarehouseError, NotFoundError) as error:
        raise ToolError(str(error)) from error
