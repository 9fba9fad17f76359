"""Lines that run from top to bottom, as Japanese and Chinese are set: a column becomes one word."""

from collections.abc import Sequence
from dataclasses import replace

from deepcompress_dagster.records import Word, union
from deepcompress_dagster.unicode_text import is_cjk

ALIGNED = 0.25
"""Font sizes by which the middles of a column's characters differ, at most."""

STEP = (0.6, 1.6)
"""Font sizes from one character of a column to the next; rows of a table stand further apart."""

LEAST = 3
"""Characters one below the other that are a column: two may be two short lines."""

NUMERAL = 3
"""Digits that stand side by side in a column, at most."""


def with_vertical_columns(words: Sequence[Word]) -> list[Word]:
    """Words, those of characters that the PDF draws one below the other joined by column."""
    found: list[Word] = []
    column: list[Word] = []
    for word in words:
        if column and not _goes_down(column[-1], word):
            found += _joined(column)
            column = []
        if column or _is_upright(word):
            column.append(word)
        else:
            found.append(word)
    return found + _joined(column)


def _is_upright(word: Word) -> bool:
    """Whether a word may stand in a column: one character, or a numeral set side by side."""
    if len(word.text) == 1:
        return is_cjk(word.text)
    return len(word.text) <= NUMERAL and word.text.isdigit()


def _goes_down(above: Word, below: Word) -> bool:
    if not _is_upright(below):
        return False
    size = above.font_size
    step = below.bbox.center[1] - above.bbox.center[1]
    aside = abs(below.bbox.center[0] - above.bbox.center[0])
    same_size = abs(below.font_size - size) <= 0.1 * size
    return same_size and aside <= ALIGNED * size and STEP[0] * size <= step <= STEP[1] * size


def _joined(column: Sequence[Word]) -> list[Word]:
    if len(column) < LEAST or not any(is_cjk(word.text) for word in column):
        return list(column)
    first = column[0]
    text = "".join(word.text for word in column)
    return [replace(first, bbox=union(w.bbox for w in column), text=text, vertical=True)]
