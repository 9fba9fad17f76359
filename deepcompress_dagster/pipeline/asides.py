"""Text that stands on a page but not in its flow: watermarks, and numbers of the lines.

They are taken out before regions are found, so that they neither part paragraphs nor look like the
column of a table. Running headers and footers show over pages only, see document_pass.py.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

from deepcompress_dagster.pipeline.lines import PageLine, rows_of
from deepcompress_dagster.pipeline.phrases import phrases, words_across
from deepcompress_dagster.records import BBox, Label, Word, union

_ENUMERATED = re.compile(r"(?:\d{1,3}|[a-z]|[ivx]{1,5})[.)] |\((?:\d{1,3}|[a-z]|[ivx]{1,5})\) ")

MODEL = "page-furniture"
"""``model`` of regions that are told by where their words stand; their score is 0."""

SLANTED = 1.6
"""Both sides of a slanted word's box, in its font size, at least; an upright line has 1.4."""

MIN_LETTERS = 2
"""Characters of a word from which its box tells whether it is slanted."""

LARGE = 2.5
"""Font sizes of the body from which a word that lies over lines of text is a watermark."""

COVERED_LINES = 2
"""Lines of the body that it lies over, at least. A large initial stands beside its lines."""

COVERED = 0.3
"""Share of its height by which a line is covered."""

MIN_RUN = 8
"""Numbers one below the other from which they may number the lines of a page."""

RUN_HEIGHT = 0.4
"""Share of the page's height that they take, at least."""

EVEN = 0.15
"""Share of their distance by which the numbers of lines are unevenly set, at most."""

SAME_EDGE = 2.0
"""Points within which numbers end, or begin, at one place."""

ROOM = 0.25
"""Share of the width of the text that the last line of a paragraph leaves blank."""

TABULAR = 0.5
"""Share of rows with two pieces of text beside the number from which the rows are a table's."""

TABULAR_GAP = 1.5
"""Em between two such pieces."""


@dataclass(frozen=True)
class Aside:
    """Lines of one kind that stand apart; boxes are upright points."""

    label: Label
    lines: tuple[PageLine, ...]

    @property
    def bbox(self) -> BBox:
        return union(line.bbox for line in self.lines).rounded()


def set_aside(lines: Sequence[PageLine], page_height: float) -> tuple[list[PageLine], list[Aside]]:
    """The lines of the flow, and those that stand apart from it."""
    marks = _watermark_words(lines)
    flow, apart = _parted(lines, marks)
    asides = [Aside(Label.WATERMARK, tuple(apart))] if apart else []
    numbers = _line_numbers(flow, page_height)
    flow, apart = _parted(flow, numbers)
    if apart:
        asides.append(Aside(Label.LINE_NUMBERS, tuple(apart)))
        flow = _in_paragraphs(flow)
    return flow, asides


def _parted(lines: Sequence[PageLine], taken: set[int]) -> tuple[list[PageLine], list[PageLine]]:
    """Lines without the words whose identity is ``taken``, and these in lines of their own."""
    kept: list[PageLine] = []
    apart: list[PageLine] = []
    for line in lines:
        for words, target in (
            (tuple(word for word in line.words if id(word) not in taken), kept),
            (tuple(word for word in line.words if id(word) in taken), apart),
        ):
            if len(words) == len(line.words):
                target.append(line)
            elif words:
                bbox = union(word.bbox for word in words)
                target.append(replace(line, words=words, bbox=bbox))
    return kept, apart


# Watermarks


def _watermark_words(lines: Sequence[PageLine]) -> set[int]:
    slanted = {id(word) for line in lines for word in line.words if _is_slanted(word)}
    upright = [line for line in lines if not any(id(word) in slanted for word in line.words)]
    sizes = [word.font_size for line in upright for word in line.words if word.font_size]
    body = median(sizes) if sizes else 0.0
    large = [
        word
        for line in lines
        for word in line.words
        if id(word) in slanted or (body and word.font_size >= LARGE * body)
    ]
    if not large:
        return set()
    small = [line for line in upright if line.font_size < LARGE * body]
    return {id(word) for word in large if _lies_over(word, small)}


def _is_slanted(word: Word) -> bool:
    least = SLANTED * word.font_size
    x0, y0, x1, y1 = word.bbox
    both = y1 - y0 >= least and x1 - x0 >= least
    return both and word.font_size > 0 and len(word.text) >= MIN_LETTERS and not word.vertical


def _lies_over(word: Word, lines: Sequence[PageLine]) -> bool:
    """Whether a word lies over lines of text, across a good part of their height."""
    covered = 0
    for line in lines:
        height = min(word.bbox.y1, line.bbox.y1) - max(word.bbox.y0, line.bbox.y0)
        width = min(word.bbox.x1, line.bbox.x1) - max(word.bbox.x0, line.bbox.x0)
        covered += height > COVERED * line.bbox.height and width > line.bbox.height
    return covered >= COVERED_LINES


# Numbers of lines


def _line_numbers(lines: Sequence[PageLine], page_height: float) -> set[int]:
    if sum(_is_line_number(word) for line in lines for word in line.words) < MIN_RUN:
        return set()
    rows = [words for row in rows_of(lines) if (words := words_across(row))]
    for side in (0, -1):
        numbers = [row[side] for row in rows if _is_line_number(row[side])]
        for run in _runs(numbers):
            if _numbers_lines(run, rows, page_height, side):
                return {id(word) for word in run}
    return set()


def _is_line_number(word: Word) -> bool:
    return word.text.isdecimal() and len(word.text) <= 3 and not word.rise


def _runs(numbers: Sequence[Word]) -> Iterator[list[Word]]:
    """Numbers that end, or begin, at one place and count on from one to the next, evenly set."""
    for edge in (2, 0):
        columns: dict[int, list[Word]] = defaultdict(list)
        for word in sorted(numbers, key=lambda word: word.bbox[edge]):
            near = [x for x in columns if abs(word.bbox[edge] - x) <= SAME_EDGE]
            columns[near[0] if near else round(word.bbox[edge])].append(word)
        for column in columns.values():
            column.sort(key=lambda word: word.bbox.y0)
            if len(column) >= MIN_RUN and _counts_on(column) and _is_even(column):
                yield column


def _counts_on(column: Sequence[Word]) -> bool:
    return all(int(two.text) == int(one.text) + 1 for one, two in pairwise(column))


def _is_even(column: Sequence[Word]) -> bool:
    gaps = [two.bbox.y0 - one.bbox.y0 for one, two in pairwise(column)]
    usual = median(gaps)
    return all(abs(gap - usual) <= EVEN * usual for gap in gaps)


def _numbers_lines(
    run: Sequence[Word], rows: Sequence[Sequence[Word]], page_height: float, side: int
) -> bool:
    """Whether all text stands beside the numbers, down the page, and is not that of a table."""
    column = union(word.bbox for word in run)
    own = {id(word) for word in run}
    others = [[word for word in row if id(word) not in own] for row in rows]
    beside = all(
        word.bbox.x0 > column.x1 if side == 0 else word.bbox.x1 < column.x0
        for row in others
        for word in row
    )
    texts = [row for row in others if row]
    tabular = sum(len(phrases(row, TABULAR_GAP)) > 1 for row in texts)
    return (
        beside
        and bool(texts)
        and column.height >= RUN_HEIGHT * page_height
        and tabular < TABULAR * len(texts)
    )


def _in_paragraphs(lines: Sequence[PageLine]) -> list[PageLine]:
    """Lines whose ``block`` is their paragraph's: beside numbers, PDFs keep each line alone.

    A paragraph ends with a line that leaves room, and begins with a number or at another edge.
    """
    right = max(line.bbox.x1 for line in lines)
    blocks = [0]
    for above, below in pairwise(lines):
        begins = (
            _ENUMERATED.match(below.text)
            or abs(below.bbox.x0 - above.bbox.x0) > above.font_size
            or right - above.bbox.x1 > ROOM * (right - above.bbox.x0)
        )
        blocks.append(blocks[-1] + bool(begins))
    return [replace(line, block=block) for line, block in zip(lines, blocks, strict=True)]
