"""Which text is a caption, and which table or figure it describes: by geometry and by its words."""

import re
from collections.abc import Sequence
from typing import Protocol, Self, TypeVar

from deepcompress_dagster.records import BBox, Label, Region

MAX_DISTANCE = 60.0
"""Points between a caption and what it describes, at most: about four lines."""

CAPTION_DISTANCE = 24.0
"""Points within which a text that names a table or figure is its caption: two lines."""

DESCRIBED = (Label.TABLE, Label.PICTURE)
CAPTION_LIKE = (Label.TEXT, Label.SECTION_HEADER)
"""Labels that layout models give to captions by mistake."""

_NUMBERED = re.compile(
    r"^\W*(table|tab|figure|fig|chart|exhibit|plate|scheme|tabelle|abbildung|abb|tableau|tabla"
    r"|figura|tabella)\b\.?\s*([0-9]+|[IVXLC]+\b|[A-Z]\b)",
    re.I,
)
_WORDS = {Label.TABLE: ("tab",), Label.PICTURE: ("fig", "abb", "chart", "plate", "scheme")}


class _Part(Protocol):
    """A part of a page with its text."""

    @property
    def label(self) -> Label: ...

    @property
    def bbox(self) -> BBox: ...

    @property
    def text(self) -> str: ...

    def relabelled(self, label: Label) -> Self: ...


Part = TypeVar("Part", bound=_Part)


def match_captions(regions: Sequence[Region], text: dict[str, str]) -> dict[str, str]:
    """``region_id`` of each table or picture -> ``region_id`` of its caption.

    Captions take the nearest table or picture, each at most once, nearest pairs first. A caption
    that names its kind ("Table 3", "Fig. 2") goes only to that kind while there is one in reach.
    """
    captions = [region for region in regions if region.label is Label.CAPTION]
    described = [region for region in regions if region.label in DESCRIBED]
    pairs = sorted(
        (
            (not _names(text.get(caption.region_id, ""), target.label), distance, i, j)
            for i, caption in enumerate(captions)
            for j, target in enumerate(described)
            if (distance := _distance(caption.bbox, target.bbox)) <= MAX_DISTANCE
        ),
    )
    matched: dict[str, str] = {}
    taken: set[int] = set()
    for _, _, i, j in pairs:
        target_id = described[j].region_id
        if i not in taken and target_id not in matched:
            taken.add(i)
            matched[target_id] = captions[i].region_id
    return matched


def with_captions(parts: Sequence[Part]) -> list[Part]:
    """Parts of a page in which text that names a table or figure beside it is a caption.

    Asked twice: of what the text layer says, and again of what OCR read.
    """
    described = [part.bbox for part in parts if part.label in DESCRIBED]
    return [
        part.relabelled(Label.CAPTION)
        if part.label in CAPTION_LIKE and is_caption(part.text, part.bbox, described)
        else part
        for part in parts
    ]


def is_numbered(text: str) -> bool:
    """Whether a text begins with the number of a table or figure."""
    return bool(_NUMBERED.match(text))


def is_caption(text: str, bbox: BBox, described: Sequence[BBox]) -> bool:
    """Whether a text names a table or figure by number and stands right beside one."""
    near = any(_distance(bbox, other) <= CAPTION_DISTANCE for other in described)
    return near and is_numbered(text)


def _names(text: str, label: Label) -> bool:
    return text.lower().lstrip().startswith(_WORDS[label])


def _distance(caption: BBox, target: BBox) -> float:
    """Vertical gap where the boxes overlap across, horizontal gap where they overlap down."""
    dx = max(caption.x0 - target.x1, target.x0 - caption.x1, 0.0)
    dy = max(caption.y0 - target.y1, target.y0 - caption.y1, 0.0)
    return dx + dy
