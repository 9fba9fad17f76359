"""Check marks and crosses that are drawn with lines, in boxes and cells, as words.

Nothing in the text layer tells them, and without them a table of ticks is empty. Only what stands
in a frame counts: the crosses of a scatter plot are data, and arrows are no ticks.
"""

from collections.abc import Iterator, Sequence

from deepcompress_dagster.pdf.messages import Drawing, Point
from deepcompress_dagster.pdf.worker.drawings import PageDrawings, Ruling
from deepcompress_dagster.records import BBox, Word

CHECK, CROSS = "\u2713", "\u2717"

SMALLEST, LARGEST = 3.0, 24.0
"""Points of a mark's longer side."""

LONGEST_BOX = 30.0
"""Points of a box that is ticked."""

HIGHEST_CELL = 40.0
"""Points between the rules above and below a mark in a table."""

MOST_STROKES = 200
"""Slanted strokes one way on a page; a plot has more, and its crosses are not looked for."""

LONGER_ARM = 1.2
"""Length of the right arm of a check mark over that of the left, at least."""

BESIDE = 1.5
"""Heights of a mark between it and the text that it stands before, at most."""

_BLOCK = -1
"""Number of the block of marks: the PDF's own count from 0."""


def with_drawn_marks(words: Sequence[Word], drawings: PageDrawings) -> list[Word]:
    """The words of a page and its drawn marks, those before a text at its line's beginning."""
    placed = list(words)
    for number, (text, box) in enumerate(_marks(drawings.paths)):
        if _is_framed(box, drawings) and not any(box.intersection(w.bbox) for w in words):
            mark = Word(box, text, round(box.height, 2), block=_BLOCK, line=number)
            _insert(placed, mark)
    return placed


def _marks(paths: Sequence[Drawing]) -> Iterator[tuple[str, BBox]]:
    strokes = [path for path in paths if _may_be_mark(path)]
    falling: list[BBox] = []
    rising: list[BBox] = []
    for path in strokes:
        if len(path.lines) == 1 and _is_check(path.lines[0]):
            yield CHECK, path.bbox
        for chain in path.lines:
            if len(chain) == 2:
                slope = (chain[1][0] - chain[0][0]) * (chain[1][1] - chain[0][1])
                (falling if slope > 0 else rising).append(_around(chain))
    if max(len(falling), len(rising)) > MOST_STROKES:
        return
    for box in falling:
        if any(_is_same(box, other) for other in rising):
            yield CROSS, box


def _may_be_mark(path: Drawing) -> bool:
    sides = sorted((path.bbox.width, path.bbox.height))
    return (
        path.stroke is not None
        and not path.is_curved
        and not path.rects
        and SMALLEST <= sides[1] <= LARGEST
        and sides[0] >= sides[1] / 3
    )


def _is_check(chain: Sequence[Point]) -> bool:
    """Whether a chain goes down a little and up again, further."""
    if len(chain) != 3:
        return False
    (x0, y0), (x1, y1), (x2, y2) = chain if chain[0][0] < chain[2][0] else chain[::-1]
    left = ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5
    right = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
    return x0 < x1 < x2 and y2 < y0 < y1 and right >= LONGER_ARM * left


def _around(chain: Sequence[Point]) -> BBox:
    xs, ys = zip(*chain, strict=True)
    return BBox(min(xs), min(ys), max(xs), max(ys))


def _is_same(box: BBox, other: BBox) -> bool:
    slack = 0.2 * max(box.width, box.height)
    return all(abs(one - two) <= slack for one, two in zip(box, other, strict=True))


def _is_framed(box: BBox, drawings: PageDrawings) -> bool:
    """Whether a mark stands in a small box, or between two rules of a table."""
    x, y = box.center
    boxes = (rect for path in drawings.paths for rect in path.rects)
    if any(
        max(rect.width, rect.height) <= LONGEST_BOX and rect.contains_point(x, y) for rect in boxes
    ):
        return True
    across = [rule.bbox for rule in drawings.rulings if rule.horizontal]
    rules = [rule.y0 - y for rule in across if rule.x0 <= box.x0 and rule.x1 >= box.x1]
    above = max((rule for rule in rules if rule < 0), default=-HIGHEST_CELL)
    below = min((rule for rule in rules if rule > 0), default=HIGHEST_CELL)
    return below - above <= HIGHEST_CELL and _is_between_columns(box, drawings.rulings)


def _is_between_columns(box: BBox, rulings: Sequence[Ruling]) -> bool:
    y = box.center[1]
    sides = [r.bbox.x0 for r in rulings if not r.horizontal and r.bbox.y0 <= y <= r.bbox.y1]
    return any(x <= box.x0 for x in sides) and any(x >= box.x1 for x in sides)


def _insert(words: list[Word], mark: Word) -> None:
    """Put a mark before the word that it stands at, else behind all words."""
    box = mark.bbox
    for i, word in enumerate(words):
        gap = word.bbox.x0 - box.x1
        level = word.bbox.y0 <= box.center[1] <= word.bbox.y1
        if level and 0 <= gap <= BESIDE * box.height:
            line = (word.block, word.line)
            begins = i == 0 or (words[i - 1].block, words[i - 1].line) != line
            if begins:
                words.insert(i, _at(mark, word))
                return
    words.append(mark)


def _at(mark: Word, word: Word) -> Word:
    return Word(mark.bbox, mark.text, mark.font_size, block=word.block, line=word.line)
