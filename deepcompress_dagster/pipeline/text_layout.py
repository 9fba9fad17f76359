"""The regions of a page whose text layer alone tells them: paragraphs, headings, points of lists.

They are told by distance, indentation and type. Boxes are upright points.

Not here: which pages are such (plain_pages.py), what is made of a model's regions (layout.py), and
what only the document shows: which headings are some, what repeats in the margins, footnotes
(document_pass.py).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from deepcompress_dagster.pipeline.contents import contents_boxes
from deepcompress_dagster.pipeline.layout import Area, completed_areas
from deepcompress_dagster.pipeline.lines import PageLine, rows_of
from deepcompress_dagster.pipeline.page_view import PageView
from deepcompress_dagster.pipeline.phrases import phrases
from deepcompress_dagster.pipeline.plain_pages import is_in_foot, is_in_head, is_plain
from deepcompress_dagster.pipeline.text_rows import GAP, Row
from deepcompress_dagster.records import Label, union

TEXT_LAYER = "text-layer"
"""``model`` of regions that no model was asked for; their score is 0."""

SAME_SIZE = 0.6
"""Points by which the font sizes of one paragraph differ, at most."""

PITCH = 1.12
"""Usual distances of lines from which a paragraph ends; many are set no further apart than 1.2."""

SOLID = 1.35
"""Em between the tops of lines where the page does not tell what is usual."""

COMMON = 0.15
"""Share of the distances between lines of one size from which one of them is usual: that of lines,
not that of paragraphs of one line."""

SINGLE, DOUBLE = 2.2, 3.2
"""Em between lines of a paragraph, at most: set as usual, and double-spaced."""

FULL = 5.0
"""Em that a full line leaves at its end, at most: a long word would have had no room."""

INDENT = 0.3
"""Em by which a point of a list stands in, or out."""

FIRST_INDENT = 0.8
"""Em by which the first line of a paragraph stands in."""

BODY_SHARE = 0.25
"""Share of the letters of a page from which a font size may be that of its running text."""

SMALL_PRINT = 0.92
"""Share of the size of running text below which a paragraph may be a footnote."""

MARGIN_GAP = 0.6
"""Heights of a line between such a row and the body, at least."""

MARGIN_ROWS = 3
"""Rows of a running header or footer, at most."""

CAPITALS = 4
"""Letters of a heading that is set off by its capitals alone, at least."""

LARGER = 1.15
"""Font sizes of the running text from which a line by itself is a heading."""

HEADING_ROWS = 3
HEADING_LENGTH = 160
"""Rows and characters of a heading, at most."""

_NUMBER = re.compile(r"[-–— ]*(?:\d{1,4}|[ivxlc]{1,6})[-–— ]*|\d{1,4} ?(?:/|of|von) ?\d{1,4}")

_NOTE = re.compile(r"\d{1,3}|[*∗†‡§¹²³⁰-⁹]+")

_NUMBERED_HEADING = re.compile(r"(?:\d+|[A-Z]|[IVXL]{2,6})(?:\.\d+)*[.)]?\s")


def text_areas(view: PageView) -> list[Area] | None:
    """The areas of a page that its text layer alone decides, with their lines; None of any other.

    A blank page has none.
    """
    if view.is_blank:
        return []
    rows = [Row(tuple(lines)) for lines in rows_of(view.lines)]
    if not is_plain(view, rows) or contents_boxes(view.lines):
        return None
    body = _Body.of(rows)
    head, middle, foot = _without_margins(rows, body, view.rotation.upright_size[1])
    return completed_areas(
        [
            *_margin_areas(head, Label.PAGE_HEADER),
            *_paragraphs(middle, body),
            *_margin_areas(foot, Label.PAGE_FOOTER),
        ]
    )


def _without_margins(
    rows: Sequence[Row], body: "_Body", height: float
) -> tuple[Sequence[Row], Sequence[Row], Sequence[Row]]:
    """The running header, the middle and the running footer: few rows, apart from the middle."""
    head = _n_running([row for row in rows[:MARGIN_ROWS] if is_in_head(row, height)], rows, body)
    below = rows[::-1]
    in_foot = [row for row in below[:MARGIN_ROWS] if is_in_foot(row, height)]
    foot = len(rows) - _n_running(in_foot, below, body)
    return rows[:head], rows[head : max(head, foot)], rows[max(head, foot) :]


def _n_running(margin: Sequence[Row], rows: Sequence[Row], body: "_Body") -> int:
    """How many of the rows in a margin, the outermost of all ``rows``, are a running header."""
    for n in range(1, len(margin) + 1):
        apart = all(_is_apart(margin[n - 1], row) for row in rows[n : n + 1])
        if apart and any(body.is_running(row, ()) for row in margin[:n]):
            return n
    return 0


def _is_apart(one: Row, other: Row) -> bool:
    gap = max(one.bbox.y0 - other.bbox.y1, other.bbox.y0 - one.bbox.y1)
    return gap > MARGIN_GAP * min(one.bbox.height, other.bbox.height)


def _margin_areas(rows: Sequence[Row], label: Label) -> list[Area]:
    """What stands in a margin, each piece for itself."""
    return [_area(label, piece) for row in rows for piece in _split(row)]


def _split(row: Row) -> list[tuple[PageLine, ...]]:
    """The lines of a row by the pieces that they lie in; together where one is of two pieces."""
    pieces = [phrase.bbox for phrase in phrases(row.words, GAP)]
    if any(line.bbox.width > max(box.width for box in pieces) + 1 for line in row.lines):
        return [row.lines]
    parts = [
        tuple(line for line in row.lines if box.x0 <= line.bbox.center[0] <= box.x1)
        for box in pieces
    ]
    return [part for part in parts if part]


def _paragraphs(rows: Sequence[Row], body: "_Body") -> list[Area]:
    groups: list[list[Row]] = []
    for row in rows:
        if groups and body.goes_on(groups[-1], row):
            groups[-1].append(row)
        else:
            groups.append([row])
    return [
        _area(_label(body, groups, i), tuple(line for row in group for line in row.lines))
        for i, group in enumerate(groups)
    ]


def _label(body: "_Body", groups: Sequence[Sequence[Row]], i: int) -> Label:
    """The label of a paragraph among those of its page; footnotes have small print alone below."""
    if all(body.is_note(group) for group in groups[i:]):
        return Label.FOOTNOTE
    return body.label(groups[i])


def _area(label: Label, lines: tuple[PageLine, ...]) -> Area:
    return Area(label, union(line.bbox for line in lines).rounded(), 0.0, TEXT_LAYER, lines)


@dataclass(frozen=True)
class _Body:
    """How the running text of a page is set: size, right edge, distances of lines (points), weight.

    ``pitches`` are those of lines by their font size.
    """

    size: float
    right: float
    is_bold: bool
    pitches: Mapping[float, float]

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "_Body":
        text = [row for row in rows if not row.is_monospace] or rows
        letters: Counter[float] = Counter()
        for row in text:
            letters[row.size] += len(row.text)
        total = letters.total()
        heavy = sum(len(row.text) for row in text if row.is_bold)
        commonest = letters.most_common(1)[0][0]
        common = [size for size, n in letters.items() if n >= BODY_SHARE * total]
        right = max(row.bbox.x1 for row in rows)
        pitches = _usual_pitches(rows, right)
        return cls(max(common, default=commonest), right, 2 * heavy > total, pitches)

    def is_running(self, row: Row, beside: Sequence[Row]) -> bool:
        """Whether a row in a margin is no text: a number is in it, and it stands apart.

        What repeats without a number shows over pages only.
        """
        numbered = any(_NUMBER.fullmatch(phrase.text) for phrase in phrases(row.words, GAP))
        return (
            (numbered or len(row.pieces) > 1)
            and row.size <= self.size + SAME_SIZE
            and all(_is_apart(row, other) for other in beside)
        )

    def goes_on(self, above: Sequence[Row], row: Row) -> bool:
        """Whether a row goes on with the paragraph above it."""
        last = above[-1]
        if abs(last.size - row.size) > SAME_SIZE or not self._is_one_type(above, row):
            return False
        if last.is_bold != row.is_bold and (row.is_bold or all(r.is_bold for r in above)):
            return False
        usual = self.pitches.get(last.size, SOLID * last.size)
        pitch = row.foot - last.foot
        if pitch > PITCH * usual or (pitch > SINGLE * last.size and not _is_full(last, self.right)):
            return False
        return row.is_monospace or not self._begins(above, row)

    def _is_one_type(self, above: Sequence[Row], row: Row) -> bool:
        """Whether a row may go on by its type: prose or code.

        A row of a paragraph may be one name or path in monospace type; it begins where the others
        do. Code in a footnote is part of it.
        """
        last = above[-1]
        if last.is_monospace == row.is_monospace or self.is_note(above):
            return True
        code = [r for r in above if r.is_monospace]
        level = abs(row.bbox.x0 - last.bbox.x0) < INDENT * row.size
        return level and (not last.is_monospace or len(code) < len(above) or len(above) == 1)

    def is_note(self, rows: Sequence[Row]) -> bool:
        """Whether a paragraph is set as a footnote."""
        first = rows[0]
        marked = bool(_NOTE.fullmatch(first.words[0].text)) and len(first.words) > 1
        return marked and first.size < SMALL_PRINT * self.size

    def _begins(self, above: Sequence[Row], row: Row) -> bool:
        """Whether a row begins a paragraph, a point of a list or a footnote.

        Letters and numbers count only where another point or an indentation stands before them:
        they may begin any line.
        """
        shift = abs(row.bbox.x0 - above[-1].bbox.x0)
        if row.is_point:
            return row.is_bullet or above[0].is_point or shift > INDENT * row.size
        hangs = above[0].is_point and len(above) == 1
        stands_in = row.bbox.x0 - above[-1].bbox.x0 > FIRST_INDENT * row.size
        if stands_in and not hangs and self._has_room(above[-1], row):
            return True
        return self.is_note([row])

    def _has_room(self, row: Row, below: Row) -> bool:
        """Whether the first word of the row below would have had room at the end of a row."""
        return row.bbox.x1 + 0.5 * row.size + below.words[0].bbox.width < self.right

    def label(self, group: Sequence[Row]) -> Label:
        if group[0].is_monospace:
            return Label.TEXT
        text = " ".join(row.text for row in group)
        is_point = group[0].is_point
        numbered = bool(_NUMBERED_HEADING.match(text))
        set_off = max(row.size for row in group) >= LARGER * self.size or (
            not self.is_bold and all(row.is_bold for row in group)
        )
        capitals = text.isupper() and sum(map(str.isalpha, text)) >= CAPITALS
        set_off = set_off or (capitals and len(group) == 1)
        ends = text[-1] in ";:," or (text[-1] == "." and not numbered)
        if set_off and (numbered or not is_point) and not ends and _is_short(text, len(group)):
            return Label.SECTION_HEADER
        return Label.LIST_ITEM if is_point else Label.TEXT


def _is_short(text: str, rows: int) -> bool:
    letters = any(letter.isalpha() for letter in text)
    return letters and rows <= HEADING_ROWS and 1 < len(text) <= HEADING_LENGTH


def _is_full(row: Row, right: float) -> bool:
    return row.bbox.x1 > right - FULL * row.size


def _usual_pitches(rows: Sequence[Row], right: float) -> Mapping[float, float]:
    """Points from line to line by font size: the least common one, half a point exact.

    ``right`` is where full lines end; double-spaced lines are full, single ones set far apart not.
    """
    found: dict[float, Counter[float]] = defaultdict(Counter)
    for upper, lower in pairwise(rows):
        pitch, size = lower.foot - upper.foot, upper.size
        most = DOUBLE if _is_full(upper, right) else SINGLE
        if lower.size == size and 0.8 * size < pitch < most * size:
            found[size][round(2 * pitch) / 2] += 1
    return {
        size: min(pitch for pitch, n in pitches.items() if n >= COMMON * pitches.total())
        for size, pitches in found.items()
    }
