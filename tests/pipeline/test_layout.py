import numpy as np
import pytest

from deepcompress_dagster.models.predictor import Detection
from deepcompress_dagster.pipeline.layout import (
    Area,
    detected_areas,
    ordered_regions,
    page_sized,
    postprocess_layout,
    shows_a_document,
)
from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.page_rotation import PageRotation
from deepcompress_dagster.pipeline.ruled_tables import with_words
from deepcompress_dagster.records import BBox, Label, TextSource, Word

SIZE = (600.0, 800.0)


def line(text: str, x0: float, y0: float, x1: float, block: int = 0) -> PageLine:
    box = BBox(x0, y0, x1, y0 + 10)
    return PageLine(box, (Word(box, text, 10),), TextSource.TEXT_LAYER, block=block)


def area(label: Label, *box: float, score: float = 0.9) -> Area:
    return Area(label, BBox(*box), score, "m")


def labels(areas) -> list[Label]:
    return [found.label for found in areas]


def test_pixels_become_points_and_boxes_end_at_the_page():
    found = detected_areas([Detection(Label.TEXT, BBox(20, 40, 1400, 80), 0.98765)], 2, SIZE, "m")
    assert found == [Area(Label.TEXT, BBox(10, 20, 600, 40), 0.9877, "m")]


def test_text_that_the_model_overlooked_gets_an_area():
    found = postprocess_layout(
        [area(Label.TEXT, 0, 0, 300, 50)], [line("a", 10, 10, 90), line("b", 10, 400, 90)], SIZE
    )
    assert [(a.label, a.score) for a in found] == [(Label.TEXT, 0.9), (Label.TEXT, 0.0)]
    assert found[1].bbox == BBox(10, 400, 90, 410)


def test_a_text_area_grows_around_its_lines_and_a_table_does_not():
    lines = [line("long", 10, 10, 320), line("cell", 10, 110, 320)]
    text, table = postprocess_layout(
        [area(Label.TEXT, 0, 0, 300, 50), area(Label.TABLE, 0, 100, 300, 200)], lines, SIZE
    )
    assert text.bbox.x1 == 320
    assert table.bbox.x1 == 300


def test_areas_inside_a_table_belong_to_it():
    found = postprocess_layout(
        [area(Label.TABLE, 0, 0, 300, 300), area(Label.TEXT, 10, 10, 100, 50)], [], SIZE
    )
    assert labels(found) == [Label.TABLE]


def test_a_picture_of_a_whole_page_of_text_is_no_figure():
    lines = [line(f"line {n} of a scanned page", 50, 50 + 20 * n, 500) for n in range(12)]
    found = postprocess_layout([area(Label.PICTURE, 0, 0, 600, 780)], lines, SIZE)
    assert Label.PICTURE not in labels(found)


def test_a_chart_that_fills_its_page_is_a_figure():
    ticks = [line(f"{n}0 %", 50, 50 + 60 * n, 75) for n in range(12)]
    assert labels(postprocess_layout([area(Label.PICTURE, 0, 0, 600, 780)], ticks, SIZE)) == [
        Label.PICTURE
    ]


def test_text_that_names_the_table_below_it_becomes_a_caption():
    areas = [area(Label.TEXT, 0, 80, 300, 92), area(Label.TABLE, 0, 100, 300, 200)]
    assert (
        labels(postprocess_layout(areas, [line("Table 2: Prices", 0, 81, 200)], SIZE))[0]
        is Label.CAPTION
    )


def test_a_picture_full_of_lines_shows_a_document_and_a_chart_with_labels_does_not():
    picture = BBox(0, 0, 200, 400)
    receipt = [line("item", 10, 10 + 15 * n, 190) for n in range(20)]
    chart = [line("7", 10, 10 + 30 * n, 25) for n in range(10)]
    letter = [line("a sentence that goes on for a while", 10, 30 * n, 60) for n in range(10)]
    assert shows_a_document(picture, receipt)
    assert shows_a_document(picture, letter)
    assert not shows_a_document(picture, chart)


def test_two_areas_with_one_box_are_one_region_the_better_scored():
    areas = [area(Label.TEXT, 0, 0, 100, 50, score=0.5), area(Label.TITLE, 0, 0, 100, 50)]
    (region,) = ordered_regions(areas, 3, PageRotation(*SIZE))
    assert (region.label, region.reading_order, region.page_number) == (Label.TITLE, 1, 3)


def test_a_region_keeps_its_identity_when_its_box_moves_by_less_than_a_point():
    first, second = (
        ordered_regions([area(Label.TEXT, 10 + d, 20, 100, 50)], 1, PageRotation(*SIZE))[
            0
        ].region_id
        for d in (0.1, 0.3)
    )
    assert first == second


def test_of_two_text_areas_one_inside_the_other_the_better_scored_stays():
    paragraph, part = area(Label.TEXT, 0, 0, 300, 60), area(Label.TEXT, 5, 20, 290, 40, score=0.4)
    assert postprocess_layout([part, paragraph], [], SIZE) == [paragraph]


def test_an_area_over_lines_of_others_goes():
    areas = [area(Label.TEXT, 0, 0, 300, 22), area(Label.TEXT, 100, 0, 320, 24, score=0.4)]
    lines = [line("one", 0, 0, 290), line("two", 0, 11, 290)]
    assert len(postprocess_layout(areas, lines, SIZE)) == 1


def test_a_small_page_is_seen_on_a_sheet_and_a_whole_page_as_it_is():
    table = np.zeros((100, 200, 3), np.uint8)
    sheet, (dx, dy) = page_sized(table, scale=2)
    assert sheet.shape == (1584, 1224, 3)
    assert not sheet[int(-dy) : int(-dy) + 100, int(-dx) : int(-dx) + 200].any()
    page = np.zeros((1584, 1224, 3), np.uint8)
    assert page_sized(page, scale=2) == (page, (0.0, 0.0))


@pytest.mark.parametrize("seen", [Label.TABLE, Label.PAGE_HEADER])
def test_vertical_lines_are_one_paragraph_of_text_whatever_was_seen(seen):
    columns = [
        PageLine(box, (Word(box, "水車小屋", 16, vertical=True),), TextSource.TEXT_LAYER, block=i)
        for i, box in enumerate(BBox(300 - 28 * k, 100, 316 - 28 * k, 300) for k in range(4))
    ]
    found = postprocess_layout([area(seen, 210, 95, 320, 305)], columns, SIZE)
    assert [(a.label, a.bbox) for a in found] == [(Label.TEXT, BBox(216, 100, 316, 300))]


def test_a_ruled_table_is_one_area_as_large_as_its_rules():
    cells = [BBox(x, y, x + 100, y + 20) for y in range(100, 180, 20) for x in (50, 150)]
    lines = [line("word", cell.x0 + 5, cell.y0 + 5, cell.x0 + 45) for cell in cells]
    cut = [area(Label.TABLE, 60, 122, 240, 175), area(Label.SECTION_HEADER, 55, 104, 200, 116)]
    found = postprocess_layout(cut, lines, SIZE, with_words([cells], lines))
    assert [(a.label, a.bbox) for a in found] == [(Label.TABLE, BBox(50, 100, 250, 180))]


def test_a_line_on_end_in_a_side_margin_is_a_running_header_as_a_whole():
    stamp, label = BBox(20, 200, 36, 600), BBox(25, 640, 40, 760)
    lines = [
        PageLine(box, (Word(box, "a stamp", 12),), TextSource.TEXT_LAYER, block=n)
        for n, box in enumerate((stamp, label))
    ]
    pieces = [area(Label.TEXT, 18, 350, 38, 600), area(Label.PICTURE, 10, 620, 590, 780)]
    found = postprocess_layout(pieces, [*lines, line("prose", 100, 100, 500, block=9)], SIZE)
    assert [(a.label, a.bbox) for a in found if a.label is not Label.TEXT] == [
        (Label.PICTURE, pieces[1].bbox),
        (Label.PAGE_HEADER, stamp),
    ]
