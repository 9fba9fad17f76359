"""Cells that rules close, with their spans."""

import pytest

from deepcompress_dagster.pdf.worker.drawings import Ruling
from deepcompress_dagster.pdf.worker.ruled_grids import ruled_grids
from deepcompress_dagster.records import BBox


def across(y: float, x0: float, x1: float) -> Ruling:
    return Ruling(BBox(x0, y, x1, y), horizontal=True)


def down(x: float, y0: float, y1: float) -> Ruling:
    return Ruling(BBox(x, y0, x, y1), horizontal=False)


def grid(rows: int, columns: int, x: float = 0, y: float = 0) -> list[Ruling]:
    """A grid of cells of 50 x 20 points."""
    right, bottom = x + 50 * columns, y + 20 * rows
    rules = [across(y + 20 * row, x, right) for row in range(rows + 1)]
    return rules + [down(x + 50 * column, y, bottom) for column in range(columns + 1)]


def boxes(rules: list[Ruling]) -> list[BBox]:
    (cells,) = ruled_grids(rules)
    return list(cells)


def test_cells_lie_between_rules() -> None:
    assert boxes(grid(2, 2)) == [
        BBox(0, 0, 50, 20),
        BBox(50, 0, 100, 20),
        BBox(0, 20, 50, 40),
        BBox(50, 20, 100, 40),
    ]


def test_a_cell_spans_the_rows_and_columns_that_no_rule_parts() -> None:
    rules = [across(y, 0, 150) for y in (0, 20, 60)] + [across(40, 50, 150)]
    rules += [down(x, 0, 60) for x in (0, 50, 150)] + [down(100, 20, 60)]
    assert boxes(rules) == [
        BBox(0, 0, 50, 20),
        BBox(50, 0, 150, 20),
        BBox(0, 20, 50, 60),
        BBox(50, 20, 100, 40),
        BBox(100, 20, 150, 40),
        BBox(50, 40, 100, 60),
        BBox(100, 40, 150, 60),
    ]


def test_an_area_that_is_no_rectangle_becomes_several() -> None:
    rules = [across(0, 0, 100), across(20, 0, 50), across(40, 0, 100)]
    rules += [down(0, 0, 40), down(50, 0, 20), down(100, 0, 40)]
    assert boxes(rules) == [BBox(0, 0, 50, 20), BBox(50, 0, 100, 20), BBox(0, 20, 100, 40)]


def test_pieces_of_rules_double_rules_and_small_gaps_are_one_rule() -> None:
    cells = [(x, y) for x in (0, 51.5) for y in (0, 21.5)]
    rules = [
        ruling
        for x, y in cells
        for ruling in (across(y, x, x + 50), across(y + 20, x, x + 50), down(x, y, y + 20))
    ] + [down(x + 50, y, y + 20) for x, y in cells]
    assert len(boxes(rules)) == 4


@pytest.mark.parametrize("turned", [False, True])
def test_rules_with_common_ends_close_an_open_side(turned: bool) -> None:
    rules = [across(20 * row, 0, 150) for row in range(4)] + [down(x, 0, 60) for x in (50, 100)]
    if turned:
        rules = [Ruling(BBox(r.bbox[1], r.bbox[0], r.bbox[3], r.bbox[2]), not r[1]) for r in rules]
    assert len(boxes(rules)) == 9


def test_ticks_close_nothing() -> None:
    ticks = [across(20 * row, -5, 0) for row in range(3)]
    assert len(boxes([*grid(2, 2), *ticks])) == 4


def test_a_gap_in_the_outer_rules_opens_its_cell_only() -> None:
    rules = [rule for rule in grid(2, 2) if rule.bbox != BBox(0, 0, 100, 0)]
    assert boxes([*rules, across(0, 50, 100)]) == [
        BBox(50, 0, 100, 20),
        BBox(0, 20, 50, 40),
        BBox(50, 20, 100, 40),
    ]


def test_grids_that_do_not_touch_are_several_and_a_frame_is_none() -> None:
    found = ruled_grids([*grid(2, 2, y=100), *grid(1, 1, x=300), *grid(2, 3)])
    assert [len(cells) for cells in found] == [6, 4]


def test_rules_in_one_direction_close_nothing() -> None:
    assert ruled_grids([across(y, 0, 100) for y in (0, 20, 40)]) == ()
    assert ruled_grids([]) == ()
