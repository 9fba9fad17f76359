from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.prose import is_prose
from deepcompress_dagster.records import BBox, TextSource, Word
from tests.pipeline.drawn_tables import table_lines, typed

PROSE = [
    "The mill stands where the river leaves",
    "the gorge, and has ground rye and barley",
    "since the year of the great flood. Its",
    "wheel turns slowly in the dry months",
]
COLUMN = [PROSE[n % 4] for n in range(12)]


def in_columns(*places: float, bands: bool = False) -> list[PageLine]:
    step = [12 * n + (20 * (n // 4) if bands else 0) for n in range(12)]
    return [typed(text, x, y) for x in places for text, y in zip(COLUMN, step, strict=True)]


def test_lines_that_run_through_are_text():
    assert is_prose(in_columns(60))


def test_a_few_lines_in_two_pieces_make_no_table_of_text():
    title = [["Mill guild, )", "Case 77"], ["Plaintiff, )", "Complaint"], ["v. )", "Board"]]
    assert is_prose([*table_lines(title, [60, 240]), *in_columns(60)[4:]])


def test_a_page_set_in_columns_is_text():
    assert is_prose(in_columns(60, 300))
    assert is_prose(in_columns(60, 300, 540))


def test_a_table_of_texts_is_known_by_its_rules_and_by_the_blanks_between_its_rows():
    rules = [BBox(50, y, 540, y + 0.5) for y in (47, 95)]
    assert not is_prose(in_columns(60, 300), rules)
    assert not is_prose(in_columns(60, 300, bands=True))


def test_tables_of_figures_terms_and_records_are_no_text():
    figures = [[f"Lock {n} on the lower river", f"{n}1", f"{n}2"] for n in range(8)]
    assert not is_prose(table_lines(figures, [40, 250, 300]))
    terms = [[f"Term {n}", "what it says is said here"] for n in range(8)]
    assert not is_prose(table_lines(terms, [40, 300]))
    narrow = [
        typed(" ".join(f"{n * 37 % 91}" for n in range(12)), 40, 12 * row) for row in range(9)
    ]
    assert not is_prose(narrow)
    assert not is_prose([])


def test_vertical_text_is_text():
    columns = [BBox(480 - 28 * n, 100, 496 - 28 * n, 420) for n in range(4)]
    lines = [
        PageLine(box, (Word(box, "水車小屋は谷の出口", vertical=True),), TextSource.TEXT_LAYER)
        for box in columns
    ]
    assert is_prose(lines)
