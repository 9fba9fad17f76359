"""The regions of a page: what the layout model found, mended with the text layer, in order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deepcompress_dagster.models.predictor import Detection
from deepcompress_dagster.pipeline.captions import CAPTION_LIKE, DESCRIBED, is_caption
from deepcompress_dagster.pipeline.frame import Frame
from deepcompress_dagster.pipeline.lines import Line, assign, cluster, join_lines
from deepcompress_dagster.pipeline.reading_order import reading_order
from deepcompress_dagster.records import BBox, Label, Region, region_id, union

SWALLOWED = 0.85
"""A region covered this much by a table or picture is part of it."""

PAGE_PICTURE = 0.75
"""A picture that covers this share of a page full of text lines is a scan, not a figure."""

MANY_LINES = 8
"""Lines of text in a picture from which it may be a scan of a page."""

DOCUMENT_TEXT = 0.12
"""Share of a picture that lines of text cover from which it shows a document, not a figure with
labels; receipts have .2 to .4, charts below .1."""

CLUSTER_MODEL = "text-clusters"
"""``model`` of regions grown from lines that no detected region covers; their score is 0."""

_CONTAINERS = (Label.TABLE, Label.PICTURE)


@dataclass(frozen=True)
class Area:
    """A region in the upright frame, before it gets its identity and its place."""

    label: Label
    bbox: BBox
    score: float
    model: str


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


def mend(areas: Sequence[Area], lines: Sequence[Line], size: tuple[float, float]) -> list[Area]:
    """Areas without doubles, and with areas for lines that the model overlooked.

    A picture that is really a scanned page full of text is dropped; areas inside a table or
    picture belong to it; text areas fit the lines that they own.
    """
    kept = _without_scans(areas, lines, size)
    kept = [area for area in kept if not _is_swallowed(area, kept)]
    owned, orphans = assign(lines, [area.bbox for area in kept])
    fitted = [_fitted(area, mine) for area, mine in zip(kept, owned, strict=True)]
    return _with_captions(fitted, owned) + grown_areas(orphans)


def _with_captions(areas: Sequence[Area], owned: Sequence[Sequence[Line]]) -> list[Area]:
    """Areas in which text that names a table or figure beside it is a caption."""
    described = [area.bbox for area in areas if area.label in DESCRIBED]
    return [
        replace(area, label=Label.CAPTION)
        if area.label in CAPTION_LIKE and is_caption(join_lines(lines), area.bbox, described)
        else area
        for area, lines in zip(areas, owned, strict=True)
    ]


def grown_areas(orphans: Sequence[Line]) -> list[Area]:
    """One text area around each cluster of lines that no area owns."""
    return [
        Area(Label.TEXT, union(line.bbox for line in group).rounded(), 0.0, CLUSTER_MODEL)
        for group in cluster(orphans)
    ]


def _without_scans(
    areas: Sequence[Area], lines: Sequence[Line], size: tuple[float, float]
) -> list[Area]:
    page = BBox(0, 0, *size)
    return [
        area
        for area in areas
        if not (
            area.label is Label.PICTURE
            and page.coverage(area.bbox) >= PAGE_PICTURE
            and sum(line.bbox.coverage(area.bbox) > 0.5 for line in lines) >= MANY_LINES
        )
    ]


def shows_a_document(picture: BBox, lines: Sequence[Line]) -> bool:
    """Whether the ``lines`` in a picture are to be read for themselves: it is a photo of a page."""
    covered = sum(line.bbox.intersection(picture) for line in lines)
    return len(lines) >= MANY_LINES and covered >= DOCUMENT_TEXT * picture.area


def _is_swallowed(area: Area, areas: Sequence[Area]) -> bool:
    return any(
        other is not area
        and other.label in _CONTAINERS
        and other.bbox.area > area.bbox.area
        and area.bbox.coverage(other.bbox) >= SWALLOWED
        and not (area.label is Label.TABLE and other.label is Label.PICTURE)
        for other in areas
    )


def _fitted(area: Area, lines: Sequence[Line]) -> Area:
    """A text area grows around lines that stick out of it, so that its box holds its words."""
    if area.label in _CONTAINERS or not lines:
        return area
    return replace(area, bbox=union([area.bbox, *(line.bbox for line in lines)]).rounded())


def ordered_regions(areas: Sequence[Area], page_number: int, frame: Frame) -> list[Region]:
    """Regions in reading order, numbered from 1, boxes on the page as displayed.

    Two areas with one identity (equal boxes) are one region: the better scored.
    """
    regions: dict[str, Region] = {}
    for index in reading_order([area.bbox for area in areas]):
        area = areas[index]
        bbox = frame.displayed(area.bbox)
        identity = region_id(page_number, bbox)
        known = regions.get(identity)
        if known is None or known.score < area.score:
            place = known.reading_order if known else len(regions) + 1
            regions[identity] = Region(
                page_number, identity, area.label, bbox, area.score, place, area.model
            )
    return list(regions.values())
