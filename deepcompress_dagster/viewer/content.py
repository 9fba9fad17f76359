"""What the pages of the viewer show, read from the newest snapshot as plain records.

Boxes are PDF points on the page as displayed, origin at the top-left corner.

Not here: HTTP (app.py) and how it looks (templates/).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.records import DocumentStatus

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse import Warehouse
    from deepcompress_dagster.warehouse.full_text import Hit

DOCUMENTS_PER_PAGE = 100
"""Documents in one listing."""

HITS_SHOWN = 50
"""Results of one search."""

ERRORS_SHOWN = 20
"""Failures that the listing shows of one document; the others are on their pages."""

_DOCUMENTS = """
SELECT d.document_id, d.file_name, d.status, d.error, d.page_count, d.bytes, d.processed_at,
    d.title,
    (SELECT count(*) FROM tables t WHERE t.document_id = d.document_id) AS tables,
    (SELECT count(*) FROM errors e WHERE e.document_id = d.document_id) AS failures,
    (SELECT list({'page_number': e.page_number, 'stage': e.stage, 'message': e.message}
            ORDER BY e.page_number NULLS FIRST, e.stage, e.message)[:$errors]
        FROM errors e WHERE e.document_id = d.document_id) AS errors
FROM documents d
WHERE d.is_current
    AND ($status = '' OR d.status = $status)
    AND ($name = '' OR contains(lower(d.file_name), lower($name)))
ORDER BY d.file_name, d.document_id LIMIT $limit OFFSET $offset
"""

_ONE_DOCUMENT = """
SELECT document_id, file_name, status, error, page_count, title,
    (SELECT min(page_number) FROM pages p WHERE p.document_id = d.document_id) AS first_page
FROM documents d WHERE document_id = $document_id
"""

_COUNTS = "SELECT status, count(*) AS n FROM documents WHERE is_current GROUP BY status"

_PAGE = """
SELECT page_number, width, height, image_path, status, error, dpi, rotation, has_text_layer
FROM pages WHERE document_id = $document_id AND page_number = $page_number
"""

_TEXT = """
SELECT region_id, reading_order, label, x0, y0, x1, y1, model, 'text' AS kind, heading_level,
    content, source, confidence, monospace
FROM text WHERE document_id = $document_id AND page_number = $page_number
"""

_TABLES = """
SELECT region_id, reading_order, label, x0, y0, x1, y1, model, 'table' AS kind,
    caption AS content, cells, n_rows, n_columns, confidence
FROM tables WHERE document_id = $document_id AND page_number = $page_number
"""

_FIGURES = """
SELECT region_id, reading_order, label, x0, y0, x1, y1, model, 'figure' AS kind,
    inner_text AS content, kind AS figure_kind, data, image_path
FROM figures WHERE document_id = $document_id AND page_number = $page_number
"""

_ERRORS = """
SELECT page_number, stage, error_type, message FROM errors
WHERE document_id = $document_id AND ($page_number IS NULL OR page_number = $page_number
    OR page_number IS NULL)
ORDER BY page_number NULLS FIRST, stage, message
"""

_FIRST_PAGE = {
    asset: f"SELECT min(page_number) AS page FROM {asset} WHERE document_id = $document_id"  # noqa: S608
    for asset in ASSETS
}
"""By asset: the first page that has a row of it."""

Record = dict[str, Any]


class NotFoundError(LookupError):
    """There is no such document, page or image; the message says which."""


@dataclass(frozen=True)
class Listing:
    """Documents in order of name, a hundred at a time, and how many there are of each state."""

    documents: Sequence[Record]
    counts: dict[str, int]
    has_more: bool


@dataclass(frozen=True)
class PageView:
    """One page: the document it is of, the page's row, what was read on it, what failed."""

    document: Record
    page: Record
    blocks: Sequence["Block"]
    errors: Sequence[Record]

    @property
    def number(self) -> int:
        return int(self.page["page_number"])

    @property
    def last(self) -> int:
        return int(self.document["page_count"] or self.number)


@dataclass(frozen=True)
class Block:
    """One row of ``text``, ``tables`` or ``figures``; ``rows`` are a table's cells, row by row."""

    kind: str
    row: Record
    rows: Sequence[Sequence[Record]] = ()

    @property
    def facts(self) -> str:
        """Where the words come from, how sure they are, and which model said so."""
        confidence = self.row.get("confidence")
        parts = [
            self.row["label"].replace("_", " "),
            self.row.get("source", "").replace("_", " "),
            self.row.get("figure_kind", ""),
            "" if confidence is None else f"confidence {confidence:.2f}",
            self.row["model"],
        ]
        return ", ".join(filter(None, parts))


class Results:
    """The tables of one data folder, as the viewer shows them."""

    def __init__(self, warehouse: "Warehouse") -> None:
        self._warehouse = warehouse

    def listing(self, *, status: str = "", name: str = "", start: int = 0) -> Listing:
        """Documents whose status and file name fit, from ``start`` on."""
        found = self._rows(
            _DOCUMENTS,
            status=status,
            name=name,
            limit=DOCUMENTS_PER_PAGE + 1,
            offset=start,
            errors=ERRORS_SHOWN,
        )
        counts = {state.value: 0 for state in DocumentStatus}
        counts |= {row["status"]: row["n"] for row in self._rows(_COUNTS)}
        return Listing(found[:DOCUMENTS_PER_PAGE], counts, len(found) > DOCUMENTS_PER_PAGE)

    def search(self, words: str) -> "Sequence[Hit]":
        """The rows that answer ``words`` best."""
        return self._warehouse.search(words, limit=HITS_SHOWN)

    def document(self, document_id: str) -> Record:
        """One document with its failures; ``first_page`` is None without pages.

        Raises NotFoundError.
        """
        document = self._document(document_id)
        errors = self._rows(_ERRORS, document_id=document_id, page_number=None)
        document["errors"] = errors[:ERRORS_SHOWN]
        return document

    def page(self, document_id: str, page_number: int) -> PageView:
        """One page with all that was read on it. Raises NotFoundError."""
        document, page = self._page(document_id, page_number)
        place = {"document_id": document_id, "page_number": page_number}
        rows = [row for sql in (_TEXT, _TABLES, _FIGURES) for row in self._rows(sql, **place)]
        rows.sort(key=lambda row: (row["reading_order"], row["region_id"]))
        blocks = [Block(row["kind"], row, _by_row(row)) for row in rows]
        return PageView(document, page, blocks, self._rows(_ERRORS, **place))

    def first_page(self, document_id: str, asset: str) -> int:
        """The first page with a row of the asset, else the document's first.

        Raises NotFoundError.
        """
        document = self._document(document_id)
        found = self._rows(_FIRST_PAGE[asset], document_id=document_id) if asset in ASSETS else []
        number = found[0]["page"] if found else None
        if number is None and document["first_page"] is None:
            raise NotFoundError(f"{document['file_name']} has no pages in the tables")
        return int(number or document["first_page"])

    def page_image(self, document_id: str, page_number: int) -> Path:
        """File of a page's image. Raises NotFoundError."""
        _, page = self._page(document_id, page_number)
        return self._file(page["image_path"])

    def figure_image(self, document_id: str, page_number: int, region_id: str) -> Path:
        """File of a figure's crop. Raises NotFoundError."""
        place = {"document_id": document_id, "page_number": page_number}
        for row in self._rows(_FIGURES, **place):
            if row["region_id"] == region_id:
                return self._file(row["image_path"])
        raise NotFoundError(f"page {page_number} of {document_id} has no figure {region_id}")

    def _page(self, document_id: str, page_number: int) -> tuple[Record, Record]:
        """A document and the row of one of its pages. Raises NotFoundError."""
        document = self._document(document_id)
        pages = self._rows(_PAGE, document_id=document_id, page_number=page_number)
        if not pages:
            count = document["page_count"]
            raise NotFoundError(
                f"{document['file_name']} has no page {page_number} in the tables"
                f" ({f'it has {count} pages' if count else 'it was not parsed'})"
            )
        return document, pages[0]

    def _document(self, document_id: str) -> Record:
        found = self._rows(_ONE_DOCUMENT, document_id=document_id)
        if not found:
            raise NotFoundError(f"no document {document_id} is known")
        return found[0]

    def _file(self, stored: str | None) -> Path:
        """A file below the data folder by its stored name, which must not lead out of it."""
        images = self._warehouse.data_dir / "images"
        path = self._warehouse.data_dir / (stored or "")
        if not stored or not path.resolve().is_relative_to(images.resolve()) or not path.is_file():
            raise NotFoundError(f"the image {stored or ''} is not in the data folder".strip())
        return path

    def _rows(self, sql: str, **parameters: object) -> list[Record]:
        rows: list[Record] = self._warehouse.query(sql, parameters).to_pylist()
        return rows


def _by_row(table: Record) -> list[list[Record]]:
    rows: list[list[Record]] = [[] for _ in range(table.get("n_rows", 0))]
    for cell in sorted(table.get("cells", ()), key=lambda cell: (cell["row"], cell["column"])):
        rows[cell["row"]].append(cell)
    return rows
