"""Characters that mean what they do by where they are drawn: accents, soft hyphens, symbols.

Fonts of TeX draw an accent and then its letter over it; some fonts map their only hyphen to the
soft one; MuPDF puts no blank behind a symbol, however far the next word stands. What is meant
shows in the places of the glyphs alone.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from deepcompress_dagster.records import BBox
from deepcompress_dagster.unicode_text import SOFT_HYPHEN

_COMBINING = {
    "`": "\u0300",
    "\u00b4": "\u0301",
    "\u02c6": "\u0302",
    "\u02dc": "\u0303",
    "\u00af": "\u0304",
    "\u02d8": "\u0306",
    "\u02d9": "\u0307",
    "\u00a8": "\u0308",
    "\u02da": "\u030a",
    "\u02dd": "\u030b",
    "\u02c7": "\u030c",
    "\u00b8": "\u0327",
    "\u02db": "\u0328",
}
"""Accents that stand alone, and those that combine with the letter before them."""

_DOTLESS = {"\u0131": "i", "\u0237": "j"}

SHOWN = 0.1
"""Font sizes from which the width of a soft hyphen is that of a hyphen that is printed."""

APART = 0.6
"""Font sizes between the baselines of an accent and of its letter, at most: capitals raise it."""

BLANK = 0.15
"""Font sizes behind a symbol from which there is a blank, as MuPDF has it behind letters."""

_SYMBOL = re.compile("[\u2190-\u2bff\U0001f000-\U0001fbff]")
_TELLING = re.compile(f"[{''.join(_COMBINING)}{SOFT_HYPHEN}]|{_SYMBOL.pattern}(?=\\S|$)")

_Glyph = Mapping[str, Any]


@dataclass(frozen=True)
class Spelling:
    """How a line is spelled: for each of its characters, blanks left out, what stands for it.

    ``gaps`` are the blanks that are not written: left and right end (points) before the character
    of that number.
    """

    letters: tuple[str, ...]
    gaps: Mapping[int, tuple[float, float]]

    def parted(self, pieces: Sequence[tuple[str, BBox]]) -> list[tuple[str, BBox]]:
        """The words of the line, cut where a blank is."""
        parted = []
        position = 0
        for text, box in pieces:
            start, x0 = 0, box.x0
            for i in range(1, len(text)):
                if (gap := self.gaps.get(position + i)) is not None:
                    parted.append((text[start:i], box._replace(x0=x0, x1=gap[0])))
                    start, x0 = i, gap[1]
            parted.append((text[start:], box._replace(x0=x0)))
            position += len(text)
        return parted


def is_telling(text: str) -> bool:
    """Whether ``text`` holds characters whose places have to be looked at."""
    return (not text.isascii() or "`" in text) and _TELLING.search(text) is not None


def spellings(blocks: Iterable[Mapping[str, Any]]) -> dict[tuple[int, int], Spelling]:
    """The lines, by block and number, that are spelled otherwise than their characters say.

    ``blocks`` are those of ``extractRAWDICT``.
    """
    found = {}
    for block in blocks:
        for number, line in enumerate(block.get("lines", ())):
            glyphs = [
                (character, span["size"])
                for span in line["spans"]
                for character in span["chars"]
                if not character["c"].isspace()
            ]
            letters = tuple(_letters(glyphs))
            upright = abs(line["dir"][1]) < abs(line["dir"][0])
            gaps = dict(_gaps(glyphs)) if upright else {}
            if gaps or letters != tuple(glyph["c"] for glyph, _ in glyphs):
                found[block["number"], number] = Spelling(letters, gaps)
    return found


def _letters(glyphs: Sequence[tuple[_Glyph, float]]) -> list[str]:
    texts = [glyph["c"] for glyph, _ in glyphs]
    for i in range(1, len(glyphs)):
        if texts[i] == SOFT_HYPHEN and _is_printed(*glyphs[i], glyphs[i - 1][0]):
            texts[i] = "-"
    for i, j in [pair for k, m in pairwise(range(len(texts))) for pair in ((k, m), (m, k))]:
        if texts[i] in _COMBINING and texts[j].isalpha() and _is_over(*glyphs[i], glyphs[j][0]):
            whole = _DOTLESS.get(texts[j], texts[j]) + _COMBINING[texts[i]]
            composed = unicodedata.normalize("NFC", whole)
            if len(composed) == 1:
                texts[i], texts[j] = "", composed
    return texts


def _is_printed(hyphen: _Glyph, size: float, before: _Glyph) -> bool:
    """Whether a soft hyphen is wide and stands at a word; those before words are marks of tags."""
    x0, _, x1, _ = hyphen["bbox"]
    return bool(x1 - x0 > SHOWN * size and x0 - before["bbox"][2] <= BLANK * size)


def _is_over(accent: _Glyph, size: float, letter: _Glyph) -> bool:
    middle = (accent["bbox"][0] + accent["bbox"][2]) / 2
    x0, _, x1, _ = letter["bbox"]
    raised = abs(accent["origin"][1] - letter["origin"][1])
    return bool(x0 < middle < x1 and raised <= APART * size)


def _gaps(glyphs: Sequence[tuple[_Glyph, float]]) -> Iterator[tuple[int, tuple[float, float]]]:
    for i, ((symbol, size), (following, _)) in enumerate(pairwise(glyphs), start=1):
        end, start = symbol["bbox"][2], following["bbox"][0]
        if start - end > BLANK * size and _SYMBOL.match(symbol["c"]):
            yield i, (end, start)
