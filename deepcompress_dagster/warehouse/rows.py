"""Records to rows and back: the columns of schema.py by name."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from deepcompress_dagster.records import (
    BBox,
    Figure,
    Label,
    Page,
    PageError,
    PageResult,
    Region,
    Table,
    TableCell,
    TextBlock,
    TextLine,
    TextStyle,
)
from deepcompress_dagster.warehouse.arrow import Row
from deepcompress_dagster.warehouse.schema import ASSET_TABLES


def asset_rows(asset: str, result: PageResult) -> list[Row]:
    """The rows of one asset of one page, each key once.

    Two boxes that round to the same whole points are one region by its identity; the first in
    reading order stays. An asset that the result does not carry has no rows.
    """
    unique: dict[tuple[Any, ...], Row] = {}
    for row in sorted(_ROWS[asset](result), key=lambda row: row.get("reading_order", 0)):
        named = {"document_id": result.document_id, **row}
        unique.setdefault(tuple(named[name] for name in ASSET_TABLES[asset].key), named)
    return list(unique.values())


def error_row(error: PageError) -> dict[str, Any]:
    """The columns of an error that do not depend on who records it."""
    return {
        "document_id": error.document_id,
        "page_number": error.page_number,
        "stage": error.stage,
        "error_type": error.error_type,
        "message": error.message,
        "attempts": error.attempts,
    }


def region(row: Mapping[str, Any]) -> Region:
    """A row of ``layouts`` as the record that it was."""
    return Region(
        page_number=row["page_number"],
        region_id=row["region_id"],
        label=Label(row["label"]),
        bbox=BBox(row["x0"], row["y0"], row["x1"], row["y1"]),
        score=row["score"],
        reading_order=row["reading_order"],
        model=row["model"],
    )


def _page(page: Page) -> Row:
    return {
        "page_number": page.page_number,
        "width": page.width,
        "height": page.height,
        "rotation": page.rotation,
        "dpi": page.dpi,
        "pixel_width": page.pixel_width,
        "pixel_height": page.pixel_height,
        "image_path": page.image_path,
        "has_text_layer": page.has_text_layer,
        "status": page.status.value,
        "error": page.error,
        "hidden_text_share": page.hidden_text_share,
        "label": page.label,
        "fields": [
            {
                "name": field.name,
                "kind": field.kind,
                "value": field.value,
                "checked": field.checked,
                "label": field.label,
                **_box(field.bbox),
            }
            for field in page.fields
        ],
        "annotations": [
            {
                "kind": note.kind,
                "text": note.text,
                "marked_text": note.marked_text,
                "author": note.author,
                **_box(note.bbox),
            }
            for note in page.annotations
        ],
        "links": [
            {
                "kind": link.kind,
                "target": link.target,
                "target_page": link.target_page,
                "text": link.text,
                **_box(link.bbox),
            }
            for link in page.links
        ],
    }


def _region(region: Region) -> Row:
    return {
        **_place(region),
        "label": region.label.value,
        "score": region.score,
        "model": region.model,
    }


def _text_block(block: TextBlock) -> Row:
    return {
        **_place(block),
        "label": block.label.value,
        "heading_level": block.heading_level,
        "content": block.content,
        "source": block.source.value,
        "confidence": block.confidence,
        "lines": [_line(line) for line in block.lines],
        "model": block.model,
        "font_size": block.font_size,
        "bold": block.bold,
        "monospace": block.monospace,
    }


def _table(table: Table) -> Row:
    return {
        **_place(table),
        "label": Label.TABLE.value,
        "n_rows": table.n_rows,
        "n_columns": table.n_columns,
        "cells": [_cell(cell) for cell in table.cells],
        "html": table.html,
        "markdown": table.markdown,
        "caption": table.caption,
        "confidence": table.confidence,
        "model": table.model,
    }


def _figure(figure: Figure) -> Row:
    data = figure.data
    return {
        **_place(figure),
        "label": Label.PICTURE.value,
        "kind": str(figure.kind),
        "caption": figure.caption,
        "inner_text": figure.inner_text,
        "data": data
        and {"columns": data.columns, "rows": data.rows, "confidence": data.confidence},
        "image_path": figure.image_path,
        "model": figure.model,
    }


def _place(item: Region | TextBlock | Table | Figure) -> dict[str, Any]:
    return {
        "page_number": item.page_number,
        "region_id": item.region_id,
        **_box(item.bbox),
        "reading_order": item.reading_order,
    }


def _line(line: TextLine) -> Row:
    return {
        "text": line.text,
        **_box(line.bbox),
        "confidence": line.confidence,
        "style": line.style and _style(line.style),
    }


def _style(style: TextStyle) -> Row:
    return {
        "font": style.font,
        "size": style.size,
        "bold": style.bold,
        "italic": style.italic,
        "monospace": style.monospace,
        "color": style.color,
    }


def _cell(cell: TableCell) -> Row:
    return {
        "row": cell.row,
        "column": cell.column,
        "row_span": cell.row_span,
        "column_span": cell.column_span,
        "is_header": cell.is_header,
        "text": cell.text,
        "box": cell.bbox and _box(cell.bbox),
    }


def _box(bbox: BBox) -> dict[str, float]:
    return {"x0": bbox.x0, "y0": bbox.y0, "x1": bbox.x1, "y1": bbox.y1}


_ROWS: Mapping[str, Callable[[PageResult], Iterable[Row]]] = {
    "pages": lambda result: [_page(result.page)],
    "layouts": lambda result: [_region(item) for item in result.layouts or ()],
    "text": lambda result: [_text_block(item) for item in result.text or ()],
    "tables": lambda result: [_table(item) for item in result.tables or ()],
    "figures": lambda result: [_figure(item) for item in result.figures or ()],
}
