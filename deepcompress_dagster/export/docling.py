"""A document as DoclingDocument, the JSON of docling-core, which many readers of documents take.

Boxes are those of the tables: points, origin at the top-left corner of the page as displayed.

Source of the form: docling_core.types.doc.DoclingDocument, version 1.3.0 of its schema, which later
releases read.
"""

import json
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from deepcompress_dagster.export.forms import File
from deepcompress_dagster.export.tabular import Ask
from deepcompress_dagster.records import FURNITURE, FigureKind, Label

VERSION = "1.3.0"

_HASH_BITS = 0xFFFFFFFFFFFFFFFF
"""Docling keeps the last 64 bits of the sha256."""

_POINTS_PER_INCH = 72.0

Row: TypeAlias = Mapping[str, Any]
Item: TypeAlias = dict[str, Any]

_OWN = "list_contains($ids, document_id)"

_PAGES = f"""
SELECT document_id, page_number, width, height, dpi FROM pages WHERE {_OWN}
ORDER BY document_id, page_number
"""

_BLOCKS = f"""
WITH rows AS (
    SELECT 'text' AS kind, document_id, page_number, reading_order, region_id, label,
        x0, y0, x1, y1, heading_level, content, monospace
    FROM text WHERE {_OWN}
    UNION ALL BY NAME
    SELECT 'table' AS kind, document_id, page_number, reading_order, region_id, label,
        x0, y0, x1, y1, caption, n_rows, n_columns, cells
    FROM tables WHERE {_OWN}
    UNION ALL BY NAME
    SELECT 'figure' AS kind, document_id, page_number, reading_order, region_id, label,
        x0, y0, x1, y1, caption, inner_text, data, image_path, kind AS figure_kind
    FROM figures WHERE {_OWN}
)
FROM rows ORDER BY document_id, page_number, reading_order, region_id
"""


def files(ask: Ask, documents: Sequence[Row]) -> Iterator[tuple[str, File]]:
    """One JSON file for each document that has pages."""
    ids = {"ids": [row["document_id"] for row in documents]}
    pages, blocks = _grouped(ask(_PAGES, ids)), _grouped(ask(_BLOCKS, ids))
    for row in documents:
        name = row["document_id"]
        if name in pages:
            said = document(row, pages[name], blocks.get(name, []))
            yield name, File(f"{name}.json", json.dumps(said, ensure_ascii=False).encode())


def document(row: Row, pages: Sequence[Row], blocks: Sequence[Row]) -> Item:
    """The DoclingDocument of a row of ``documents`` with its pages, and its blocks in order."""
    return _Builder(row, pages).with_blocks(blocks)


def _grouped(rows: Any) -> dict[str, list[Item]]:
    found: dict[str, list[Item]] = {}
    for row in rows.to_pylist():
        found.setdefault(row["document_id"], []).append(row)
    return found


class _Builder:
    """Items of a document, numbered as they come."""

    def __init__(self, row: Row, pages: Sequence[Row]) -> None:
        self._pages = {page["page_number"]: page for page in pages}
        self._document: Item = {
            "schema_name": "DoclingDocument",
            "version": VERSION,
            "name": Path(row["file_name"]).stem,
            "origin": {
                "mimetype": _mime_type(row["file_name"]),
                "binary_hash": int(row["sha256"], 16) & _HASH_BITS,
                "filename": row["file_name"],
            },
            "furniture": _root("furniture"),
            "body": _root("body"),
            "groups": [],
            "texts": [],
            "pictures": [],
            "tables": [],
            "key_value_items": [],
            "form_items": [],
            "pages": {
                str(number): {
                    "page_no": number,
                    "size": {"width": page["width"], "height": page["height"]},
                }
                for number, page in self._pages.items()
            },
        }

    def with_blocks(self, blocks: Sequence[Row]) -> Item:
        """The document with its blocks, list items that follow each other in a list of theirs."""
        captions: dict[tuple[int, str], str] = {}
        captioned: list[tuple[Item, tuple[int, str]]] = []
        group: Item | None = None
        for block in blocks:
            is_item = block["label"] == Label.LIST_ITEM and not block["monospace"]
            group = (group or self._list()) if is_item else None
            if block["kind"] == "text":
                item = self._text(block, group or self._document["body"])
                if block["label"] == Label.CAPTION:
                    captions[block["page_number"], block["content"]] = item["self_ref"]
                continue
            item = self._table(block) if block["kind"] == "table" else self._picture(block)
            captioned.append((item, (block["page_number"], block["caption"] or "")))
        for item, caption in captioned:
            item["captions"] = [{"$ref": captions[caption]}] if caption in captions else []
        return self._document

    def _add(self, kind: str, parent: Item, fields: Item) -> Item:
        items: list[Item] = self._document[kind]
        item: Item = {
            "self_ref": f"#/{kind}/{len(items)}",
            "parent": {"$ref": parent["self_ref"]},
            "children": [],
            "content_layer": "body",
            **fields,
        }
        items.append(item)
        parent["children"].append({"$ref": item["self_ref"]})
        return item

    def _list(self) -> Item:
        return self._add("groups", self._document["body"], {"name": "list", "label": "list"})

    def _text(self, block: Row, parent: Item) -> Item:
        content, label = block["content"], Label(block["label"])
        fields: Item = {
            "label": label.value,
            "content_layer": "furniture" if label in FURNITURE else "body",
            "prov": [_place(block, len(content))],
            "orig": content,
            "text": content,
        }
        if block["monospace"]:
            fields |= {"label": "code", "code_language": "unknown"}
        elif label is Label.SECTION_HEADER:
            fields["level"] = max(1, (block["heading_level"] or 2) - 1)
        elif label is Label.LIST_ITEM:
            fields |= {"enumerated": False, "marker": ""}
        elif label in (Label.DOCUMENT_INDEX, Label.WATERMARK, Label.LINE_NUMBERS):
            fields["label"] = "text"
        return self._add("texts", parent, fields)

    def _table(self, block: Row) -> Item:
        cells = [_cell(cell) for cell in block["cells"]]
        data = {
            "table_cells": cells,
            "num_rows": block["n_rows"],
            "num_cols": block["n_columns"],
        }
        return self._add(
            "tables",
            self._document["body"],
            {"label": "table", "prov": [_place(block)], "data": data},
        )

    def _picture(self, block: Row) -> Item:
        is_chart = block["figure_kind"] == FigureKind.CHART
        fields: Item = {
            "label": "chart" if is_chart else "picture",
            "prov": [_place(block)],
            "annotations": _chart_data(block),
        }
        if block["image_path"]:
            fields["image"] = self._image(block)
        picture = self._add("pictures", self._document["body"], fields)
        if inner := block["inner_text"]:
            place = _place(block, len(inner))
            said = {"label": "text", "prov": [place], "orig": inner, "text": inner}
            self._add("texts", picture, said)
        return picture

    def _image(self, block: Row) -> Item:
        dpi = self._pages[block["page_number"]]["dpi"]
        return {
            "mimetype": mimetypes.guess_type(block["image_path"])[0] or "image/jpeg",
            "dpi": round(dpi),
            "size": {
                "width": (block["x1"] - block["x0"]) * dpi / _POINTS_PER_INCH,
                "height": (block["y1"] - block["y0"]) * dpi / _POINTS_PER_INCH,
            },
            "uri": block["image_path"],
        }


_MIME_TYPES = {
    ".pdf": "application/pdf",
    ".epub": "application/epub+zip",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".webp": "image/webp",
    ".xps": "application/zip",
    ".oxps": "application/zip",
    ".cbz": "application/zip",
}
"""By suffix; the last three are archives, and Docling knows no other name for them."""


def _mime_type(file_name: str) -> str:
    return _MIME_TYPES.get(Path(file_name).suffix.lower(), "application/pdf")


def _root(name: str) -> Item:
    return {
        "self_ref": f"#/{name}",
        "children": [],
        "content_layer": name,
        "name": "_root_",
        "label": "unspecified",
    }


def _place(block: Row, characters: int = 0) -> Item:
    return {
        "page_no": block["page_number"],
        "bbox": _box(block),
        "charspan": [0, characters],
    }


def _box(box: Row) -> Item:
    return {
        "l": box["x0"],
        "t": box["y0"],
        "r": box["x1"],
        "b": box["y1"],
        "coord_origin": "TOPLEFT",
    }


def _cell(cell: Row) -> Item:
    row, column = cell["row"], cell["column"]
    return {
        **({"bbox": _box(cell["box"])} if cell["box"] else {}),
        "text": cell["text"],
        "row_span": cell["row_span"],
        "col_span": cell["column_span"],
        "start_row_offset_idx": row,
        "end_row_offset_idx": row + cell["row_span"],
        "start_col_offset_idx": column,
        "end_col_offset_idx": column + cell["column_span"],
        "column_header": cell["is_header"],
        "row_header": False,
        "row_section": False,
    }


def _chart_data(block: Row) -> list[Item]:
    """The numbers of a chart as a table, with its columns' names for a header."""
    data = block["data"]
    if not data or not data["columns"]:
        return []
    rows = [data["columns"], *data["rows"]]
    cells = [
        _cell(
            {
                "row": row,
                "column": column,
                "row_span": 1,
                "column_span": 1,
                "text": text,
                "is_header": row == 0,
                "box": None,
            }
        )
        for row, texts in enumerate(rows)
        for column, text in enumerate(texts)
    ]
    table = {"table_cells": cells, "num_rows": len(rows), "num_cols": len(data["columns"])}
    return [{"kind": "tabular_chart_data", "title": block["caption"] or "", "chart_data": table}]
