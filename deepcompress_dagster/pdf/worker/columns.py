"""Lines that run from top to bottom, as Japanese and Chinese are set: a column becomes one word.

Also reading aids (ruby, furigana): small syllables beside a word that say it once more.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from deepcompress_dagster.records import BBox, Word, union
from deepcompress_dagster.unicode_text import is_cjk

ALIGNED = 0.25
"""Font sizes by which the middles of a column's characters differ, at most."""

STEP = (0.6, 1.6)
"""Font sizes from one character of a column to the next; rows of a table stand further apart."""

LEAST = 3
"""Characters one below the other that are a column: two may be two short lines."""

NUMERAL = 3
"""Digits that stand side by side in a column, at most."""

INSERTED = (0.6, 1.1)
"""Font size of a number or a Latin word in a column over that of the column."""

TURNED = 1.2
"""A Latin word in a column is higher than wide by this factor, at least."""

GAP = 0.5
"""Font sizes between such a word and the characters above and below it, at most."""

RUBY = 0.6
"""Font size of a reading aid over that of its word, at most; it has half of it."""

RUBY_GAP = 0.5
"""Font sizes of the word between it and its reading aid, at most."""

_SYLLABLES = re.compile(r"[\u3041-\u3096\u309d\u309e\u30a1-\u30fa\u30fc-\u30fe\u3105-\u312f]+")
_CHARACTERS = re.compile(r"[\u3005\u3007\u3400-\u9fff\U00020000-\U0003ffff]")


def with_vertical_columns(words: Sequence[Word]) -> list[Word]:
    """Words, those of characters that the PDF draws one below the other joined by column.

    A number or a Latin word that is set into a column is part of it.
    """
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
        return is_cjk(word.text) or word.text.isalnum()
    return len(word.text) <= NUMERAL and word.text.isdigit()


def _is_turned(word: Word) -> bool:
    return word.text.isascii() and word.bbox.height > TURNED * word.bbox.width


def _is_inserted(word: Word) -> bool:
    return word.text.isascii() and (_is_upright(word) or _is_turned(word))


def _goes_down(above: Word, below: Word) -> bool:
    if _is_upright(below) and _is_next_character(above, below):
        return True
    return (_is_inserted(above) or _is_inserted(below)) and _leads_on(above, below)


def _is_next_character(above: Word, below: Word) -> bool:
    size = above.font_size
    step = below.bbox.center[1] - above.bbox.center[1]
    aside = abs(below.bbox.center[0] - above.bbox.center[0])
    same_size = abs(below.font_size - size) <= 0.1 * size
    return same_size and aside <= ALIGNED * size and STEP[0] * size <= step <= STEP[1] * size


def _leads_on(above: Word, below: Word) -> bool:
    """Whether one of two words is set into the column that the other belongs to."""
    inserted, other = (below, above) if _is_inserted(below) else (above, below)
    if _is_inserted(other):
        return False
    size = other.font_size
    share = inserted.font_size / size if size else 0.0
    aside = abs(below.bbox.center[0] - above.bbox.center[0])
    return (
        len(other.text) == 1
        and is_cjk(other.text)
        and INSERTED[0] <= share <= INSERTED[1]
        and aside <= GAP * size
        and -GAP * size <= below.bbox.y0 - above.bbox.y1 <= GAP * size
    )


def _joined(column: Sequence[Word]) -> list[Word]:
    own = [word for word in column if is_cjk(word.text[0])]
    if len(column) < LEAST or not own:
        return list(column)
    text = "".join(word.text for word in column)
    size = own[0].font_size
    # A turned Latin word is wider than the column: its ascenders stick out.
    across = union(word.bbox for word in own)
    along = union(word.bbox for word in column)
    bbox = BBox(across.x0, along.y0, across.x1, along.y1)
    return [replace(column[0], bbox=bbox, text=text, font_size=size, vertical=True)]


def without_ruby(words: Sequence[Word]) -> list[Word]:
    """Words without reading aids: they say a word once more, by its sound, and tear its line."""
    small = [word for word in words if _SYLLABLES.fullmatch(word.text)]
    if not small:
        return list(words)
    read = [word for word in words if _CHARACTERS.search(word.text)]
    ruby = {id(word) for word in small if any(_is_ruby_of(word, base) for base in read)}
    return [word for word in words if id(word) not in ruby]


def _is_ruby_of(word: Word, base: Word) -> bool:
    size = base.font_size
    if not 0 < word.font_size <= RUBY * size:
        return False
    aid, own = word.bbox, base.bbox
    if base.vertical:
        return abs(aid.x0 - own.x1) <= RUBY_GAP * size and aid.y1 > own.y0 and aid.y0 < own.y1
    return abs(own.y0 - aid.y1) <= RUBY_GAP * size and aid.x1 > own.x0 and aid.x0 < own.x1
