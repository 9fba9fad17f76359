"""Tables without rules that a layout model cut: pieces side by side, a header row, a first column.

Here belongs what the alignment of text tells of how far a table reaches; what rules tell is in
ruled_tables.py. Boxes are upright points.
"""

from collections.abc import Sequence
from itertools import combinations, pairwise

from deepcompress_dagster.pipeline.captions import is_numbered
from deepcompress_dagster.pipeline.lines import PageLine, rows_of
from deepcompress_dagster.pipeline.phrases import Phrase, is_value, phrases, words_across
from deepcompress_dagster.pipeline.ruled_tables import WholeTable
from deepcompress_dagster.records import BBox, union

LEVEL = 0.3
"""Heights of a line by which two rows of text may be off and still are one row."""

CONTINUED = 0.9
"""Share of the rows of the shorter of two pieces that go on in the other."""

MIN_ROWS = 4
MANY_ROWS = 10
"""Rows that go on from one piece in another where a narrow gap, or any gap, parts the two."""

NARROW_GAP = 40.0
"""Points between two columns of one table, seldom more."""

HEADER_GAP = 1.5
"""Heights of a line between a table and its header row, at most."""

HEADER_ROWS = 3
"""Rows of a header that are taken in, at most."""

HEADED = 0.6
"""Share of the columns that a header row has a phrase over, at least; the first may have none."""

VALUES = 0.8
"""Share of values in a column from which it is none of names: the others are its header."""

CAPTION_EDGE = 2.0
"""Points by which a table may begin left of its caption."""

CUT = 0.2
"""Share of a line in a table's box from which it is the table's, if nothing else claims it."""

WHOLLY = 0.95
MOSTLY = 0.65
"""Share of a line's height that is at the height of a table's box where any line is the table's,
and where one over a single of three columns and more is."""

COLUMN_SPACE = 0.8
"""Em without any word from top to bottom that part two columns."""

Row = list[PageLine]
Column = tuple[float, float]
"""Left and right edge."""


def whole_of_pieces(boxes: Sequence[BBox], lines: Sequence[PageLine]) -> list[WholeTable]:
    """The tables of which detected ``boxes`` are pieces: pieces whose rows go on in each other."""
    rows = [rows_of(_within(box, lines)) for box in boxes]
    groups = [{index} for index in range(len(boxes))]
    for one, two in combinations(range(len(boxes)), 2):
        if _go_on(boxes[one], rows[one], boxes[two], rows[two], lines):
            first, second = (next(g for g in groups if index in g) for index in (one, two))
            if first is not second:
                groups.remove(second)
                first |= second
    return [
        WholeTable(union(boxes[index] for index in group).rounded(), tuple(sorted(group)))
        for group in groups
    ]


def _within(box: BBox, lines: Sequence[PageLine]) -> list[PageLine]:
    return [line for line in lines if line.bbox.coverage(box) > 0.5]


def _go_on(
    one: BBox, rows: Sequence[Row], two: BBox, others: Sequence[Row], lines: Sequence[PageLine]
) -> bool:
    """Whether the rows of one piece go on in another beside it."""
    few, many = sorted((rows, others), key=len)
    shared = sum(any(_is_level(row[0], other[0]) for other in many) for row in few)
    if len(few) < MIN_ROWS or shared < CONTINUED * max(len(few), CONTINUED * len(many)):
        return False
    gap = max(one.x0, two.x0) - min(one.x1, two.x1)
    if gap > NARROW_GAP and len(few) < MANY_ROWS:
        return False
    return not (_has_caption(one, lines) and _has_caption(two, lines))


def _is_level(one: PageLine, two: PageLine) -> bool:
    height = min(one.bbox.height, two.bbox.height)
    return abs(one.bbox.center[1] - two.bbox.center[1]) <= LEVEL * height


def _has_caption(box: BBox, lines: Sequence[PageLine]) -> bool:
    """Whether a table's number stands right above or below a box, no wider than that."""
    return any(
        is_numbered(line.text)
        and box.x0 - NARROW_GAP < line.bbox.x0 < box.x1
        and min(abs(line.bbox.y1 - box.y0), abs(line.bbox.y0 - box.y1)) < NARROW_GAP
        for line in lines
    )


def split_by_captions(box: BBox, lines: Sequence[PageLine]) -> list[BBox]:
    """The tables in a detected box: one below each numbered caption in it or right above it."""
    rows = rows_of(_within(box, lines))
    return [part for piece in _stacked(box, rows) for part in _side_by_side(piece, lines)]


def _stacked(box: BBox, rows: Sequence[Row]) -> list[BBox]:
    """The parts of a box above and below a row that is a caption alone, without the caption."""
    for number in range(MIN_ROWS, len(rows) - 1):
        text = words_across(rows[number])
        caption = union(word.bbox for word in text)
        if is_numbered(" ".join(word.text for word in text)) and len(phrases(text)) == 1:
            above, below = box._replace(y1=caption.y0), box._replace(y0=caption.y1)
            return [above, *_stacked(below, rows[number + 1 :])]
    return [box]


def _side_by_side(box: BBox, lines: Sequence[PageLine]) -> list[BBox]:
    captions = sorted(
        (
            line.bbox
            for line in lines
            if is_numbered(line.text)
            and box.x0 - NARROW_GAP < line.bbox.x0 < box.x1
            and -line.bbox.height < box.y0 - line.bbox.y1 < NARROW_GAP
        ),
        key=lambda caption: caption.x0,
    )
    words = [word.bbox for line in _within(box, lines) for word in line.words]
    for left, right in pairwise(captions):
        x = right.x0 - CAPTION_EDGE
        beside = left.x1 < right.x0 and abs(left.center[1] - right.center[1]) < left.height
        sides = {word.center[0] < x for word in words}
        if beside and len(sides) == 2 and not any(word.x0 < x < word.x1 for word in words):
            rest = _side_by_side(box._replace(x0=x), lines)
            return [box._replace(x1=x), *rest]
    return [box]


def margins_of(box: BBox, own: Sequence[PageLine], free: Sequence[PageLine]) -> list[PageLine]:
    """Lines that a table lacks: cut by its edge, in a column beside it, in header rows above.

    ``own`` are the lines in its box and ``free`` those that nothing else claims.
    """
    if len(rows_of(own)) < MIN_ROWS:
        return []
    columns = _columns(own)
    lines = [*own, *(line for line in free if _is_cut(line.bbox, box, columns))]
    for _ in range(2):
        lines += _column_beside(lines, [line for line in free if line not in lines])
    lines += _header_above(lines, [line for line in free if line not in lines])
    return lines[len(own) :]


def _is_cut(line: BBox, box: BBox, columns: Sequence[Column]) -> bool:
    """Whether the left or right edge of a table's box cuts a line, or the upper one a heading."""
    level = line.coverage(box._replace(x0=line.x0, x1=line.x1))
    is_heading = len(columns) > 2 and len(_columns_under(line, columns)) == 1
    return line.coverage(box) > CUT and level > (MOSTLY if is_heading else WHOLLY)


def _header_above(own: Sequence[PageLine], free: Sequence[PageLine]) -> list[PageLine]:
    """Lines of the rows right above a table whose phrases stand over its columns."""
    frame, columns = union(line.bbox for line in own), _columns(own)
    header: list[PageLine] = []
    for row in reversed(rows_of([line for line in free if line.bbox.center[1] < frame.y0])):
        box = union(line.bbox for line in row)
        near = 0 <= frame.y0 - box.y1 + 1 <= HEADER_GAP * box.height
        if (
            not near
            or len(header) >= HEADER_ROWS
            or not _heads(phrases(words_across(row)), columns)
        ):
            break
        header += row
        frame = union([frame, box])
    return header


def _columns(lines: Sequence[PageLine]) -> list[Column]:
    """The columns of a table from left to right: where words stand in any of its rows."""
    boxes = sorted(phrase.bbox for row in rows_of(lines) for phrase in phrases(words_across(row)))
    space = COLUMN_SPACE * max(line.font_size for line in lines)
    columns: list[Column] = []
    for box in boxes:
        if columns and box.x0 < columns[-1][1] + space:
            columns[-1] = (columns[-1][0], max(columns[-1][1], box.x1))
        else:
            columns.append((box.x0, box.x1))
    return columns


def _heads(row: Sequence[Phrase], columns: Sequence[Column]) -> bool:
    """Whether each phrase stands over a column of its own, and most columns have one."""
    over = [_columns_under(phrase.bbox, columns) for phrase in row]
    headed = set().union(*over)
    return len(headed) == len(row) >= max(2, HEADED * len(columns)) and all(
        len(found) == 1 for found in over
    )


def _columns_under(box: BBox, columns: Sequence[Column]) -> set[int]:
    return {i for i, (x0, x1) in enumerate(columns) if box.x0 < x1 and box.x1 > x0}


def _column_beside(own: Sequence[PageLine], free: Sequence[PageLine]) -> list[PageLine]:
    """Lines in a column beside a table, no further off than its own columns, and in its rows."""
    frame, rows, columns = union(line.bbox for line in own), rows_of(own), _columns(own)
    reach = max([NARROW_GAP, *(right[0] - left[1] for left, right in pairwise(columns))])
    left = 0.0 if _begins_with_values(rows, columns[0]) else frame.x0 - reach
    for low, high in ((left, frame.x0), (frame.x1, frame.x1 + reach)):
        beside = [
            line
            for line in free
            if line.bbox.x1 > low
            and line.bbox.x0 < high
            and frame.y0 <= line.bbox.center[1] <= frame.y1
        ]
        level = [line for line in beside if any(_is_level(line, row[0]) for row in rows)]
        if len(level) == len(beside) >= max(MIN_ROWS, CONTINUED * (len(rows) - HEADER_ROWS)):
            return level
    return []


def _begins_with_values(rows: Sequence[Row], first: Column) -> bool:
    """Whether the first column holds values: what they are of stands further to the left."""
    texts = [
        phrase.text
        for row in rows
        for phrase in phrases(words_across(row))[:1]
        if phrase.bbox.x0 < first[1]
    ]
    values = sum(map(is_value, texts))
    return len(texts) >= MIN_ROWS and values >= VALUES * len(texts)
