"""What only the whole document shows: heading levels, running headers, paragraphs over a break."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise

from deepcompress_dagster.pipeline.lines import HYPHENS
from deepcompress_dagster.records import BlockUpdate, Join, Label, OutlineBlock, OutlineEntry

MARGIN_SHARE = 0.12
"""Running headers and footers stand in the outer eighth of the page."""

MIN_REPEATS = 3
"""Text that stands at one place on three pages is a running header or footer."""

SAME_SIZE = 0.6
"""Font sizes closer than this (points) are one level."""

SMALL_PRINT = 0.9
"""Share of the body's font size below which text is small print; footnotes have about .8."""

NOTES_BEGIN = 0.4
"""Share of the page above which no footnote begins."""

UPENDED_TEXT = 8
"""Characters of a block that is higher than wide from which it stands on end."""

MAX_LEVEL = 6
"""Markdown knows six heading levels."""

_HEADINGS = (Label.TITLE, Label.SECTION_HEADER)
_FURNITURE = (Label.PAGE_HEADER, Label.PAGE_FOOTER)
_FLOWING = (Label.TEXT, Label.LIST_ITEM)
_ASIDE = (*_FURNITURE, Label.CAPTION, Label.FOOTNOTE)
_NUMBERING = re.compile(r"^\s*(?:(?:appendix|annex)\s+)?(\d{1,3}(?:\.\d{1,3})*)[.)]?\s+\S", re.I)
_NOTE_MARK = re.compile(
    r"^\s*(?:\d{1,3}(?!\d)|[*\u2217\u2020\u2021\u00a7\u00b9\u00b2\u00b3])[.)]?\s*\S"
)
_DIGITS = re.compile(r"\d+|\b[ivxlc]+\b", re.I)
_PAGE_NUMBER = re.compile(
    r"^\W*(?:page|seite|p\.)?\s*(?:\d{1,4}|[ivxlc]{1,6})\W*(?:(?:of|/|von)\s*\d{1,4})?\W*$", re.I
)


def finish_document(
    blocks: Sequence[OutlineBlock], outline: Sequence[OutlineEntry]
) -> list[BlockUpdate]:
    """Label, heading level and join of every block, in the order given (page, reading order)."""
    labelled = _with_footnotes(_without_false_headings(_with_furniture(blocks)))
    levels = _heading_levels(labelled, outline)
    joins = _joins(labelled)
    return [
        BlockUpdate(
            block.page_number,
            block.region_id,
            block.label,
            levels.get(_key(block)),
            joins.get(_key(block)),
        )
        for block in labelled
    ]


def _key(block: OutlineBlock) -> tuple[int, str]:
    return block.page_number, block.region_id


def _with_furniture(blocks: Sequence[OutlineBlock]) -> list[OutlineBlock]:
    """Blocks with running headers, footers and page numbers labelled as such."""
    pages = defaultdict(set)
    for block in blocks:
        if (place := _margin(block)) is not None:
            pages[place, _normalised(block.head)].add(block.page_number)
    relabelled = []
    for block in blocks:
        place = _margin(block)
        repeats = place is not None and len(pages[place, _normalised(block.head)]) >= MIN_REPEATS
        numbers = place is not None and _PAGE_NUMBER.match(block.head) and not block.bold
        if place is not None and block.label not in _FURNITURE and (repeats or numbers):
            block = replace(block, label=place)
        relabelled.append(block)
    return relabelled


def _margin(block: OutlineBlock) -> Label | None:
    """Which margin a short block stands in, None for the body."""
    if len(block.head) > 120:
        return None
    if block.bbox.y1 < MARGIN_SHARE * block.page_height:
        return Label.PAGE_HEADER
    if block.bbox.y0 > (1 - MARGIN_SHARE) * block.page_height:
        return Label.PAGE_FOOTER
    return None


def _normalised(text: str) -> str:
    return _DIGITS.sub("#", text).strip().casefold()


def _without_false_headings(blocks: Sequence[OutlineBlock]) -> list[OutlineBlock]:
    """Section headers that look like the body text are text: same font, no capitals, no number.

    A number does not tell a heading where others are set larger or bold: it counts a list.
    """
    size = _common_size([block for block in blocks if block.label in _FLOWING])
    headers = [block for block in blocks if block.label is Label.SECTION_HEADER]
    lists = any(_depth(block) and _is_set_off(block, size) for block in headers)
    return [
        replace(block, label=Label.TEXT)
        if block.label is Label.SECTION_HEADER
        and not _is_set_off(block, size)
        and (lists or not _depth(block))
        else block
        for block in blocks
    ]


def _is_set_off(block: OutlineBlock, body_size: float) -> bool:
    larger = not block.font_size or not body_size or block.font_size > body_size + SAME_SIZE
    return larger or block.bold or block.head.isupper()


def _with_footnotes(blocks: Sequence[OutlineBlock]) -> list[OutlineBlock]:
    """Blocks with small print below the body of a page labelled as footnotes, and no others.

    A footnote begins with a mark, or goes on under a footnote; an imprint does neither.
    """
    size = _common_size([block for block in blocks if block.label in _FLOWING])
    relabelled: list[OutlineBlock] = []
    for _, page in groupby(blocks, key=lambda block: block.page_number):
        on_page = list(page)
        above: OutlineBlock | None = None
        for block in on_page:
            follows = above is not None and above.label is Label.FOOTNOTE
            marked = bool(_NOTE_MARK.match(block.head))
            if _is_small(block, size) and (
                follows or (marked and block.label in _FLOWING and _is_lowest(block, on_page, size))
            ):
                block = replace(block, label=Label.FOOTNOTE)
            elif block.label is Label.FOOTNOTE and not (marked or follows):
                block = replace(block, label=Label.TEXT)
            relabelled.append(block)
            above = block
    return relabelled


def _is_small(block: OutlineBlock, body_size: float) -> bool:
    small = block.font_size is not None and block.font_size < SMALL_PRINT * body_size
    return small and block.label in (*_FLOWING, Label.SECTION_HEADER) and not block.monospace


def _is_lowest(block: OutlineBlock, page: Sequence[OutlineBlock], body_size: float) -> bool:
    """Whether nothing but small print and furniture stands below the block, in its column.

    Of text that stands on end, as on a turned page, that cannot be told.
    """
    if block.bbox.height > block.bbox.width and len(block.head) > UPENDED_TEXT:
        return False
    if block.bbox.y0 < NOTES_BEGIN * block.page_height:
        return False
    return not any(
        other.bbox.y0 >= block.bbox.y1
        and other.bbox.x0 < block.bbox.x1
        and other.bbox.x1 > block.bbox.x0
        and other.label not in (*_FURNITURE, Label.FOOTNOTE)
        and not _is_small(other, body_size)
        for other in page
    )


def _heading_levels(
    blocks: Sequence[OutlineBlock], outline: Sequence[OutlineEntry]
) -> dict[tuple[int, str], int]:
    """Levels from the PDF's outline, then from numbering, then from the sizes of these or all."""
    headings = [block for block in blocks if block.label in _HEADINGS]
    offset = int(any(block.label is Label.TITLE for block in headings))
    told = _told_levels(headings, outline, offset)
    sizes = _size_levels(headings)
    levels = {}
    for block in headings:
        if _key(block) in told:
            level = told[_key(block)]
        elif told:
            level = _level_among(block, headings, told)
        else:
            level = sizes[_key(block)] + offset
        levels[_key(block)] = min(level, MAX_LEVEL)
    return levels


def _told_levels(
    headings: Sequence[OutlineBlock], outline: Sequence[OutlineEntry], offset: int
) -> dict[tuple[int, str], int]:
    """The levels of titles, and of headings that the outline or their own number tells."""
    bookmarked = {(_plain(entry.title), entry.page_number): entry.level for entry in outline}
    depths = _section_depths(headings)
    top = _top_depth(headings, depths)
    told = {}
    for block in headings:
        known = bookmarked.get((_plain(block.head), block.page_number))
        depth = depths.get(_key(block))
        if block.label is Label.TITLE:
            told[_key(block)] = known or 1
        elif known is not None:
            told[_key(block)] = known + offset
        elif depth is not None:
            told[_key(block)] = depth - top + 1 + offset
    if depths and top < min(depths.values()):
        told.setdefault(_key(headings[0]), 1 + offset)
    return told


def _level_among(
    block: OutlineBlock, headings: Sequence[OutlineBlock], told: Mapping[tuple[int, str], int]
) -> int:
    """The level of headings of the same size; else one below the nearest larger ones."""
    size = block.font_size or 0.0
    sized = [
        (other.font_size or 0.0, told[_key(other)]) for other in headings if _key(other) in told
    ]
    same = [level for other, level in sized if abs(other - size) <= SAME_SIZE]
    above = [level for other, level in sized if other > size + SAME_SIZE]
    return min(same) if same else max(above, default=0) + 1


def _section_depths(headings: Sequence[OutlineBlock]) -> dict[tuple[int, str], int]:
    """How deep each heading's own numbering says that it stands.

    A number counts something else (points, steps) where deeper sections are set larger.
    """
    numbered = [(block, depth) for block in headings if (depth := _depth(block)) is not None]
    return {
        _key(block): depth
        for block, depth in numbered
        if not any(
            other_depth > depth and (other.font_size or 0) > (block.font_size or 0) + SAME_SIZE
            for other, other_depth in numbered
        )
    }


def _top_depth(headings: Sequence[OutlineBlock], depths: Mapping[tuple[int, str], int]) -> int:
    """The depth of numbering that stands for the highest section.

    The least that occurs; one less where the document begins with a heading without a number, no
    smaller: the chapter whose number is not printed.
    """
    top = min(depths.values(), default=1)
    sizes = [block.font_size or 0.0 for block in headings if depths.get(_key(block)) == top]
    if top == 1 or not sizes:
        return top
    first = headings[0]
    chapter = first.label is Label.SECTION_HEADER and _key(first) not in depths
    return top - 1 if chapter and (first.font_size or 0.0) >= max(sizes) - SAME_SIZE else top


def _depth(block: OutlineBlock) -> int | None:
    """The depth of a heading's number: 2 for ``4.1``."""
    numbered = _NUMBERING.match(block.head)
    return numbered[1].count(".") + 1 if numbered else None


def _plain(text: str) -> str:
    return re.sub(r"\W+", "", text).casefold()


def _size_levels(headings: Sequence[OutlineBlock]) -> Mapping[tuple[int, str], int]:
    """Level of each section header by its font: the largest is 1, bold before regular."""
    sections = [block for block in headings if block.label is Label.SECTION_HEADER]
    ranks: list[tuple[float, bool]] = []
    for style in sorted({(block.font_size or 0.0, block.bold) for block in sections}, reverse=True):
        if not ranks or ranks[-1][0] - style[0] > SAME_SIZE or ranks[-1][1] != style[1]:
            ranks.append(style)
    return {
        _key(block): next(
            rank
            for rank, (size, bold) in enumerate(ranks, start=1)
            if size - (block.font_size or 0.0) <= SAME_SIZE and bold == block.bold
        )
        for block in sections
    }


def _joins(blocks: Sequence[OutlineBlock]) -> dict[tuple[int, str], Join]:
    """Paragraphs that go on in the next column or on the next page."""
    body = [block for block in blocks if block.label not in _ASIDE]
    common_size = _common_size(body)
    joins = {}
    for previous, block in pairwise(body):
        if _goes_on(previous, block, common_size):
            hyphen = previous.tail[-1:] in HYPHENS and previous.tail[-2:-1].isalpha()
            joins[_key(block)] = Join.HYPHEN if hyphen else Join.SPACE
    return joins


def _common_size(blocks: Sequence[OutlineBlock]) -> float:
    sizes = Counter(round(block.font_size, 1) for block in blocks if block.font_size)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def _goes_on(previous: OutlineBlock, block: OutlineBlock, common_size: float) -> bool:
    if previous.label not in _FLOWING or block.label is not Label.TEXT:
        return False
    broken = block.page_number == previous.page_number + 1 or (
        block.page_number == previous.page_number and block.bbox.y0 < previous.bbox.y0
    )
    same_font = abs((previous.font_size or common_size) - (block.font_size or common_size)) < 1.0
    if previous.monospace or block.monospace:
        return False
    open_end = previous.tail.rstrip()[-1:] not in ".!?:;\"'\u201d\u2019)"
    return broken and same_font and open_end and block.head[:1].islower()
