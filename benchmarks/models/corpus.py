"""The documents that are compared on: rendered on demand, with their ground truth."""

import importlib.util
import json
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import pymupdf

from benchmarks.quality import as_pdf
from deepcompress_dagster.pdf.client import PdfClient
from deepcompress_dagster.pdf.messages import PageContent
from deepcompress_dagster.pipeline.page_view import PageView, upright_view
from deepcompress_dagster.records import (
    BBox,
)
from deepcompress_dagster.settings import load_settings

Record = Mapping[str, Any]


LABELS = "figure-kinds.json"
"""File in CORPUS with figures labelled by eye: a list of document, page, bbox (points) and kind."""


class Corpus:
    """The documents of a folder, rendered on demand. A context manager: it owns a worker process.

    ``limit`` is the number of documents that a comparison takes of each family, ``labels`` the file
    of labelled figures.
    """

    def __init__(self, folder: Path, work: Path, limit: int, labels: Path) -> None:
        self.folder = folder
        self.limit = limit
        self.labels = labels
        self.settings = load_settings(data_dir=work)
        self._work = work
        self.manifest: list[Record] = json.loads((folder / "manifest.json").read_text())[
            "documents"
        ]
        self._workers = PdfClient(
            workers=1, timeout_s=60, memory_mb=4096, max_pages=1000, buffer_dir=work
        )

    def __enter__(self) -> "Corpus":
        return self

    def __exit__(self, *_: object) -> None:
        self._workers.close()

    def records(self, *categories: str) -> list[Record]:
        """At most ``limit`` documents of each family of these categories, in the given order."""
        families: dict[tuple[str, str], list[Record]] = defaultdict(list)
        for record in self.manifest:
            family = record.get("family") or record["category"]
            families[record["category"], family].append(record)
        return [
            record
            for category in categories
            for (found, _), members in families.items()
            if found == category
            for record in members[: self.limit]
        ]

    def truth(self, record: Record, kind: str) -> Any:
        """The ground truth of a document: parsed JSON, or text; None where it has none."""
        files = [truth["file"] for truth in record.get("gt", []) if truth["kind"] == kind]
        if not files:
            return None
        text = (self.folder / files[0]).read_text(encoding="utf-8")
        return json.loads(text) if files[0].endswith(".json") else text

    def pdf(self, record: Record) -> Path:
        """The document as a PDF; images are wrapped."""
        target = self._work / f"{record['id']}.pdf"
        return target if target.exists() else as_pdf(self._source(record), record["id"], self._work)

    def is_pdf(self, record: Record) -> bool:
        return self._source(record).suffix.lower() == ".pdf"

    def _source(self, record: Record) -> Path:
        return self.folder / str(record["file"])

    def page(self, record: Record, number: int, dpi: float | None = None) -> PageView:
        """A page as the pipeline sees it, taken to be upright."""
        dpi = dpi or self.settings.dpi
        with self._workers.render(
            self.pdf(record),
            number,
            dpi=dpi,
            max_pixels=self.settings.max_page_pixels,
            image_path=None,
            jpeg_quality=80,
        ) as rendered:
            return upright_view(rendered.content, rendered.pixels.copy(), turn=0)

    @cached_property
    def scorer(self) -> ModuleType:
        """The corpus's ``score.py``. Raises ImportError where its requirements are missing."""
        spec = importlib.util.spec_from_file_location("score", self.folder / "score.py")
        if spec is None or spec.loader is None:
            raise ImportError(f"there is no score.py in {self.folder}")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def whole_page(content: PageContent) -> BBox:
    return BBox(0, 0, content.width, content.height)


def known_box(corpus: Corpus, record: Record, table: Mapping[str, Any]) -> tuple[int, BBox] | None:
    """Page and box (points as displayed) of a table on one page; None where it is not known."""
    boxes = table.get("bbox_pdf") or []
    if len(boxes) != 1:
        return None
    number, *corners = boxes[0]
    with pymupdf.open(corpus.pdf(record)) as document:
        page = document[number - 1]
        rect = pymupdf.Rect(corners) * page.transformation_matrix * page.rotation_matrix
    return number, BBox(*rect.normalize()).rounded()
