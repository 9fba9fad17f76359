"""Headings of a document: which blocks are some, and their levels.

A document sets what is alike alike: blocks are grouped by their style, and a group is headings,
terms of a list or text as a whole. The layout model votes, the PDF's outline and the numbering
weigh in. Levels follow the numbering first, then the outline, then the sizes.

Here belongs what is a heading and at which level. What its number says is numbering.py's.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from statistics import median_low

from deepcompress_dagster.pipeline.numbering import section_number
from deepcompress_dagster.records import Label, OutlineBlock, OutlineEntry, TextStyle

SAME_SIZE = 0.6
"""Font sizes closer than this (points) are one level."""

MAX_LEVEL = 6
"""Markdown knows six heading levels."""

HEADINGS = (Label.TITLE, Label.SECTION_HEADER)
FLOWING = (Label.TEXT, Label.LIST_ITEM)

TERM_INDENT = 0.6
"""Font sizes by which the text under a term stands in from it."""

TERM_GAP = 1.5
"""Font sizes between a term and the text under it, at most; a heading keeps more distance."""

TERM_SHARE = 0.6
"""Share of a group's members with text set in below from which they are terms."""

MARGIN_SHARE = 0.1
"""Share of the lines of running text that begin at the left margin, at least: a manual may be
little but definitions."""

HEADING_SHARE = 0.5
"""Share of a group that the layout model, the outline or numbers take for headings from which all
of it is."""

MIN_VOTES = 2
"""Headings of a group that are known by themselves before others of its style become headings."""

STRAY_SHARE = 0.2
STRAY_MEMBERS = 6
"""Headings in a group of this many or more, no larger than the body, that are strays below the
share."""

HEADING_LENGTH = 160
HEADING_LINES = 3
"""Characters and lines of a block that can become a heading."""

ALIGNED = 3.0
"""Points by which the left edges of headings of one style differ, at most."""

DEEP = 3
"""Levels that a number names from which it is a section's (``3.1.1``) and no clause's or item's."""

_LIST_MARK = re.compile(r"\s*(?:[^\w\s(\"'\[<]|\(?\w{1,3}[.)]\s)")
"""A bullet, a number or a letter at the beginning of a point of a list."""

Key = tuple[int, str]
Style = tuple[str, float, bool, bool, int]


def common_size(blocks: Iterable[OutlineBlock]) -> float:
    """The commonest font size (points) of these blocks, 0 where none is known."""
    sizes = Counter(round(block.font_size, 1) for block in blocks if block.font_size)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def key_of(block: OutlineBlock) -> Key:
    return block.page_number, block.region_id


@dataclass(frozen=True)
class Body:
    """How running text is set: size in points, style, and left margin by odd and even pages."""

    size: float
    style: TextStyle | None
    margins: Mapping[int, float]

    def is_set_off(self, block: OutlineBlock) -> bool:
        """Whether a block does not look like running text."""
        size = block.font_size
        if not size or not self.size or size > self.size + SAME_SIZE:
            return True
        style = block.style
        colored = style is not None and self.style is not None and style.color != self.style.color
        return block.bold or colored or block.head.isupper()

    def is_indented(self, block: OutlineBlock) -> bool:
        """Whether a block stands in from where running text begins."""
        margin = self.margins.get(block.page_number % 2)
        return margin is not None and block.bbox.x0 > margin + TERM_INDENT * self.size


def body_of(blocks: Sequence[OutlineBlock]) -> Body:
    """How most of the running text is set."""
    flowing = [block for block in blocks if block.label in FLOWING]
    styles: Counter[TextStyle] = Counter()
    for block in flowing:
        if block.style is not None:
            styles[block.style] += block.n_lines
    style = styles.most_common(1)[0][0] if styles else None
    edges: dict[int, Counter[int]] = defaultdict(Counter)
    for block in flowing:
        if block.style == style:
            edges[block.page_number % 2][round(block.bbox.x0)] += block.n_lines
    margins = {side: _margin(lines) for side, lines in edges.items()}
    return Body(common_size(flowing), style, margins)


def _margin(lines: Mapping[int, int]) -> float:
    """The leftmost edge (points) at which a fair share of the ``lines`` begin."""
    enough = MARGIN_SHARE * sum(lines.values())
    return float(min(lines, key=lambda edge: (lines[edge] < enough, edge)))


@dataclass(frozen=True)
class Group:
    """Blocks of one style that could be headings, each with the block below it, if any."""

    members: tuple[tuple[OutlineBlock, OutlineBlock | None], ...]
    body: Body
    bookmarked: frozenset[Key]

    @cached_property
    def size(self) -> float:
        return max(block.font_size or 0.0 for block, _ in self.members)

    @property
    def is_larger(self) -> bool:
        return self.size > self.body.size + SAME_SIZE

    @cached_property
    def headings(self) -> list[OutlineBlock]:
        """The members that are headings by themselves."""
        return [
            block
            for block, _ in self.members
            if block.label in HEADINGS or key_of(block) in self.bookmarked
        ]

    @cached_property
    def is_terms(self) -> bool:
        """Whether the text under most members is set in, as a definition under its term is."""
        numbers = [section_number(block.head) for block in self.headings]
        deep = sum(number is not None and number.depth > 1 for number in numbers)
        if self.is_larger or 2 * deep > len(numbers):
            return False
        if any(key_of(block) in self.bookmarked for block, _ in self.members):
            return False
        below = [(block, after) for block, after in self.members if after is not None]
        defined = sum(_is_defined_by(block, after, self.body) for block, after in below)
        return bool(below) and defined >= TERM_SHARE * len(below)

    @cached_property
    def is_headings(self) -> bool:
        """Whether enough members are headings for the others of their style to be some too."""
        known = len(self.headings)
        return known >= MIN_VOTES and known >= HEADING_SHARE * len(self.members)

    @cached_property
    def is_text(self) -> bool:
        """Whether so few of many members are headings that these are mistaken for some."""
        few = len(self.headings) < STRAY_SHARE * len(self.members)
        return few and len(self.members) >= STRAY_MEMBERS and not self.is_larger

    def decide(self, block: OutlineBlock) -> OutlineBlock:
        """A member labelled as what the group is. A term in monospace type is no code."""
        if block.label is Label.TITLE:
            return block
        if key_of(block) in self.bookmarked:
            return replace(block, label=Label.SECTION_HEADER)
        if self.is_terms and could_be_heading(block):
            label = Label.TEXT if block.label is Label.SECTION_HEADER else block.label
            return replace(block, label=label, monospace=False)
        if self.is_terms or self.is_text:
            return replace(block, label=Label.TEXT) if block.label in HEADINGS else block
        set_off = self.body.is_set_off(block) and could_be_heading(block)
        if self.is_headings and set_off and self._is_aligned(block):
            return replace(block, label=Label.SECTION_HEADER)
        return block

    def _is_aligned(self, block: OutlineBlock) -> bool:
        """Whether a member begins where a heading of the group does."""
        at = bisect_left(self._edges, block.bbox.x0 - ALIGNED)
        return at < len(self._edges) and self._edges[at] <= block.bbox.x0 + ALIGNED

    @cached_property
    def _edges(self) -> list[float]:
        """The left edges of the headings of the group, ascending."""
        return sorted({block.bbox.x0 for block in self.headings})


def could_be_heading(block: OutlineBlock) -> bool:
    """Whether a block is short enough, and no sentence."""
    head = block.head.rstrip()
    return (
        block.n_lines <= HEADING_LINES
        and 1 < len(head) <= HEADING_LENGTH
        and head[-1] not in ".;,。；，、"
        and any(letter.isalpha() for letter in head)
    )


def _is_defined_by(term: OutlineBlock, below: OutlineBlock, body: Body) -> bool:
    """Whether the text below a term stands in; the points of a list under a heading do so too."""
    if _LIST_MARK.match(below.head):
        return False
    indent = TERM_INDENT * (term.font_size or body.size)
    near = below.bbox.y0 - term.bbox.y1 <= TERM_GAP * (term.font_size or body.size)
    set_in = below.bbox.x0 > term.bbox.x0 + indent and body.is_indented(below)
    return near and set_in and below.bbox.y1 > term.bbox.y1


def with_headings(
    blocks: Sequence[OutlineBlock], outline: Sequence[OutlineEntry]
) -> list[OutlineBlock]:
    """Blocks in which the headings, and no others, are labelled as such."""
    body = body_of(blocks)
    bookmarked = _bookmarked(blocks, outline)
    decided: dict[Key, OutlineBlock] = {}
    for group in _groups(blocks, body, bookmarked):
        decided |= {key_of(block): group.decide(block) for block, _ in group.members}
    labelled = [decided.get(key_of(block), block) for block in blocks]
    return _with_missing_numbers(_without_body_text(labelled, body))


def _groups(
    blocks: Sequence[OutlineBlock], body: Body, bookmarked: frozenset[Key]
) -> Iterator[Group]:
    """The blocks of each style that has a heading in it."""
    found: dict[Style, list[tuple[OutlineBlock, OutlineBlock | None]]] = defaultdict(list)
    for block, after in pairwise([*blocks, None]):
        if block is None or block.style is None or block.label not in (*HEADINGS, *FLOWING):
            continue
        same_page = after is not None and after.page_number == block.page_number
        below = after if same_page and after and after.label in (*HEADINGS, *FLOWING) else None
        found[_style(block.style)].append((block, below))
    for members in found.values():
        group = Group(tuple(members), body, bookmarked)
        if group.headings:
            yield group


def _style(style: TextStyle) -> Style:
    return style.font, round(style.size, 1), style.bold, style.italic, style.color


def _bookmarked(blocks: Sequence[OutlineBlock], outline: Sequence[OutlineEntry]) -> frozenset[Key]:
    """Blocks that stand in the PDF's outline, as they are, on the page that it names."""
    titles = {(plain(entry.title), entry.page_number) for entry in outline}
    return frozenset(
        key_of(block)
        for block in blocks
        if block.label in (*HEADINGS, *FLOWING)
        and could_be_heading(block)
        and (plain(block.head), block.page_number) in titles
    )


def plain(text: str) -> str:
    """Letters and digits of ``text``, without case."""
    return re.sub(r"\W+", "", text).casefold()


def _without_body_text(blocks: Sequence[OutlineBlock], body: Body) -> list[OutlineBlock]:
    """Section headers that look like the body text are text: same font, no capitals, no number.

    A number does not tell a heading where others are set larger or bold: it counts a list.
    """
    headers = [block for block in blocks if block.label is Label.SECTION_HEADER]
    lists = any(section_number(block.head) and body.is_set_off(block) for block in headers)
    return [
        replace(block, label=Label.TEXT)
        if block.label is Label.SECTION_HEADER
        and not body.is_set_off(block)
        and (lists or not section_number(block.head))
        else block
        for block in blocks
    ]


def _with_missing_numbers(blocks: Sequence[OutlineBlock]) -> list[OutlineBlock]:
    """Blocks in which text that the numbering of headings wants is one, in their style.

    It fills a gap between two, or stands a level below one: only sections have numbers so deep.
    """
    styles: dict[tuple[str, tuple[int, ...]], set[tuple[float, bool]]] = defaultdict(set)
    numbers: dict[tuple[str, tuple[int, ...]], set[int]] = defaultdict(set)
    for block in blocks:
        if block.label in HEADINGS and (number := section_number(block.head)):
            styles[number.parent].add(_weight(block))
            numbers[number.parent].add(number.parts[-1])

    def fills_a_gap(block: OutlineBlock) -> bool:
        number = section_number(block.head)
        if number is None or block.label not in FLOWING or not could_be_heading(block):
            return False
        series, above = number.parent
        if number.depth >= DEEP and above[-1] in numbers[series, above[:-1]]:
            return _weight(block) in styles[series, above[:-1]]
        taken, last = numbers[number.parent], number.parts[-1]
        next_to = last - 1 in taken or last + 1 in taken
        return last not in taken and next_to and _weight(block) in styles[number.parent]

    return [
        replace(block, label=Label.SECTION_HEADER) if fills_a_gap(block) else block
        for block in blocks
    ]


def _weight(block: OutlineBlock) -> tuple[float, bool]:
    return round(block.font_size or 0.0), block.bold


def heading_levels(
    blocks: Sequence[OutlineBlock], outline: Sequence[OutlineEntry]
) -> dict[Key, int]:
    """Levels from the numbering, then the PDF's outline, then the sizes of these or all."""
    headings = [block for block in blocks if block.label in HEADINGS]
    offset = int(any(block.label is Label.TITLE for block in headings))
    told = _told_levels(headings, outline, offset)
    sizes = _size_levels(headings)
    known = {
        (block.font_size or 0.0, told[key_of(block)]) for block in headings if key_of(block) in told
    }
    levels = {}
    for block in headings:
        if key_of(block) in told:
            level = told[key_of(block)]
        elif told:
            level = _level_among(block.font_size or 0.0, known)
        else:
            level = sizes[key_of(block)] + offset
        levels[key_of(block)] = max(1, min(level, MAX_LEVEL))
    return levels


def _told_levels(
    headings: Sequence[OutlineBlock], outline: Sequence[OutlineEntry], offset: int
) -> dict[Key, int]:
    """The levels of titles, and of headings that their own number or the outline tells."""
    numbered = _numbered_levels(headings, offset)
    marks = {(plain(entry.title), entry.page_number): entry.level for entry in outline}
    marked = {
        key_of(block): marks[place]
        for block in headings
        if (place := (plain(block.head), block.page_number)) in marks
    }
    both = [numbered[key] - level for key, level in marked.items() if key in numbered]
    shift = median_low(both) if both else offset
    told = {key: max(1, level + shift) for key, level in marked.items()} | numbered
    for block in headings:
        if block.label is Label.TITLE:
            told[key_of(block)] = marked.get(key_of(block), 1)
    return told


def _numbered_levels(headings: Sequence[OutlineBlock], offset: int) -> dict[Key, int]:
    depths = _section_depths(headings)
    if not depths:
        return {}
    top = _top_depth(headings, depths)
    levels = {key: depth - top + 1 + offset for key, depth in depths.items()}
    if top < min(depths.values()):
        levels.setdefault(key_of(headings[0]), 1 + offset)
    return levels


def _level_among(size: float, known: Collection[tuple[float, int]]) -> int:
    """The level of headings of the same size; else one below the nearest larger ones.

    ``known`` are the sizes (points) and levels of the others.
    """
    same = [level for other, level in known if abs(other - size) <= SAME_SIZE]
    above = [level for other, level in known if other > size + SAME_SIZE]
    return min(same) if same else max(above, default=0) + 1


def _section_depths(headings: Sequence[OutlineBlock]) -> dict[Key, int]:
    """How deep each heading's own numbering says that it stands.

    A number counts something else (points, steps) where deeper sections are set larger.
    """
    numbered = [(block, number) for block in headings if (number := section_number(block.head))]
    kinds = {(number.depth, block.font_size or 0.0) for block, number in numbered}
    return {
        key_of(block): number.depth
        for block, number in numbered
        if not any(
            depth > number.depth and size > (block.font_size or 0.0) + SAME_SIZE
            for depth, size in kinds
        )
    }


def _top_depth(headings: Sequence[OutlineBlock], depths: Mapping[Key, int]) -> int:
    """The depth of numbering that stands for the highest section.

    The least that occurs; one less where the document begins with a heading without a number, no
    smaller: the chapter whose number is not printed.
    """
    top = min(depths.values())
    sizes = [block.font_size or 0.0 for block in headings if depths.get(key_of(block)) == top]
    if top <= 1:
        return top
    first = headings[0]
    chapter = first.label is Label.SECTION_HEADER and key_of(first) not in depths
    return top - 1 if chapter and (first.font_size or 0.0) >= max(sizes) - SAME_SIZE else top


def _size_levels(headings: Sequence[OutlineBlock]) -> Mapping[Key, int]:
    """Level of each section header by its font: the largest is 1, bold before regular."""
    sections = [block for block in headings if block.label is Label.SECTION_HEADER]
    ranks: list[tuple[float, bool]] = []
    for style in sorted({(block.font_size or 0.0, block.bold) for block in sections}, reverse=True):
        if not ranks or ranks[-1][0] - style[0] > SAME_SIZE or ranks[-1][1] != style[1]:
            ranks.append(style)
    return {
        key_of(block): next(
            rank
            for rank, (size, bold) in enumerate(ranks, start=1)
            if size - (block.font_size or 0.0) <= SAME_SIZE and bold == block.bold
        )
        for block in sections
    }
