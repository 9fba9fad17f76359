"""Grids from words alone; every input is drawn here."""

from dataclasses import replace

from deepcompress_dagster.pipeline.phrases import without_fillers
from deepcompress_dagster.pipeline.text_grid import text_grid
from deepcompress_dagster.records import BBox
from tests.pipeline.drawn_tables import table_lines, texts, typed


def test_a_tall_and_wide_table_keeps_every_row_and_column():
    columns = [40.0, *(120.0 + 40 * n for n in range(20))]
    rows = [["Lock", *(f"W{n}" for n in range(20))]]
    rows += [[f"Lock {r}", *(f"{r * n * 137:,}" for n in range(1, 21))] for r in range(48)]
    grid = text_grid(table_lines(rows, columns, pitch=11))
    assert texts(grid) == rows


def test_signs_go_with_their_numbers_and_the_body_sets_the_columns():
    lines = [typed(year, x, 0, right=True) for year, x in (("2025", 300), ("2024", 400))]
    for n, (name, now, before) in enumerate(
        [("Revenue", "41,220", "39,874"), ("Cost", "(20,076)", "(19,940)"), ("Net", "21,144", "—")],
        start=1,
    ):
        lines += [
            typed(name, 60, 15 * n),
            typed(now, 300, 15 * n, right=True),
            typed(before, 400, 15 * n, right=True),
        ]
    lines += [typed("$", 240, 15), typed("$", 340, 15), typed("$", 240, 45)]
    assert texts(text_grid(lines)) == [
        ["", "2025", "2024"],
        ["Revenue", "$ 41,220", "$ 39,874"],
        ["Cost", "(20,076)", "(19,940)"],
        ["Net", "$ 21,144", "—"],
    ]


def test_numbers_with_blanks_are_never_cut():
    rows = [["", "1999", "2009"]]
    rows += [[f"Parish {n}", f"{n + 1} 402 900,50", f"{n} 033 003"] for n in range(1, 9)]
    assert texts(text_grid(table_lines(rows, [40, 200, 300]))) == rows


def test_leader_dots_and_typed_rules_are_no_text():
    lines = [typed(f"Alder {'.' * 40}", 40, 0), typed("2 742", 320, 0, right=True)]
    lines += [typed("Birch . . . . . .", 40, 14), typed("953", 320, 14, right=True)]
    lines += [typed("Cedar . . . . ....", 40, 28), typed("...", 320, 28, right=True)]
    lines += [typed("-------- ========", 40, 42)]
    assert texts(text_grid(without_fillers(lines))) == [
        ["Alder", "2 742"],
        ["Birch", "953"],
        ["Cedar", "..."],
    ]


def test_bars_typed_between_columns_are_no_text():
    rows = [("Lock", "12"), ("Mill", "31"), ("Weir", "7")]
    lines = [typed(f"| {name} | {value} |", 40, 14 * n) for n, (name, value) in enumerate(rows)]
    kept = [[word.text for word in line.words] for line in without_fillers(lines)]
    assert kept == [list(row) for row in rows]
    glued = [replace_text(line) for line in lines]
    assert [[w.text for w in line.words] for line in without_fillers(glued)] == kept
    once = typed("a | b", 40, 0)
    assert without_fillers([once, once, once]) == [once, once, once]


def replace_text(line):
    """The line with its bars set at its words, without a blank."""
    words = [w for w in line.words if w.text != "|"]
    return replace(line, words=tuple(replace(w, text=f"|{w.text}|") for w in words))


def test_wrapped_text_stays_in_its_row_and_records_stay_apart():
    lines = []
    records = [
        ("Mill race", "The wheel was set anew", "and greased", "12"),
        ("Weir", "None", "", "3"),
    ]
    y = 0.0
    for name, first, second, count in records * 3:
        lines += [typed(name, 40, y), typed(first, 120, y), typed(count, 300, y, right=True)]
        if second:
            y += 12
            lines.append(typed(second, 120, y))
        y += 12
    assert (
        texts(text_grid(lines))
        == [
            ["Mill race", "The wheel was set anew and greased", "12"],
            ["Weir", "None", "3"],
        ]
        * 3
    )


def test_words_of_one_length_are_no_wrapped_lines():
    rows = [["Term", "Meaning"], *([f"Word{v}", f"sense {v}"] for v in "aeioupqrst")]
    assert texts(text_grid(table_lines(rows, [40, 200]))) == rows


def test_lines_that_wrap_in_every_column_stay_in_their_row():
    rows = [["The weir below the\nold mill", "mended in oak and\nin iron"]] * 4
    whole = [[text.replace("\n", " ") for text in row] for row in rows]
    assert texts(text_grid(table_lines(rows, [40, 260], pitch=20))) == whole


def test_a_heading_over_a_rule_spans_the_columns_under_it():
    rows = [["Reach", "2023", "2024", "2023", "2024"]]
    rows += [[f"Reach {n}", *(f"{n}{m}.5" for m in range(4))] for n in range(5)]
    lines = table_lines(rows, [40, 150, 200, 280, 330], top=20)
    lines += [typed("Boats", 152, 4), typed("Tolls", 282, 4)]
    grid = text_grid(lines, [BBox(128, 18, 202, 18.5), BBox(258, 18, 332, 18.5)])
    assert texts(grid)[0] == ["", "Boats", "", "Tolls", ""]
    assert [cell.column_span for cell in grid.cells if cell.text in ("Boats", "Tolls")] == [2, 2]
    assert texts(grid)[1:] == rows


def test_a_header_of_two_lines_is_one_row():
    rows = [["Reach", "Boats\nup", "Boats\ndown"]]
    rows += [[f"Reach {n}", f"{n}2", f"{n}3"] for n in range(4)]
    assert texts(text_grid(table_lines(rows, [40, 150, 220])))[0] == [
        "Reach",
        "Boats up",
        "Boats down",
    ]


def test_prose_has_no_columns():
    lines = [
        typed("The mill stands where the river leaves the gorge", 40, 12 * n) for n in range(6)
    ]
    assert text_grid(lines) is None
