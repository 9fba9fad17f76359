"""Whether a page's text layer alone tells its layout, so that no model has to look at it.

Such a page shows words and rules and nothing else, in one column: no picture, no panel, no row of
it stands in columns. Frames are those of single paragraphs. Boxes are upright points.

Not here: what its regions are (text_layout.py).
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from deepcompress_dagster.pipeline.captions import is_numbered
from deepcompress_dagster.pipeline.document_pass import MARGIN_SHARE
from deepcompress_dagster.pipeline.lines import runs_leftward
from deepcompress_dagster.pipeline.page_view import PageView
from deepcompress_dagster.pipeline.phrases import is_value
from deepcompress_dagster.pipeline.text_layer import MIN_WORD_INK
from deepcompress_dagster.pipeline.text_rows import Blank, Row
from deepcompress_dagster.records import union

SPECKS = 10
"""Samples (one a point) that a page may show outside of its words and rules: less than a digit has.
Of 390 pages 321 have less, nearly all of them none; pictures and panels have hundreds."""

SHARED_BLANK = 3.0
"""Points that two rows near each other leave blank at one place when they stand in columns."""

NEAR_ROWS = 3
"""Rows below a row that may be of one table with it."""

ALIGNED_ROWS = 3
"""Rows one after the other from which narrow blanks at one place part columns: of 581 plain pages 5
have so many by chance, 40 have two."""

BESIDE = 0.2
"""Share of its height by which a row reaches beside the next where both are columns."""

JUMPS = 2
"""Rows one after the other that stand wholly beside the one above, where a page has one column: a
term and what it is, below it."""

LEADERS = 2
"""Rows with leader dots from which a page holds a table of contents."""

MATH_SHARE = 0.4
MATH_SIGNS = 1
"""Share of a row's characters in fonts of mathematics above which it is a displayed formula, if
they are more than this many: bullets are set in such fonts too."""

_LEADERS = re.compile(r"(?:[.·…‥] ?){4,}")
_MATH_FONT = re.compile(r"CM(?:MI|SY|EX|BSY)|MSAM|MSBM|Symbol|Math|STIX", re.IGNORECASE)


def is_plain(view: PageView, rows: Sequence[Row]) -> bool:
    """Whether ``rows``, those of the page, are all that it shows, as paragraphs one below another.

    The cheap questions are asked first.
    """
    return (
        bool(rows)
        and _may_be_plain(view)
        and not _has_more_than_paragraphs(rows, view.rotation.upright_size[1])
        and _shows_words_only(view)
    )


def _may_be_plain(view: PageView) -> bool:
    content = view.content
    return (
        all(len(cells) == 1 for cells in content.ruled_grids)
        and not content.fields
        and content.hidden_text_share == 0
        and not any(line.vertical for line in view.lines)
        and not runs_leftward(view.lines)
    )


def _shows_words_only(view: PageView) -> bool:
    """Whether nothing but words and rules is seen, and every word is: no white or tiny text."""
    words = [word for word in view.content.words if sum(map(str.isalnum, word.text)) > 1]
    counts = view.ink.counts([view.rotation.upright(word.bbox) for word in words])
    if (counts[:, 0] <= MIN_WORD_INK * counts[:, 1]).any():
        return False
    known = [*(word.bbox for word in view.content.words), *view.content.rulings]
    return view.ink.outside([view.rotation.upright(box) for box in known]) < SPECKS


def _has_more_than_paragraphs(rows: Sequence[Row], height: float) -> bool:
    """Whether there is a sign of columns, a table, a caption, a formula or a table of contents.

    A running header and footer may stand in columns.
    """
    first = 1 if is_in_head(rows[0], height) else 0
    last = -1 if is_in_foot(rows[-1], height) else None
    middle = rows[first:last]
    return (
        _is_in_columns(middle)
        or _has_columns_beside(rows)
        or sum(bool(_LEADERS.search(row.text)) for row in rows) >= LEADERS
        or any(is_numbered(row.text) or _is_formula(row) for row in rows)
        or any(row.bbox.x0 > _centre(rows) for row in middle)
    )


def is_in_head(row: Row, height: float) -> bool:
    """Whether a row stands in the upper margin of a page of this ``height`` (points)."""
    return row.bbox.y1 < MARGIN_SHARE * height


def is_in_foot(row: Row, height: float) -> bool:
    """The same of the lower margin."""
    return row.bbox.y0 > (1 - MARGIN_SHARE) * height


def _centre(rows: Sequence[Row]) -> float:
    """Half way across the text; a row to the right of it is a date, a signature, a headline."""
    return union(row.bbox for row in rows).center[0]


def _is_in_columns(rows: Sequence[Row]) -> bool:
    """Whether rows stand in columns.

    Rows near each other leave one place blank, or a single row ends in a number far off. Code in a
    text is set in columns here and there; in a page of typewriter type they are those of a table.
    """
    letters = sum(len(row.text) for row in rows)
    typed = 2 * sum(len(row.text) for row in rows if row.is_monospace) > letters
    told = [row for row in rows if typed or not row.is_monospace]
    if any(len(row.pieces) > 1 and is_value(row.pieces[-1].text) for row in told):
        return True
    return _has_aligned_blanks(told) or any(
        _shared(blank, other)
        for i, row in enumerate(told)
        for below in told[i + 1 : i + 1 + NEAR_ROWS]
        for blank in row.blanks
        for other in below.blanks
    )


def _shared(one: Blank, other: Blank) -> Blank | None:
    """The place that two rows leave blank."""
    left, right = max(one[0], other[0]), min(one[1], other[1])
    return (left, right) if right - left > SHARED_BLANK else None


def _has_aligned_blanks(rows: Sequence[Row]) -> bool:
    """Whether several rows, one after the other, leave one place blank."""
    runs: list[tuple[Blank, int]] = []
    for row in rows:
        goes_on = [
            (shared, length + 1)
            for blank in row.narrow_blanks
            for above, length in runs
            if (shared := _shared(above, blank))
        ]
        if any(length >= ALIGNED_ROWS for _, length in goes_on):
            return True
        runs = [*goes_on, *((blank, 1) for blank in row.narrow_blanks)]
    return False


def _has_columns_beside(rows: Sequence[Row]) -> bool:
    """Whether rows stand beside each other whose lines are not level.

    One row reaches beside the next, or the text jumps from side to side, row by row. Code in a
    text does so too.
    """
    jumps = 0
    for upper, lower in pairwise(row for row in rows if not row.is_monospace):
        first, second = upper.bbox, lower.bbox
        apart = first.x1 < second.x0 or second.x1 < first.x0
        jumps = jumps + 1 if apart else 0
        reach = BESIDE * min(first.height, second.height)
        if apart and (first.y1 - second.y0 > reach or jumps > JUMPS):
            return True
    return False


def _is_formula(row: Row) -> bool:
    letters = sum(len(word.text) for word in row.words)
    signs = sum(len(word.text) for word in row.words if _MATH_FONT.search(word.font))
    return not row.is_monospace and signs > max(MATH_SIGNS, MATH_SHARE * letters)
