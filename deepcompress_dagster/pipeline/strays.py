"""Text at a table that a layout model drew into its box: an address beside it, a title above it.

Text beside it stands far from the table in a few of its rows, and goes on in the lines above or
below. A title stands above a typed rule, and the header between that and another one.
"""

from collections.abc import Sequence
from statistics import median

from deepcompress_dagster.pipeline.lines import PageLine, rows_of
from deepcompress_dagster.pipeline.phrases import (
    Phrase,
    are_body,
    is_typed_rule,
    phrases,
    word_rows,
    words_across,
)
from deepcompress_dagster.records import BBox

FAR = 4.0
"""Em between a table and text beside it."""

FEW = 0.4
"""Share of a table's rows that have such text, at most."""

MIN_ROWS = 3
"""Rows from which a row can be told to be unlike the others."""

SAME_EDGE = 2.0
"""Points within which the lines of a paragraph begin at one place."""

HEADER_ROWS = 3
"""Rows of a header between two typed rules, at most."""

LINE_PITCH = 1.8
"""Em between the tops of lines that go on with one another, at most."""


def without_strays(box: BBox, lines: Sequence[PageLine], outside: Sequence[PageLine]) -> BBox:
    """The box of a table without text that belongs to the lines ``outside`` of it.

    Boxes are upright points; ``lines`` are those inside.
    """
    rows = [phrases(row) for row in word_rows(lines)]
    if len(rows) < MIN_ROWS:
        return box
    left = _stray([row[0] for row in rows], outside)
    if left:
        kept = [phrase.bbox.x0 for row in rows for phrase in row if phrase not in left]
        return box._replace(x0=max(box.x0, min(kept) - SAME_EDGE))
    right = _stray([row[-1] for row in rows], outside)
    if right:
        kept = [phrase.bbox.x1 for row in rows for phrase in row if phrase not in right]
        return box._replace(x1=min(box.x1, max(kept) + SAME_EDGE))
    return box


def without_title(box: BBox, lines: Sequence[PageLine]) -> BBox:
    """The box of a table typed with rules above and below its header, without text above those."""
    rows = rows_of(lines)
    ruled = [number for number, row in enumerate(rows) if is_typed_rule(row)]
    if len(ruled) < 2 or ruled[0] == 0 or ruled[1] - ruled[0] > HEADER_ROWS + 1:
        return box
    header = rows[ruled[0] + 1 : ruled[1]]
    if not header or any(_is_body(row) for row in header):
        return box
    return box._replace(y0=min(line.bbox.y0 for line in rows[ruled[0]]))


def _is_body(row: Sequence[PageLine]) -> bool:
    return are_body([word.text for word in words_across(row)[1:]])


def _stray(ends: Sequence[Phrase], outside: Sequence[PageLine]) -> list[Phrase]:
    """Those of the first, or last, phrases of rows that stand far off and go on elsewhere."""
    x0, x1 = median(p.bbox.x0 for p in ends), median(p.bbox.x1 for p in ends)
    off = [p for p in ends if p.bbox.x1 < x0 - FAR * p.em or p.bbox.x0 > x1 + FAR * p.em]
    if not 0 < len(off) <= FEW * len(ends):
        return []
    starts = {round(phrase.bbox.x0) for phrase in off}
    alone = max(starts) - min(starts) <= SAME_EDGE
    goes_on = any(_goes_on(phrase, line) for phrase in off for line in outside)
    return off if alone and goes_on else []


def _goes_on(phrase: Phrase, line: PageLine) -> bool:
    pitch = abs(line.bbox.y0 - phrase.bbox.y0)
    return abs(line.bbox.x0 - phrase.bbox.x0) <= SAME_EDGE and pitch <= LINE_PITCH * phrase.em
