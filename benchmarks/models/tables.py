"""Readings of tables, each alone and chosen among as the pipeline does."""

from collections import defaultdict

from benchmarks.models.corpus import Corpus, Record, known_box
from benchmarks.models.measure import Clock, embedded, mean, named_default, predictor
from benchmarks.quality import markdown_table
from deepcompress_dagster.models.catalog import (
    Task,
)
from deepcompress_dagster.pdf.worker import handlers
from deepcompress_dagster.pipeline import tables
from deepcompress_dagster.pipeline.blocks import Block, with_room
from deepcompress_dagster.pipeline.lines import assign, in_rows
from deepcompress_dagster.pipeline.page_view import PageView
from deepcompress_dagster.pipeline.table_choice import best_grid
from deepcompress_dagster.pipeline.tables import Grid
from deepcompress_dagster.records import (
    BBox,
    Label,
    Region,
    TextSource,
    region_id,
)


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
