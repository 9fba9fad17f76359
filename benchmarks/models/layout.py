"""Layout models: bare, mended with the text layer, and by the size that a page is seen at."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pymupdf

from benchmarks.models.corpus import Corpus, Record, known_box
from benchmarks.models.measure import (
    Clock,
    embedded,
    mean,
    named_default,
    predictor,
    share,
    with_constant,
)
from benchmarks.quality import markdown_table
from deepcompress_dagster.models.catalog import (
    CHECKPOINTS,
    Task,
)
from deepcompress_dagster.models.layout import yolov8
from deepcompress_dagster.pipeline.layout import (
    Area,
    detected_areas,
    page_sized,
    postprocess_layout,
)
from deepcompress_dagster.pipeline.page_view import PageView
from deepcompress_dagster.records import (
    BBox,
    Label,
)

PYMUPDF = "pymupdf layout"


FUSED = " + text layer"


@dataclass(frozen=True)
class Annotated:
    """A document and the boxes on its pages, as the scorer reads them."""

    record: Record
    truth: Mapping[str, Any]


def compare_layout(corpus: Corpus) -> str:
    """Layout models, bare and mended with the text layer, and PyMuPDF's own on PDFs."""
    annotated = _annotated(corpus)
    pdfs = [document for document in annotated if corpus.is_pdf(document.record)]
    tabled = _tabled(corpus)
    return "\n\n".join(
        [
            _layout_table(corpus, annotated, "layout ground truth", _detected),
            _layout_table(corpus, pdfs, "of these the PDFs", _detected_by_all),
            _layout_table(corpus, tabled, "tables only, table ground truth", _detected_by_all),
        ]
    )


def compare_layout_sizes(corpus: Corpus) -> str:
    """The default layout model by the size that it sees a page at, mended with the text layer."""
    annotated = _annotated(corpus)
    tabled = _tabled(corpus)
    return "\n\n".join(
        [
            _layout_table(corpus, annotated, "layout ground truth", _detected_by_size),
            _layout_table(corpus, tabled, "tables only, table ground truth", _detected_by_size),
        ]
    )


def _annotated(corpus: Corpus) -> list[Annotated]:
    return [
        Annotated(record, truth)
        for record in corpus.records("layout")
        if (truth := corpus.truth(record, "layout"))
    ]


def _tabled(corpus: Corpus) -> list[Annotated]:
    tabled = [Annotated(r, _table_boxes(corpus, r)) for r in corpus.records("table") if r["gt"]]
    return [document for document in tabled if document.truth["boxes"]]


def _table_boxes(corpus: Corpus, record: Record) -> dict[str, Any]:
    """Table ground truth in the form of layout ground truth; empty where it is not complete."""
    truth = corpus.truth(record, "tables") or {"tables": []}
    found = [known_box(corpus, record, table) for table in truth["tables"]]
    if not truth.get("complete") or None in found:
        return {"boxes": []}
    with pymupdf.open(corpus.pdf(record)) as document:
        sizes = [(page.rect.width, page.rect.height) for page in document]
    boxes = [
        {"page": number, "label": "table", "bbox": _fractions(box, sizes[number - 1])}
        for number, box in filter(None, found)
    ]
    return {"boxes": boxes, "pages": len(sizes)}


def _fractions(box: BBox, size: tuple[float, float]) -> list[float]:
    width, height = size
    return [box.x0 / width, box.y0 / height, box.x1 / width, box.y1 / height]


def _layout_table(corpus: Corpus, documents: Sequence[Annotated], title: str, see: "See") -> str:
    clock = Clock()
    pages = 0
    found: dict[str, list[list[dict[str, Any]]]] = defaultdict(list)
    for document in documents:
        regions: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for number in range(1, document.record["pages"] + 1):
            view = corpus.page(document.record, number)
            pages += 1
            for name, areas in see(corpus, document.record, number, view, clock):
                regions[name] += [_region(area, number, view) for area in areas]
        for name, boxes in regions.items():
            found[name].append(boxes)
    lines = [
        [name, *_layout_scores(corpus, documents, boxes), f"{clock.seconds[name] / pages:.2f}"]
        for name, boxes in found.items()
    ]
    heading = f"{title}: {pages} pages"
    header = [heading, "licence", "layout_f1", "table recall", "table precision", "CPU-s/page"]
    return markdown_table(header, [[line[0], _licence(line[0]), *line[1:]] for line in lines])


Seen = Iterator[tuple[str, Sequence[Area]]]


See = Callable[[Corpus, Record, int, PageView, Clock], Seen]
"""What each system sees on a page of a document: its name, and areas in points."""


LAYOUT_SIDES = (1024, 896, 768, 640)


def _detected(corpus: Corpus, record: Record, number: int, view: PageView, clock: Clock) -> Seen:
    """What each model sees, and that mended with the text layer, as the pipeline does it."""
    for name in embedded(Task.LAYOUT):
        with clock.of(name, name + FUSED):
            areas = _model_layout(corpus, view, name)
        yield name, areas
        with clock.of(name + FUSED):
            mended = postprocess_layout(areas, view.lines, view.rotation.upright_size)
        yield name + FUSED, mended


def _detected_by_all(
    corpus: Corpus, record: Record, number: int, view: PageView, clock: Clock
) -> Seen:
    """The same, and what PyMuPDF's own layout model sees."""
    yield from _detected(corpus, record, number, view, clock)
    yield PYMUPDF, _pymupdf_layout(corpus.pdf(record), number, clock)


def _detected_by_size(
    corpus: Corpus, record: Record, number: int, view: PageView, clock: Clock
) -> Seen:
    """What the default model sees of the page at each size."""
    name = named_default(corpus.settings, Task.LAYOUT)
    for side in LAYOUT_SIDES:
        label = f"{name} at {side} px"
        with clock.of(label), with_constant(yolov8, "LONGEST_SIDE", side):
            areas = _model_layout(corpus, view, name)
            areas = postprocess_layout(areas, view.lines, view.rotation.upright_size)
        yield label, areas


def _model_layout(corpus: Corpus, view: PageView, name: str) -> list[Area]:
    pixels, offset = page_sized(view.pixels, view.scale)
    (seen,) = predictor(corpus.settings, Task.LAYOUT, name).predict([pixels])
    moved = [replace(item, bbox=item.bbox.shifted(*offset)) for item in seen]
    return detected_areas(moved, view.scale, view.rotation.upright_size, name)


def _pymupdf_layout(file: Path, number: int, clock: Clock) -> list[Area]:
    import pymupdf.layout

    pymupdf.layout.activate()
    with pymupdf.open(file) as document:
        page = document[number - 1]
        with clock.of(PYMUPDF):
            page.get_layout()
        found = page.layout_information or []
    return [Area(Label(kind.replace("-", "_")), BBox(*box), 1.0, PYMUPDF) for *box, kind in found]


def _region(area: Area, number: int, view: PageView) -> dict[str, Any]:
    bbox = _fractions(area.bbox, view.rotation.upright_size)
    return {"page": number, "label": str(area.label), "bbox": bbox}


def _layout_scores(
    corpus: Corpus, documents: Sequence[Annotated], found: Sequence[Sequence[dict[str, Any]]]
) -> list[str]:
    """Mean layout_f1, and recall and precision of tables over all documents."""
    f1, hits, wanted, seen = [], 0, 0, 0
    for document, regions in zip(documents, found, strict=True):
        only_tables = {box["label"] for box in document.truth["boxes"]} == {"table"}
        boxes = [box for box in regions if not only_tables or box["label"] == "table"]
        scores = corpus.scorer.layout(document.truth, boxes)
        f1.append(scores["layout_f1"])
        detail = scores["layout_detail"].get("table", {"hit": 0, "gt": 0})
        hits, wanted = hits + detail["hit"], wanted + detail["gt"]
        seen += sum(box["label"] == "table" for box in regions)
    return [mean(f1), f"{share(hits, wanted)} of {wanted}", f"{share(hits, seen)} of {seen}"]


def _licence(system: str) -> str:
    checkpoint = CHECKPOINTS.get(system.removesuffix(FUSED))
    return checkpoint.licence if checkpoint else "AGPL-3.0 or commercial"
