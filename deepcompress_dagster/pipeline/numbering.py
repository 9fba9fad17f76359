"""The numbers that headings carry: ``6.1.2``, ``Appendix A``, ``A.2``, 第6章, 제2절.

Here belongs what a number at the beginning of a text is and how two of them relate; what is a
heading is decided in headings.py.
"""

import re
import unicodedata
from typing import NamedTuple

_PARTS = r"\d{1,3}(?:\.\d{1,3})*"
_WORDS = (
    "appendix|annex|chapter|part|section|anhang|kapitel|teil|abschnitt|annexe|chapitre|partie|"
    "cap[ií]tulo|secci[oó]n|capitolo|hoofdstuk|rozdzia[lł]|глава|раздел|приложение"
)
_CJK = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]"

_DECIMAL = re.compile(rf"\s*(?:(?:{_WORDS})\s+)?({_PARTS})(?:[.)]?\s+\S|[.)]?(?={_CJK}))", re.I)
_LETTERED = re.compile(r"\s*([A-Z])((?:\.\d{1,3})+)[.)]?\s+\S")
_APPENDIX = re.compile(r"\s*(?:appendix|annexe?|anhang|приложение)\s+([A-Z])\b", re.I)
_ORDINAL = re.compile(
    r"\s*[第제]\s*(\d{1,3}|[一二三四五六七八九十百〇零]{1,5})\s*([編编部篇章節节장절])"
)

_DIVISIONS = {"編": 0, "编": 0, "部": 0, "篇": 0, "章": 1, "장": 1, "節": 2, "节": 2, "절": 2}
"""Depth of the divisions of East Asian books: part, chapter, section."""

_CJK_DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")} | {"〇": 0}


class SectionNumber(NamedTuple):
    """A heading's number. ``series`` tells apart numberings that run side by side.

    ``depth`` is how many levels it names: 2 for ``4.1``; 0 is above a chapter.
    """

    series: str
    parts: tuple[int, ...]
    depth: int

    @property
    def parent(self) -> tuple[str, tuple[int, ...]]:
        """What numbers that follow one another have in common."""
        return self.series, self.parts[:-1]


def section_number(text: str) -> SectionNumber | None:
    """The number that ``text`` begins with; full-width digits count like any others."""
    text = unicodedata.normalize("NFKC", text[:64])
    if found := _ORDINAL.match(text):
        depth = _DIVISIONS[found[2]]
        return SectionNumber(found[2], (_ordinal(found[1]),), depth)
    if found := _APPENDIX.match(text):
        return SectionNumber("letters", (ord(found[1].upper()) - 64,), 1)
    if found := _LETTERED.match(text):
        parts = (ord(found[1]) - 64, *(int(part) for part in found[2][1:].split(".")))
        return SectionNumber("letters", parts, len(parts))
    if found := _DECIMAL.match(text):
        parts = tuple(int(part) for part in found[1].split("."))
        return SectionNumber("decimal", parts, len(parts))
    return None


def _ordinal(text: str) -> int:
    """The value of decimal or Chinese digits: 十二 is 12, 二十 is 20, 一二 is 12."""
    if text.isdecimal():
        return int(text)
    total, digit = 0, 0
    for character in text:
        if character in "十百":
            total += max(1, digit) * (10 if character == "十" else 100)
            digit = 0
        else:
            digit = 10 * digit + _CJK_DIGITS[character]
    return total + digit
