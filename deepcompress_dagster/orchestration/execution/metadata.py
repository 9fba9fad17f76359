"""What the UI shows of an asset: its columns, its source code, and figures about each document."""

import html
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

import dagster as dg

from deepcompress_dagster.asset_graph import GRAPH, STAGE_ASSET
from deepcompress_dagster.viewer import addresses

if TYPE_CHECKING:
    from deepcompress_dagster.hosts.host import HostUsage
    from deepcompress_dagster.warehouse.types import AssetState, DocumentSummary

LONGEST_PREVIEW = 2000
"""Characters of a document that are shown; Dagster keeps them in every event."""

LONGEST_CELL = 80

PICTURED = frozenset({"layouts", "tables"})
"""Assets whose materializations show a small page with what was found on it."""

_MARKDOWN_SIGNS = re.compile(r"([\\`*_{}\[\]()#+\-.!|~>:/@])")


@cache
def source_link() -> str | None:
    """Where the source code is, as the installed package states it."""
    try:
        urls = metadata.metadata("deepcompress-dagster").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return None
    named = dict(url.split(", ", 1) for url in urls)
    return named.get("Source") or named.get("Repository")


def description(asset: str) -> str:
    """The text that stands beside an asset, with the way to the source that AGPL-3.0 asks for."""
    link = source_link()
    source = f"[Source code]({link})" if link else "Source code: see the code references"
    return f"{GRAPH[asset].description}\n\n{source}, AGPL-3.0-or-later."


def asset_metadata(asset: str, function: Callable[..., object]) -> dict[str, object]:
    """What an asset's definition carries: table, columns, and where ``function`` makes it."""
    return {
        "dagster/table_name": f"main.{asset}",
        "dagster/column_schema": column_schema(asset),
        "dagster/code_references": code_references(function),
    }


def column_schema(asset: str) -> dg.TableSchema:
    """The columns of an asset's table, as the warehouse creates it."""
    from deepcompress_dagster.warehouse.schema import ASSET_TABLES

    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=column.comment,
                constraints=dg.TableColumnConstraints(nullable=not column.not_null),
            )
            for column in ASSET_TABLES[asset].columns
        ]
    )


def code_references(function: Callable[..., object]) -> dg.CodeReferencesMetadataValue:
    """Points to where ``function`` is defined."""
    code = function.__code__
    return dg.CodeReferencesMetadataValue(
        code_references=[
            dg.LocalFileCodeReference(file_path=code.co_filename, line_number=code.co_firstlineno)
        ]
    )


def document_metadata(
    state: "AssetState",
    summary: "DocumentSummary",
    first_table: Sequence[Sequence[str]],
    usage: "HostUsage | None",
    viewer: str = "",
) -> dict[str, dg.MetadataValue]:
    """What a materialization says of its document.

    ``usage`` is that of its run; ``viewer`` is the viewer's address, if there is one.
    """
    seconds = {
        stage: round(value, 3)
        for stage, value in summary.seconds.items()
        if STAGE_ASSET.get(stage) == state.asset
    }
    pages = max(1, summary.pages)
    shown: dict[str, dg.MetadataValue] = {
        "dagster/partition_row_count": dg.MetadataValue.int(state.rows),
        "rows": dg.MetadataValue.int(state.rows),
        "pages": dg.MetadataValue.int(summary.pages),
        "file": dg.MetadataValue.text(summary.file_name),
        "status": dg.MetadataValue.text(summary.status.value),
        "seconds per page": dg.MetadataValue.float(round(sum(seconds.values()) / pages, 4)),
        "seconds by stage": dg.MetadataValue.json(seconds),
    }
    if usage is not None:
        shown["parsed on"] = dg.MetadataValue.text(usage.place)
        shown["model loads"] = dg.MetadataValue.json(dict(usage.loads))
        shown["model load seconds"] = dg.MetadataValue.json(
            {name: round(seconds, 2) for name, seconds in usage.load_seconds.items()}
        )
        shown["model hits"] = dg.MetadataValue.json(dict(usage.hits))
    if state.asset == "text":
        shown["preview"] = dg.MetadataValue.md(boxed(summary.markdown[:LONGEST_PREVIEW]))
        if summary.mean_confidence is not None:
            shown["mean confidence"] = dg.MetadataValue.float(round(summary.mean_confidence, 4))
    if state.asset == "tables" and first_table:
        shown["first table"] = dg.MetadataValue.md(table_markdown(first_table))
    return shown | (_viewer_metadata(state, viewer) if viewer else {})


def _viewer_metadata(state: "AssetState", viewer: str) -> dict[str, dg.MetadataValue]:
    """A link to the document's page in the viewer, and a small picture of it."""
    page = addresses.document(viewer, state.document_id, asset=state.asset)
    shown: dict[str, dg.MetadataValue] = {"viewer": dg.MetadataValue.url(page)}
    if state.asset in PICTURED and state.rows:
        picture = addresses.thumbnail(viewer, state.document_id, state.asset)
        shown["page"] = dg.MetadataValue.md(f"[![page]({picture})]({page})")
    return shown


def boxed(text: str) -> str:
    """``text`` as a code block that it cannot leave: longer fence than any inside it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text}\n{fence}"


def table_markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length as a Markdown table in which the texts are nothing but text."""
    if not rows:
        return ""
    lines = ["| " + " | ".join(literal(cell) for cell in row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + " --- |" * len(rows[0]), *lines[1:]])


def literal(text: str) -> str:
    """``text`` on one line, with every sign that means something to Markdown or HTML escaped."""
    line = " ".join(text.split())[:LONGEST_CELL]
    return _MARKDOWN_SIGNS.sub(r"\\\1", html.escape(line, quote=False))
