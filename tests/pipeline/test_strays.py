from deepcompress_dagster.pipeline.layout import Area, with_sure_tables
from deepcompress_dagster.pipeline.strays import without_strays, without_title
from deepcompress_dagster.records import BBox, Label
from tests.pipeline.drawn_tables import table_lines, typed

BOX = BBox(50, 60, 520, 130)
DATES = [
    ["Invoice no.", "2025-0417"],
    ["Date", "3 March 2025"],
    ["Customer no.", "K-1188"],
    ["Due", "2 April 2025"],
]
ADDRESS = [typed(text, 60, 102 + 14 * n) for n, text in enumerate(("Weir Board", "Lock 7", "Ford"))]


def test_an_address_beside_a_table_is_no_part_of_it():
    table = table_lines(DATES, [360, 510], top=60)
    box = without_strays(BOX, [*table, ADDRESS[0]], ADDRESS[1:])
    assert box == BOX._replace(x0=358)


def test_it_may_stand_on_the_other_side():
    table = table_lines(DATES, [60, 210], top=60)
    moved = [typed(line.text, 400, line.bbox.y0) for line in ADDRESS]
    assert without_strays(BOX, [*table, moved[0]], moved[1:]) == BOX._replace(x1=212)


def test_rows_with_a_name_of_their_own_stay():
    table = table_lines(DATES, [360, 510], top=60)
    assert without_strays(BOX, [*table, ADDRESS[0]], [typed("Note", 200, 140)]) == BOX
    full = table_lines([["Lock", *row] for row in DATES], [60, 360, 510], top=60)
    assert without_strays(BOX, full, [typed("Note", 60, 118)]) == BOX


def test_the_layout_gives_up_tables_of_prose_and_takes_strays_out_of_the_others():
    table = table_lines(DATES, [360, 510], top=60)
    heading = typed("Bill", 60, 52, size=20)
    prose = [
        typed("The mill stands where the river leaves the gorge", 60, 300 + 12 * n)
        for n in range(9)
    ]
    areas = [
        Area(Label.TABLE, BOX, 0.9, "m"),
        Area(Label.SECTION_HEADER, BBox(58, 50, 110, 78), 0.9, "m"),
        Area(Label.TABLE, BBox(50, 290, 520, 420), 0.9, "m"),
    ]
    sure = with_sure_tables(areas, [*table, *ADDRESS, heading, *prose], [])
    assert [(area.label, area.bbox.x0) for area in sure] == [
        (Label.TABLE, 358),
        (Label.SECTION_HEADER, 58),
    ]


def test_a_title_above_the_rules_around_a_header_is_no_part_of_the_table():
    rows = ["RIVER BOARD", "=" * 20, "LOCK  BOATS", "=" * 20, "UPPER  12", "LOWER  31"]
    lines = [typed(text, 40, 14 * n) for n, text in enumerate(rows)]
    box = BBox(38, -2, 200, 90)
    assert without_title(box, lines).y0 == 14
    records = [
        typed(t, 40, 14 * n) for n, t in enumerate(["LOCK BOATS", rows[1], "A 12", rows[1], "B 7"])
    ]
    assert without_title(box, records) == box
