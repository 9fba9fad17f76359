"""A table's grid read from its words alone: columns from the gaps, rows from the wrapping of lines.

It needs neither rules nor a model. Columns are where most rows leave a gap with words on both
sides; the body decides, since headers may lie over several columns. Lines are of one row where the
upper one had no room left for the first word of the lower one, where they overlap, or where they
stand close in the header.

Whether this reading is taken is told in table_choice.py.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import numpy as np
import numpy.typing as npt

from deepcompress_dagster.pipeline.heading_spans import (
    EDGE,
    ColumnTexts,
    Span,
    centred_span,
    ruled_span,
    shared_out,
)
from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.phrases import (
    Phrase,
    are_body,
    gap_in_em,
    is_number,
    is_one_number,
    is_value,
    phrases,
    word_rows,
)
from deepcompress_dagster.pipeline.tables import Grid, fill
from deepcompress_dagster.records import BBox, TableCell, Word, union

WORDS = "word-alignment"
"""``model`` of tables whose structure was read from the places of their words."""

CONFIDENCE = 0.9
"""Of a grid from words, before its faults are counted."""

STEP = 0.5
"""Points between the places at which gaps are looked for."""

CROSSED = 0.5
"""A gutter may be crossed by half as many rows as leave it free: headings lie over columns."""

CORE_SHARE = 0.3
"""A phrase lies in a column too when it covers this share of the column's text, or of itself."""

DIGITS_GAP = 0.22
TEXT_GAP = 0.42
"""Em between two numbers, or two other words, from which a gutter between them parts them."""

ALIGNED = 2
"""Phrases that begin at one place from which a column begins there."""

OVERLAPPING = 0.8
"""Em between the middles of two lines below which they overlap: they are of one row."""

HEADER_PITCH = 1.5
"""Em between the middles of two lines of a header's cell, at most (set solid: 1.2)."""

ROW_PITCH = 2.0
"""The same in the body, where cells are set with more room."""

TIGHT = 0.8
"""Lines that fill all columns are of the row above only if they stand this much closer to it than
rows do to one another somewhere in the table."""

LOOSE = 0.9
"""Lines this share of the distance of the table's rows apart are rows themselves."""

FULL_RULE = 0.5
"""Share of the table's width from which a rule parts rows and not only headings."""

Places = npt.NDArray[np.floating]
"""Points from left to right."""

Cells = dict[Span, list[Phrase]]
"""One row of text, by the columns that its phrases cover."""


@dataclass(frozen=True)
class _Gutter:
    """The blank between two columns and the border in it, in points."""

    low: float
    high: float
    border: float


def text_grid(lines: Sequence[PageLine], rules: Sequence[BBox] = ()) -> Grid | None:
    """The grid of a region's ``lines`` (without fillers); None where they show no columns.

    ``rules`` are the horizontal rules of the page; boxes are upright points.
    """
    found = _table_of([phrases(words) for words in word_rows(lines)])
    if found is None:
        return None
    texts = _with_spanning_headings(found.texts, found.columns, rules)
    grid = _grid(_records(texts, found.columns, rules), found.columns)
    return replace(grid, cells=fill(grid.cells, lines))


@dataclass(frozen=True)
class Columns:
    """Rows of text in columns: what each column holds, and how many rows run through it all."""

    columns: list[list[list[Phrase]]]
    running: int
    """Rows of one phrase that lies over several columns."""


def split_columns(rows: Sequence[Sequence[Phrase]]) -> Columns:
    """The columns of rows of phrases; one where there are no gaps.

    What lies over several columns is in the first of them.
    """
    table = _table_of(rows)
    if table is None:
        return Columns([[list(row) for row in rows]], 0)
    columns: list[list[list[Phrase]]] = [[] for _ in range(table.columns.count)]
    for cells in table.texts:
        for (first, _), own in cells.items():
            columns[first].append(own)
    running = sum(
        len(cells) == 1 and any(first < last for first, last in cells) for cells in table.texts
    )
    return Columns(columns, running)


# Columns


def _gutters(rows: Sequence[Sequence[Phrase]], frame: BBox) -> list[_Gutter]:
    """Where rows with several phrases leave gaps, none beside a column that hardly any row uses."""
    places = frame.x0 - 1 + STEP * np.arange(2 + int((frame.width + 2) / STEP))
    crossed, free = _counts(rows, places)
    several = sum(len(row) > 1 for row in rows)
    needed = 2 if several > 2 else 1
    is_gap = (free >= needed) & (crossed <= CROSSED * free)
    runs = _runs(is_gap)
    support = 2 if several > 3 else 1
    while (index := _unused(runs, places, rows, support)) is not None:
        runs = _without_column(runs, index)
    return [_gutter(places, crossed, free, *run) for run in runs]


def _counts(
    rows: Sequence[Sequence[Phrase]], places: Places
) -> tuple[npt.NDArray[np.int_], npt.NDArray[np.int_]]:
    """For each place, how many rows with several phrases cross it, and how many leave it free.

    A row leaves a place free when it has text on both sides of it.
    """
    crossed = np.zeros(len(places), int)
    free = np.zeros(len(places), int)
    for row in rows:
        if len(row) < 2:
            continue
        boxes = np.array([phrase.bbox for phrase in row], float)
        x0, x1 = boxes[:, 0, None], boxes[:, 2, None]
        covered = ((places > x0) & (places < x1)).any(axis=0)
        between = (places >= x1).any(axis=0) & (places <= x0).any(axis=0)
        crossed += covered
        free += between & ~covered
    return crossed, free


def _runs(flags: npt.NDArray[np.bool_]) -> list[Span]:
    """First and last index of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.view(np.int8), [0]))))
    return [(int(start), int(stop) - 1) for start, stop in edges.reshape(-1, 2)]


def _unused(
    runs: Sequence[Span],
    places: Places,
    rows: Sequence[Sequence[Phrase]],
    support: int,
) -> int | None:
    """Index of the first column in which fewer than ``support`` rows have text of their own."""
    if not runs:
        return None
    edges = [-np.inf, *(float(places[i]) for run in runs for i in run), np.inf]
    for column, (low, high) in enumerate(zip(edges[::2], edges[1::2], strict=True)):
        used = sum(any(_is_within(phrase.bbox, low, high) for phrase in row) for row in rows)
        if used < support:
            return column
    return None


def _is_within(box: BBox, low: float, high: float) -> bool:
    return box.x0 >= low - EDGE and box.x1 <= high + EDGE and low <= box.center[0] <= high


def _without_column(runs: Sequence[Span], column: int) -> list[Span]:
    """The gutters when a column between two of them, or at the edge, is none."""
    if column == 0:
        return list(runs[1:])
    if column == len(runs):
        return list(runs[:-1])
    joined = (runs[column - 1][0], runs[column][1])
    return [*runs[: column - 1], joined, *runs[column + 1 :]]


def _gutter(
    places: Places,
    crossed: npt.NDArray[np.int_],
    free: npt.NDArray[np.int_],
    first: int,
    last: int,
) -> _Gutter:
    """The border stands where the fewest rows cross and the most leave room."""
    window = slice(first, last + 1)
    worth = free[window] - crossed[window] * (free.max() + 1)
    start, stop = max(_runs(worth == worth.max()), key=lambda run: run[1] - run[0])
    return _Gutter(
        low=float(places[first]),
        high=float(places[last]),
        border=float(places[first + (start + stop) // 2]),
    )


def _split_at(
    row: Sequence[Phrase], gutters: Sequence[_Gutter], edges: Mapping[int, int]
) -> list[Phrase]:
    """Phrases of which none bridges a gutter by no more than a blank."""
    split = []
    for phrase in row:
        words = [phrase.words[0]]
        for left, right in pairwise(phrase.words):
            if _is_parted(phrase, left, right, gutters, edges):
                split.append(Phrase(tuple(words)))
                words = []
            words.append(right)
        split.append(Phrase(tuple(words)))
    return split


def _is_parted(
    phrase: Phrase, left: Word, right: Word, gutters: Sequence[_Gutter], edges: Mapping[int, int]
) -> bool:
    """Whether two words of a phrase stand in two columns.

    The border of a gutter is in the blank between them, and that is wide, or the right one begins
    where others begin.
    """
    low, high = left.bbox.x1 - 1, right.bbox.x0 + 1
    if is_one_number(phrase.text) or not any(low <= gutter.border <= high for gutter in gutters):
        return False
    both = is_number(left.text) and is_number(right.text)
    if gap_in_em(left, right) > (DIGITS_GAP if both else TEXT_GAP):
        return True
    return not right.monospace and edges.get(round(right.bbox.x0), 0) >= ALIGNED


def _left_edges(rows: Iterable[Sequence[Phrase]]) -> Counter[int]:
    """How many phrases begin at each point."""
    return Counter(round(phrase.bbox.x0) for row in rows for phrase in row)


class _Columns:
    """The columns of a table: their borders, and from where to where their text reaches."""

    def __init__(
        self, gutters: Sequence[_Gutter], frame: BBox, rows: Iterable[Sequence[Phrase]]
    ) -> None:
        self.frame = frame
        self.borders = [gutter.border for gutter in gutters]
        self.edges = [frame.x0, *self.borders, frame.x1]
        reach: list[list[BBox]] = [[] for _ in range(self.count)]
        for row in rows:
            for phrase in row:
                first, last = self._touched(phrase.bbox)
                if first == last:
                    reach[first].append(phrase.bbox)
        self.texts = ColumnTexts.of(
            [
                boxes or [BBox(low, frame.y0, high, frame.y1)]
                for boxes, (low, high) in zip(reach, pairwise(self.edges), strict=True)
            ]
        )

    @property
    def count(self) -> int:
        return len(self.borders) + 1

    def _touched(self, box: BBox) -> Span:
        return sum(x <= box.x0 for x in self.borders), sum(x < box.x1 for x in self.borders)

    def span(self, box: BBox) -> Span:
        """The columns that a phrase covers: more than their edge, or the one that it is most in."""
        first, last = self._touched(box)
        if first == last:
            return first, last
        shares = {}
        for column in range(first, last + 1):
            low, high = self.texts.reach[column]
            shares[column] = min(box.x1, high) - max(box.x0, low), min(high - low, box.width)
        covered = [c for c, (share, whole) in shares.items() if share > CORE_SHARE * whole]
        if not covered:
            covered = [max(shares, key=lambda column: shares[column][0])]
        return covered[0], covered[-1]

    def cells(self, row: Sequence[Phrase]) -> Cells:
        """The phrases of a row by the columns that they cover; what overlaps is one cell."""
        cells: Cells = {}
        for phrase in row:
            span = self.span(phrase.bbox)
            taken = next((other for other in cells if _overlap(other, span)), None)
            cells.setdefault(taken or span, []).append(phrase)
        return cells


def _overlap(first: Span, second: Span) -> bool:
    return first[0] <= second[1] and second[0] <= first[1]


@dataclass(frozen=True)
class _Table:
    """Rows of text by the columns that their phrases cover."""

    columns: _Columns
    texts: list[Cells]


def _table_of(rows: Sequence[Sequence[Phrase]]) -> _Table | None:
    if len(rows) < 2:
        return None
    frame = union(phrase.bbox for row in rows for phrase in row)
    gutters = _gutters(rows, frame)
    if not gutters:
        return None
    edges = _left_edges(rows)
    rows = [_split_at(row, gutters, edges) for row in rows]
    columns = _Columns(gutters, frame, rows)
    return _Table(columns, [columns.cells(row) for row in rows])


# Headings over several columns


def _with_spanning_headings(
    texts: Sequence[Cells], table: _Columns, rules: Sequence[BBox]
) -> list[Cells]:
    """Rows of text in which a heading over several columns covers them all."""
    depth = _header_depth(texts)
    partial = [rule for rule in rules if rule.width < LOOSE * table.frame.width]
    pitch = _Pitch.of(texts, depth)
    headings = []
    for index, (cells, below) in enumerate(pairwise(texts[: depth + 1]), 1):
        shared = None
        if index < depth and not any(
            ruled_span(_box(own), own[0].em, table.texts, partial) for own in cells.values()
        ):
            shared = _shared_out(cells, below, table, set_apart=not _is_tight(cells, below, pitch))
        headings.append(shared or _spread(cells, below, table, partial))
    return [*headings, *texts[depth:]]


def _shared_out(cells: Cells, below: Cells, table: _Columns, *, set_apart: bool) -> Cells | None:
    """The cells when the headings beside the first column are over groups of all the columns."""
    named = {column for first, last in below for column in range(first, last + 1)}
    beside = sorted(span for span in cells if span != (0, 0))
    boxes = [_box(cells[span]) for span in beside]
    firsts = [1] if (0, 0) in cells else [1, 0]
    for first in firsts:
        if not named >= set(range(first, table.count)):
            continue
        spans = shared_out(boxes, first, table.texts, set_apart=set_apart)
        if spans is not None:
            stub = {(0, 0): cells[0, 0]} if (0, 0) in cells else {}
            return stub | {span: cells[old] for span, old in zip(spans, beside, strict=True)}
    return None


def _header_depth(texts: Sequence[Cells]) -> int:
    """Number of rows of text above the first one that looks like the body; 0 if none does."""
    return next((i for i, cells in enumerate(texts) if _is_body(cells)), 0)


def _is_body(cells: Cells) -> bool:
    """Whether half of the cells beside the first column are values, and not only years."""
    return are_body([_text(own) for span, own in cells.items() if span[0] > 0])


def _spread(cells: Cells, below: Cells, table: _Columns, rules: Sequence[BBox]) -> Cells:
    spread: Cells = {}
    for span, own in cells.items():
        box, em = _box(own), own[0].em
        wide = ruled_span(box, em, table.texts, rules) or centred_span(
            span, box, em, below, table.texts
        )
        others = [other for other in cells if other != span]
        if wide is None or any(_overlap(wide, other) for other in (*others, *spread)):
            wide = span
        spread[wide] = own
    return spread


# Rows


def _records(texts: Sequence[Cells], table: _Columns, rules: Sequence[BBox]) -> list[list[Cells]]:
    """Rows of text by the row of the table that they are lines of."""
    frame = table.frame
    near = [rule for rule in rules if rule.x0 < frame.x1 and rule.x1 > frame.x0]
    full = [rule for rule in near if rule.width >= FULL_RULE * frame.width]
    depth = _header_depth(texts)
    pitch = _Pitch.of(texts, depth)
    records = [[texts[0]]]
    for index, (above, below) in enumerate(pairwise(texts), 1):
        in_header = index < depth
        parting = near if in_header else full
        joins = not _is_ruled_off(above, below, parting) and _joins(
            records[-1], below, table, pitch, in_header=in_header
        )
        if joins:
            records[-1].append(below)
        else:
            records.append([below])
    return records


@dataclass(frozen=True)
class _Pitch:
    """Points between the middles of neighbouring rows of text; 0 if unknown.

    ``records`` is usual between rows that hold values, ``widest`` nearly the most anywhere.
    """

    records: float
    widest: float

    @classmethod
    def of(cls, texts: Sequence[Cells], depth: int) -> "_Pitch":
        gaps = [
            _row_box(below).center[1] - _row_box(above).center[1]
            for above, below in pairwise(texts)
        ]
        body = [
            gap
            for gap, (above, below) in zip(gaps[depth:], pairwise(texts[depth:]), strict=True)
            if _is_body(above) and _is_body(below)
        ]
        return cls(median(body) if body else 0.0, sorted(gaps)[int(0.9 * (len(gaps) - 1))])


def _is_ruled_off(above: Cells, below: Cells, rules: Sequence[BBox]) -> bool:
    first, second = _row_box(above), _row_box(below)
    return any(
        first.center[1] < rule.center[1] < second.center[1]
        and rule.x0 < min(first.x1, second.x1)
        and rule.x1 > max(first.x0, second.x0)
        for rule in rules
    )


def _joins(
    record: Sequence[Cells], below: Cells, table: _Columns, usual: _Pitch, *, in_header: bool
) -> bool:
    """Whether a row of text goes on with the row of the table above it."""
    above = record[-1]
    em = max(_em(above), _em(below))
    pitch = _row_box(below).center[1] - _row_box(above).center[1]
    if pitch < OVERLAPPING * em:
        return not _hold_same_values(record, below)
    if in_header:
        return _is_tight(above, below, usual) and not _is_lower_heading(above, below)
    is_full = len(below) > 1 and set(below) >= {span for row in record for span in row}
    if is_full and pitch > TIGHT * usual.widest:
        return False
    return pitch < ROW_PITCH * em and all(
        _wraps(record, span, own, table) for span, own in below.items()
    )


def _is_tight(above: Cells, below: Cells, usual: _Pitch) -> bool:
    """Whether two rows of a header are set as lines of one cell."""
    em = max(_em(above), _em(below))
    pitch = _row_box(below).center[1] - _row_box(above).center[1]
    loose = LOOSE * usual.records
    return pitch < HEADER_PITCH * em and not (loose and pitch > loose > 1.3 * em)


def _hold_same_values(record: Sequence[Cells], below: Cells) -> bool:
    """Whether a column of values has one in the record already and another one here."""
    return any(
        _overlap(span, other) and is_value(_text(own)) and is_value(_text(row[other]))
        for row in record
        for other in row
        for span, own in below.items()
    )


def _is_lower_heading(above: Cells, below: Cells) -> bool:
    """Whether the row above is a heading over several of the columns that this one names."""
    for wide in above:
        if wide[1] > wide[0] and any(_overlap(wide, span) and span != wide for span in below):
            return True
    values = [span for span, own in below.items() if is_value(_text(own))]
    return len(values) > 1 and len(values) >= len(below) - 1 and not set(values) <= set(above)


def _wraps(record: Sequence[Cells], span: Span, own: Sequence[Phrase], table: _Columns) -> bool:
    """Whether text goes on from the line above it because that had no room for its first word."""
    above = next(
        (row[o] for row in reversed(record) for o in row if o[0] <= span[0] and span[1] <= o[1]),
        None,
    )
    if above is None or is_value(_text(above)) or is_value(_text(own)):
        return False
    word, em = own[0].words[0], own[0].em
    needed = _box(above).width + 0.3 * em + word.bbox.width
    return needed >= table.texts.width(*span) - 0.5 * em or _text(above).endswith(
        ("-", ",", "(", "/", "&")
    )


def _text(own: Iterable[Phrase]) -> str:
    return " ".join(phrase.text for phrase in own)


def _box(own: Iterable[Phrase]) -> BBox:
    return union(phrase.bbox for phrase in own)


def _row_box(cells: Cells) -> BBox:
    return union(phrase.bbox for own in cells.values() for phrase in own)


def _em(cells: Cells) -> float:
    return median(phrase.em for own in cells.values() for phrase in own)


# The grid


def _grid(records: Sequence[Sequence[Cells]], table: _Columns) -> Grid:
    bands = [union(_row_box(cells) for cells in record) for record in records]
    inner = [(above.y1 + below.y0) / 2 for above, below in pairwise(bands)]
    ys = [bands[0].y0, *inner, bands[-1].y1]
    depth = _header_records(records)
    cells = tuple(
        TableCell(
            row=row,
            column=first,
            row_span=1,
            column_span=last - first + 1,
            is_header=row < depth,
            text="",
            bbox=BBox(
                table.edges[first], ys[row], table.edges[last + 1], max(ys[row], ys[row + 1])
            ).rounded(),
        )
        for row, record in enumerate(records)
        for first, last in _with_empty(_merged(record), table.count)
    )
    return Grid(len(records), table.count, cells, CONFIDENCE, WORDS)


def _header_records(records: Sequence[Sequence[Cells]]) -> int:
    """Number of rows of the table above the first one that looks like the body."""
    bodies = (i for i, record in enumerate(records) if any(_is_body(cells) for cells in record))
    return next(bodies, 0)


def _merged(record: Sequence[Cells]) -> set[Span]:
    """The cells of a row of the table from those of its lines; what overlaps is one cell."""
    merged: set[Span] = set()
    for span in (span for cells in record for span in cells):
        parts = {other for other in merged if _overlap(other, span)} | {span}
        merged -= parts
        merged.add((min(first for first, _ in parts), max(last for _, last in parts)))
    return merged


def _with_empty(spans: set[Span], n_columns: int) -> list[Span]:
    """The cells of a row from left to right, with one for each column that none covers."""
    covered = {column for first, last in spans for column in range(first, last + 1)}
    return sorted(spans | {(c, c) for c in range(n_columns) if c not in covered})
