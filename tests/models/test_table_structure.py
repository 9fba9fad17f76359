import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.checkpoints import DOCLAYNET, build
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.models.shared.object_detector import Candidates
from deepcompress_dagster.models.table.structure import (
    COLUMN,
    HEADER,
    PROJECTED_HEADER,
    ROW,
    SPANNING_CELL,
    Part,
    grid_of,
)
from deepcompress_dagster.records import BBox


def part(x0: float, y0: float, x1: float, y1: float, score: float = 0.9) -> Part:
    return Part(BBox(x0, y0, x1, y1), score)


ROWS = [part(0, 0, 90, 10), part(0, 10, 90, 20), part(0, 20, 90, 30)]
COLUMNS = [part(0, 0, 30, 30), part(30, 0, 60, 30), part(60, 0, 90, 30)]


def spans(grid) -> dict[tuple[int, int], tuple[int, int]]:
    return {(cell.row, cell.column): (cell.row_span, cell.column_span) for cell in grid.cells}


def test_rows_and_columns_make_a_cell_at_every_crossing():
    grid = grid_of({ROW: ROWS, COLUMN: COLUMNS})
    assert (grid.n_rows, grid.n_columns, len(grid.cells)) == (3, 3, 9)
    assert grid.cells[5].bbox == BBox(60, 10, 90, 20)
    assert not any(cell.is_header for cell in grid.cells)
    assert grid.confidence == 0.9


def test_rows_are_in_the_order_of_the_page_and_meet_half_way():
    rows = [part(0, 24, 90, 34), part(0, 0, 90, 8), part(0, 12, 90, 22)]
    grid = grid_of({ROW: rows, COLUMN: COLUMNS})
    firsts = [cell.bbox for cell in grid.cells if cell.column == 0]
    assert [(box.y0, box.y1) for box in firsts] == [(0, 10), (10, 23), (23, 34)]


def test_of_two_rows_on_each_other_the_surer_stays():
    doubled = [*ROWS, part(0, 11, 90, 21, score=0.6)]
    assert grid_of({ROW: doubled, COLUMN: COLUMNS}) == grid_of({ROW: ROWS, COLUMN: COLUMNS})


def test_headers_are_the_rows_that_a_header_covers_by_half():
    grid = grid_of({ROW: ROWS, COLUMN: COLUMNS, HEADER: [part(0, 0, 90, 14)]})
    assert {cell.row for cell in grid.cells if cell.is_header} == {0}
    grid = grid_of({ROW: ROWS, COLUMN: COLUMNS, HEADER: [part(0, 0, 90, 16)]})
    assert {cell.row for cell in grid.cells if cell.is_header} == {0, 1}


def test_a_spanning_cell_takes_the_slots_that_it_covers():
    grid = grid_of({ROW: ROWS, COLUMN: COLUMNS, SPANNING_CELL: [part(28, 0, 88, 18)]})
    assert spans(grid)[0, 1] == (2, 2)
    assert len(grid.cells) == 6
    assert next(cell for cell in grid.cells if cell.row_span == 2).bbox == BBox(30, 0, 90, 20)


def test_a_spanning_cell_stays_in_the_header_that_it_begins_in():
    parts = {ROW: ROWS, COLUMN: COLUMNS, HEADER: [part(0, 0, 90, 10)]}
    grid = grid_of({**parts, SPANNING_CELL: [part(0, 0, 60, 20)]})
    assert spans(grid)[0, 0] == (1, 2)
    assert spans(grid)[1, 0] == (1, 1)


def test_of_two_spanning_cells_that_cross_the_surer_stands():
    crossing = [part(0, 0, 60, 10, score=0.6), part(0, 0, 30, 20, score=0.8)]
    grid = grid_of({ROW: ROWS, COLUMN: COLUMNS, SPANNING_CELL: crossing})
    assert spans(grid)[0, 0] == (2, 1)
    assert spans(grid)[0, 1] == (1, 1)


def test_a_projected_row_header_takes_its_whole_row():
    grid = grid_of({ROW: ROWS, COLUMN: COLUMNS, PROJECTED_HEADER: [part(2, 10, 40, 20)]})
    assert spans(grid)[1, 0] == (1, 3)
    assert len(grid.cells) == 7


def test_without_rows_or_columns_there_is_no_table():
    assert grid_of({ROW: ROWS}).cells == ()
    assert grid_of({COLUMN: COLUMNS}).n_rows == 0


boxes = st.tuples(*[st.floats(0, 100)] * 4).map(
    lambda v: BBox(min(v[0], v[2]), min(v[1], v[3]), max(v[0], v[2]) + 1, max(v[1], v[3]) + 1)
)
parts = st.lists(st.builds(Part, boxes, st.floats(0.5, 1)), max_size=6)


@settings(max_examples=150, deadline=None)
@given(st.fixed_dictionaries(dict.fromkeys((ROW, COLUMN, HEADER, SPANNING_CELL), parts)))
def test_whatever_is_found_every_slot_is_covered_once(found):
    grid = grid_of(found)
    slots = [
        (row, column)
        for cell in grid.cells
        for row in range(cell.row, cell.row + cell.row_span)
        for column in range(cell.column, cell.column + cell.column_span)
    ]
    assert sorted(slots) == [(r, c) for r in range(grid.n_rows) for c in range(grid.n_columns)]


# The model

LABELS = {
    "table": 0,
    "table column": 1,
    "table row": 2,
    "table column header": 3,
    "table projected row header": 4,
    "table spanning cell": 5,
}


def test_what_the_model_finds_becomes_a_grid_in_pixels_of_the_crop(load, monkeypatch):
    predictor = load("table-transformer")
    found = [("table row", ROWS, 0.9), ("table column", COLUMNS, 0.9), ("table row", ROWS, 0.4)]
    boxes = [tuple(one.bbox) for _, some, _ in found for one in some]
    scores = np.zeros((len(boxes), 6), np.float32)
    for i, (label, _, score) in enumerate([it for it in found for _ in it[1]]):
        scores[i, LABELS[label]] = score
    shifted = np.array(boxes, np.float32)
    shifted[6:] += 5
    seen = Candidates(shifted, scores)
    monkeypatch.setattr(predictor._detector, "candidates", lambda images, name: [seen])
    (grid,) = predictor.predict([np.zeros((30, 90, 3), np.uint8)])
    assert grid == grid_of({ROW: ROWS, COLUMN: COLUMNS})


@pytest.mark.parametrize("labels", [("table", "table rotated"), DOCLAYNET])
def test_a_checkpoint_that_reads_no_structure_is_refused(tmp_path, load, labels):
    folder = build("table-transformer", tmp_path / "detection", labels=labels)
    with pytest.raises(ModelError, match="does not read the structure of tables"):
        load(folder)
