"""Tables without rules that a layout model cut, put together by the alignment of their text."""

from deepcompress_dagster.pipeline.ruled_tables import WholeTable
from deepcompress_dagster.pipeline.table_pieces import (
    margins_of,
    split_by_captions,
    whole_of_pieces,
)
from deepcompress_dagster.records import BBox
from tests.pipeline.drawn_tables import table_lines, typed

ROWS = [[f"Lock {n}", f"{n},204", f"{3 * n}", f"{7 * n} t"] for n in range(1, 13)]
COLUMNS = (50, 200, 300, 400)
BODY = table_lines(ROWS, COLUMNS, top=100)
BOX = BBox(45, 98, 405, 270)


def left_of(x: float) -> BBox:
    return BOX._replace(x1=x)


def right_of(x: float) -> BBox:
    return BOX._replace(x0=x)


def texts(lines) -> list[str]:
    return [line.text for line in lines]


def test_pieces_whose_rows_go_on_in_each_other_are_one_table():
    pieces = [left_of(130), right_of(240)]
    assert whole_of_pieces(pieces, BODY) == [WholeTable(BOX, (0, 1))]


def test_tables_with_a_number_each_stay_two():
    captions = [typed("Table 1: Boats", 50, 80), typed("Table 2: Tolls", 290, 80)]
    assert len(whole_of_pieces([left_of(205), right_of(280)], [*BODY, *captions])) == 2


def test_tables_whose_rows_stand_at_other_heights_stay_two():
    beside = table_lines([[row[0]] for row in ROWS], (450,), top=107)
    assert len(whole_of_pieces([BOX, BBox(445, 98, 520, 280)], [*BODY, *beside])) == 2


def test_few_rows_are_one_table_only_over_a_narrow_gap():
    short = table_lines(ROWS[:5], COLUMNS, top=100)
    low = 170
    far = [BBox(45, 98, 90, low), BBox(280, 98, 405, low)]
    near = [BBox(45, 98, 205, low), BBox(240, 98, 405, low)]
    assert [len(whole_of_pieces(pieces, short)) for pieces in (far, near)] == [2, 1]


def test_a_header_row_above_the_columns_is_the_tables():
    header = [typed("Name", 50, 86), typed("Boats", 180, 86), typed("Days", 280, 86)]
    title = typed("Traffic through the locks of the river", 50, 60)
    assert sorted(texts(margins_of(BOX, BODY, [*header, title]))) == ["Boats", "Days", "Name"]


def test_a_row_over_few_of_the_columns_is_no_header():
    command = [typed(">", 60, 86), typed("summary(locks)", 170, 86)]
    assert margins_of(BOX, BODY, command) == []


def test_prose_above_a_table_is_not_its_header():
    prose = [
        typed("The board counts boats at each lock and", 50, 74),
        typed("publishes the numbers in every spring.", 50, 86),
    ]
    assert margins_of(BOX, BODY, prose) == []


def test_a_column_beside_a_table_that_stands_in_its_rows_is_the_tables():
    body = table_lines(ROWS, (110, 200, 300, 400), top=100)
    names = [line for line in body if line.bbox.x0 == 110]
    rest = [line for line in body if line not in names]
    assert margins_of(BOX._replace(x0=140), rest, names) == names
    off = [typed("note", 110, 107 + 14 * n) for n in range(12)]
    assert margins_of(BOX._replace(x0=140), rest, off) == []


def test_a_line_that_the_edge_of_a_table_cuts_is_the_tables():
    heading = typed("Passages in the year before", 330, 100)
    above = typed("A heading of which a third is in the box", 50, 90)
    assert margins_of(BOX, BODY, [heading, above]) == [heading]


def test_a_box_over_two_tables_with_a_caption_each_is_two():
    beside = table_lines(ROWS, [x + 400 for x in COLUMNS], top=100)
    box = BOX._replace(x1=BOX.x1 + 400)
    captions = [typed("Table 1: Boats", 50, 84), typed("Table 2: Tolls", 450, 84)]
    lines = [*BODY, *beside, *captions]
    assert split_by_captions(box, lines) == [box._replace(x1=448), box._replace(x0=448)]
    assert split_by_captions(box, [*BODY, *beside, captions[0]]) == [box]


def test_a_table_that_begins_with_values_has_its_names_however_far_they_stand():
    rows = [["Boats", "Tolls"], *([f"{n}12", f"{n}34"] for n in range(8))]
    body = table_lines(rows, (400, 450), top=100)
    names = table_lines([[name] for name in ("Place", *"abcdefgh")], (50,), top=100)
    box = BBox(375, 98, 455, 100 + 14 * 9)
    assert margins_of(box, body, names) == names
    words = table_lines(
        [["Keeper", "Tolls"], *([f"Reed{n}x", f"{n}3"] for n in range(8))], (400, 450), top=100
    )
    assert margins_of(box, words, names) == []


def test_a_caption_between_rows_begins_another_table():
    lower = table_lines(ROWS, COLUMNS, top=320)
    caption = typed("Table 2: Lower river", 50, 300)
    box = BOX._replace(y1=560)
    parts = split_by_captions(box, [*BODY, caption, *lower])
    assert parts == [box._replace(y1=300), box._replace(y0=312)]
