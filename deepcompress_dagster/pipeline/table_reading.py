"""Reading the tables of a page: by their rules where those are certain, else by the table model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from deepcompress_dagster.pipeline import tables
from deepcompress_dagster.pipeline.blocks import Block, with_room
from deepcompress_dagster.pipeline.joining import joined
from deepcompress_dagster.pipeline.page_view import PageContext
from deepcompress_dagster.pipeline.stage_calls import RULED_TABLES, TABLES, TEXT, RuledTablesJob
from deepcompress_dagster.pipeline.tables import Grid
from deepcompress_dagster.pipeline.text_layer import BLANK
from deepcompress_dagster.records import Label, Table
from deepcompress_dagster.streaming import Flow
from deepcompress_dagster.unicode_text import normalised


def read_tables(
    page: PageContext, blocks: Sequence[Block], captions: Mapping[str, str]
) -> Flow[list[Table]]:
    """The rows of the page's tables; ``captions`` are texts by ``region_id``."""
    wanted = [with_room(block) for block in blocks if block.label is Label.TABLE]
    if not wanted:
        return []
    grids = yield from _ruled_grids(page, wanted)
    uncertain = [
        i
        for i, (block, grid) in enumerate(zip(wanted, grids, strict=True))
        if grid is None or not tables.is_certain(grid, block.lines)
    ]
    modelled = yield from _modelled_grids(page, [wanted[i] for i in uncertain])
    for i, grid in zip(uncertain, modelled, strict=True):
        if grid is not None:
            grids[i] = tables.sounder(grids[i], grid, wanted[i].lines)
    rows = []
    for block, grid in zip(wanted, grids, strict=True):
        if grid is not None and tables.is_collapsed(grid, block.lines):
            grid = tables.row_by_row(block.lines)
        if grid is not None and grid.n_rows and grid.n_columns:
            caption = captions.get(block.region.region_id)
            rows.append(tables.table_row(block, grid, caption, page.view.rotation))
    return rows


def _ruled_grids(page: PageContext, wanted: Sequence[Block]) -> Flow[list[Grid | None]]:
    """What PyMuPDF's finder reads from lines and words; a scan or a turned page has neither."""
    if not page.view.lines or page.view.rotation.turn:
        return [None] * len(wanted)
    boxes = tuple(block.bbox for block in wanted)
    found = yield from page.calls.ask(RULED_TABLES, RuledTablesJob(page.job, boxes))
    if found is None:
        return [None] * len(wanted)
    return [
        tables.ruled_grid(table, block.lines) if table is not None else None
        for table, block in zip(found, wanted, strict=True)
    ]


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
        grids.append(tables.trimmed(grid))
    return grids


def _read_cells(page: PageContext, grid: Grid) -> Flow[Grid]:
    """The grid with the text that was read of each cell that shows any ink."""
    view = page.view
    inked = {
        i: cell.bbox
        for i, cell in enumerate(grid.cells)
        if cell.bbox is not None and view.ink.share(cell.bbox) > BLANK
    }
    crops = [view.crop(bbox, margin=0).pixels for bbox in inked.values()]
    outputs = yield from page.calls.ask_all(TEXT, crops)
    cells = list(grid.cells)
    for i, output in zip(inked, outputs, strict=True):
        if output is not None:
            text = joined(normalised(line.text) for line in output.value.lines)
            cells[i] = replace(cells[i], text=text)
    return replace(grid, cells=tuple(cells))
