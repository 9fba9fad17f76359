"""Reading the tables of a page: by their rules where those are certain, else by the table model.

The words give a reading of their own; which one is taken is told in table_choice.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from deepcompress_dagster.pdf.cell_grid import build_table
from deepcompress_dagster.pdf.messages import FoundTable
from deepcompress_dagster.pipeline import tables
from deepcompress_dagster.pipeline.blocks import Block, with_room
from deepcompress_dagster.pipeline.joining import joined
from deepcompress_dagster.pipeline.page_view import PageContext
from deepcompress_dagster.pipeline.phrases import without_fillers
from deepcompress_dagster.pipeline.row_alignment import in_line
from deepcompress_dagster.pipeline.row_splitting import split_rows
from deepcompress_dagster.pipeline.ruled_tables import RuledGrid, grids_of
from deepcompress_dagster.pipeline.soundness import faults_of
from deepcompress_dagster.pipeline.stage_calls import RULED_TABLES, TABLES, TEXT, RuledTablesJob
from deepcompress_dagster.pipeline.table_choice import best_grid, is_read, read_share
from deepcompress_dagster.pipeline.tables import Grid
from deepcompress_dagster.pipeline.text_grid import text_grid
from deepcompress_dagster.pipeline.text_layer import BLANK_SHARE
from deepcompress_dagster.records import Label, Table
from deepcompress_dagster.streaming import Flow
from deepcompress_dagster.unicode_text import normalised

CERTAIN_FAULTS = 0.02
"""Share of words that speak against a grid of rules from which it is one reading among others: a
table with rules between its rows only has .36 and more, one with several records in a row .2."""

MENDABLE = 0.75
"""Confidence of the finder in its columns from which its rows and headings are worth mending."""


def read_tables(
    page: PageContext, blocks: Sequence[Block], captions: Mapping[str, str]
) -> Flow[list[Table]]:
    """The rows of the page's tables; ``captions`` are texts by ``region_id``."""
    wanted = [
        replace(with_room(block), lines=tuple(without_fillers(block.lines)))
        for block in blocks
        if block.label is Label.TABLE
    ]
    if not wanted:
        return []
    ruled = yield from _ruled_grids(page, wanted)
    certain = [_is_certain(grids, block) for block, grids in zip(wanted, ruled, strict=True)]
    uncertain = [i for i, is_certain in enumerate(certain) if not is_certain]
    seen = yield from _modelled_grids(page, [wanted[i] for i in uncertain])
    modelled = dict(zip(uncertain, seen, strict=True))
    rows = []
    for i, block in enumerate(wanted):
        readings = (*ruled[i], modelled.get(i), _words_grid(page, block))
        grid = _chosen(readings, block, certain=certain[i])
        if grid is not None:
            caption = captions.get(block.region.region_id)
            rows.append(tables.table_row(block, grid, caption, page.view.rotation))
    return rows


def _words_grid(page: PageContext, block: Block) -> Grid | None:
    """What the words alone say of a table."""
    grid = text_grid(block.lines, page.view.rules)
    if grid is None or is_read(block.lines):
        return grid
    return in_line(grid, block.lines, page.view.rules)


def _chosen(readings: Sequence[Grid | None], block: Block, *, certain: bool) -> Grid | None:
    """The grid of the table in a block; None where no reading has a cell."""
    seen = [grid for grid in readings if grid is not None]
    grid = best_grid(seen, block.lines, certain=certain)
    if grid is not None and tables.is_collapsed(grid, block.lines):
        grid = tables.row_by_row(block.lines)
    if grid is None or not grid.n_rows or not grid.n_columns:
        return None
    return replace(grid, confidence=grid.confidence * read_share(block.lines, block.model))


def _ruled_grids(page: PageContext, wanted: Sequence[Block]) -> Flow[list[list[Grid]]]:
    """What rules alone, and rules with the alignment of words, say of each table; the surest first.

    A scan has neither. PyMuPDF's finder looks only where the rules leave a doubt, and not on a
    turned page, which it would search as it is displayed.
    """
    grids = [_closed_grids(block, page.view.grids) for block in wanted]
    doubtful = [i for i, block in enumerate(wanted) if not _is_certain(grids[i], block)]
    if not doubtful or not page.view.lines or page.view.rotation.turn:
        return grids
    boxes = tuple(wanted[i].bbox for i in doubtful)
    found = yield from page.calls.ask(RULED_TABLES, RuledTablesJob(page.job, boxes))
    for i, table in zip(doubtful, found or (), strict=found is not None):
        if table is not None:
            grid = _with_records(table, wanted[i])
            if table.confidence >= MENDABLE and not _is_certain([grid], wanted[i]):
                grid = in_line(grid, wanted[i].lines, page.view.rules)
            grids[i].insert(0 if _is_certain([grid], wanted[i]) else len(grids[i]), grid)
    return grids


def _closed_grids(block: Block, grids: Sequence[RuledGrid]) -> list[Grid]:
    """The grid of the cells that rules close in a block, filled with its words; at most one."""
    cells = [cell for grid in grids_of(block.bbox, grids) for cell in grid.cells]
    table = build_table(cells, block.words) if cells else None
    return [_with_records(table, block)] if table is not None else []


def _with_records(table: FoundTable, block: Block) -> Grid:
    return split_rows(tables.ruled_grid(table, block.lines), block.lines)


def _is_certain(grids: Sequence[Grid], block: Block) -> bool:
    """Whether rules close the cells of a table, and its words do not speak against them."""
    return (
        bool(grids)
        and tables.is_certain(grids[0], block.lines)
        and faults_of(grids[0], block.lines).hard <= CERTAIN_FAULTS
    )


def _modelled_grids(page: PageContext, wanted: Sequence[Block]) -> Flow[list[Grid | None]]:
    """What the table model sees in each block, None where it fails."""
    crops = [page.view.crop(block.bbox) for block in wanted]
    outputs = yield from page.calls.ask_all(TABLES, [crop.pixels for crop in crops])
    grids: list[Grid | None] = []
    for block, crop, output in zip(wanted, crops, outputs, strict=True):
        if output is None:
            grids.append(None)
            continue
        grid = tables.modelled_grid(output.value, output.model, block, crop.placed)
        if not block.lines and not page.options.locates_lines:
            grid = yield from _read_cells(page, grid)
        grid = split_rows(tables.trimmed(grid), block.lines)
        grids.append(grid if is_read(block.lines) else in_line(grid, block.lines, page.view.rules))
    return grids


def _read_cells(page: PageContext, grid: Grid) -> Flow[Grid]:
    """The grid with the text that was read of each cell that shows any ink."""
    view = page.view
    inked = {
        i: cell.bbox
        for i, cell in enumerate(grid.cells)
        if cell.bbox is not None and view.ink.share(cell.bbox) > BLANK_SHARE
    }
    crops = [view.crop(bbox, margin=0).pixels for bbox in inked.values()]
    outputs = yield from page.calls.ask_all(TEXT, crops)
    cells = list(grid.cells)
    for i, output in zip(inked, outputs, strict=True):
        if output is not None:
            text = joined(normalised(line.text) for line in output.value.lines)
            cells[i] = replace(cells[i], text=text)
    return replace(grid, cells=tuple(cells))
