"""Rows of a page's text layer: what their type and their blanks tell.

Boxes are upright points. Not here: which lines are of one row (lines.py), what rows make together
(plain_pages.py, text_layout.py).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import median
from typing import TypeAlias

from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.phrases import WIDE_SPACE, Phrase, phrases, words_across
from deepcompress_dagster.records import BBox, Word, union

GAP = 1.2
"""Em between two words of a row from which they may stand in columns; justified lines that end in
a long word reach it now and then, but not one below the other."""

_BULLET = re.compile(r"[•◦▪‣●○■□▶►➢❖✓✔·∙⁃*\uf0b7\uf0a7\uf0d8]|[-–—]")

_COUNTED = re.compile(r"\(?(?:\d{1,2}|[a-zA-Z]|[ivxIVX]{1,4})[.)]|\(\d{1,2}\)|\[\d{1,3}\]")

Blank: TypeAlias = tuple[float, float]
"""Left and right edge of a place without words, points."""


@dataclass(frozen=True)
class Row:
    """The lines of one row."""

    lines: tuple[PageLine, ...]

    @cached_property
    def words(self) -> list[Word]:
        return words_across(self.lines)

    @cached_property
    def bbox(self) -> BBox:
        return union(line.bbox for line in self.lines)

    @cached_property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @cached_property
    def size(self) -> float:
        """Font size of the longest line, points."""
        return round(max(self.lines, key=lambda line: len(line.text)).font_size, 1)

    @cached_property
    def foot(self) -> float:
        """Where most words end below; superscripts and drop letters apart."""
        return median(word.bbox.y1 for word in self.words)

    @cached_property
    def is_bold(self) -> bool:
        return all(word.bold for word in self.words)

    @cached_property
    def is_monospace(self) -> bool:
        return all(line.monospace for line in self.lines)

    @cached_property
    def is_bullet(self) -> bool:
        return len(self.words) > 1 and bool(_BULLET.fullmatch(self.words[0].text))

    @cached_property
    def is_point(self) -> bool:
        """Whether it begins as a point of a list does."""
        counted = len(self.words) > 1 and _COUNTED.fullmatch(self.words[0].text)
        return self.is_bullet or bool(counted)

    @cached_property
    def pieces(self) -> list[Phrase]:
        """What stands far apart, the mark of a point left out."""
        return self._apart(GAP)

    @cached_property
    def blanks(self) -> list[Blank]:
        """The places between the pieces."""
        return _between(self.pieces)

    @cached_property
    def narrow_blanks(self) -> list[Blank]:
        """The places between words that may stand apart: wide blanks of justified lines as well."""
        return _between(self._apart(WIDE_SPACE))

    def _apart(self, space: float) -> list[Phrase]:
        found = phrases(self.words, space)
        marked = self.is_point and len(found) > 1 and len(found[0].words) == 1
        return found[1:] if marked else found


def _between(pieces: Sequence[Phrase]) -> list[Blank]:
    return [(left.bbox.x1, right.bbox.x0) for left, right in pairwise(pieces)]
