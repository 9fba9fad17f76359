from dataclasses import replace
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.tables import (
    Grid,
    fill,
    is_certain,
    is_collapsed,
    occupied,
    overlapping_slots,
    row_by_row,
    to_html,
    to_markdown,
    trimmed,
)
from deepcompress_dagster.records import BBox, TableCell, TextSource, Word

TEXTS = st.text(alphabet="ab |<>&\\é1", max_size=6).map(lambda text: " ".join(text.split()))


@st.composite
def grids(draw) -> Grid:
    """Sound grids: the plane cut into cells with random spans."""
    rows, columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    free = {(row, column) for row in range(rows) for column in range(columns)}
    cells = []
    for row in range(rows):
        for column in range(columns):
            if (row, column) not in free:
                continue
            height = draw(st.integers(1, rows - row))
            width = draw(st.integers(1, columns - column))
            cell = TableCell(row, column, height, width, draw(st.booleans()), draw(TEXTS))
            if not free.issuperset(occupied(cell)):
                cell = TableCell(row, column, 1, 1, cell.is_header, cell.text)
            free -= set(occupied(cell))
            cells.append(cell)
    return Grid(rows, columns, tuple(cells), 1.0, "test")


class _Reader(HTMLParser):
    """Reads a table's cells back: (row, column, row span, column span, header, text)."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[list] = []
        self._row = -1
        self._taken: set[tuple[int, int]] = set()

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self._row += 1
        if tag in ("td", "th"):
            spans = dict(attrs)
            height, width = int(spans.get("rowspan", 1)), int(spans.get("colspan", 1))
            column = 0
            while (self._row, column) in self._taken:
                column += 1
            slots = {(self._row + i, column + j) for i in range(height) for j in range(width)}
            self._taken |= slots
            self.cells.append([self._row, column, height, width, tag == "th", ""])

    def handle_data(self, data):
        self.cells[-1][5] += data


@given(grids())
def test_html_says_the_same_as_the_cells(grid):
    reader = _Reader()
    reader.feed(to_html(grid))
    expected = sorted(
        [c.row, c.column, c.row_span, c.column_span, c.is_header, c.text] for c in grid.cells
    )
    assert sorted(reader.cells) == expected


def _split_row(line: str) -> list[str]:
    """The cells of one pipe-table row, escapes undone."""
    cells, escaped = [""], False
    for letter in line.strip()[1:-1]:
        if escaped or letter not in "\\|":
            cells[-1] += letter
            escaped = False
        elif letter == "\\":
            escaped = True
        else:
            cells.append("")
    return [cell.strip() for cell in cells]


@given(grids())
def test_markdown_says_the_same_as_the_cells(grid):
    lines = to_markdown(grid).split("\n")
    rows = [_split_row(line) for line in (lines[0], *lines[2:])]
    assert [len(row) for row in rows] == [grid.n_columns] * grid.n_rows
    first_slots = {(cell.row, cell.column): cell.text for cell in grid.cells}
    for row, texts in enumerate(rows):
        for column, text in enumerate(texts):
            assert text == first_slots.get((row, column), "")


def _texts(grid: Grid) -> list[str]:
    return sorted(cell.text for cell in grid.cells if cell.text)


@given(grids())
def test_trimming_keeps_all_text_and_leaves_no_empty_row_or_column(grid):
    small = trimmed(grid)
    assert _texts(small) == _texts(grid)
    assert overlapping_slots(small.cells) == 0
    for row in range(small.n_rows):
        assert any(c.text and c.row <= row < c.row + c.row_span for c in small.cells)


def test_overlapping_cells_are_counted():
    wide = TableCell(0, 0, 1, 2, False, "a")
    assert overlapping_slots([wide, TableCell(0, 1, 1, 1, False, "b")]) == 1


def test_words_go_to_the_cell_that_holds_them_and_strays_to_the_nearest():
    cells = [
        TableCell(0, 0, 1, 1, False, "", BBox(0, 0, 50, 20)),
        TableCell(0, 1, 1, 1, False, "", BBox(50, 0, 100, 20)),
    ]
    words = (
        Word(BBox(5, 5, 20, 15), "left"),
        Word(BBox(55, 5, 70, 15), "right"),
        Word(BBox(101, 5, 120, 15), "stray"),
    )
    line = PageLine(BBox(5, 5, 120, 15), words, TextSource.TEXT_LAYER)
    assert [cell.text for cell in fill(cells, [line])] == ["left", "right stray"]


@st.composite
def boxes(draw) -> BBox:
    x, y, width, height = (draw(st.integers(0, 12)) for _ in range(4))
    return BBox(x, y, x + width + 1, y + height + 1)


def _away(cell: BBox, word: BBox) -> tuple[float, float, float]:
    """Distance from a cell, vertical distance weighing triple; then overlap, then middle."""
    x, y = word.center
    dx = max(cell.x0 - x, 0.0, x - cell.x1)
    dy = max(cell.y0 - y, 0.0, y - cell.y1)
    return dx + 3 * dy, -cell.intersection(word), abs(x - cell.center[0])


@given(st.lists(boxes(), min_size=1, max_size=6), boxes())
def test_no_cell_is_nearer_to_a_word_than_the_one_that_it_goes_to(places, word):
    cells = [TableCell(i, 0, 1, 1, False, "", box) for i, box in enumerate(places)]
    cells.append(TableCell(len(cells), 0, 1, 1, False, "", None))
    line = PageLine(word, (Word(word, "word"),), TextSource.TEXT_LAYER)
    (taken,) = [i for i, cell in enumerate(fill(cells, [line])) if cell.text]
    assert taken == min(range(len(places)), key=lambda i: _away(places[i], word))


def _words(*places: tuple[str, float, float]) -> list[PageLine]:
    """A line for each word (text, x, y), 10 points high and 6 a letter."""
    lines = []
    for text, x, y in places:
        box = BBox(x, y, x + 6 * len(text), y + 10)
        lines.append(PageLine(box, (Word(box, text),), TextSource.TEXT_LAYER))
    return lines


def _framed(n_rows: int, n_columns: int, width: float, height: float) -> Grid:
    cells = tuple(
        TableCell(
            r, c, 1, 1, False, "", BBox(c * width, r * height, (c + 1) * width, (r + 1) * height)
        )
        for r in range(n_rows)
        for c in range(n_columns)
    )
    return Grid(n_rows, n_columns, cells, 1.0, "test")


def _filled(grid: Grid, lines: list[PageLine]) -> Grid:
    return replace(grid, cells=fill(grid.cells, lines))


def test_a_grid_that_leaves_words_outside_is_not_certain():
    lines = _words(("a", 10, 0), ("b", 110, 0))
    grid = _filled(_framed(1, 2, 100, 20), lines)
    assert is_certain(grid, lines)
    assert not is_certain(grid, [*lines, *_words(("outside", 10, 90))])
    assert not is_certain(replace(grid, confidence=0.8), lines)


def test_a_receipt_in_one_cell_is_read_row_by_row():
    entries = [_words((f"item{n}", 10, 20 * n), (f"{n}.50", 210, 20 * n)) for n in range(8)]
    lines = [line for entry in entries for line in entry]
    one = _filled(_framed(1, 1, 400, 200), lines)
    assert is_collapsed(one, lines)
    rows = row_by_row(lines)
    assert (rows.n_rows, rows.n_columns) == (8, 1)
    assert rows.cells[3].text == "item3 3.50"
    assert not is_collapsed(_filled(_framed(8, 2, 200, 20), lines), lines)
