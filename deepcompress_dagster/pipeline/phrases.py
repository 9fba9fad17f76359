"""The words of a table's rows as phrases: what stands a space apart is one piece of text.

Here belongs what words say by themselves: fillers that are no text (leader dots, typed rules),
which words hold together, and whether a text is a value. Which cell a phrase is in is decided
elsewhere.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import groupby

from deepcompress_dagster.pipeline.lines import PageLine, rows_of
from deepcompress_dagster.records import BBox, Word, union

SPACE = 0.35
"""Em between two words that are surely of one phrase: a blank is .25 to .33 em wide."""

WIDE_SPACE = 0.6
"""Em between two words from which they may stand in two columns; justified blanks reach .5."""

TYPEWRITER_SPACE = 0.9
"""The same in monospace type, where every blank is .6 em wide."""

SIGN_GAP = 10.0
"""Em between a currency sign at the left edge of a column and its number at the right edge."""

MARK_GAP = 1.2
"""Em between a number and the percent sign or bracket that ends it."""

TYPED_RULE_LENGTH = 8
"""Characters of a row of hyphens or the like from which it is a rule; shorter ones are values."""

MIN_BARS = 2
BARRED_ROWS = 3
"""Bars in a row, and rows with so many, from which they are typed rules between columns."""

_LEADER = re.compile(r"[.·…‥]{4,}|…{2,}")
_LEADER_END = re.compile(r"[.·…‥]{4,}$")
_DOT = re.compile(r"[.·…‥]+")
_TYPED_RULE = re.compile(r"[-=_~*+|\u2010-\u2015]{3,}")
_SIGN = re.compile(r"[$€£¥₹₩₽]|[A-Z]{1,2}\$")
_SIGNED = re.compile(r"[-+−–(]*[$€£]?[\d.,]*\d|[-−–—]+$")
_OPENING = re.compile(r"[(\[]")
_CLOSING = re.compile(r"[)\]%‰]+")
_DASH = re.compile(r"[-−–—*.·…‥]+|n\.?/?a\.?|nil", re.IGNORECASE)
_CURRENCY = re.compile(r"^[A-Z]{3} | [A-Z]{3}$")
_WORD = re.compile(r"[^\W\d_]{2}")
_YEAR = re.compile(r"(?:1[5-9]|2[01])\d\d[a-z]?")
_THOUSANDS = re.compile(r"[-+−–(]?\d{1,3}(?: \d{3})+(?:[.,]\d+)?\)?")


@dataclass(frozen=True)
class Phrase:
    """Words of one row that stand together, from left to right."""

    words: tuple[Word, ...]

    @cached_property
    def bbox(self) -> BBox:
        return union(word.bbox for word in self.words)

    @cached_property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @cached_property
    def em(self) -> float:
        """Font size in points, of the largest word."""
        return max(em_of(word) for word in self.words)


def em_of(word: Word) -> float:
    """Font size of a word in points; three quarters of its height where it is unknown."""
    return word.font_size or 0.75 * word.bbox.height


def word_rows(lines: Sequence[PageLine]) -> list[list[Word]]:
    """The words of each row of text, rows from top to bottom, words from left to right."""
    return [words for row in rows_of(lines) if (words := words_across(row))]


def words_across(row: Iterable[PageLine]) -> list[Word]:
    """The words of the lines of one row, from left to right."""
    return sorted((word for line in row for word in line.words), key=lambda word: word.bbox.x0)


def without_fillers(lines: Sequence[PageLine]) -> list[PageLine]:
    """Lines without leader dots and typed rules: rows of ``----``, and bars between columns."""
    kept = []
    rows = rows_of(lines)
    has_bars = sum(_has_bars(row) for row in rows) >= BARRED_ROWS
    for row in rows:
        if is_typed_rule(row):
            continue
        for line in row:
            words = tuple(_without_leaders(line.words))
            if has_bars and _has_bars(row):
                words = tuple(_without_bars(words))
            if len(words) == len(line.words) and all(map(_same, words, line.words)):
                kept.append(line)
            elif words:
                kept.append(replace(line, words=words, bbox=union(word.bbox for word in words)))
    return kept


def _same(first: Word, second: Word) -> bool:
    return first is second


def is_typed_rule(row: Sequence[PageLine]) -> bool:
    """Whether a row of text only types a rule."""
    texts = [word.text for line in row for word in line.words]
    return sum(map(len, texts)) >= TYPED_RULE_LENGTH and all(map(_TYPED_RULE.fullmatch, texts))


def _has_bars(row: Sequence[PageLine]) -> bool:
    """Whether bars are typed between the columns of a row."""
    return sum(word.text.count("|") for line in row for word in line.words) >= MIN_BARS


def _without_bars(words: Sequence[Word]) -> Iterator[Word]:
    for word in words:
        text = word.text.strip("|")
        if text == word.text:
            yield word
        elif text:
            width = word.bbox.width / len(word.text)
            start = word.text.index(text)
            x0 = word.bbox.x0 + start * width
            bbox = word.bbox._replace(x0=x0, x1=x0 + len(text) * width)
            yield replace(word, text=text, bbox=bbox)


def _without_leaders(words: Sequence[Word]) -> Iterator[Word]:
    """Words without those of dots only: a long one, or three and more in a row."""
    for dots, group in groupby(words, key=lambda word: _DOT.fullmatch(word.text) is not None):
        run = list(group)
        if not dots:
            yield from map(_without_leader_end, run)
        elif len(run) < 3:
            yield from (word for word in run if not _LEADER.fullmatch(word.text))


def _without_leader_end(word: Word) -> Word:
    text = _LEADER_END.sub("", word.text)
    if text == word.text:
        return word
    share = len(text) / len(word.text)
    return replace(
        word, text=text, bbox=word.bbox._replace(x1=word.bbox.x0 + word.bbox.width * share)
    )


def phrases(words: Sequence[Word], space: float = WIDE_SPACE) -> list[Phrase]:
    """The words of one row, left to right, in phrases; ``space`` in em parts two of them.

    A currency sign and an opening bracket go with the number after them, a percent sign and a
    closing bracket with the one before.
    """
    groups: list[list[Word]] = []
    for word in words:
        if groups and (
            _is_near(groups[-1][-1], word, space) or hold_together(groups[-1][-1], word)
        ):
            groups[-1].append(word)
        else:
            groups.append([word])
    return [Phrase(tuple(group)) for group in groups]


def gap_in_em(left: Word, right: Word) -> float:
    """Blank between two words of a row, in em of the larger one."""
    return (right.bbox.x0 - left.bbox.x1) / max(em_of(left), em_of(right))


def _is_near(left: Word, right: Word, space: float) -> bool:
    if left.monospace and right.monospace:
        space *= TYPEWRITER_SPACE / WIDE_SPACE
    return gap_in_em(left, right) < space


def hold_together(left: Word, right: Word) -> bool:
    """Whether two neighbours are parts of one number, however far apart its sign is set."""
    gap = gap_in_em(left, right)
    if _SIGN.fullmatch(left.text):
        return gap < SIGN_GAP and _SIGNED.match(right.text) is not None
    if _OPENING.fullmatch(left.text):
        return gap < MARK_GAP and _SIGNED.match(right.text) is not None
    return gap < MARK_GAP and is_number(left.text) and _CLOSING.fullmatch(right.text) is not None


def is_one_number(text: str) -> bool:
    """Whether the text is one number with blanks between its thousands."""
    return _THOUSANDS.fullmatch(text) is not None


@lru_cache(maxsize=8192)
def is_number(text: str) -> bool:
    """Whether at least half of the characters are digits and none of them make a word."""
    bare = _CURRENCY.sub("", text)
    digits = sum(character.isdigit() for character in bare)
    return digits > 0 and 2 * digits >= len(bare.replace(" ", "")) and not _WORD.search(bare)


@lru_cache(maxsize=8192)
def is_value(text: str) -> bool:
    """Whether the text is what a column of figures holds: a number, or a sign for none."""
    return is_number(text) or _DASH.fullmatch(text) is not None


def are_body(texts: Sequence[str]) -> bool:
    """Whether half of the texts of a row, beside its first column, are values and not only years.

    Such a row is no header.
    """
    values = [text for text in texts if is_value(text)]
    only_years = len(values) > 1 and all(map(is_year, values))
    return bool(values) and 2 * len(values) >= len(texts) and not only_years


def is_year(text: str) -> bool:
    return _YEAR.fullmatch(text) is not None
