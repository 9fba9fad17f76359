"""The regions of a page: what the layout model found, corrected by the text layer, in order.

Not here: what the model does with pixels (models/layout/), what regions say (reading.py), and how
far a ruled table reaches (ruled_tables.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from deepcompress_dagster.models.predictor import Detection, Image
from deepcompress_dagster.pipeline.captions import with_captions
from deepcompress_dagster.pipeline.code import CODE_LABELS, join_code, split_code
from deepcompress_dagster.pipeline.contents import contents_boxes
from deepcompress_dagster.pipeline.lines import (
    REGION_SHARE,
    PageLine,
    assign,
    cluster,
    in_rows,
    join_lines,
)
from deepcompress_dagster.pipeline.page_rotation import PageRotation
from deepcompress_dagster.pipeline.prose import is_prose
from deepcompress_dagster.pipeline.reading_order import reading_order
from deepcompress_dagster.pipeline.ruled_tables import (
    RuledGrid,
    WholeTable,
    grids_of,
    ruled_parts,
    whole_tables,
)
from deepcompress_dagster.pipeline.strays import without_strays, without_title
from deepcompress_dagster.pipeline.table_pieces import (
    margins_of,
    split_by_captions,
    whole_of_pieces,
)
from deepcompress_dagster.records import FURNITURE, BBox, Label, Region, region_id, union

SHEET = (612.0, 792.0)
"""Points of a letter page, width and height."""

SWALLOWED = 0.85
"""A region covered this much by a table or picture is part of it."""

PAGE_PICTURE = 0.75
"""A picture that covers this share of a page full of text lines is a scan, not a figure."""

DOCUMENT_LINES = 5
DOCUMENT_TEXT = 0.12
PROSE_LENGTH = 20.0
"""Lines of text in a picture from which it may show a document; it does when they cover this share
of it (receipts .2 to .4, charts below .1) or are this long on average, in characters."""

ECHO_TEXT = 0.3
"""Share of an area that lines of other areas cover from which it has nothing of its own."""

SIDE_MARGIN = 0.12
"""Share of the page's width that is margin at either side."""

UPENDED = 5.0
"""Height of a line over its width from which it runs up or down the page."""

CLUSTER_MODEL = "text-clusters"
"""``model`` of regions grown from lines that no detected region covers; their score is 0."""

_MARGINS = (Label.TEXT, Label.SECTION_HEADER)
SHORT_AREA = 2
"""Lines of an area of text that may be a piece of a table's header, at most."""

_CONTAINERS = (Label.TABLE, Label.PICTURE)
_NO_TABLES = (Label.PICTURE, Label.PAGE_HEADER, Label.PAGE_FOOTER)


@dataclass(frozen=True)
class Area:
    """A region of the upright page and its lines, before it gets its identity and its place."""

    label: Label
    bbox: BBox
    score: float
    model: str
    lines: tuple[PageLine, ...] = field(default=(), repr=False, compare=False)

    @property
    def text(self) -> str:
        return join_lines(self.lines)

    def relabelled(self, label: Label) -> "Area":
        return replace(self, label=label)


_RULED_TABLE = Area(Label.TABLE, BBox(0, 0, 0, 0), 0.0, "ruling-lines")
"""A table that no model detected."""


def page_sized(pixels: Image, scale: float) -> tuple[Image, tuple[float, float]]:
    """A small page on a sheet of letter size, and what is added to boxes (pixels) to get them back.

    Layout models were trained on whole pages: alone, a table of a quarter page is not seen, since
    its letters have the size of headlines. Pages larger than half a sheet stay as they are.
    """
    height, width = pixels.shape[:2]
    sheet_width, sheet_height = (round(side * scale) for side in SHEET)
    if 2 * height * width > sheet_height * sheet_width:
        return pixels, (0.0, 0.0)
    sheet = np.full((max(height, sheet_height), max(width, sheet_width), 3), 255, np.uint8)
    x, y = (sheet.shape[1] - width) // 2, (sheet.shape[0] - height) // 4
    sheet[y : y + height, x : x + width] = pixels
    return sheet, (-float(x), -float(y))


def detected_areas(
    detections: Sequence[Detection], scale: float, size: tuple[float, float], model: str
) -> list[Area]:
    """Detections in pixels (``scale`` pixels a point) as areas in upright points."""
    areas = [
        Area(
            found.label,
            found.bbox.scaled(1 / scale).clipped(*size).rounded(),
            round(found.score, 4),
            model,
        )
        for found in detections
    ]
    return [area for area in areas if area.bbox.width >= 1 and area.bbox.height >= 1]


def postprocess_layout(
    areas: Sequence[Area],
    lines: Sequence[PageLine],
    size: tuple[float, float],
    grids: Sequence[RuledGrid] = (),
) -> list[Area]:
    """Areas without doubles, and with areas for lines that the model overlooked.

    A picture that is really a scanned page full of text is dropped; tables are as large as their
    ruled grids; areas inside a table or picture belong to it; text areas fit the lines that they
    own.
    """
    turned = _with_side_lines(_with_vertical_text(areas, lines), lines, size[0])
    detected = _without_scans(turned, lines, size)
    kept = _with_whole_tables(detected, lines, grids)
    kept = _without_nested([area for area in kept if not _is_swallowed(area, kept)])
    owned, orphans = assign(lines, [area.bbox for area in kept], _ruled_parts(kept, grids))
    kept = [replace(area, lines=tuple(own)) for area, own in zip(kept, owned, strict=True)]
    return completed_areas([*_without_echoes(kept, lines), *grown_areas(orphans)])


def completed_areas(areas: Sequence[Area]) -> list[Area]:
    """Areas that own their lines, with code and captions told, each as large as its lines."""
    return with_captions([_fitted(area) for area in _with_code(areas)])


def _with_vertical_text(areas: Sequence[Area], lines: Sequence[PageLine]) -> list[Area]:
    """Areas with one of text for each paragraph of vertical lines, in the place of what was seen.

    Layout models were not taught them: a paragraph looks like a table of single characters, a short
    one in a corner like a running header.
    """
    kept = list(areas)
    for group in cluster([line for line in lines if line.vertical]):
        box = union(line.bbox for line in group).rounded()
        inside = [area for area in kept if area.bbox.coverage(box) > 0.5]
        holder = next((area for area in inside if box.coverage(area.bbox) > 0.5), None)
        seen = holder.label if holder else Label.TEXT
        mistaken = seen in _CONTAINERS or (seen in FURNITURE and len(group) > 1)
        label = Label.TEXT if mistaken else seen
        kept = [area for area in kept if area not in inside]
        kept.append(Area(label, box, holder.score if holder else 0.0, CLUSTER_MODEL))
    return kept


def _with_side_lines(areas: Sequence[Area], lines: Sequence[PageLine], width: float) -> list[Area]:
    """Areas with a running header for each line that stands on end in a margin at the side.

    Layout models see a piece of it, and the rest would be text of the page.
    """
    kept = list(areas)
    edge = SIDE_MARGIN * width
    for line in lines:
        box, upended = line.bbox, line.bbox.height > UPENDED * line.bbox.width
        in_margin = box.x1 <= edge or box.x0 >= width - edge
        if not (upended and in_margin) or line.vertical:
            continue
        if any(box.coverage(area.bbox) > 0.5 for area in kept if area.label in _CONTAINERS):
            continue
        kept = [area for area in kept if area.bbox.coverage(box) <= 0.5]
        kept.append(Area(Label.PAGE_HEADER, box.rounded(), 0.0, CLUSTER_MODEL))
    return kept


def with_contents(areas: Sequence[Area], lines: Sequence[PageLine]) -> list[Area]:
    """Areas with one for each table of contents that the lines show, in the place of others."""
    kept = list(areas)
    for box in contents_boxes(lines):
        kept = [
            area
            for area in kept
            if area.bbox.coverage(box) <= REGION_SHARE and box.coverage(area.bbox) <= REGION_SHARE
        ]
        kept.append(Area(Label.DOCUMENT_INDEX, box, 0.0, CLUSTER_MODEL))
    return kept


def _with_whole_tables(
    areas: Sequence[Area], lines: Sequence[PageLine], grids: Sequence[RuledGrid]
) -> list[Area]:
    """Areas in which each table has one area, as large as its rules and its columns reach."""
    tables = [
        replace(area, bbox=box)
        for area in areas
        if area.label is Label.TABLE
        for box in split_by_captions(area.bbox, lines)
    ]
    others = [area for area in areas if area.label is not Label.TABLE]
    taken = [area.bbox for area in others if area.label in _NO_TABLES]
    whole = [
        _merged(tables, table)
        for table in whole_tables([area.bbox for area in tables], taken, grids)
    ]
    ruled = [area for area in whole if grids_of(area.bbox, grids)]
    free = [area for area in whole if area not in ruled]
    pieces = [_merged(free, table) for table in whole_of_pieces([a.bbox for a in free], lines)]
    return [*others, *ruled, *_with_margins(pieces, [*others, *ruled], lines)]


def _with_margins(
    tables: Sequence[Area], others: Sequence[Area], lines: Sequence[PageLine]
) -> list[Area]:
    """Tables without rules, with header rows and columns that nothing else claims.

    Those may be in no area, or in a short one of text.
    """
    areas = [*tables, *others]
    owned, loose = assign(lines, [area.bbox for area in areas])
    for area, own in zip(areas, owned, strict=True):
        if area.label in _MARGINS and len(own) <= SHORT_AREA:
            loose += own
    return [
        replace(area, bbox=union([area.bbox, *margin]).rounded())
        for area, own in zip(tables, owned, strict=False)
        for margin in [[line.bbox for line in margins_of(area.bbox, own, loose)]]
    ]


def _merged(areas: Sequence[Area], table: WholeTable) -> Area:
    """One area for the areas that are pieces of a table: the best scored of them, made larger."""
    pieces = [areas[index] for index in table.pieces]
    best = max(pieces, key=lambda area: area.score, default=_RULED_TABLE)
    return replace(best, bbox=table.bbox)


def _ruled_parts(areas: Sequence[Area], grids: Sequence[RuledGrid]) -> list[tuple[int, BBox]]:
    tables = ((i, area.bbox) for i, area in enumerate(areas) if area.label is Label.TABLE)
    return ruled_parts(tables, grids)


def with_sure_tables(
    areas: Sequence[Area], lines: Sequence[PageLine], rules: Sequence[BBox]
) -> list[Area]:
    """Areas without tables that are text, and without text beside a table in its box.

    The lines find other areas.
    """
    sure = []
    for area in areas:
        if area.label is Label.TABLE:
            covered = [line for line in lines if line.bbox.coverage(area.bbox) > REGION_SHARE]
            if is_prose(covered, rules):
                continue
            area = replace(area, bbox=without_title(area.bbox, covered))
            area = replace(area, bbox=_without_strays(area, areas, covered, lines))
        sure.append(area)
    return sure


def _without_strays(
    table: Area, areas: Sequence[Area], covered: Sequence[PageLine], lines: Sequence[PageLine]
) -> BBox:
    own = {id(line) for line in covered if not _is_of_another(line, table, areas)}
    return without_strays(
        table.bbox,
        [line for line in lines if id(line) in own],
        [line for line in lines if id(line) not in own],
    )


def _is_of_another(line: PageLine, table: Area, areas: Sequence[Area]) -> bool:
    """Whether an area beside a table holds more of a line than the table does."""
    share = line.bbox.coverage(table.bbox)
    return any(
        line.bbox.coverage(area.bbox) > share for area in areas if area.label not in _CONTAINERS
    )


def _with_code(areas: Sequence[Area]) -> list[Area]:
    """Areas with every piece of code in one area of text."""
    may_be_code = [area.label in CODE_LABELS and bool(area.lines) for area in areas]
    kept = [(i, area) for i, area in enumerate(areas) if not may_be_code[i]]
    pieces = [
        piece
        for i, area in enumerate(areas)
        if may_be_code[i]
        for piece in split_code(i, area.lines)
    ]
    for piece in join_code(pieces):
        area = areas[piece.source]
        whole = piece.lines == tuple(in_rows(area.lines))
        label = Label.TEXT if piece.is_code else area.label
        bbox = area.bbox if whole else piece.bbox.rounded()
        kept.append((piece.source, replace(area, label=label, bbox=bbox, lines=piece.lines)))
    return [area for _, area in sorted(kept, key=lambda entry: entry[0])]


def grown_areas(orphans: Sequence[PageLine]) -> list[Area]:
    """One text area around each cluster of lines that no area owns."""
    return [
        Area(
            Label.TEXT,
            union(line.bbox for line in group).rounded(),
            0.0,
            CLUSTER_MODEL,
            tuple(group),
        )
        for group in cluster(orphans)
    ]


def _without_scans(
    areas: Sequence[Area], lines: Sequence[PageLine], size: tuple[float, float]
) -> list[Area]:
    page = BBox(0, 0, *size)

    def is_scan(area: Area) -> bool:
        if area.label is not Label.PICTURE or page.coverage(area.bbox) < PAGE_PICTURE:
            return False
        return shows_a_document(area.bbox, [o for o in lines if o.bbox.coverage(area.bbox) > 0.5])

    return [area for area in areas if not is_scan(area)]


def shows_a_document(picture: BBox, lines: Sequence[PageLine]) -> bool:
    """Whether the ``lines`` in a picture are to be read for themselves: it is a photo of a page.

    A figure with labels has few, short ones.
    """
    if len(lines) < DOCUMENT_LINES:
        return False
    covered = sum(line.bbox.intersection(picture) for line in lines)
    length = sum(len(line.text) for line in lines) / len(lines)
    return covered >= DOCUMENT_TEXT * picture.area or length >= PROSE_LENGTH


def _is_swallowed(area: Area, areas: Sequence[Area]) -> bool:
    return any(
        other is not area
        and other.label in _CONTAINERS
        and other.bbox.area > area.bbox.area
        and area.bbox.coverage(other.bbox) >= SWALLOWED
        and not (area.label is Label.TABLE and other.label is Label.PICTURE)
        for other in areas
    )


def _without_nested(areas: Sequence[Area]) -> list[Area]:
    """Areas of which none lies in another of text: the better scored of the two stays.

    Suppression by intersection over union leaves a line inside a paragraph alone.
    """
    kept: list[Area] = []
    for area in sorted(areas, key=lambda area: -area.score):
        if area.label in _CONTAINERS or not any(
            _is_nested(area.bbox, other.bbox) for other in kept if other.label not in _CONTAINERS
        ):
            kept.append(area)
    return [area for area in areas if area in kept]


def _is_nested(first: BBox, second: BBox) -> bool:
    smaller, larger = sorted((first, second), key=lambda box: box.area)
    return smaller.coverage(larger) >= SWALLOWED


def _without_echoes(areas: Sequence[Area], lines: Sequence[PageLine]) -> list[Area]:
    """Areas without those over ``lines`` that all belong to others."""
    return [
        area
        for area in areas
        if area.lines or area.label in _CONTAINERS or not _is_echo(area, lines)
    ]


def _is_echo(area: Area, lines: Sequence[PageLine]) -> bool:
    return sum(line.bbox.intersection(area.bbox) for line in lines) >= ECHO_TEXT * area.bbox.area


def _fitted(area: Area) -> Area:
    """A text area grows around lines that stick out of it, so that its box holds its words."""
    if area.label in _CONTAINERS or not area.lines:
        return area
    return replace(area, bbox=union([area.bbox, *(line.bbox for line in area.lines)]).rounded())


def ordered_regions(
    areas: Sequence[Area], page_number: int, rotation: PageRotation, *, leftward: bool = False
) -> list[Region]:
    """Regions in reading order, numbered from 1, boxes on the page as displayed.

    ``leftward`` pages are read from the right column to the left. Two areas with one identity
    (equal boxes) are one region: the better scored.
    """
    regions: dict[str, Region] = {}
    for index in reading_order([area.bbox for area in areas], leftward=leftward):
        area = areas[index]
        bbox = rotation.displayed(area.bbox)
        identity = region_id(page_number, bbox)
        known = regions.get(identity)
        if known is None or known.score < area.score:
            place = known.reading_order if known else len(regions) + 1
            regions[identity] = Region(
                page_number, identity, area.label, bbox, area.score, place, area.model
            )
    return list(regions.values())
