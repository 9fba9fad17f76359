"""Cells of a grid that a model saw, brought in line with the words: their rows, not their columns.

A model sees rows and spans as a picture: it puts a label that has no rules around it a row off,
takes the lines of a header for rows, and guesses over which columns a heading lies. The words tell.
What rules close is not touched here; rows that hold several records are split by row_splitting.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from statistics import median

from deepcompress_dagster.pipeline.heading_spans import (
    ColumnTexts,
    Span,
    are_ordered,
    ruled_span,
    shared_out,
)
from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.phrases import (
    are_body,
    em_of,
    is_value,
    is_year,
    phrases,
)
from deepcompress_dagster.pipeline.placement import placed_rows
from deepcompress_dagster.pipeline.soundness import CellLines, lines_by_row
from deepcompress_dagster.pipeline.tables import Grid, fill
from deepcompress_dagster.records import BBox, TableCell, Word, union

SOLID = 1.5
"""Em between the middles of two lines of a header's cell, at most (set solid: 1.2)."""

CLOSER = 0.9
"""Lines of a header's cell are closer than this share of the distance of the rows below."""

SET_SOLID = 1.3
"""Em between two lines that are of one cell even where the rows below are no further apart."""

PARTED = 0.6
"""Share of the rows of text that rules part from the one above from which they part all records."""

MIN_PARTED = 3
"""Rules between rows, at least, that part all records."""

NARROW_RULE = 0.9
"""Share of the table's width below which a rule is one under a heading."""


def in_line(grid: Grid, lines: Sequence[PageLine], rules: Sequence[BBox]) -> Grid:
    """The grid with labels, headings and header rows where the words of its ``lines`` stand.

    ``rules`` are the horizontal rules of the page; boxes are upright points.
    """
    if grid.n_rows < 2 or grid.n_columns < 2:
        return grid
    seen = _Seen.of(grid, lines)
    for mended in (
        _with_rows_apart,
        _with_labels,
        _with_headings,
        _with_whole_headers,
        _with_whole_labels,
        _with_ruled_rows,
    ):
        cells, n_rows = mended(seen, rules)
        if cells is not None:
            mended_grid = replace(seen.grid, n_rows=n_rows, cells=fill(cells, lines))
            seen = _Seen.of(mended_grid, lines)
    return seen.grid


Mended = tuple[list[TableCell] | None, int]
"""The cells where they change, and the number of rows."""


@dataclass(frozen=True)
class _Seen:
    """A grid and its words: ``rows`` of text, and by row of the grid the lines of each cell."""

    grid: Grid
    rows: list[list[Word]]
    by_row: dict[int, CellLines]
    spanning: dict[int, dict[int, list[Word]]]
    """By the index of a cell over several rows, its words by the number of their row of text."""
    row_of_text: list[set[int]]
    """Rows of the grid in which each row of text has words of cells that are one row high."""

    @classmethod
    def of(cls, grid: Grid, lines: Sequence[PageLine]) -> "_Seen":
        placed = placed_rows(grid.cells, lines)
        spanning: dict[int, dict[int, list[Word]]] = {}
        for number, row in enumerate(placed):
            for word, index in row:
                if grid.cells[index].row_span > 1:
                    spanning.setdefault(index, {}).setdefault(number, []).append(word)
        held = [
            {grid.cells[i].row for _, i in row if grid.cells[i].row_span == 1} for row in placed
        ]
        words = [[word for word, _ in row] for row in placed]
        return cls(grid, words, lines_by_row(grid.cells, placed), spanning, held)

    def texts(self, row: int) -> dict[Span, str]:
        """The texts of a row's cells by their columns."""
        return {
            (cell.column, cell.column + cell.column_span - 1): cell.text
            for cell in self.grid.cells
            if cell.row == row and cell.text
        }

    @cached_property
    def header_depth(self) -> int:
        """Rows above the first one that looks like the body; 0 if none does."""
        return next((row for row in range(self.grid.n_rows) if self.is_body(row)), 0)

    def is_body(self, row: int) -> bool:
        return are_body([text for span, text in self.texts(row).items() if span[0] > 0])

    def text_rows(self, row: int) -> list[int]:
        """Numbers of the rows of text in a row of the grid, from top to bottom."""
        return sorted({number for lines in self.by_row.get(row, {}).values() for number in lines})

    def middle(self, number: int) -> float:
        """Height of the middle of a row of text."""
        return median(word.bbox.center[1] for word in self.rows[number])

    @cached_property
    def box(self) -> BBox:
        return union(word.bbox for row in self.rows for word in row)

    def pitch(self, depth: int) -> float:
        """Points between neighbouring rows of the body of one line each; 0 if unknown."""
        numbers = {row: self.text_rows(row) for row in range(depth, self.grid.n_rows)}
        gaps = [
            self.middle(numbers[row + 1][0]) - self.middle(own[0])
            for row, own in numbers.items()
            if len(own) == 1 and len(numbers.get(row + 1, ())) == 1
        ]
        return median(gaps) if gaps else 0.0


# Rows with a rule through them


def _with_rows_apart(seen: _Seen, rules: Sequence[BBox]) -> Mended:
    """Rows are cut where a rule as wide as the table parts their lines."""
    grid = seen.grid
    full = [rule.center[1] for rule in rules if rule.width >= NARROW_RULE * seen.box.width]
    cuts = {row: _cuts(seen, row, full) for row in range(grid.n_rows)}
    if not any(cuts.values()):
        return None, grid.n_rows
    starts = [0]
    for row in range(grid.n_rows):
        starts.append(starts[-1] + 1 + len(cuts[row]))
    cells: list[TableCell] = []
    for cell in grid.cells:
        start, stop = starts[cell.row], starts[cell.row + cell.row_span]
        if cell.row_span > 1 or cell.bbox is None:
            cells.append(replace(cell, row=start, row_span=stop - start))
            continue
        box = cell.bbox
        edges = [box.y0, *(min(max(y, box.y0), box.y1) for y in cuts[cell.row]), box.y1]
        cells += [
            replace(cell, row=start + i, bbox=box._replace(y0=low, y1=high))
            for i, (low, high) in enumerate(pairwise(edges))
        ]
    return cells, starts[-1]


def _cuts(seen: _Seen, row: int, rules: Sequence[float]) -> list[float]:
    """Heights of the ``rules`` between the lines of a row, one between two of them."""
    between = [
        [y for y in rules if seen.middle(above) < y < seen.middle(below)]
        for above, below in pairwise(seen.text_rows(row))
    ]
    return [found[0] for found in between if found]


# Labels beside several rows


def _with_labels(seen: _Seen, rules: Sequence[BBox]) -> Mended:
    """Cells over several rows begin where their text stands, unless rules part the rows.

    Where a label of the column stands between two rows, the others are in the middle of theirs too.
    """
    grid = seen.grid
    centred = {
        grid.cells[index].column
        for index, own in seen.spanning.items()
        if len(own) == 1 and len(seen.row_of_text[min(own)]) != 1
    }
    pieces = [
        [cell] if cell.column in centred else _label_pieces(seen, index, cell, rules)
        for index, cell in enumerate(grid.cells)
    ]
    cells = [piece for own in pieces for piece in own]
    return (cells if len(cells) > len(grid.cells) else None), grid.n_rows


def _label_pieces(
    seen: _Seen, index: int, cell: TableCell, rules: Sequence[BBox]
) -> list[TableCell]:
    own = seen.spanning.get(index, {})
    if not 0 < len(own) <= 2 or cell.bbox is None or _has_rule_above(cell.bbox, rules):
        return [cell]
    level = [seen.row_of_text[number] for number in sorted(own)]
    starts = [row for rows in level if len(rows) == 1 for row in rows]
    last = cell.row + cell.row_span - 1
    if len(starts) < len(own) or not cell.row < starts[-1] <= last:
        return [cell]
    text = " ".join(word.text for word in own[max(own)])
    is_record = starts[0] < starts[-1] and is_value(text) and not is_year(text)
    is_label = len(own) == 1 and starts[0] >= seen.header_depth
    return _cut(cell, starts[-1]) if is_label or is_record else [cell]


def _has_rule_above(box: BBox, rules: Sequence[BBox]) -> bool:
    return any(
        abs(rule.center[1] - box.y0) < box.height / 4 and rule.x0 < box.center[0] < rule.x1
        for rule in rules
    )


def _cut(cell: TableCell, row: int) -> list[TableCell]:
    """The cell in two, of which the lower one begins at ``row``."""
    box, above = cell.bbox, row - cell.row
    assert box is not None
    y = box.y0 + box.height * above / cell.row_span
    return [
        replace(cell, row_span=above, bbox=box._replace(y1=y)),
        replace(cell, row=row, row_span=cell.row_span - above, bbox=box._replace(y0=y)),
    ]


# Headings over several columns


def _with_headings(seen: _Seen, rules: Sequence[BBox]) -> Mended:
    """Headings of upper header rows cover the columns that they stand over."""
    grid, table, edges = seen.grid, _column_texts(seen), _edges(seen.grid)
    if table is None or edges is None:
        return None, grid.n_rows
    partial = [rule for rule in rules if rule.width < NARROW_RULE * seen.box.width]
    cells = list(grid.cells)
    for row in range(seen.header_depth - 1):
        spans = _heading_spans(seen, row, table, partial)
        if spans is not None and spans != {s for s in seen.texts(row) if s[0] >= min(spans)[0]}:
            cells = _respanned(cells, row, spans, edges)
    return (cells if cells != list(grid.cells) else None), grid.n_rows


def _heading_spans(
    seen: _Seen, row: int, table: ColumnTexts, rules: Sequence[BBox]
) -> set[Span] | None:
    """Over which columns the headings of a row lie; None if that is not told."""
    numbers, below = seen.text_rows(row), seen.text_rows(row + 1)
    if len(numbers) != 1 or not below or seen.row_of_text[numbers[0]] != {row}:
        return None
    fixed = {c.column for c in seen.grid.cells if c.row <= row < c.row + c.row_span - 1}
    if fixed - {0}:
        return None
    headings = phrases(seen.rows[numbers[0]])
    boxes = [heading.bbox for heading in headings]
    border = (table.reach[0][1] + table.reach[1][0]) / 2
    first = int(bool(fixed) or boxes[0].x1 < border or boxes[0].x0 > border)
    if boxes[0].x1 < border:
        boxes = boxes[1:]
    named = {c for a, b in seen.texts(row + 1) for c in range(a, b + 1)}
    if not boxes or not are_ordered(boxes) or not named >= set(range(first, table.count)):
        return None
    ruled = [ruled_span(box, headings[0].em, table, rules) for box in boxes]
    spans = [span for span in ruled if span is not None]
    if len(spans) < len(boxes):
        gap = seen.middle(below[0]) - seen.middle(numbers[0])
        apart = not _is_tight(gap, headings[0].em, seen.pitch(seen.header_depth))
        spans = shared_out(boxes, first, table, set_apart=apart) or []
    apart_from = all(one[1] < two[0] for one, two in pairwise(spans))
    return set(spans) if spans and apart_from else None


def _column_texts(seen: _Seen) -> ColumnTexts | None:
    """From where to where the body's text of each column reaches; None where one has none."""
    reach: dict[int, list[BBox]] = {}
    for row, by_cell in seen.by_row.items():
        for index, lines in by_cell.items():
            cell = seen.grid.cells[index]
            if cell.column_span == 1 and row >= seen.header_depth - 1:
                box = union(word.bbox for words in lines.values() for word in words)
                reach.setdefault(cell.column, []).append(box)
    boxes = [reach.get(column, []) for column in range(seen.grid.n_columns)]
    return ColumnTexts.of(boxes) if all(boxes) else None


def _edges(grid: Grid) -> list[tuple[float, float]] | None:
    """Left and right edge of the cells of each column; None where one has no cell of its own."""
    own = [
        [c.bbox for c in grid.cells if c.column == column and c.column_span == 1 and c.bbox]
        for column in range(grid.n_columns)
    ]
    if not all(own):
        return None
    return [(median(b.x0 for b in boxes), median(b.x1 for b in boxes)) for boxes in own]


def _respanned(
    cells: Sequence[TableCell], row: int, spans: set[Span], edges: Sequence[tuple[float, float]]
) -> list[TableCell]:
    """The cells with those of a row over ``spans``; the columns left of them stay single."""
    old = [cell for cell in cells if cell.row == row and cell.row_span == 1]
    boxes = [cell.bbox for cell in old if cell.bbox]
    if not boxes:
        return list(cells)
    low, high = min(box.y0 for box in boxes), max(box.y1 for box in boxes)
    columns = {c for cell in old for c in range(cell.column, cell.column + cell.column_span)}
    covered = {column for a, b in spans for column in range(a, b + 1)}
    places = sorted(spans | {(column, column) for column in columns - covered})
    fresh = [
        replace(
            old[0],
            column=first,
            column_span=last - first + 1,
            bbox=BBox(edges[first][0], low, max(edges[first][0], edges[last][1]), high).rounded(),
        )
        for first, last in places
    ]
    return [*(cell for cell in cells if cell not in old), *fresh]


# Rows of the grid that are lines of one


def _with_whole_headers(seen: _Seen, rules: Sequence[BBox]) -> Mended:
    """Header rows that are set as lines of one row are one."""
    depth, grid = seen.header_depth, seen.grid
    pitch = seen.pitch(depth)
    joined = {
        row
        for row in range(depth - 1)
        if _are_lines_of_one(seen, row, pitch) and not _is_parted(seen, row, rules)
    }
    return _joined(grid, joined)


def _are_lines_of_one(seen: _Seen, row: int, pitch: float) -> bool:
    above, below = seen.text_rows(row), seen.text_rows(row + 1)
    if not above or not below or any(a != b for a, b in (*seen.texts(row), *seen.texts(row + 1))):
        return False
    em = max(em_of(word) for number in (above[-1], below[0]) for word in seen.rows[number])
    gap = seen.middle(below[0]) - seen.middle(above[-1])
    upper, lower = seen.texts(row), seen.texts(row + 1)
    values = [span for span, text in lower.items() if is_value(text)]
    return (
        gap > 0
        and _is_tight(gap, em, pitch)
        and bool(set(upper) & set(lower))
        and not (len(values) > 1 and len(values) >= len(lower) - 1)
    )


def _is_tight(gap: float, em: float, pitch: float) -> bool:
    """Whether lines that far apart are of one cell; ``pitch`` is that of rows, 0 if unknown."""
    loose = CLOSER * pitch
    return gap < SOLID * em and not (pitch and gap > loose > SET_SOLID * em)


def _with_whole_labels(seen: _Seen, rules: Sequence[BBox]) -> Mended:
    """A line that holds only a label is of the row below where that goes on with the label.

    It had no room for the next word, and the two lines are closer than rows, or the lower one goes
    on in a small letter. Else it is a heading of the rows below.
    """
    reach = [
        union(word.bbox for word in words)
        for by_cell in seen.by_row.values()
        for index, lines in by_cell.items()
        if seen.grid.cells[index].column == 0 and seen.grid.cells[index].column_span == 1
        for words in lines.values()
    ]
    if not reach:
        return None, seen.grid.n_rows
    column, pitch = union(reach), seen.pitch(seen.header_depth)
    rows = range(1, seen.grid.n_rows - 1)
    joined = {row for row in rows if _goes_on(seen, row, column, pitch)}
    return _joined(seen.grid, {row for row in joined if not _is_parted(seen, row, rules)})


def _goes_on(seen: _Seen, row: int, column: BBox, pitch: float) -> bool:
    upper, lower = seen.texts(row), seen.texts(row + 1)
    above, below = seen.text_rows(row), seen.text_rows(row + 1)
    if set(upper) != {(0, 0)} or (0, 0) not in lower or len(lower) < 2 or not below:
        return False
    label = seen.rows[above[-1]]
    word = min(seen.rows[below[0]], key=lambda word: word.bbox.x0)
    if all(w.bold for w in label) != word.bold or word.bbox.x0 > column.x1:
        return False
    em = max(em_of(label[-1]), em_of(word))
    needed = max(w.bbox.x1 for w in label) - column.x0 + 0.3 * em + word.bbox.width
    gap = seen.middle(below[0]) - seen.middle(above[-1])
    is_closer = gap < CLOSER * pitch or word.text[0].islower()
    return needed >= column.width - 0.5 * em and is_closer and gap < SOLID * em


def _with_ruled_rows(seen: _Seen, rules: Sequence[BBox]) -> Mended:
    """Where rules part nearly all records, rows without a rule between are one."""
    rows = range(seen.grid.n_rows - 1)
    full = [rule for rule in rules if rule.width >= NARROW_RULE * seen.box.width]
    parted = {row for row in rows if _is_parted(seen, row, full)}
    if len(parted) < max(MIN_PARTED, PARTED * len(rows)):
        return None, seen.grid.n_rows
    pitch = seen.pitch(0)
    joined = {
        row
        for row in rows
        if row not in parted and not _hold_values(seen, row) and _are_close(seen, row, pitch)
    }
    return _joined(seen.grid, joined)


def _are_close(seen: _Seen, row: int, pitch: float) -> bool:
    """Whether a row and the next one are closer than rows are, or set solid."""
    above, below = seen.text_rows(row)[-1], seen.text_rows(row + 1)[0]
    gap = seen.middle(below) - seen.middle(above)
    em = max(em_of(word) for word in seen.rows[below])
    return not pitch or gap < max(CLOSER * pitch, SET_SOLID * em)


def _is_parted(seen: _Seen, row: int, rules: Sequence[BBox]) -> bool:
    """Whether a rule lies between the text of a row and that of the next one."""
    above, below = seen.text_rows(row), seen.text_rows(row + 1)
    if not above or not below:
        return True
    first, second = seen.middle(above[-1]), seen.middle(below[0])
    box = seen.box
    return any(
        first < rule.center[1] < second and rule.x0 < box.x1 and rule.x1 > box.x0 for rule in rules
    )


def _hold_values(seen: _Seen, row: int) -> bool:
    """Whether a column has a value in a row and another one in the next."""
    above, below = seen.texts(row), seen.texts(row + 1)
    return any(is_value(text) and is_value(below.get(span, "")) for span, text in above.items())


def _joined(grid: Grid, rows: set[int]) -> Mended:
    """The cells with each of ``rows`` and the next one as one row, where their cells match."""
    rows = {row for row in rows if _columns_of(grid, row) == _columns_of(grid, row + 1)}
    if not rows:
        return None, grid.n_rows
    place = [0]
    for row in range(grid.n_rows):
        place.append(place[-1] + (row not in rows))
    merged: dict[tuple[int, int], TableCell] = {}
    for cell in sorted(grid.cells, key=lambda cell: cell.row):
        start = place[cell.row]
        stop = max(start + 1, place[cell.row + cell.row_span - 1] + 1)
        stop = min(stop, place[-1])
        known = merged.get((start, cell.column))
        boxes = [box for box in (known and known.bbox, cell.bbox) if box]
        merged[start, cell.column] = replace(
            cell,
            row=start,
            row_span=max(stop - start, known.row_span if known else 1),
            bbox=union(boxes).rounded() if boxes else None,
        )
    return list(merged.values()), place[-1]


def _columns_of(grid: Grid, row: int) -> set[tuple[int, int]]:
    return {
        (cell.column, cell.column_span)
        for cell in grid.cells
        if cell.row <= row < cell.row + cell.row_span
    }
