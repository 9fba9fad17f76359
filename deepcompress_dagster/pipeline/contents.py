"""Tables of contents: entries that end in the number of a page, one below the other.

A layout model sees a table, paragraphs or headings in them; the lines tell what they are. Also
lists of figures and tables, and indexes with one entry a line. What is read here is text.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from deepcompress_dagster.pipeline.joining import line_text
from deepcompress_dagster.pipeline.lines import PageLine, rows_of
from deepcompress_dagster.pipeline.phrases import em_of, words_across
from deepcompress_dagster.records import BBox, Word, union

MIN_ENTRIES = 4
"""Entries of a table of contents, at least; fewer are a list of prices as well."""

COUNTING = 0.9
"""Share of the steps from entry to entry in which page numbers do not fall, at least."""

NUMBERED = 0.6
"""Share of the rows that end in a page number, at least; others are divisions and long titles."""

ROW_GAP = 3.0
"""Usual distances of rows from which a table of contents ends."""

WIDE = 2.0
"""Em between a title and its page number, at least, where no dots lead from one to the other."""

SAME_EDGE = 3.0
"""Points within which page numbers end at one place."""

_LEADER = re.compile(r"[.·…‥․_ ]*[.·…‥․_]{3,}[.·…‥․_ ]*$|(?:[.·…‥․] ){2,}[.·…‥․]?$")
_HAS_COLUMNS = re.compile(r"[.·…‥․]{3,}[^.·…‥․]*\d[^.·…‥․]*[.·…‥․]{3,}")
"""Figures between leaders: a table of them."""

_PAGE = re.compile(r"\d{1,4}|[ivxlc]{1,7}|[A-Z]{1,2}-\d{1,3}", re.IGNORECASE)
_DECIMAL = re.compile(r"\d{1,4}")
_TITLES = re.compile(
    r"\W*(?:table of )?contents|\W*list of (?:figures|tables)|"
    r"\W*inhalt(?:sverzeichnis|sübersicht)?|"
    r"\W*table des mati[eè]res|\W*sommaire|\W*[ií]ndice|\W*sum[aá]rio|\W*inhoud(?:sopgave)?|"
    r"\W*spis tre[sś]ci|\W*содержание|\W*оглавление|\W*目\s*[录錄次]|\W*차\s*례|\W*목\s*차",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Row:
    """Lines at one height: what they say before the number at their end, if there is one."""

    bbox: BBox
    text: str
    page: str = ""
    led: bool = False
    """Whether dots lead to the number."""
    ends: tuple[float, float] = (0.0, 0.0)
    """Left and right end of the number, points."""

    @property
    def value(self) -> int | None:
        return int(self.page) if _DECIMAL.fullmatch(self.page) else None


def contents_boxes(lines: Sequence[PageLine]) -> list[BBox]:
    """The boxes (upright points) of the tables of contents on a page."""
    across = [line for line in lines if not _is_on_end(line)]
    rows = [_row(words) for row in rows_of(across) if (words := words_across(row))]
    if sum(bool(row.page) for row in rows) < MIN_ENTRIES:
        return []
    return [
        union(row.bbox for row in group).rounded()
        for group in _groups(rows)
        if _is_contents(group, rows)
    ]


def _is_on_end(line: PageLine) -> bool:
    upended = len(line.text) > 2 and line.bbox.height > line.bbox.width
    return line.vertical or upended


def entries(lines: Sequence[PageLine]) -> str:
    """The text of a table of contents, one row a line."""
    return "\n".join(line_text(words_across(row)) for row in rows_of(lines))


def _row(words: Sequence[Word]) -> _Row:
    text, bbox = line_text(words), union(word.bbox for word in words)
    last = words[-1]
    page = unicodedata.normalize("NFKC", last.text)
    before = line_text(words[:-1])
    ends = (last.bbox.x0, last.bbox.x1)
    if leader := re.search(r"[.·…‥․]+(?=\w{1,7}$)", page):  # dots and number in one word
        before, page = f"{before} {page[: leader.end()]}", page[leader.end() :]
    if not _PAGE.fullmatch(page) or not any(letter.isalpha() for letter in before):
        return _Row(bbox, text)
    led = _LEADER.search(before) is not None
    wide = len(words) > 1 and last.bbox.x0 - words[-2].bbox.x1 >= WIDE * em_of(last)
    if not led and not wide:
        return _Row(bbox, text)
    if _HAS_COLUMNS.search(before):
        return _Row(bbox, text)
    return _Row(bbox, text, page, led, ends)


def _groups(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """Rows from a first to a last entry, without a wide gap between them."""
    heights = [below.bbox.y0 - above.bbox.y0 for above, below in pairwise(rows)]
    usual = median(heights) if heights else 0.0
    group: list[_Row] = []
    for row in rows:
        if group and row.bbox.y0 - group[-1].bbox.y1 > ROW_GAP * usual:
            yield _ended(group)
            group = []
        if group or row.page:
            group.append(row)
    yield _ended(group)


def _ended(group: Sequence[_Row]) -> list[_Row]:
    last = max((i for i, row in enumerate(group) if row.page), default=-1)
    return list(group[: last + 1])


def _is_contents(group: Sequence[_Row], rows: Sequence[_Row]) -> bool:
    found = [row for row in group if row.page]
    if len(found) < MIN_ENTRIES or len(found) < NUMBERED * len(group):
        return False
    pages = [row.value for row in found if row.value is not None]
    rising = sum(second >= first for first, second in pairwise(pages))
    aligned = max(_at_one_place([row.ends[side] for row in found]) for side in (0, 1))
    if rising < COUNTING * (len(pages) - 1) or aligned < COUNTING * len(found):
        return False
    if 2 * sum(row.led for row in found) >= len(found):
        return True
    return any(
        _TITLES.fullmatch(row.text.strip()) for row in rows if row.bbox.y1 <= group[1].bbox.y0
    )


def _at_one_place(ends: Sequence[float]) -> int:
    middle = median(ends)
    return sum(abs(end - middle) <= SAME_EDGE for end in ends)
