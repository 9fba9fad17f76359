"""What a language model is answered, through the protocol's own client."""

import asyncio
from typing import Any

import pytest

from deepcompress_dagster.settings import Settings
from tests.viewer.conftest import Shown

mcp = pytest.importorskip("mcp", reason="needs the extra mcp")


def asked(parsed: Shown, tool: str, **arguments: object) -> Any:
    from deepcompress_dagster.mcp_server import create_server

    async def ask() -> Any:
        server = create_server(parsed.warehouse, Settings(_env_file=None, viewer_url="https://v"))
        async with mcp.Client(server) as client:
            return await client.call_tool(tool, arguments)

    return asyncio.run(ask())


def test_a_search_is_answered_with_a_citation_that_the_viewer_opens(parsed: Shown) -> None:
    (hit,) = asked(parsed, "search", words="oats").structured_content["result"]

    assert hit["kind"] == "table"
    cited = hit["citation"]
    assert (cited["document_id"], cited["file"], cited["page"]) == (parsed.report, "report.pdf", 1)
    assert cited["link"] == (
        f"https://v/documents/{parsed.report}/pages/1?region={cited['region_id']}"
    )


def test_the_table_that_was_found_is_given_cell_by_cell(parsed: Shown) -> None:
    (hit,) = asked(parsed, "search", words="oats").structured_content["result"]
    place = {"document_id": parsed.report, "page_number": 1}

    table = asked(parsed, "get_table", region_id=hit["citation"]["region_id"], **place)
    page = asked(parsed, "read_page", **place)

    assert table.structured_content["rows"][1] == ["oats", "12"]
    assert [block["kind"] for block in page.structured_content["blocks"]] == [
        "text",
        "table",
        "figure",
    ]


def test_a_query_reads_and_can_do_nothing_else(parsed: Shown) -> None:
    answer = asked(parsed, "query", sql="SELECT count(*) n, max(first_seen_at) FROM documents")
    refused = asked(parsed, "query", sql="DELETE FROM pages")

    assert answer.structured_content["rows"][0]["n"] == 2
    assert answer.structured_content["citation"]["snapshot"].endswith(".duckdb")
    assert refused.is_error
    assert "read-only" in refused.content[0].text


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("read_page", {"document_id": "none", "page_number": 1}, "no document none is known"),
        ("query", {"sql": "SELECT nothing_here"}, "nothing_here"),
    ],
)
def test_what_cannot_be_answered_is_said(parsed: Shown, tool, arguments, message) -> None:
    answer = asked(parsed, tool, **arguments)

    assert answer.is_error
    assert message in answer.content[0].text
