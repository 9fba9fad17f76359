import dagster as dg
import pytest
from markdown_it import MarkdownIt

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.orchestration.execution import metadata

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](http://evil.example/pixel.png)",
    "https://evil.example",
    "| a | b |\n| - | - |",
    "```\n</code></pre><b>out</b>\n```",
    "~~~~\n# heading",
    "&lt;b&gt; &amp; `code`",
    "a\n\n# heading\n\n- item",
    "\\",
    "````` five",
]


def html_of(markdown: str) -> str:
    return (
        MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table").render(markdown)
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_a_previewed_text_stays_inside_its_box(text: str) -> None:
    html = html_of(metadata.boxed(text) + "\n\nafter")
    inside, after = html.split("</code></pre>")
    assert after.strip() == "<p>after</p>"
    assert inside.count("<") == 2, "nothing but <pre><code>"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_cell_shows_its_text_and_nothing_else(text: str) -> None:
    html = html_of(metadata.table_markdown([["head"], [text]]))
    cell = html.split("<td>")[1].split("</td>")[0]
    assert "<" not in cell
    assert html.count("<td>") == 1


def test_a_table_is_shown_with_its_first_row_as_head() -> None:
    assert metadata.table_markdown([["Year", "Sum"], ["2024", "1 | 2"]]) == (
        "| Year | Sum |\n| --- | --- |\n| 2024 | 1 \\| 2 |"
    )
    assert metadata.table_markdown([]) == ""


@pytest.mark.parametrize("asset", ASSETS)
def test_every_asset_shows_the_columns_that_the_warehouse_creates(asset: str) -> None:
    columns = metadata.column_schema(asset).columns
    assert columns[0].name == "document_id"
    assert all(column.description for column in columns)


def test_the_description_leads_to_the_source() -> None:
    assert "AGPL-3.0" in metadata.description("text")
    assert "ource" in metadata.description("text")


def test_code_references_point_to_the_function() -> None:
    reference = metadata.code_references(html_of).code_references[0]
    assert isinstance(reference, dg.LocalFileCodeReference)
    assert reference.file_path == __file__
