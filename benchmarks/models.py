"""The embedded models side by side, on a folder of documents with ground truth.

    python -m benchmarks.models CORPUS [layout|layout-sizes|tables|orientation|text-layer|...]

CORPUS is what benchmarks/quality.py takes; most comparisons need the packages of its
``requirements.txt``. Prints one markdown table or more for each comparison, all of them by default.
Models, thresholds and steps are those of the pipeline; seconds are CPU seconds of this process,
rendering left out.
"""

import argparse
import importlib.util
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pymupdf

from benchmarks.quality import as_pdf, markdown_table
from deepcompress_dagster.models.cache import model_cache
from deepcompress_dagster.models.catalog import (
    CHECKPOINTS,
    PackageOrigin,
    Task,
    checkpoint_for,
    spec_for,
)
from deepcompress_dagster.models.layout import yolov8
from deepcompress_dagster.models.predictor import Image, Predictor
from deepcompress_dagster.models.text import cascade, ppocr
from deepcompress_dagster.models.text.ctc import DecodedLine
from deepcompress_dagster.models.text.ppocr import LineReader, PPOCRPredictor
from deepcompress_dagster.pdf.client import PdfClient
from deepcompress_dagster.pdf.messages import PageContent
from deepcompress_dagster.pdf.worker import handlers
from deepcompress_dagster.pipeline import tables
from deepcompress_dagster.pipeline.blocks import Block, with_room
from deepcompress_dagster.pipeline.layout import (
    Area,
    detected_areas,
    page_sized,
    postprocess_layout,
)
from deepcompress_dagster.pipeline.lines import assign, in_rows
from deepcompress_dagster.pipeline.page_view import PageView, upright_view
from deepcompress_dagster.pipeline.parse import Parser
from deepcompress_dagster.pipeline.table_choice import best_grid
from deepcompress_dagster.pipeline.tables import Grid
from deepcompress_dagster.pipeline.text_layer import InkMap, TextLayerQuality, assess
from deepcompress_dagster.records import (
    BBox,
    DocumentTask,
    FigureKind,
    Label,
    PageResult,
    Region,
    TextSource,
    Word,
    region_id,
    union,
)
from deepcompress_dagster.settings import OcrEffort, Settings, load_settings

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


def _whole(content: PageContent) -> BBox:
    return BBox(0, 0, content.width, content.height)


def predictor(settings: Settings, task: Task, name: str | None = None) -> Predictor[Any, Any]:
    """The loaded model of a task: the one named, or the profile's."""
    chosen = settings.model_copy(update={task.value: name}) if name else settings
    spec = spec_for(chosen, task)
    if spec is None:
        raise ValueError(f"the profile {settings.profile} has no model for {task}")
    return model_cache().get(spec)


def named_default(settings: Settings, task: Task) -> str:
    """The name of the model that serves a task under these settings."""
    checkpoint = checkpoint_for(settings, task)
    return checkpoint.name if checkpoint else "none"


def embedded(task: Task) -> list[str]:
    """Names of the catalog's models of a task that come from a package."""
    return [
        name
        for name, checkpoint in CHECKPOINTS.items()
        if checkpoint.task is task and isinstance(checkpoint.origin, PackageOrigin)
    ]


class Clock:
    """CPU seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def of(self, *names: str) -> Iterator[None]:
        """Add what the block takes to each of ``names``."""
        started = time.process_time()
        yield
        for name in names:
            self.seconds[name] += time.process_time() - started


def mean(values: Iterable[float]) -> str:
    found = list(values)
    return f"{sum(found) / len(found):.3f}" if found else "-"


def share(part: float, whole: float) -> str:
    return f"{part / whole:.2f}" if whole else "-"


# Layout

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
        with clock.of(label), _constant(yolov8, "LONGEST_SIDE", side):
            areas = _model_layout(corpus, view, name)
            areas = postprocess_layout(areas, view.lines, view.rotation.upright_size)
        yield label, areas


def _model_layout(corpus: Corpus, view: PageView, name: str) -> list[Area]:
    pixels, offset = page_sized(view.pixels, view.scale)
    (seen,) = predictor(corpus.settings, Task.LAYOUT, name).predict([pixels])
    moved = [replace(item, bbox=item.bbox.shifted(*offset)) for item in seen]
    return detected_areas(moved, view.scale, view.rotation.upright_size, name)


@contextmanager
def _constant(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute of a module or class with another value for a while."""
    usual = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, usual)


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


# Tables


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


def compare_tables(corpus: Corpus) -> str:
    """Table structure in the boxes of the ground truth, cells filled from the text layer."""
    clock = Clock()
    scores: dict[str, list[dict[str, float]]] = defaultdict(list)
    for record in corpus.records("table"):
        for table in (corpus.truth(record, "tables") or {"tables": []})["tables"]:
            if (place := known_box(corpus, record, table)) is None:
                continue
            for name, grid in _grids(corpus, record, *place, clock).items():
                html = tables.to_html(grid) if grid else "<table></table>"
                element = corpus.scorer.parse_table(html)
                scores[name].append(corpus.scorer.score_tables({"tables": [table]}, [element]))
    lines = [
        [
            name,
            len(found),
            mean(score["teds"] for score in found),
            mean(score["teds_s"] for score in found),
            f"{clock.seconds[name] / len(found):.2f}",
        ]
        for name, found in scores.items()
    ]
    return markdown_table(["reading", "tables", "TEDS", "TEDS structure", "CPU-s/table"], lines)


FINDER = "PyMuPDF's finder"


def _grids(
    corpus: Corpus, record: Record, number: int, box: BBox, clock: Clock
) -> dict[str, Grid | None]:
    """The grid of one table by each reading."""
    view = corpus.page(record, number)
    block = _table_block(view, number, box)
    default = named_default(corpus.settings, Task.TABLE)
    chosen = f"the better of {FINDER} and {default}"
    with clock.of(FINDER, chosen):
        (found,) = handlers.find_tables(corpus.pdf(record), (), number, [block.bbox])
        ruled = tables.ruled_grid(found, block.lines) if found else None
    certain = ruled is not None and tables.is_certain(ruled, block.lines)
    grids: dict[str, Grid | None] = {}
    for name in embedded(Task.TABLE):
        counted = [name, chosen] if name == default and not certain else [name]
        with clock.of(*counted):
            model = predictor(corpus.settings, Task.TABLE, name)
            crop = view.crop(block.bbox)
            (seen,) = model.predict([crop.pixels])
            grids[name] = tables.trimmed(tables.modelled_grid(seen, name, block, crop.placed))
    readings = [grid for grid in (ruled, grids[default]) if grid is not None]
    choice = best_grid(readings, block.lines, certain=certain)
    return {**grids, FINDER: ruled, chosen: choice}


def _table_block(view: PageView, number: int, box: BBox) -> Block:
    """The block that the pipeline would hand to the table stage for a region in this place."""
    identity = region_id(number, box)
    region = Region(number, identity, Label.TABLE, box, 1.0, 1, "ground truth")
    (lines,), _ = assign(view.lines, [box])
    return with_room(Block(region, box, tuple(in_rows(lines)), TextSource.TEXT_LAYER))


# Orientation

TURNS = (0, 90, 180, 270)
THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)

MOSTLY_BLANK = 0.01
"""Share of ink below which a page counts as mostly blank; a page of text has .05 to .15."""


def compare_orientation(corpus: Corpus) -> str:
    """Pages turned by each quarter, by the score from which the model's answer is followed."""
    model = predictor(corpus.settings, Task.ORIENTATION)
    clock = Clock()
    seen: dict[str, list[tuple[int, int, float]]] = defaultdict(list)
    for view in _upright_pages(corpus):
        ink = view.ink.share(_whole(view.content))
        kind = "mostly blank" if ink < MOSTLY_BLANK else "text"
        for turn in TURNS:
            with clock.of(model.name):
                (answer,) = model.predict([np.rot90(view.pixels, -turn // 90)])
            seen[kind].append((turn, answer.degrees, answer.score))
    lines = [
        [kind, len(answers) // len(TURNS), threshold, *_turned(answers, threshold)]
        for kind, answers in sorted(seen.items(), reverse=True)
        for threshold in THRESHOLDS
    ]
    views = sum(len(answers) for answers in seen.values())
    header = ["pages", "n", "threshold", "turned: put right", "left alone", "put wrong"]
    table = markdown_table([*header, "upright: left alone", "put wrong"], lines)
    return f"{table}\n\n{clock.seconds[model.name] / max(1, views):.3f} CPU-s a page"


def _upright_pages(corpus: Corpus) -> Iterator[PageView]:
    """First and last pages of scans and born-digital documents that are not turned."""
    for record in corpus.records("scan", "born-digital"):
        if not {"rotated-scan", "rotated-text"} & set(record["tests"]):
            for number in sorted({1, record["pages"]}):
                yield corpus.page(record, number)


def _turned(answers: Sequence[tuple[int, int, float]], threshold: float) -> list[str]:
    counts: Counter[tuple[bool, str]] = Counter()
    for turn, degrees, score in answers:
        followed = degrees if score >= threshold else 0
        outcome = "right" if followed == turn else "alone" if followed == 0 else "wrong"
        counts[turn > 0, outcome] += 1
    turned = len(answers) * 3 // 4
    upright = len(answers) - turned
    return [
        *(share(counts[True, outcome], turned) for outcome in ("right", "alone", "wrong")),
        *(share(counts[False, outcome], upright) for outcome in ("right", "wrong")),
    ]


# The quality of the text layer

MIN_LETTERS = 40
"""Characters of a block, at least: of less the measure says little, and little is lost."""

LOST_SHARE = 0.6
PAGES_JUDGED = 3


def compare_text_layer(corpus: Corpus) -> str:
    """Blocks of born-digital pages as they are and spoiled, and scans as they are."""
    verdicts: dict[tuple[str, str], list[TextLayerQuality]] = defaultdict(list)
    for record in corpus.records("born-digital"):
        for number in range(1, min(PAGES_JUDGED, record["pages"]) + 1):
            view = corpus.page(record, number)
            for name, words, region, ink in _spoiled_blocks(view):
                wanted = "usable" if name == "as they are" else "not usable"
                verdicts[f"blocks, {name}", wanted].append(assess(words, region, ink))
    for record in corpus.records("scan"):
        view = corpus.page(record, 1)
        whole = _whole(view.content)
        verdicts["scans, whole pages", "not usable"].append(
            assess(view.content.words, whole, view.ink)
        )
    lines = [
        [
            name,
            len(found),
            wanted,
            sum(verdict.usable for verdict in found),
            sum(not verdict.usable for verdict in found),
            _reasons(found),
        ]
        for (name, wanted), found in verdicts.items()
    ]
    return markdown_table(["text layer", "n", "should be", "usable", "not usable", "why"], lines)


def _reasons(found: Sequence[TextLayerQuality]) -> str:
    counts = Counter(verdict.reason for verdict in found if not verdict.usable)
    return ", ".join(f"{reason} {n}" for reason, n in counts.most_common()) or "-"


def _spoiled_blocks(view: PageView) -> Iterator[tuple[str, list[Word], BBox, InkMap]]:
    """Each block of a page, as it is and spoiled in every way: name, words, region and ink."""
    white = InkMap(np.full_like(view.pixels, 255), view.scale)
    blocks: dict[int, list[Word]] = defaultdict(list)
    for word in view.content.words:
        blocks[word.block].append(word)
    for number, words in blocks.items():
        if sum(len(word.text) for word in words) < MIN_LETTERS:
            continue
        region = union(word.bbox for word in words)
        rng = np.random.default_rng(number)
        kept = [word for word in words if rng.random() > LOST_SHARE]
        yield "as they are", words, region, view.ink
        yield "unmapped characters", _rewritten(words, lambda _: "\ufffd"), region, view.ink
        yield "private characters", _rewritten(words, _private), region, view.ink
        yield "letters as symbols", _rewritten(words, _symbol), region, view.ink
        yield "shifted by a block", _shifted(words, region.height + 9), region, view.ink
        yield "60 % of the words missing", kept, region, view.ink
        yield "white on white", words, region, white


def _private(character: str) -> str:
    return chr(0xE000 + ord(character) % 256)


def _symbol(character: str) -> str:
    return "!#$%&()*+/<=>@[]^{}"[ord(character) % 19]


def _rewritten(words: Sequence[Word], change: Callable[[str], str]) -> list[Word]:
    return [replace(word, text="".join(map(change, word.text))) for word in words]


def _shifted(words: Sequence[Word], distance: float) -> list[Word]:
    """Words moved down by ``distance`` points: on what follows, or beside it."""
    return [replace(word, bbox=word.bbox.shifted(distance / 3, distance)) for word in words]


# Text

UNFIT = {"rotated-scan", "multi-column", "tables", "facts"}
"""Tests of scans whose ground truth is not one column of lines from top to bottom."""

DPIS = (96, 144, 200)
SIDES = (640, 960, 1280)


def compare_text(corpus: Corpus) -> str:
    """The text model on whole scans by resolution, and by the side that its detector sees."""
    scans = _plain_scans(corpus)
    usual = ppocr.ENOUGH_SIDE
    variants = [(dpi, usual) for dpi in DPIS]
    variants += [(corpus.settings.dpi, side) for side in SIDES if side != usual]
    header = ["dpi", "detector side", "pages", "cer", "cer_ci", "CPU-s/page"]
    return markdown_table(header, [_text_line(corpus, scans, *variant) for variant in variants])


def _plain_scans(corpus: Corpus) -> list[tuple[Record, str]]:
    return [
        (record, truth)
        for record in corpus.records("scan")
        if record["pages"] == 1
        and not UNFIT & set(record["tests"])
        and (truth := corpus.truth(record, "text"))
    ]


def _text_line(
    corpus: Corpus, scans: Sequence[tuple[Record, str]], dpi: float, side: int
) -> list[Any]:
    model = predictor(corpus.settings, Task.TEXT)
    clock = Clock()
    scores = []
    with _constant(ppocr, "ENOUGH_SIDE", side):
        for record, truth in scans:
            pixels = corpus.page(record, 1, dpi).pixels
            with clock.of(model.name):
                (read,) = model.predict([pixels])
            text = "\n".join(line.text for line in read.lines)
            scores.append(corpus.scorer.score_text(truth, text, "text", True))
    errors = [mean(score[name] for score in scores) for name in ("cer", "cer_ci")]
    seconds = clock.seconds[model.name] / max(1, len(scans))
    return [dpi, side, len(scans), *errors, f"{seconds:.2f}"]


# Readers

SURE = (0.8, 0.85, 0.9, 0.93, 0.95, 0.97)
"""Confidences of a word from which it stands; below, the small reader reads it again."""


def compare_readers(corpus: Corpus) -> str:
    """The tiny reader, the small one, and both, by the confidence that is sure enough."""
    families: dict[str, list[tuple[Image, str]]] = defaultdict(list)
    for record, truth in _plain_scans(corpus):
        families[str(record["family"])].append((corpus.page(record, 1).pixels, truth))
    header = ["family", "pages", "reader", "sure from", "read twice", "tok_f1", "cer", "CPU-s/page"]
    lines = [
        [family, len(pages), *line]
        for family, pages in families.items()
        for line in _reader_lines(corpus, pages)
    ]
    return markdown_table(header, lines)


def _reader_lines(corpus: Corpus, pages: Sequence[tuple[Image, str]]) -> Iterator[list[Any]]:
    yield ["tiny", "-", *_read_scores(corpus, pages, OcrEffort.FAST)]
    for sure in SURE:
        with _constant(cascade, "SURE", sure):
            yield ["both", sure, *_read_scores(corpus, pages, OcrEffort.BALANCED)]
    yield ["small", "-", *_read_scores(corpus, pages, OcrEffort.BEST)]


def _read_scores(
    corpus: Corpus, pages: Sequence[tuple[Image, str]], effort: OcrEffort
) -> list[str]:
    """Share of the lines' length that is read twice, scores, and CPU seconds a page."""
    model = predictor(corpus.settings.model_copy(update={"ocr_effort": effort}), Task.TEXT)
    assert isinstance(model, PPOCRPredictor)
    clock = Clock()
    scores: list[Record] = []
    lengths: Counter[LineReader] = Counter()
    with _counted(lengths):
        for pixels, truth in pages:
            with clock.of(effort):
                (read,) = model.predict([pixels])
            text = "\n".join(line.text for line in read.lines)
            scores.append(corpus.scorer.score_text(truth, text, "text", True))
    return [
        share(lengths[model.careful.lines], lengths[model.first.lines]) if model.careful else "-",
        *(mean(score[name] for score in scores) for name in ("tok_f1", "cer")),
        f"{clock.seconds[effort] / len(pages):.2f}",
    ]


@contextmanager
def _counted(lengths: Counter[LineReader]) -> Iterator[None]:
    """Add up the length of what each reader reads, in heights of the line."""

    def read(reader: LineReader, images: Sequence[Image]) -> list[DecodedLine]:
        lengths[reader] += sum(image.shape[1] / image.shape[0] for image in images)
        return usual(reader, images)

    usual = LineReader.read
    with _constant(LineReader, "read", read):
        yield


# Figures

KINDS = tuple(FigureKind)


def compare_figures(corpus: Corpus) -> str:
    """Kinds of labelled figures; without labels, of what is found in documents of charts."""
    if corpus.labels.exists():
        said = _labelled_kinds(corpus, json.loads(corpus.labels.read_text()))
    else:
        said = Counter(
            (FigureKind.CHART, kind) for kind in _kinds(corpus, corpus.records("chart")).values()
        )
    lines = [
        [true, sum(said[true, kind] for kind in KINDS), *(said[true, kind] for kind in KINDS)]
        for true in KINDS
    ]
    return markdown_table(["figures", "n", *(f"said {kind}" for kind in KINDS)], lines)


def _labelled_kinds(corpus: Corpus, labels: Sequence[Record]) -> Counter[tuple[str, str]]:
    """How often each kind was said to be which, with the labelled boxes as the only regions."""
    places: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for label in labels:
        places[label["document"], label["page"]].append(label)
    regions = {place: _pictures(place[1], found) for place, found in places.items()}
    known = {label["document"] for label in labels}
    records = [record for record in corpus.manifest if record["id"] in known]
    kinds = _kinds(corpus, records, regions)
    return Counter(
        (label["kind"], kinds.get((*place, region.region_id), FigureKind.UNKNOWN))
        for place, found in places.items()
        for label, region in zip(found, regions[place], strict=True)
    )


def _pictures(number: int, labels: Sequence[Record]) -> tuple[Region, ...]:
    boxes = [BBox(*label["bbox"]).rounded() for label in labels]
    return tuple(
        Region(number, region_id(number, box), Label.PICTURE, box, 1.0, place, "labels")
        for place, box in enumerate(boxes, start=1)
    )


def _kinds(
    corpus: Corpus,
    records: Iterable[Record],
    regions: Mapping[tuple[str, int], tuple[Region, ...]] | None = None,
) -> dict[tuple[str, int, str], str]:
    """The kind of each figure by document, page and region, through the whole pipeline."""
    work = corpus.settings.data_dir
    jobs = [
        DocumentTask(
            record["id"],
            corpus.pdf(record),
            work / "images" / record["id"],
            tuple(page for name, page in regions if name == record["id"]) if regions else None,
        )
        for record in records
    ]
    assets = ("text", "figures") if regions else ("layouts", "figures")
    stored = None if regions is None else lambda name, page: regions.get((name, page), ())
    with Parser(corpus.settings, buffer_dir=work) as parser:
        return {
            (event.document_id, event.page.page_number, figure.region_id): figure.kind
            for event in parser.parse(jobs, assets, stored)
            if isinstance(event, PageResult)
            for figure in event.figures or ()
        }


COMPARISONS: Mapping[str, Callable[[Corpus], str]] = {
    "layout": compare_layout,
    "layout-sizes": compare_layout_sizes,
    "tables": compare_tables,
    "orientation": compare_orientation,
    "text-layer": compare_text_layer,
    "text": compare_text,
    "readers": compare_readers,
    "figures": compare_figures,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the comparisons that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("comparisons", nargs="*", help=", ".join(COMPARISONS))
    parser.add_argument("--limit", type=int, default=40, help="documents of each family")
    parser.add_argument("--labels", type=Path, help=f"labelled figures; default CORPUS/{LABELS}")
    chosen = parser.parse_args(arguments)
    names = chosen.comparisons or list(COMPARISONS)
    if unknown := [name for name in names if name not in COMPARISONS]:
        parser.error(
            f"there is no comparison {', '.join(unknown)}; choose {', '.join(COMPARISONS)}"
        )
    with tempfile.TemporaryDirectory(prefix="deepcompress-models-") as work:
        labels = chosen.labels or chosen.corpus / LABELS
        with Corpus(chosen.corpus, Path(work), chosen.limit, labels) as corpus:
            for name in names:
                print(f"### {name}\n\n{COMPARISONS[name](corpus)}\n", flush=True)


if __name__ == "__main__":
    main()
