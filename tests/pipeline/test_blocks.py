from deepcompress_dagster.pipeline.blocks import Block, merge_entry_columns, text_row
from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.page_rotation import PageRotation
from deepcompress_dagster.pipeline.reading import with_table_margins
from deepcompress_dagster.records import BBox, Label, Region, TextSource, Word, union


def line(text: str, x0: float, y0: float) -> PageLine:
    words, x = [], x0
    for piece in text.split():
        words.append(Word(BBox(x, y0, x + 5 * len(piece), y0 + 10), piece))
        x += 5 * len(piece) + 5
    return PageLine(union(w.bbox for w in words), tuple(words), TextSource.OCR, 0.9)


def block(order: int, *lines: PageLine, label: Label = Label.TEXT) -> Block:
    bbox = union(entry.bbox for entry in lines)
    return Block(Region(1, f"r{order}", label, bbox, 0.9, order, "m"), bbox, lines, "ocr")


ITEMS = block(1, line("dish soap 1 l", 0, 0), line("rice 5 kg", 0, 20), line("Total", 0, 40))
PRICES = block(2, line("11.50", 200, 0), line("24.00", 200, 20), line("35.50", 200, 40))


def test_items_and_prices_are_read_row_by_row():
    (merged,) = merge_entry_columns([ITEMS, PRICES])
    assert merged.text == "dish soap 1 l 11.50 rice 5 kg 24.00 Total 35.50"
    row = text_row(merged, PageRotation(600, 800))
    assert row is not None
    assert row.region_id == "r1"
    assert row.bbox == BBox(0, 0, 225, 50)


def test_quantities_prices_and_totals_join_one_after_the_other():
    totals = block(3, line("23.00", 300, 0), line("24.00", 300, 20), line("35.50", 300, 40))
    (merged,) = merge_entry_columns([ITEMS, PRICES, totals])
    assert merged.text.startswith("dish soap 1 l 11.50 23.00 rice")


def test_two_columns_of_prose_stay_two():
    left = block(1, *[line("the first column goes on and on", 0, 20 * n) for n in range(5)])
    right = block(2, *[line("and so does the second one here", 250, 20 * n) for n in range(5)])
    assert merge_entry_columns([left, right]) == [left, right]


def test_short_entries_in_other_rows_stay_alone():
    below = block(2, line("11.50", 200, 110), line("24.00", 200, 130))
    assert len(merge_entry_columns([ITEMS, below])) == 2


def test_a_heading_beside_a_list_is_no_column_of_it():
    heading = block(2, line("Sums", 200, 0), line("in kg", 200, 20), label=Label.SECTION_HEADER)
    assert len(merge_entry_columns([ITEMS, heading])) == 2


def test_a_table_that_was_read_has_the_column_that_its_detected_box_cuts_off():
    names = [line(name, 40, 20 * n) for n, name in enumerate(["Place", *"abcdefg"])]
    body = [line(f"{n}12 {n}34", 120, 20 * n) for n in range(8)]
    title = line("Traffic through the locks of the river", 40, -60)
    read = block(1, *body, label=Label.TABLE)
    (table,), free = with_table_margins([read], [title, *names])
    assert set(table.words) == {word for entry in (*body, *names) for word in entry.words}
    assert free == [title]
