"""What only the whole document shows: headings, running headers, paragraphs over a break."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from types import MappingProxyType

from deepcompress_dagster.pipeline.headings import (
    FLOWING,
    common_size,
    heading_levels,
    key_of,
    with_headings,
)
from deepcompress_dagster.pipeline.joining import HYPHENS, broken_words, joined
from deepcompress_dagster.records import (
    FURNITURE,
    BlockUpdate,
    BrokenText,
    Join,
    Label,
    OutlineBlock,
    OutlineEntry,
)

MARGIN_SHARE = 0.12
"""Running headers and footers stand in the outer eighth of the page."""

MIN_REPEATS = 3
"""Text that stands at one place on three pages is a running header or footer."""

SMALL_PRINT = 0.9
"""Share of the body's font size below which text is small print; footnotes have about .8."""

NOTES_BEGIN = 0.4
"""Share of the page above which no footnote begins."""

UPENDED_TEXT = 8
"""Characters of a block that is higher than wide from which it stands on end."""

_ASIDE = (*FURNITURE, Label.CAPTION, Label.FOOTNOTE)
_NOTE_MARK = re.compile(
    r"^\s*(?:\d{1,3}(?!\d)|[*\u2217\u2020\u2021\u00a7]|[\u00b9\u00b2\u00b3\u2070-\u2079ᵃ-ᶻ]+)[.)]?\s*\S"
)
_DIGITS = re.compile(r"\d+|\b[ivxlc]+\b", re.I)
_PAGE_NUMBER = re.compile(
    r"^\W*(?:page|seite|p\.)?\s*(?:\d{1,4}|[ivxlc]{1,6})\W*(?:(?:of|/|von)\s*\d{1,4})?\W*$", re.I
)


def rejoined(
    texts: Sequence[BrokenText], count: Callable[[Collection[str]], Mapping[str, int]]
) -> dict[tuple[int, str], str]:
    """The blocks, by page and region, in which other pages tell of a hyphen what its own did not.

    ``count`` tells how often words (lower case) stand unbroken in the document.
    """
    halves = {pair for text in texts for pair in broken_words(text.lines)}
    known = count({f"{a}-{b}" for a, b in halves} | {a + b for a, b in halves}) if halves else {}
    told = {(text.page_number, text.region_id): joined(text.lines, known) for text in texts}
    return {
        (text.page_number, text.region_id): found
        for text in texts
        if (found := told[text.page_number, text.region_id]) != text.content
        and _letters(found) == _letters(text.content)
    }


def _letters(text: str) -> str:
    """What is the same of a text however its lines are joined."""
    return re.sub(rf"[\s{re.escape(HYPHENS)}]", "", text)


def finish_document(
    blocks: Sequence[OutlineBlock],
    outline: Sequence[OutlineEntry],
    contents: Mapping[tuple[int, str], str] = MappingProxyType({}),
) -> list[BlockUpdate]:
    """Label, heading level and join of every block, in the order given (page, reading order).

    ``contents`` are the texts that are to be replaced, by page and region.
    """
    labelled = _with_footnotes(with_headings(_with_furniture(blocks), outline))
    levels = heading_levels(labelled, outline)
    joins = _joins(labelled)
    return [
        BlockUpdate(
            block.page_number,
            block.region_id,
            block.label,
            levels.get(key_of(block)),
            joins.get(key_of(block)),
            block.monospace,
            contents.get(key_of(block)),
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
        if place is not None and block.label not in FURNITURE and (repeats or numbers):
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


def _with_footnotes(blocks: Sequence[OutlineBlock]) -> list[OutlineBlock]:
    """Blocks with small print below the body of a page labelled as footnotes, and no others.

    A footnote begins with a mark, or goes on under a footnote; an imprint does neither.
    """
    size = common_size([block for block in blocks if block.label in FLOWING])
    relabelled: list[OutlineBlock] = []
    for _, page in groupby(blocks, key=lambda block: block.page_number):
        on_page = list(page)
        above: OutlineBlock | None = None
        for block in on_page:
            follows = above is not None and above.label is Label.FOOTNOTE
            marked = bool(_NOTE_MARK.match(block.head))
            if _is_small(block, size) and (
                follows or (marked and block.label in FLOWING and _is_lowest(block, on_page, size))
            ):
                block = replace(block, label=Label.FOOTNOTE)
            elif block.label is Label.FOOTNOTE and not (marked or follows):
                block = replace(block, label=Label.TEXT)
            relabelled.append(block)
            above = block
    return relabelled


def _is_small(block: OutlineBlock, body_size: float) -> bool:
    small = block.font_size is not None and block.font_size < SMALL_PRINT * body_size
    return small and block.label in (*FLOWING, Label.SECTION_HEADER) and not block.monospace


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
        and other.label not in (*FURNITURE, Label.FOOTNOTE)
        and not _is_small(other, body_size)
        for other in page
    )


def _joins(blocks: Sequence[OutlineBlock]) -> dict[tuple[int, str], Join]:
    """Paragraphs that go on in the next column or on the next page."""
    body = [block for block in blocks if block.label not in _ASIDE]
    size = common_size(body)
    joins = {}
    for previous, block in pairwise(body):
        if _goes_on(previous, block, size):
            hyphen = previous.tail[-1:] in HYPHENS and previous.tail[-2:-1].isalpha()
            joins[key_of(block)] = Join.HYPHEN if hyphen else Join.SPACE
    return joins


def _goes_on(previous: OutlineBlock, block: OutlineBlock, size: float) -> bool:
    if previous.label not in FLOWING or block.label is not Label.TEXT:
        return False
    broken = block.page_number == previous.page_number + 1 or (
        block.page_number == previous.page_number and block.bbox.y0 < previous.bbox.y0
    )
    same_font = abs((previous.font_size or size) - (block.font_size or size)) < 1.0
    if previous.monospace or block.monospace:
        return False
    open_end = previous.tail.rstrip()[-1:] not in ".!?:;\"'\u201d\u2019)"
    return broken and same_font and open_end and block.head[:1].islower()
