"""Kinds of figures beside those that somebody gave them."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.models.corpus import Corpus, Record
from benchmarks.quality import markdown_table
from deepcompress_dagster.pipeline.parse import Parser
from deepcompress_dagster.records import (
    BBox,
    DocumentTask,
    FigureKind,
    Label,
    PageResult,
    Region,
    region_id,
)

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
