"""Reading a page: its regions with their lines, from the text layer or from a text model.

A region whose part of the text layer cannot be trusted is read alone, or with the whole page where
most of it is untrusted. What stands in a table's cells is table_reading.py's.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from deepcompress_dagster.models.predictor import ReadText
from deepcompress_dagster.pipeline.asides import MODEL
from deepcompress_dagster.pipeline.blocks import Block
from deepcompress_dagster.pipeline.layout import grown_areas, shows_a_document
from deepcompress_dagster.pipeline.lines import (
    PageLine,
    assign,
    in_rows,
    numbered_rows,
    ocr_line,
)
from deepcompress_dagster.pipeline.page_view import Crop, PageContext, PageView
from deepcompress_dagster.pipeline.reading_order import between
from deepcompress_dagster.pipeline.ruled_tables import ruled_parts
from deepcompress_dagster.pipeline.stage_calls import TEXT
from deepcompress_dagster.pipeline.table_pieces import margins_of
from deepcompress_dagster.pipeline.text_layer import assess
from deepcompress_dagster.records import (
    SCRIPT_UNREAD,
    BBox,
    Label,
    Region,
    TextLine,
    TextSource,
    region_id,
)
from deepcompress_dagster.streaming import Flow

MIN_FIGURE_TEXT_SIDE = 40.0
"""Points: a smaller picture is not read for inner text."""

WHOLE_PAGE_SHARE = 0.5
"""From this share of untrusted area the page is read once as a whole."""


def read_blocks(page: PageContext, regions: Sequence[Region]) -> Flow[list[Block]]:
    """The page's regions as blocks with their lines, in reading order.

    Lines are assigned here for stored and for new regions alike, so that both read the same.
    """
    view = page.view
    beside = [block for region in regions if (block := _aside_block(view, region)) is not None]
    apart = {block.region.region_id for block in beside}
    regions = [region for region in regions if region.region_id not in apart]
    boxes = [view.rotation.upright(region.bbox) for region in regions]
    tables = ((i, box) for i, box in enumerate(boxes) if regions[i].label is Label.TABLE)
    owned, _ = assign(view.lines, boxes, ruled_parts(tables, view.grids))
    blocks = [
        Block(region, box, tuple(in_rows(lines)), TextSource.TEXT_LAYER)
        for region, box, lines in zip(regions, boxes, owned, strict=True)
    ]
    doubtful = [block for block in blocks if _needs_ocr(page, block, [*blocks, *beside])]
    trusted = [block for block in blocks if block not in doubtful]
    by_region = blocks and not page.options.locates_lines
    if not by_region and _reads_whole_page(view, trusted, doubtful):
        read = yield from _read_page(page, doubtful, trusted)
    else:
        read = yield from _read_regions(page, doubtful)
    return sorted([*trusted, *read, *beside], key=lambda block: block.region.reading_order)


def aside_regions(view: PageView, page_number: int, n_before: int) -> list[Region]:
    """Regions of what stands apart from the flow; in reading order after ``n_before`` others."""
    boxes = [view.rotation.displayed(aside.bbox) for aside in view.asides]
    return [
        Region(
            page_number, region_id(page_number, box), aside.label, box, 0.0, n_before + place, MODEL
        )
        for place, (aside, box) in enumerate(zip(view.asides, boxes, strict=True), start=1)
    ]


def _aside_block(view: PageView, region: Region) -> Block | None:
    """The block of a region of what stands apart; None for any other."""
    for own, aside in zip(aside_regions(view, region.page_number, 0), view.asides, strict=True):
        if (own.region_id, own.label) == (region.region_id, region.label):
            return Block(region, aside.bbox, tuple(in_rows(aside.lines)), TextSource.TEXT_LAYER)
    return None


def _needs_ocr(page: PageContext, block: Block, blocks: Sequence[Block]) -> bool:
    words, ink = block.words, page.view.ink
    if block.label is Label.PICTURE:
        large = min(block.bbox.width, block.bbox.height) >= MIN_FIGURE_TEXT_SIDE
        return large and not words and page.options.plan.selects("figures")
    if assess(words, block.bbox, ink).usable:
        return False
    neighbours = [word for other in blocks if other is not block for word in other.words]
    return not assess(words, block.bbox, ink, neighbours).usable


def _reads_whole_page(view: PageView, trusted: Sequence[Block], doubtful: Sequence[Block]) -> bool:
    if not view.lines:
        return view.ink.share(BBox(0, 0, *view.rotation.upright_size)) > 0
    unread = _text_area(doubtful)
    return unread > 0 and unread >= WHOLE_PAGE_SHARE * (unread + _text_area(trusted))


def _text_area(blocks: Sequence[Block]) -> float:
    return sum(block.bbox.area for block in blocks if block.label is not Label.PICTURE)


# The whole page at once


def _read_page(
    page: PageContext, doubtful: Sequence[Block], trusted: Sequence[Block]
) -> Flow[list[Block]]:
    """Read the whole page; lines that no block owns become blocks of their own."""
    whole = page.view.whole
    output = yield from page.calls.ask(TEXT, whole.pixels)
    if output is None:
        return list(doubtful)
    _keep_note(page, output.value)
    known = [line for block in trusted for line in block.lines]
    lines = [
        line
        for line in numbered_rows(_ocr_lines(output.value, whole))
        if not _is_covered(line, known)
    ]
    blocks = [replace(block, lines=(), model=output.model) for block in doubtful]
    owners = _without_documents(blocks, lines)
    owned, orphans = assign(lines, [blocks[i].bbox for i in owners])
    for i, mine in zip(owners, owned, strict=True):
        blocks[i] = replace(blocks[i], lines=tuple(mine))
    blocks, orphans = with_table_margins(blocks, orphans)
    regions = [block.region for block in (*trusted, *doubtful)]
    return blocks + _found_blocks(page, regions, orphans, output.model)


def with_table_margins(
    blocks: Sequence[Block], orphans: Sequence[PageLine]
) -> tuple[list[Block], list[PageLine]]:
    """Blocks in which tables have the header rows and columns that their detected boxes lack.

    The other lines that nothing owns are given back.
    """
    grown, free = list(blocks), list(orphans)
    for i, block in enumerate(grown):
        if block.label is Label.TABLE and block.lines:
            margin = margins_of(block.bbox, block.lines, free)
            grown[i] = replace(block, lines=(*block.lines, *margin))
            free = [line for line in free if line not in margin]
    return grown, free


def _found_blocks(
    page: PageContext, regions: Sequence[Region], orphans: Sequence[PageLine], model: str
) -> list[Block]:
    """Blocks around lines outside of all ``regions``, with places between them."""
    rotation, number = page.view.rotation, page.job.page_number
    areas = grown_areas(orphans)
    in_order = sorted(regions, key=lambda region: region.reading_order)
    places = between(
        [rotation.upright(region.bbox) for region in in_order], [area.bbox for area in areas]
    )
    owned, _ = assign(orphans, [area.bbox for area in areas])
    blocks = []
    for area, place, lines in zip(areas, places, owned, strict=True):
        box = rotation.displayed(area.bbox)
        region = Region(
            number, region_id(number, box), area.label, box, area.score, place, area.model
        )
        blocks.append(Block(region, area.bbox, tuple(lines), model))
    return blocks


def _without_documents(blocks: Sequence[Block], lines: Sequence[PageLine]) -> list[int]:
    """The blocks that own text: pictures that show a document leave it to be read for itself."""
    owned, _ = assign(lines, [block.bbox for block in blocks])
    return [
        i
        for i, (block, mine) in enumerate(zip(blocks, owned, strict=True))
        if not (block.label is Label.PICTURE and shows_a_document(block.bbox, mine))
    ]


def _is_covered(line: PageLine, trusted: Sequence[PageLine]) -> bool:
    return any(line.bbox.coverage(other.bbox) > 0.5 for other in trusted)


# Region by region


def _read_regions(page: PageContext, doubtful: Sequence[Block]) -> Flow[list[Block]]:
    """The blocks with what was read of each; cells of a table may have to be read alone."""
    by_cell = [b for b in doubtful if b.label is Label.TABLE and not page.options.locates_lines]
    wanted = [block for block in doubtful if block not in by_cell]
    crops = [page.view.crop(block.bbox) for block in wanted]
    outputs = yield from page.calls.ask_all(TEXT, [crop.pixels for crop in crops])
    blocks = by_cell
    for block, crop, output in zip(wanted, crops, outputs, strict=True):
        if output is not None:
            _keep_note(page, output.value)
            lines = tuple(_ocr_lines(output.value, crop))
            block = replace(block, lines=lines, model=output.model)
        blocks.append(block)
    return blocks


def _keep_note(page: PageContext, read: ReadText) -> None:
    if read.note is not None:
        page.calls.note(TEXT, SCRIPT_UNREAD, read.note)


def _ocr_lines(read: ReadText, crop: Crop) -> list[PageLine]:
    """Lines that a model read of a crop, in upright points."""

    def placed(line: TextLine) -> TextLine:
        return replace(line, bbox=crop.placed(line.bbox))

    words = iter(read.words)
    lines = []
    for line in read.lines:
        own = [placed(word) for word in islice(words, len(line.text.split()))]
        if line.text.strip():
            lines.append(ocr_line(placed(line), own))
    return lines
