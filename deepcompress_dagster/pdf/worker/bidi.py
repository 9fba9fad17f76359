"""The logical order of a line that holds right-to-left script, from where its glyphs stand.

A PDF says where each glyph is, not in which order it is read, and MuPDF's order is half visual,
half logical. Here the visual order, by place, is turned into the logical one: Unicode's
bidirectional algorithm (UAX 9) read backwards, by its character classes.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

_RIGHT = frozenset({"R", "AL"})
_NUMBERS = frozenset({"EN", "AN"})
_JOINS_NUMBERS = frozenset({"CS", "ES"})
_JOINS_ARABIC = frozenset({"CS"})
"""Separators and signs: between two digits they are part of the number (UAX 9, W4)."""

_BRACKETS = {"(": ")", "[": "]", "{": "}", "<": ">", "«": "»", "‹": "›"}
_MIRRORED = str.maketrans({**_BRACKETS, **{close: open_ for open_, close in _BRACKETS.items()}})

LAM, ALEFS = "\u0644", "\u0622\u0623\u0625\u0627\u0671"
"""The letters of the ligature that Arabic cannot do without."""

THIN = 0.05
"""Share of its height below which a glyph has no width: part of a ligature, a mark on a letter."""


@dataclass(frozen=True, slots=True)
class Glyph:
    """A character (or several of one ligature) and its place along and across the line, points."""

    text: str
    x0: float
    x1: float
    y0: float
    y1: float

    @property
    def middle(self) -> float:
        return (self.x0 + self.x1) / 2

    @property
    def is_thin(self) -> bool:
        return self.x1 - self.x0 <= THIN * (self.y1 - self.y0)


def logical_order(glyphs: Sequence[Glyph]) -> list[Glyph]:
    """The glyphs of one line, none of them thin, in the order in which they are read.

    Brackets that were written down as they look are
    turned round.
    """
    visual = sorted(glyphs, key=lambda glyph: glyph.middle)
    classes = [unicodedata.bidirectional(glyph.text[0]) for glyph in visual]
    if not _RIGHT.intersection(classes):
        return visual
    if not _runs_leftward(classes):
        return _left_to_right(visual, classes)
    return _unmirrored(_right_to_left(visual, _arabic_numbers(classes)))


def _runs_leftward(classes: Sequence[str]) -> bool:
    """Which way a line runs: that of the letters at both of its ends, else of most letters."""
    letters = [kind in _RIGHT for kind in classes if kind == "L" or kind in _RIGHT]
    if letters[0] == letters[-1]:
        return letters[0]
    return 2 * sum(letters) >= len(letters)


def _arabic_numbers(classes: Sequence[str]) -> list[str]:
    """Classes, with European digits behind Arabic letters taken for Arabic ones (UAX 9, W2)."""
    changed = list(classes)
    letter = ""
    for i in reversed(range(len(classes))):
        if classes[i] == "L" or classes[i] in _RIGHT:
            letter = classes[i]
        elif classes[i] == "EN" and letter == "AL":
            changed[i] = "AN"
    return changed


def without_thin(glyphs: Sequence[Glyph]) -> list[Glyph]:
    """Glyphs, in MuPDF's order, with those of no width joined to the one that they are part of.

    The further letters of a ligature stand at its right end, behind it or, where MuPDF has turned
    them round, before it. Marks stand on their letter, before or behind it.
    """
    whole: list[Glyph] = []
    waiting = ""
    for glyph, following in zip(glyphs, (*glyphs[1:], None), strict=True):
        if not glyph.is_thin or glyph.text.isspace():
            whole.append(replace(glyph, text=glyph.text + waiting))
            waiting = ""
        elif whole and _is_part(glyph, whole[-1], following):
            whole[-1] = replace(whole[-1], text=whole[-1].text + glyph.text)
        else:
            waiting = glyph.text + waiting
    if waiting and whole:
        whole[-1] = replace(whole[-1], text=whole[-1].text + waiting)
    return whole


def _is_part(thin: Glyph, before: Glyph, after: Glyph | None) -> bool:
    """Whether a glyph without width belongs to the one before it in MuPDF's order."""
    slack = THIN * (before.y1 - before.y0)
    if before.x0 - slack > thin.middle or thin.middle > before.x1 + slack:
        return False
    if _is_vowel(thin.text) and any(map(_is_vowel, before.text)):
        return False
    if unicodedata.combining(thin.text) or thin.middle >= before.x1 - slack:
        return True
    # Fonts that draw lam and alef one over the other: both stand at the left end of the pair.
    after_lam = after is not None and after.text == LAM
    return thin.text in ALEFS and before.text == LAM and not after_lam


def _is_vowel(character: str) -> bool:
    """Whether a mark is one of Hebrew's vowels, of which a letter has one."""
    return "\u05b0" <= character <= "\u05bb"


def _right_to_left(visual: Sequence[Glyph], classes: Sequence[str]) -> list[Glyph]:
    """Read from the right; runs of Latin letters and numbers are read from the left."""
    upright = _runs_left_to_right(visual, classes)
    ordered: list[Glyph] = []
    end = len(visual)
    while end:
        start = end - 1
        while upright[end - 1] and start and upright[start - 1]:
            start -= 1
        ordered += visual[start:end]
        end = start
    return ordered


def _runs_left_to_right(visual: Sequence[Glyph], classes: Sequence[str]) -> list[bool]:
    """Which glyphs belong to runs that go from left to right."""
    upright = [kind == "L" or kind in _NUMBERS for kind in classes]
    known = [i for i, found in enumerate(upright) if found]
    for left, right in pairwise(known):
        between = classes[left + 1 : right]
        if any(kind in _RIGHT for kind in between):
            continue
        letters = "L" in (classes[left], classes[right])
        signs = _JOINS_NUMBERS if "EN" in (classes[left], classes[right]) else _JOINS_ARABIC
        joined = len(between) == 1 and between[0] in signs
        if letters or joined:
            upright[left + 1 : right] = [True] * len(between)
    for i, kind in enumerate(classes):
        before, after = (classes[j] if 0 <= j < len(classes) else "" for j in (i - 1, i + 1))
        sign = kind == "ES" and after == "EN" and before not in _RIGHT
        if sign or (kind == "ET" and "EN" in (before, after)):
            upright[i] = True
    return upright


def _left_to_right(visual: Sequence[Glyph], classes: Sequence[str]) -> list[Glyph]:
    """Read from the left; words of right-to-left script, with blanks between them, turned round."""
    ordered: list[Glyph] = []
    position = 0
    while position < len(visual):
        end = position + 1
        if classes[position] in _RIGHT:
            ahead = range(position, len(visual))
            stop = next((i for i in ahead if classes[i] in {"L", *_NUMBERS}), len(visual))
            end = max(i for i in range(position, stop) if classes[i] in _RIGHT) + 1
        ordered += reversed(visual[position:end])
        position = end
    return ordered


def _unmirrored(glyphs: Sequence[Glyph]) -> list[Glyph]:
    """The glyphs, with all brackets turned round where that makes more pairs of them."""
    text = "".join(glyph.text for glyph in glyphs)
    turned = text.translate(_MIRRORED)
    if text == turned or _pairs(turned) <= _pairs(text):
        return list(glyphs)
    return [replace(glyph, text=glyph.text.translate(_MIRRORED)) for glyph in glyphs]


def _pairs(text: str) -> int:
    """Brackets that are opened and closed in this order."""
    waiting: list[str] = []
    pairs = 0
    for character in text:
        if character in _BRACKETS:
            waiting.append(_BRACKETS[character])
        elif waiting and character == waiting[-1]:
            waiting.pop()
            pairs += 1
    return pairs
