"""Drop caps: a large first letter beside several lines belongs to the first word of the first."""

import re
from collections.abc import Sequence
from dataclasses import replace

from deepcompress_dagster.records import Word

LARGER = 1.7
"""Font size of an initial over that of the text beside it, at least: over two lines it is 2.2."""

GAP = 1.5
"""Font sizes of the text between the initial and its lines, at most."""

BESIDE = 2
"""Lines that begin beside an initial, at least; with one it is a raised letter or a heading."""

_QUOTES = "\"'\u201c\u201e\u2018\u00ab\u00bf\u00a1("
_INITIAL = re.compile(rf"[{re.escape(_QUOTES)}]?[^\W\d_]")

_WORDS = frozenset("AIOYEUÀÈÉÔ")
"""Letters that are words: only the page's other words tell whether the next belongs to them."""


def with_initials(words: Sequence[Word]) -> list[Word]:
    """Words with each drop cap put at the beginning of the line that it begins."""
    caps = [i for i, word in enumerate(words) if _may_be_initial(words, i)]
    if not caps:
        return list(words)
    starts = _line_starts(words, set(caps))
    changed: dict[int, Word] = {}
    dropped = set()
    for i in caps:
        lines = [j for j in starts if _is_beside(words[i], words[j])]
        if len(lines) >= BESIDE:
            first = min(lines, key=lambda j: words[j].bbox.y0)
            changed[first] = _begun(words[i], words[first], words)
            dropped.add(i)
    return [changed.get(i, word) for i, word in enumerate(words) if i not in dropped]


def _may_be_initial(words: Sequence[Word], i: int) -> bool:
    """A single capital, perhaps quoted, much larger than the word before or after it."""
    word = words[i]
    if not (_INITIAL.fullmatch(word.text) and word.text[-1].isupper()):
        return False
    near = (words[j] for j in (i - 1, i + 1) if 0 <= j < len(words))
    return any(word.font_size >= LARGER * other.font_size > 0 for other in near)


def _line_starts(words: Sequence[Word], caps: set[int]) -> list[int]:
    """The first word of each line, initials aside."""
    starts: list[int] = []
    last: tuple[int, int] | None = None
    for i, word in enumerate(words):
        if i not in caps:
            if (word.block, word.line) != last:
                starts.append(i)
            last = (word.block, word.line)
    return starts


def _is_beside(cap: Word, start: Word) -> bool:
    gap = start.bbox.x0 - cap.bbox.x1
    return (
        cap.font_size >= LARGER * start.font_size > 0
        and -0.2 * start.font_size <= gap <= GAP * start.font_size
        and cap.bbox.y0 <= start.bbox.center[1] <= cap.bbox.y1
    )


def _begun(cap: Word, first: Word, words: Sequence[Word]) -> Word:
    """The first word with its initial, or with the initial as a word before it."""
    box = first.bbox._replace(x0=min(cap.bbox.x0, first.bbox.x0))
    blank = ""
    if cap.text.lstrip(_QUOTES) in _WORDS:
        others = {word.text.strip(".,;:!?\"'()").lower() for word in words if word is not first}
        whole = (cap.text.lstrip(_QUOTES) + first.text).lower() in others
        blank = "" if whole or first.text.lower() not in others else " "
    return replace(first, text=cap.text + blank + first.text, bbox=box)
