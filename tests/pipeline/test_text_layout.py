from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from deepcompress_dagster.pdf.messages import RenderRequest
from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.pdf.worker.render import render_page
from deepcompress_dagster.pipeline.page_view import PageView, upright_view
from deepcompress_dagster.pipeline.text_layout import TEXT_LAYER, text_areas
from deepcompress_dagster.records import Label

DPI = 72.0
PROSE = (
    "The mill stands where the river leaves the gorge, and has",
    "ground rye and barley since the year of the great flood. Its",
    "wheel turns slowly in the dry months and fast in spring.",
)


def write(page: Any, x: float, y: float, text: str, size: float = 11, font: str = "helv") -> None:
    page.insert_text((x, y), text, fontsize=size, fontname=font)


def prose(page: Any, x: float = 60, y: float = 120, size: float = 11) -> None:
    for n, text in enumerate(PROSE):
        write(page, x, y + 1.25 * size * n, text, size)


def page_with(tmp_path, draw: Callable[[Any], None]) -> PageView:
    document = pymupdf.open()
    page = document.new_page(width=450, height=600)
    draw(page)
    opened = pymupdf.open("pdf", document.tobytes())
    buffer = tmp_path / "pixels"
    buffer.touch()
    content = render_page(opened, RenderRequest(1, DPI, 10_000_000, buffer))
    pixels = np.frombuffer(buffer.read_bytes(), np.uint8)
    shape = (content.pixel_height, content.pixel_width, 3)
    return upright_view(content, pixels.reshape(shape), turn=0)


def told(view: PageView) -> list[tuple[Label, str]] | None:
    areas = text_areas(view)
    return None if areas is None else [(area.label, area.text) for area in areas]


def report(page: Any) -> None:
    write(page, 60, 40, "Mills of the north", 9)
    write(page, 380, 40, "17", 9)
    write(page, 60, 90, "2.1 The wheel", 14, "hebo")
    prose(page)
    prose(page, y=180)
    write(page, 215, 570, "17 / 90", 9)


def test_paragraphs_under_a_heading_need_no_model(tmp_path):
    view = page_with(tmp_path, report)
    assert told(view) == [
        (Label.PAGE_HEADER, "Mills of the north"),
        (Label.PAGE_HEADER, "17"),
        (Label.SECTION_HEADER, "2.1 The wheel"),
        (Label.TEXT, " ".join(PROSE)),
        (Label.TEXT, " ".join(PROSE)),
        (Label.PAGE_FOOTER, "17 / 90"),
    ]
    assert {(area.model, area.score) for area in text_areas(view) or ()} == {(TEXT_LAYER, 0.0)}


def test_the_points_of_a_list_and_a_note_stand_for_themselves(tmp_path):
    def draw(page: Any) -> None:
        prose(page, y=60)
        for n, text in enumerate(("1. stone, of the upper gorge,", "cut by hand", "2. oak")):
            write(page, 60 if text[0].isdecimal() else 74, 120 + 14 * n, text)
        prose(page, y=180)
        write(page, 60, 540, "1 After the flood of 1744.", 8)
        write(page, 60, 550, "2 In dry years.", 8)

    assert [text for label, text in told(page_with(tmp_path, draw)) or () if label] == [
        " ".join(PROSE),
        "1. stone, of the upper gorge, cut by hand",
        "2. oak",
        " ".join(PROSE),
        "1 After the flood of 1744.",
        "2 In dry years.",
    ]


def test_double_spaced_lines_are_one_paragraph_and_short_ones_are_not(tmp_path):
    def draw(page: Any) -> None:
        for n, text in enumerate((*PROSE[:2], *PROSE[:2])):
            write(page, 60, 60 + 27 * n, text)
        for n, text in enumerate(("Orla Quillfeather", "Weir Lane", "The Gorge")):
            write(page, 60, 250 + 27 * n, text)

    expected = [" ".join((*PROSE[:2], *PROSE[:2])), "Orla Quillfeather", "Weir Lane", "The Gorge"]
    assert [text for _, text in told(page_with(tmp_path, draw)) or ()] == expected


def test_a_rule_across_a_page_and_a_frame_around_a_paragraph_leave_it_plain(tmp_path):
    def draw(page: Any) -> None:
        report(page)
        page.draw_line((60, 48), (390, 48))
        page.draw_rect((50, 165, 400, 220), width=0.5)

    assert told(page_with(tmp_path, draw)) == told(page_with(tmp_path, report))


def test_a_blank_page_has_no_regions_and_needs_no_model(tmp_path):
    assert text_areas(page_with(tmp_path, lambda page: None)) == []
    assert text_areas(page_with(tmp_path, lambda page: page.draw_line((9, 9), (9, 12)))) is None


def a_picture(page: Any) -> None:
    pixels = np.full((40, 60, 3), 180, np.uint8).tobytes()
    page.insert_image((60, 300, 200, 390), pixmap=pymupdf.Pixmap(pymupdf.csRGB, 60, 40, pixels, 0))


def a_panel(page: Any) -> None:
    page.draw_rect((50, 300, 400, 330), color=None, fill=(0.9, 0.9, 0.9))


def columns_of_figures(page: Any) -> None:
    for n in range(3):
        write(page, 60, 300 + 14 * n, f"Barley {n}")
        write(page, 300, 300 + 14 * n, f"1{n}4")


def narrow_columns(page: Any) -> None:
    for n, words in enumerate((("oak", "of the gorge"), ("elm", "from Aske"), ("ash", "of Thorn"))):
        for x, text in zip((60, 89), words, strict=True):
            write(page, x, 300 + 14 * n, text)


def white_text(page: Any) -> None:
    page.insert_text((60, 222), "The sum is one crown", fontsize=11, color=(1, 1, 1))


def tiny_text(page: Any) -> None:
    write(page, 60, 222, "The sum is one crown", 0.5)


def a_sum(page: Any) -> None:
    write(page, 60, 300, "Paid in all")
    write(page, 300, 300, "1,204.00")


def columns_of_prose(page: Any) -> None:
    for x, shift in ((60, 0), (240, 6)):
        for n, text in enumerate(PROSE):
            write(page, x, 300 + shift + 14 * n, text, 5)


def empty_boxes(page: Any) -> None:
    for x in (50, 200):
        page.draw_rect((x, 400, x + 150, 420), width=0.5)


def a_caption(page: Any) -> None:
    write(page, 60, 300, "Figure 3. The upper wheel")


def contents(page: Any) -> None:
    for n in range(3):
        write(page, 60, 300 + 14 * n, f"The wheel {'.' * 40} {n}")


def a_field(page: Any) -> None:
    widget = pymupdf.Widget()
    widget.field_name, widget.field_type = "name", pymupdf.PDF_WIDGET_TYPE_TEXT
    widget.rect = pymupdf.Rect(60, 300, 200, 320)
    page.add_widget(widget)


@pytest.mark.parametrize(
    "more",
    [
        a_picture,
        a_panel,
        columns_of_figures,
        narrow_columns,
        white_text,
        tiny_text,
        a_sum,
        columns_of_prose,
        empty_boxes,
        a_caption,
        contents,
        a_field,
    ],
)
def test_a_page_that_shows_more_than_paragraphs_is_left_to_the_model(tmp_path, more):
    def draw(page: Any) -> None:
        report(page)
        more(page)

    assert text_areas(page_with(tmp_path, draw)) is None


def test_a_page_without_a_text_layer_is_left_to_the_model(tmp_path):
    assert text_areas(page_with(tmp_path, a_picture)) is None


def test_capitals_and_roman_numbers_set_a_heading_off_and_a_footer_may_have_two_rows(tmp_path):
    def draw(page: Any) -> None:
        write(page, 60, 60, "THE LOWER LOCK")
        prose(page, y=80)
        write(page, 60, 150, "II. The wheel", font="hebo")
        prose(page, y=170)
        write(page, 60, 560, "Page 12 of 40", 9)
        write(page, 215, 572, "- 12 -", 9)

    found = told(page_with(tmp_path, draw)) or []
    assert [text for label, text in found if label is Label.SECTION_HEADER] == [
        "THE LOWER LOCK",
        "II. The wheel",
    ]
    assert [text for label, text in found if label is Label.PAGE_FOOTER] == [
        "Page 12 of 40",
        "- 12 -",
    ]
