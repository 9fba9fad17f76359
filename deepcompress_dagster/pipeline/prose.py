"""Whether what a layout model took for a table is text.

A table has columns of entries. Lines that run through where the columns would be are a paragraph;
columns of which each is filled with lines of prose are a page set in columns; characters one below
the other are vertical text.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import mean, median

from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.phrases import (
    Phrase,
    is_value,
    phrases,
    without_fillers,
    word_rows,
)
from deepcompress_dagster.pipeline.text_grid import split_columns
from deepcompress_dagster.records import BBox, union

MIN_ROWS = 4
"""Rows of text from which their shape tells prose from a table."""

PROSE_WORDS = 4.0
"""Words of a line of prose, on average."""

RUNNING = 0.4
"""Share of the rows that run through all columns from which there are no columns."""

MIXED_VALUES = 0.3
"""Share of figures among the words of lines without columns, at most: else these are narrow."""

FULL = 0.75
"""Share of its column's width from which a line is full: set to the margin, broken there."""

FULL_LINES = 0.6
"""Share of the lines of prose that are full; the others end a paragraph."""

FEW_VALUES = 0.1
"""Share of figures among the texts of prose, at most."""

RULED_ROWS = 2
"""Rules inside of it from which a region is a table whatever is written in it."""

BAND = 1.35
"""Usual distances of lines from which a blank across all columns parts the rows of a table."""

VERTICAL = 0.8
"""Share of words that are vertical text, or single CJK characters close below one another."""


def is_prose(lines: Sequence[PageLine], rules: Sequence[BBox] = ()) -> bool:
    """Whether the lines of a region (boxes in upright points) are text and no table.

    ``rules`` are the horizontal rules of the page.
    """
    text = without_fillers(lines)
    words = [word for line in text for word in line.words]
    if sum(word.vertical for word in words) > VERTICAL * len(words):
        return bool(words)
    rows = [phrases(row) for row in word_rows(text)]
    if len(rows) < MIN_ROWS or _is_ruled(rows, rules):
        return False
    found = split_columns(rows)
    if len(found.columns) < 2 or found.running >= RUNNING * len(rows):
        values = sum(is_value(word.text) for word in words)
        return len(words) >= PROSE_WORDS * len(rows) and values <= MIXED_VALUES * len(words)
    return all(map(_is_prose_column, found.columns)) and not _has_bands(rows)


def _is_ruled(rows: Sequence[Sequence[Phrase]], rules: Sequence[BBox]) -> bool:
    """Whether rules lie between rows of the region, over half of its width."""
    box = union(phrase.bbox for row in rows for phrase in row)
    within = [
        rule
        for rule in rules
        if box.y0 + rows[0][0].em < rule.center[1] < box.y1 - rows[-1][0].em
        and min(rule.x1, box.x1) - max(rule.x0, box.x0) > box.width / 2
    ]
    return len(within) >= RULED_ROWS


def _is_full(rows: Sequence[Sequence[Phrase]]) -> bool:
    """Whether most lines reach from the left to the right edge of their column."""
    boxes = [union(phrase.bbox for phrase in row) for row in rows]
    width = max(box.x1 for box in boxes) - min(box.x0 for box in boxes)
    return sum(box.width >= FULL * width for box in boxes) >= FULL_LINES * len(boxes)


def _is_prose_column(rows: Sequence[Sequence[Phrase]]) -> bool:
    texts = [" ".join(phrase.text for phrase in row) for row in rows]
    return (
        len(rows) >= MIN_ROWS
        and mean(len(text.split()) for text in texts) >= PROSE_WORDS
        and sum(map(is_value, texts)) <= FEW_VALUES * len(texts)
        and _is_full(rows)
    )


def _has_bands(rows: Sequence[Sequence[Phrase]]) -> bool:
    """Whether blanks across all columns part the rows again and again, as in a table of texts."""
    tops = [union(phrase.bbox for phrase in row).y0 for row in rows]
    gaps = [below - above for above, below in pairwise(tops)]
    return sum(gap > BAND * median(gaps) for gap in gaps) >= RULED_ROWS
