from dataclasses import replace

from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.row_splitting import split_rows
from deepcompress_dagster.pipeline.tables import Grid, fill
from deepcompress_dagster.records import BBox, TableCell
from tests.pipeline.drawn_tables import table_lines, texts


def grid_of(rows: list[float], columns: list[float], lines: list[PageLine]) -> Grid:
    """A grid with these borders from top to bottom and from left to right, filled."""
    cells = tuple(
        TableCell(r, c, 1, 1, False, "", BBox(columns[c], rows[r], columns[c + 1], rows[r + 1]))
        for r in range(len(rows) - 1)
        for c in range(len(columns) - 1)
    )
    return Grid(len(rows) - 1, len(columns) - 1, fill(cells, lines), 1.0, "test")


def test_a_ruled_group_gets_a_row_for_each_record_and_its_name_spans_them():
    rows = [
        ["Reach", "Route", "Boats", "Tolls"],
        ["North", "Otter run\nWeir loop\nOld ford", "1,576\n420\n2,761", "107.1\n88.3\n104.6"],
        ["South", "Delta\nHarbour", "88\n640", "97.0\n103.3"],
    ]
    lines = table_lines(rows, [40, 150, 250, 350])
    split = split_rows(grid_of([-2, 13, 51, 90], [30, 80, 210, 290, 360], lines), lines)
    assert texts(split) == [
        ["Reach", "Route", "Boats", "Tolls"],
        ["North", "Otter run", "1,576", "107.1"],
        ["", "Weir loop", "420", "88.3"],
        ["", "Old ford", "2,761", "104.6"],
        ["South", "Delta", "88", "97.0"],
        ["", "Harbour", "640", "103.3"],
    ]
    spans = {cell.text: cell.row_span for cell in split.cells if cell.column == 0}
    assert spans == {"Reach": 1, "North": 3, "South": 2}


def test_a_header_that_took_in_the_first_row_gives_it_back():
    rows = [
        ["Hello", "Goodbye"],
        ["one", "Abc"],
        ["two", "Bar"],
        ["three", "Quux"],
        ["four", "Bonk"],
    ]
    lines = table_lines(rows, [40, 200], pitch=18)
    merged = grid_of([-5, 33, 51, 69, 87], [30, 120, 210], lines)
    assert texts(merged)[0] == ["Hello one", "Goodbye Abc"]
    assert texts(split_rows(merged, lines)) == rows


def test_cells_whose_lines_wrap_stay_whole():
    rows = [
        ["Number of\nboats", "Share of\ntolls"],
        ["The wheel was\nset anew", "and the weir\nmended"],
        ["Mill", "none"],
        ["Weir", "none"],
    ]
    lines = table_lines(rows, [40, 200], pitch=14)
    grid = grid_of([-2, 25, 51, 65, 80], [30, 130, 210], lines)
    assert split_rows(grid, lines) == grid


def test_what_stands_in_brackets_below_a_value_belongs_to_it():
    rows = [["Alder", "12.5\n(0.3)", "9.1\n(0.2)"], ["Birch", "8.5\n(0.4)", "7.7\n(0.9)"]]
    lines = table_lines(rows, [40, 200, 300], pitch=18)
    grid = grid_of([-2, 28, 60], [30, 150, 250, 310], lines)
    assert split_rows(grid, lines) == grid


def test_a_grid_without_words_stays_as_it_is():
    grid = grid_of([0, 10], [0, 10], [])
    assert split_rows(replace(grid, cells=()), []) == replace(grid, cells=())


def test_a_header_set_as_close_as_the_rows_gives_back_the_values_below_it():
    rows = [["Outer", "Long", "Inner"], ["A1", "B1", "C1"], ["A2", "B2", "C2"], ["A3", "B3", "C3"]]
    lines = table_lines(rows, [40, 150, 250], pitch=13)
    merged = grid_of([-1, 25, 38, 51], [30, 100, 200, 260], lines)
    assert texts(merged)[0] == ["Outer A1", "Long B1", "Inner C1"]
    assert texts(split_rows(merged, lines)) == rows
    years = [["Place", "Boats\n2023", "Boats\n2024"], ["Weir", "12", "31"], ["Mill", "7", "9"]]
    headed = table_lines(years, [40, 150, 250], pitch=13)
    whole = grid_of([-1, 24, 37, 50], [30, 100, 200, 260], headed)
    assert texts(split_rows(whole, headed)) == texts(whole)
