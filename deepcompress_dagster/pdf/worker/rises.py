"""Superscripts and subscripts: what is smaller than its neighbour and off its baseline.

A word that holds one is cut there, so that "$320" and the mark 1 stay two things.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from deepcompress_dagster.records import BBox, Word, union

SMALLER = 0.85
"""Font size of a superscript over its neighbour's, at most: typesetters use .58 to .76."""

FAR = 0.25
"""Font sizes off the baseline from which digits are a superscript whatever their size: some
programs raise them and make them no smaller, and nothing else stands so high in a line."""

RAISED = (0.15, 0.9)
LOWERED = (-0.6, -0.06)
"""Shift of the baseline over the neighbour's font size: .33 to .45 is usual up, .1 to .25 down."""

ROUNDING = 0.05
"""Points by which equal font sizes differ."""

LONGEST = 8
"""Characters of a superscript; longer pieces that are off the baseline are lines of their own."""

LONGEST_MARK = 3
"""Characters of a mark that stands alone."""

TOUCHES = 0.25
"""Font sizes between a word and its superscript, at most."""

CELL = 8.0
"""Points: the mesh by which neighbours are looked up."""

_SIGNS = frozenset("+-\u2212")
"""Signs that stand alone as the charge of an ion."""

_ORDINALS = frozenset({"st", "nd", "rd", "th", "er", "re", "de", "ème", "eme", "ère", "os"})
"""Raised endings of ordinal numbers: part of the word ("1st"), no mark on it."""


class Span(NamedTuple):
    """A run of one style in a line; ``up`` is how high its baseline lies, across the line."""

    text: str
    box: BBox
    size: float
    up: float


def rises_of(spans: Sequence[Span], axis: int) -> list[int]:
    """For each span of a line 1 for a superscript, -1 for a subscript, else 0."""
    sizes = [span.size for span in spans]
    ups = [span.up for span in spans]
    if min(sizes) > SMALLER * max(sizes) and max(ups) - min(ups) < FAR * min(sizes):
        return [0] * len(spans)
    rises: list[int] = []
    for i, span in enumerate(spans):
        before = next((j for j in range(i - 1, -1, -1) if not rises[j]), None)
        after = i + 1 if i + 1 < len(spans) else None
        base = next(
            (j for j in (before, after) if j is not None and _touch(span, spans[j], axis, i - j)),
            None,
        )
        rise = 0 if base is None else _rise(span, spans[base])
        rises.append(rise if rise and not _is_inside_word(spans, i, rise) else 0)
    return rises


def _touch(span: Span, other: Span, axis: int, distance: int) -> bool:
    """Whether two spans that show something stand side by side, or superscripts between them."""
    if not other.text.strip():
        return False
    box = span.box
    gap = max(box[axis] - other.box[axis + 2], other.box[axis] - box[axis + 2])
    return gap <= TOUCHES * other.size or abs(distance) > 1


def _rise(span: Span, base: Span) -> int:
    text = span.text.strip()
    if not text or len(text) > LONGEST or span.size > base.size + ROUNDING:
        return 0
    shift = (span.up - base.up) / base.size
    if span.size > SMALLER * base.size and (abs(shift) < FAR or not text.isdigit()):
        return 0
    if not any(map(str.isalnum, text)) and (text not in _SIGNS or shift < 0):
        return 0
    if RAISED[0] <= shift <= RAISED[1]:
        ending = text.lower() in _ORDINALS and base.text[-1:].isdigit()
        return 0 if ending else 1
    return -1 if LOWERED[0] <= shift <= LOWERED[1] else 0


def _is_inside_word(spans: Sequence[Span], i: int, rise: int) -> bool:
    """Whether raised letters stand in the middle of a word, as in TeX's own name."""
    following = spans[i + 1].text[:1] if i + 1 < len(spans) else ""
    text = spans[i].text
    return rise > 0 and text[-1:].isalpha() and text.isupper() and following.isalpha()


def cut_at_rises(
    words: Sequence[tuple[str, BBox]], spans: Sequence[Span], rises: Sequence[int], axis: int
) -> Iterator[tuple[str, BBox, int, bool]]:
    """The words of a line, cut where superscripts begin and end: text, box, rise, blank before it.

    ``words`` and ``spans`` hold the same characters; where they do not, no word is cut.
    """
    owners = owners_of(spans)
    if len(owners) != sum(len(text) for text, _ in words):
        yield from ((text, box, 0, True) for text, box in words)
        return
    position = 0
    end: float | None = None
    for text, box in words:
        own = owners[position : position + len(text)]
        position += len(text)
        starts = [0, *(k for k in range(1, len(own)) if rises[own[k]] != rises[own[k - 1]])]
        for start, stop in zip(starts, [*starts[1:], len(own)], strict=True):
            rise = rises[own[start]]
            piece = _part(box, [spans[i] for i in own[start:stop]], axis)
            size = max(spans[i].size for i in (own[start], own[max(0, start - 1)]))
            apart = end is None or piece[axis] - end > TOUCHES * size
            yield text[start:stop], piece, rise, not start and (apart or not rise)
            end = piece[axis + 2]


def owners_of(spans: Sequence[Span]) -> list[int]:
    """For each character of a line, blanks left out, the number of its span."""
    return [i for i, span in enumerate(spans) for c in span.text if not _is_blank(c)]


def _is_blank(character: str) -> bool:
    return character.isspace() or character == "\xa0"


def _part(word: BBox, spans: Sequence[Span], axis: int) -> BBox:
    """The part of a word's box that its spans cover: along the line and across it."""
    box = union(span.box for span in spans)
    low, high = max(word[axis], box[axis]), min(word[axis + 2], box[axis + 2])
    if low >= high:
        return word
    if axis == 0:
        return BBox(low, box.y0, high, box.y1)
    return BBox(box.x0, low, box.x1, high)


def with_whole_formulas(words: Sequence[Word]) -> list[Word]:
    """Words in which a line that begins with a superscript at the one before it goes on there.

    A superscript over a subscript is drawn further left than that ends: MuPDF begins a line.
    """
    placed: list[Word] = []
    moved: dict[tuple[int, int], tuple[int, int]] = {}
    for word in words:
        own = (word.block, word.line)
        if placed and word.rise and own not in moved and _goes_on(placed[-1], word):
            home = placed[-1]
            moved[own] = (home.block, home.line)
            word = replace(word, spaced=False)
        block, line = moved.get(own, own)
        placed.append(replace(word, block=block, line=line) if own in moved else word)
    return placed


def _goes_on(before: Word, word: Word) -> bool:
    """Whether a superscript or subscript stands right behind its word, or another, of a line."""
    gap = word.bbox.x0 - before.bbox.x1
    return (
        (bool(before.rise) or _is_mark_of(word, before))
        and (before.block, before.line) != (word.block, word.line)
        and abs(gap) <= 2 * TOUCHES * word.font_size
        and abs(word.bbox.center[1] - before.bbox.center[1]) <= 2 * word.font_size
    )


def with_loose_marks(words: Sequence[Word]) -> list[Word]:
    """Words with marks that the PDF keeps apart put behind the word that they stand at.

    Table notes are often drawn after the table, in blocks of their own.
    """
    sizes = Counter(word.font_size for word in words)
    small = SMALLER * sizes.most_common(1)[0][0] if sizes else 0.0
    loose = [i for i, word in enumerate(words) if _may_be_loose(words, i, small)]
    if not loose:
        return list(words)
    near = _by_end(words)
    moved: dict[int, list[Word]] = defaultdict(list)
    taken = set()
    for i in loose:
        base = _base_of(words, i, near)
        if base is not None:
            mark, home = words[i], words[base]
            moved[base].append(
                replace(mark, block=home.block, line=home.line, rise=1, spaced=False)
            )
            taken.add(i)
    return [
        placed
        for i, word in enumerate(words)
        if i not in taken
        for placed in (word, *moved.get(i, ()))
    ]


def _may_be_loose(words: Sequence[Word], i: int, small: float) -> bool:
    """Whether a short word stands alone in its line, and is smaller than most of the page."""
    word = words[i]
    if word.font_size > small or len(word.text) > LONGEST_MARK:
        return False
    beside = (words[j] for j in (i - 1, i + 1) if 0 <= j < len(words))
    return (
        not word.rise
        and word.text.isalnum()
        and not any((other.block, other.line) == (word.block, word.line) for other in beside)
    )


def _by_end(words: Sequence[Word]) -> dict[tuple[int, int], list[int]]:
    """Indices of words by the mesh in which their right end and middle lie."""
    near: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, word in enumerate(words):
        near[int(word.bbox.x1 / CELL), int(word.bbox.center[1] / CELL)].append(i)
    return near


def _base_of(words: Sequence[Word], i: int, near: dict[tuple[int, int], list[int]]) -> int | None:
    """The word at whose right upper end the mark stands, if there is one."""
    mark = words[i]
    column, row = int(mark.bbox.x0 / CELL), int(mark.bbox.center[1] / CELL)
    for x in (column, column - 1, column + 1):
        for y in (row, row + 1, row - 1):
            for j in near.get((x, y), ()):
                if j != i and _is_mark_of(mark, words[j]):
                    return j
    return None


def _is_mark_of(mark: Word, base: Word) -> bool:
    size = base.font_size
    gap = mark.bbox.x0 - base.bbox.x1
    # Boxes reach as far below the baseline as the font does: the same share of either size.
    shift = (base.bbox.y1 - mark.bbox.y1) / size if size else 0.0
    return (
        mark.font_size <= SMALLER * size
        and -TOUCHES * size <= gap <= TOUCHES * size
        and RAISED[0] <= shift <= RAISED[1]
        and mark.bbox.y1 > base.bbox.y0
        and not base.rise
    )
