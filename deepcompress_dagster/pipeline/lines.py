"""Lines of text, whether from the text layer or from OCR, and which region each belongs to.

Here belongs geometry. What a line says once its words are joined is joining.py's.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

from deepcompress_dagster.pipeline.joining import NO_WORDS, Vocabulary, joined, line_text
from deepcompress_dagster.records import BBox, TextLine, TextSource, TextStyle, Word, union
from deepcompress_dagster.unicode_text import is_rtl, normalised

REGION_SHARE = 0.5
"""A region owns a line when it covers at least half of it."""

CLUSTER_GAP = 0.9
"""Lines further apart than this share of their height start a new cluster."""

ROW_OVERLAP = 0.3
"""Neighbours in a slanted row overlap by this share of their height, at least."""

SIZE_STEP = 0.25
"""Lines whose font sizes differ by more than a quarter are not of one paragraph."""


COLUMN_GAP = 1.5
"""Vertical lines further apart than this, in their widths, are of two paragraphs."""


INSERTED = 6.0
"""Widths of a vertical line that a Latin word or a number in it takes up, at most."""


@dataclass(frozen=True)
class PageLine:
    """One line, box in upright points. ``block`` groups lines that the PDF keeps together.

    ``row`` numbers the rows of a page that was read as a whole, along its slant; -1 is unknown.
    ``reader`` is that of ``TextLine``.
    """

    bbox: BBox
    words: tuple[Word, ...]
    source: TextSource
    confidence: float = 1.0
    block: int = -1
    row: int = -1
    reader: str | None = None

    @cached_property
    def text(self) -> str:
        """The words with the blanks between them, superscripts and subscripts marked."""
        return line_text(self.words)

    @property
    def vertical(self) -> bool:
        """Whether it runs from top to bottom, its characters upright."""
        return bool(self.words) and all(word.vertical for word in self.words)

    @property
    def font_size(self) -> float:
        """Font size in points, weighted by characters; the box's height where it is unknown."""
        letters = sum(len(word.text) for word in self.words)
        weighted = sum(word.font_size * len(word.text) for word in self.words)
        return weighted / letters if letters and weighted else self.bbox.height * 0.75

    @property
    def bold(self) -> bool:
        """Whether most characters are bold."""
        heavy = sum(len(word.text) for word in self.words if word.bold)
        return 2 * heavy > sum(len(word.text) for word in self.words)

    @property
    def style(self) -> TextStyle | None:
        """The style of most of its characters; None for OCR, which sees no fonts."""
        if self.source is TextSource.OCR:
            return None
        letters: Counter[TextStyle] = Counter()
        for word in self.words:
            letters[word.style] += len(word.text)
        return letters.most_common(1)[0][0]

    @property
    def monospace(self) -> bool:
        """Whether every word is in monospace type."""
        return bool(self.words) and all(word.monospace for word in self.words)


def layer_lines(words: Sequence[Word]) -> list[PageLine]:
    """The lines of a text layer, as the PDF groups them."""
    lines = []
    for (block, _), group in groupby(words, key=lambda word: (word.block, word.line)):
        members = tuple(group)
        bbox = union(word.bbox for word in members)
        lines.append(PageLine(bbox, members, TextSource.TEXT_LAYER, block=block))
    return lines


def ocr_line(read: TextLine, words: Sequence[TextLine] = ()) -> PageLine:
    """A line that OCR read; without the model's ``words`` they share its box by their length."""
    read = replace(read, text=normalised(read.text))
    pieces = tuple(Word(word.bbox, normalised(word.text)) for word in words) or _shared_out(read)
    return PageLine(read.bbox, pieces, TextSource.OCR, read.confidence, reader=read.reader)


def _shared_out(read: TextLine) -> tuple[Word, ...]:
    """The line's words, each with the share of the box that its characters have."""
    bbox, width = read.bbox, read.bbox.width / max(1, len(read.text))
    words, position = [], 0
    for piece in read.text.split():
        start = read.text.index(piece, position)
        position = start + len(piece)
        box = BBox(bbox.x0 + start * width, bbox.y0, bbox.x0 + position * width, bbox.y1)
        words.append(Word(box, piece))
    return tuple(words)


def assign(
    lines: Iterable[PageLine], boxes: Sequence[BBox], ruled: Sequence[tuple[int, BBox]] = ()
) -> tuple[list[list[PageLine]], list[PageLine]]:
    """Lines of each box, in their own order, and the lines that no box owns.

    A line over several boxes is split between them word by word. Words in a ``ruled`` part of a
    box (its index, the part) are the box's, whatever other box they lie in.
    """
    owned: list[list[PageLine]] = [[] for _ in boxes]
    orphans = []

    for line in lines:
        for index, piece in _shared(line, boxes, ruled):
            if index is None:
                orphans.append(piece)
            else:
                owned[index].append(piece)
    return owned, orphans


def _shared(
    line: PageLine, boxes: Sequence[BBox], ruled: Sequence[tuple[int, BBox]]
) -> list[tuple[int | None, PageLine]]:
    """The line, or its pieces, with the index of the box that owns each."""
    if not any(line.bbox.intersection(part) > 0 for _, part in ruled):
        owner = _owner(line.bbox, boxes)
        if owner is not None:
            return [(owner, line)]
    pieces = []
    for index, group in groupby(line.words, key=lambda word: _word_owner(word.bbox, boxes, ruled)):
        words = tuple(group)
        pieces.append((index, replace(line, bbox=union(w.bbox for w in words), words=words)))
    return pieces


def _word_owner(bbox: BBox, boxes: Sequence[BBox], ruled: Sequence[tuple[int, BBox]]) -> int | None:
    inside = (index for index, part in ruled if part.contains_point(*bbox.center))
    owner = next(inside, None)
    return _owner(bbox, boxes) if owner is None else owner


def _owner(bbox: BBox, boxes: Sequence[BBox]) -> int | None:
    """The box that covers most of ``bbox``, the smaller on a tie; None below REGION_SHARE."""
    x0, y0, x1, y1 = bbox
    # A page has dozens of boxes, a line meets one or two; coverage is dear to ask of all of them.
    met = [
        index
        for index, box in enumerate(boxes)
        if box[0] < x1 and box[2] > x0 and box[1] < y1 and box[3] > y0
    ]
    best = max(
        met,
        key=lambda index: (round(bbox.coverage(boxes[index]), 2), -boxes[index].area),
        default=None,
    )
    if best is None or bbox.coverage(boxes[best]) < REGION_SHARE:
        return None
    return best


def cluster(lines: Sequence[PageLine]) -> list[list[PageLine]]:
    """Group lines that no region owns into paragraphs: same block, near, similar in size."""
    clusters: list[list[PageLine]] = []
    for line in lines:
        home = next((c for c in reversed(clusters) if _continues(c[-1], line)), None)
        if home is None:
            clusters.append([line])
        else:
            home.append(line)
    return clusters


def _continues(above: PageLine, below: PageLine) -> bool:
    if above.vertical or below.vertical:
        return above.vertical and below.vertical and _is_next_column(above, below)
    if above.block != below.block or above.monospace != below.monospace:
        return False
    height = min(above.bbox.height, below.bbox.height)
    gap = below.bbox.y0 - above.bbox.y1
    overlap = min(above.bbox.x1, below.bbox.x1) - max(above.bbox.x0, below.bbox.x0)
    same_size = abs(above.font_size - below.font_size) <= SIZE_STEP * above.font_size
    return -height <= gap <= CLUSTER_GAP * height and overlap > 0 and same_size


def _is_next_column(right: PageLine, left: PageLine) -> bool:
    """Whether a vertical line stands beside another one, or goes on below it, set alike."""
    first, second, size = right.bbox, left.bbox, right.bbox.width
    if abs(size - second.width) > SIZE_STEP * size:
        return False
    gap = first.x0 - second.x1
    overlap = min(first.y1, second.y1) - max(first.y0, second.y0)
    goes_on = gap < -size / 2 and 0 <= -overlap <= INSERTED * size
    return goes_on or (-size / 2 <= gap <= COLUMN_GAP * size and overlap > 0)


def runs_leftward(lines: Sequence[PageLine]) -> bool:
    """Whether most letters stand in vertical lines or in right-to-left script."""
    letters = leftward = 0
    for line in lines:
        letters += len(line.text)
        leftward += len(line.text) if line.vertical or is_rtl(line.text) else 0
    return 2 * leftward > letters


def in_rows(lines: Sequence[PageLine]) -> list[PageLine]:
    """Lines from top to bottom; those at one height from left to right."""
    return [line for row in rows_of(lines) for line in row]


def rows_of(lines: Sequence[PageLine]) -> list[list[PageLine]]:
    """Lines by the row that they stand in, from top to bottom, each row as its script is read.

    Vertical lines are rows of their own, from right to left.
    """
    if lines and all(line.vertical for line in lines):
        return [[line] for line in sorted(lines, key=lambda line: (-line.bbox.x1, line.bbox.y0))]
    rows: list[list[PageLine]] = []
    for line in sorted(lines, key=lambda line: (line.row, line.bbox.center[1], line.bbox.x0)):
        if rows and same_row(rows[-1][0], line):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [_as_read(row) for row in rows]


def _as_read(row: Sequence[PageLine]) -> list[PageLine]:
    """A row from left to right, or from right to left where most of its lines are written so."""
    leftward = 2 * sum(is_rtl(line.text) for line in row) > len(row)
    return sorted(row, key=lambda line: -line.bbox.x1 if leftward else line.bbox.x0)


def same_row(first: PageLine, second: PageLine) -> bool:
    """Whether two lines stand beside each other: more than half of the lower one."""
    if first.row >= 0 and second.row >= 0:
        return first.row == second.row
    overlap = min(first.bbox.y1, second.bbox.y1) - max(first.bbox.y0, second.bbox.y0)
    return overlap > 0.5 * min(first.bbox.height, second.bbox.height)


def numbered_rows(lines: Sequence[PageLine]) -> list[PageLine]:
    """Lines in reading order with the number of their row.

    A line is in the row of the line before it when it stands to the right of that, at its height.
    """
    numbered: list[PageLine] = []
    for line in lines:
        row = 0
        if numbered:
            before = numbered[-1]
            height = min(before.bbox.height, line.bbox.height)
            overlap = min(before.bbox.y1, line.bbox.y1) - max(before.bbox.y0, line.bbox.y0)
            beside = line.bbox.center[0] >= before.bbox.x1 and overlap > ROW_OVERLAP * height
            row = before.row + (not beside)
        numbered.append(replace(line, row=row))
    return numbered


def join_lines(lines: Sequence[PageLine], vocabulary: Vocabulary = NO_WORDS) -> str:
    """The text of a paragraph; the ``vocabulary`` tells compounds from words that a line breaks."""
    return joined((line.text for line in lines), vocabulary)


def cell_text(lines: Sequence[PageLine]) -> str:
    """The text of a table's cell; marks at numbers stand apart from them."""
    return joined(line_text(line.words, apart=True) for line in in_rows(lines))
