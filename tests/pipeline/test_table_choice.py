from dataclasses import replace

from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.soundness import faults_of
from deepcompress_dagster.pipeline.table_choice import best_grid, read_share
from deepcompress_dagster.pipeline.tables import RULED, Grid
from deepcompress_dagster.pipeline.text_grid import WORDS, text_grid
from deepcompress_dagster.records import TextSource
from tests.pipeline.drawn_tables import table_lines, typed
from tests.pipeline.test_row_splitting import grid_of

COLUMNS = [40.0, 150.0, 220.0]
ROWS = [["Reach", "Boats", "Tolls"], *([f"Reach {n}", f"{n}2", f"{n}3"] for n in range(8))]
LINES = table_lines(ROWS, COLUMNS)
RIGHT = grid_of([14 * n - 1 for n in range(10)], [30, 100, 170, 230], LINES)


def grid_with(rows: list[float], columns: list[float]) -> Grid:
    return grid_of(rows, columns, LINES)


def confidence(*readings: Grid, lines: list[PageLine] = LINES) -> float:
    best = best_grid(readings, lines)
    assert best is not None
    return best.confidence


def test_each_fault_of_a_grid_is_seen():
    rows, columns = [14.0 * n - 1 for n in range(10)], [30.0, 100, 170, 230]
    assert faults_of(RIGHT, LINES).empty == 0
    assert soundest_only(faults_of(RIGHT, LINES))
    assert faults_of(grid_with(rows, [30, 230]), LINES).apart > 0.3
    assert faults_of(grid_with(rows, [30, 66, 100, 170, 230]), LINES).cut > 0.2
    assert faults_of(grid_with(rows, [30, 100, 118, 170, 230]), LINES).empty > 0.2
    assert faults_of(grid_with([*rows[::2], 126], columns), LINES).merged > 0.3
    assert faults_of(grid_with([r - 40 for r in rows], columns), LINES).outside > 0.2


def test_values_below_one_another_beside_texts_that_wrap_are_several_records():
    rows = [["No.", "Remarks"], ["1\n2\n3", "The weir was mended\nin oak, the mill\nstood still"]]
    lines = table_lines(rows, [40, 200])
    assert faults_of(grid_of([-1, 13, 52], [30, 60, 210], lines), lines).merged > 0.5


def test_a_gutter_through_a_column_says_that_a_column_was_missed():
    rows = [["Item", "Qty", "Of"], *([f"Item {n}", f"{n}2", "kg"] for n in range(5))]
    lines = table_lines(rows, [40, 150, 167])
    edges = [14.0 * n - 1 for n in range(7)]
    assert faults_of(grid_of(edges, [30, 100, 180], lines), lines).apart > 0.2
    assert faults_of(grid_of(edges, [30, 100, 153, 180], lines), lines).apart == 0
    sparse = [
        ["Item", "Qty", "Of"],
        *([f"Item {n}", "12" if n % 2 else "", "" if n % 2 else "kg"] for n in range(5)),
    ]
    half = table_lines(sparse, [40, 150, 167])
    assert faults_of(grid_of(edges, [30, 100, 190], half), half).apart > 0.1


def soundest_only(faults) -> bool:
    return not any((faults.apart, faults.cut, faults.torn, faults.merged, faults.outside))


def test_wide_blanks_are_a_fault_only_where_no_line_of_the_cell_runs_across():
    lines = [typed("of member", 40, 0), typed("states", 120, 0)]
    cell = grid_of([-2, 30], [30, 200], lines)
    assert faults_of(cell, lines).apart > 0.3
    justified = [*lines, typed("where one of these took part in", 40, 14)]
    assert faults_of(cell, justified).apart == 0


def test_rows_that_tear_a_line_are_a_fault():
    stairs = tuple(replace(cell, row=cell.row + cell.column) for cell in RIGHT.cells)
    assert faults_of(replace(RIGHT, cells=stairs), LINES).torn == 1


def test_the_sounder_reading_is_taken_whatever_its_own_score():
    ruined = replace(grid_with([-1, 40, 90, 126], [30, 100, 170, 230]), confidence=0.999)
    best = best_grid([ruined, replace(RIGHT, confidence=0.3)], LINES)
    assert best is not None
    assert best.cells == RIGHT.cells


def test_of_equal_readings_the_modelled_one_is_taken_and_a_missing_one_never():
    ruled, modelled = replace(RIGHT, model=RULED), replace(RIGHT, model="a model")
    aligned = text_grid(LINES)
    assert aligned is not None
    assert aligned.model == WORDS
    assert best_grid([ruled, modelled, aligned], LINES).model == "a model"
    assert best_grid([aligned], LINES).model == WORDS
    assert best_grid([], LINES) is None


def test_confidence_is_high_where_readings_agree_and_low_where_a_table_is_ruined():
    aligned = text_grid(LINES)
    assert aligned is not None
    assert confidence(replace(RIGHT, model="a model"), aligned) > 0.95
    ruined = replace(grid_with([-1, 40, 90, 126], [30, 110, 230]), confidence=0.999)
    assert confidence(ruined) < 0.5
    assert confidence(aligned, ruined) > 0.8


def test_a_sound_reading_that_says_otherwise_makes_unsure():
    half = [14.0 * n - 1 for n in range(19)]
    lines = table_lines([["a\nb", "c\nd", "e\nf"]] * 9, COLUMNS, pitch=2)
    whole, single = (grid_of(rows, [30, 100, 170, 230], lines) for rows in (half[::2], half))
    unsure = confidence(replace(whole, model="m"), replace(single, model="n"), lines=lines)
    sure = confidence(replace(whole, model="m"), replace(whole, model="n"), lines=lines)
    assert unsure < 0.5 < 0.9 < sure


def test_without_text_the_first_reading_stays_as_it_is():
    assert best_grid([RIGHT], []) == RIGHT


def test_a_grid_is_no_surer_than_the_words_that_were_read():
    doubtful = [replace(line, source=TextSource.OCR, confidence=0.93) for line in LINES]
    assert read_share(LINES, "text_layer") == 1.0
    assert read_share(doubtful, "ppocrv6") < 0.5 < read_share(doubtful[:0], "ppocrv6")
    mixed = [*doubtful[:13], *(replace(line, confidence=1.0) for line in doubtful[13:])]
    assert 0.5 < read_share(mixed, "ppocrv6") < 0.99
