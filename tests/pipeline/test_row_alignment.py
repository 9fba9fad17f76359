from dataclasses import replace

from deepcompress_dagster.pipeline.row_alignment import in_line
from deepcompress_dagster.pipeline.tables import Grid, fill
from deepcompress_dagster.records import BBox
from tests.pipeline.drawn_tables import table_lines, texts, typed
from tests.pipeline.test_row_splitting import grid_of

COLUMNS = [30.0, 100, 170, 240, 310, 380]
PLACES = [40.0, 160, 230, 300, 370]


def spanning(grid: Grid, lines, *spans: tuple[int, int, int, int]) -> Grid:
    """The grid with cells over several others: row, column, and how many of each."""
    for row, column, height, width in spans:
        inside = [
            cell
            for cell in grid.cells
            if row <= cell.row < row + height and column <= cell.column < column + width
        ]
        box = BBox(
            min(c.bbox.x0 for c in inside),
            min(c.bbox.y0 for c in inside),
            max(c.bbox.x1 for c in inside),
            max(c.bbox.y1 for c in inside),
        )
        whole = replace(inside[0], row_span=height, column_span=width, bbox=box)
        grid = replace(grid, cells=(*(c for c in grid.cells if c not in inside), whole))
    return replace(grid, cells=fill(grid.cells, lines))


def heads(grid: Grid) -> dict[str, tuple[int, int]]:
    """The columns of each heading of the first row."""
    return {
        c.text: (c.column, c.column + c.column_span - 1)
        for c in grid.cells
        if c.row == 0 and c.text
    }


def test_a_label_that_was_seen_too_high_begins_where_it_stands():
    rows = [["Place", "Keeper", "Boats"]]
    rows += [
        [{0: "Upper", 3: "Weir"}.get(n, ""), f"Name{'abcdefg'[n]}", f"{n}12"] for n in range(6)
    ]
    lines = table_lines(rows, PLACES[:3])
    seen = grid_of([14 * n - 1 for n in range(8)], COLUMNS[:4], lines)
    off = spanning(seen, lines, (2, 0, 3, 1), (5, 0, 2, 1))
    assert texts(off)[2][0] == "Weir"
    assert texts(in_line(off, lines, [])) == rows
    ruled = [BBox(30, 14 * 2 - 1, 240, 14 * 2 - 1)]
    assert texts(in_line(off, lines, ruled))[2][0] == "Weir"


def test_headings_lie_over_the_columns_whose_middle_they_stand_on():
    rows = [["Place", "Boats", "Tolls", "Boats", "Share"]]
    rows += [[f"Reach {'abcde'[n]}", *(f"{n}{m}12" for m in range(4))] for n in range(5)]
    lines = table_lines(rows, PLACES, top=16)
    lines += [typed("Upper river", 146, 0), typed("Canal", 297, 0)]
    seen = grid_of([-1, *(14 * n + 15 for n in range(7))], COLUMNS, lines)
    guessed = spanning(seen, lines, (0, 0, 1, 3), (0, 3, 1, 2))
    assert heads(guessed) == {"Upper river": (0, 2), "Canal": (3, 4)}
    assert heads(in_line(guessed, lines, [])) == {"Upper river": (1, 2), "Canal": (3, 4)}


def test_lines_of_a_header_are_one_row_and_headings_over_them_are_not():
    rows = [["Name of\nthe place", "Boats\nper day", "Tolls\npaid"]]
    rows += [[f"Reach {'abcde'[n]}", f"{n}12", f"{n}34"] for n in range(5)]
    lines = table_lines(rows, PLACES[:3], pitch=20)
    seen = grid_of([-1, 12, *(20 * n + 31 for n in range(6))], COLUMNS[:4], lines)
    assert texts(seen)[:2] == [["Name of", "Boats", "Tolls"], ["the place", "per day", "paid"]]
    whole = texts(in_line(seen, lines, []))
    assert whole[0] == ["Name of the place", "Boats per day", "Tolls paid"]
    assert whole[1:] == rows[1:]


def test_where_rules_part_the_records_lines_between_two_rules_are_one_row():
    rows = [["Place", "Remarks", "Boats"], ["Weir", "mended", "12"], ["Mill", "closed", "7"]]
    rows += [["Ford", "open\nagain", "31"], ["Gorge", "none", "4"]]
    lines = table_lines(rows, [40, 200, 260], pitch=20)
    seen = grid_of([-1, 19, 39, 59, 72, 91, 111], [30, 100, 210, 270], lines)
    rules = [BBox(30, y, 270, y) for y in (17, 37, 57, 89)]
    whole = [[text.replace("\n", " ") for text in row] for row in rows]
    assert texts(in_line(seen, lines, rules)) == whole
    assert len(texts(in_line(seen, lines, []))) == len(rows) + 1


def test_a_row_is_cut_where_a_rule_parts_its_lines():
    rows = [["Place", "Boats"], ["Upper river", ""], ["Weir", "12"], ["Mill", "7"]]
    lines = table_lines(rows, [40, 200])
    merged = grid_of([-1, 27, 41, 55], [30, 120, 210], lines)
    assert texts(merged)[0] == ["Place Upper river", "Boats"]
    assert texts(in_line(merged, lines, [BBox(30, 13, 205, 13)])) == rows
    assert texts(in_line(merged, lines, [BBox(30, 13, 90, 13)])) == texts(merged)


def test_a_label_of_two_lines_is_one_and_a_heading_above_records_is_none():
    rows = [["", "2024", "2023"], ["Tolls", "12,001", "9,310"]]
    rows += [["Repairs of the locks\nand weirs", "\n4,100", "\n3,900"], ["Wages", "7,000", "6,500"]]
    rows += [["Net income", "901", "812"]]
    lines = table_lines(rows, PLACES[:3], pitch=18)
    cut = grid_of([-1, 17, 35, 48, 65, 83, 101], [30, 145, 200, 240], lines)
    assert texts(cut)[2:4] == [["Repairs of the locks", "", ""], ["and weirs", "4,100", "3,900"]]
    whole = [[text.replace("\n", " ").strip() for text in row] for row in rows]
    assert texts(in_line(cut, lines, [])) == whole
    rows[2] = ["The upper river", "", ""]
    headed = table_lines(rows, PLACES[:3], pitch=18)
    seen = grid_of([-1, 17, 35, 53, 71, 89], [30, 145, 200, 240], headed)
    assert texts(in_line(seen, headed, [])) == rows


def test_a_header_without_a_rule_below_it_stays_apart_where_rules_part_the_records():
    rows = [["Place", "Keeper"], *([f"Reach {c}", f"Name {c}"] for c in "abcde")]
    lines = table_lines(rows, [40, 200], pitch=18)
    seen = grid_of([18 * n - 3 for n in range(7)], [30, 120, 210], lines)
    rules = [BBox(30, 18 * n - 3, 210, 18 * n - 3) for n in range(2, 7)]
    assert texts(in_line(seen, lines, rules)) == rows
