from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.row_bands import in_bands
from deepcompress_dagster.pipeline.tables import fill
from deepcompress_dagster.records import BBox, TableCell, TextSource, Word


def word(text: str, x: float, y: float) -> PageLine:
    box = BBox(x, y, x + 30, y + 10)
    return PageLine(box, (Word(box, text),), TextSource.OCR)


def grid(n_rows: int, pitch: float) -> list[TableCell]:
    return [
        TableCell(r, c, 1, 1, False, "", BBox(0, 0, 60, pitch).shifted(60 * c, r * pitch))
        for r in range(n_rows)
        for c in range(2)
    ]


def texts(cells) -> list[str]:
    return [cell.text for cell in cells]


def rows(n: int, pitch: float) -> list[PageLine]:
    return [word(f"{r}{c}", 5 + 60 * c, r * pitch) for r in range(n) for c in range(2)]


def test_rows_that_the_model_placed_too_close_get_their_own_text():
    lines, seen = rows(40, 12), grid(40, 11.2)
    assert texts(fill(seen, lines)) != [f"{r}{c}" for r in range(40) for c in range(2)]
    assert texts(fill(in_bands(seen, 40, lines), lines)) == [
        f"{r}{c}" for r in range(40) for c in range(2)
    ]


def test_a_row_of_two_lines_keeps_both():
    first = [word("a", 5, 0), word("b", 65, 0), word("b2", 65, 12)]
    lines = [*first, word("c", 5, 24), word("d", 65, 24)]
    seen = grid(2, 24)
    assert texts(fill(in_bands(seen, 2, lines), lines)) == ["a", "b b2", "c", "d"]


def test_an_empty_row_stays_empty():
    lines = [word("a", 5, 0), word("c", 5, 48)]
    assert texts(fill(in_bands(grid(3, 24), 3, lines), lines)) == ["a", "", "", "", "c", ""]


def test_tables_without_boxes_or_text_stay_as_they_are():
    bare = [replace(cell, bbox=None) for cell in grid(2, 20)]
    assert in_bands(bare, 2, rows(2, 20)) == bare
    assert in_bands(grid(2, 20), 2, []) == grid(2, 20)


@given(st.lists(st.floats(1, 40), min_size=1, max_size=8), st.lists(st.floats(0, 300), max_size=12))
def test_bands_stand_in_order_whatever_the_text(heights, places):
    tops = [sum(heights[:i]) for i in range(len(heights) + 1)]
    cells = [
        TableCell(i, 0, 1, 1, False, "", BBox(0, low, 60, high))
        for i, (low, high) in enumerate(pairwise(tops))
    ]
    found = in_bands(cells, len(cells), [word("x", 0, y) for y in places])
    boxes = [cell.bbox for cell in found if cell.bbox]
    assert len(boxes) == len(cells)
    assert all(box.y0 <= box.y1 for box in boxes)
