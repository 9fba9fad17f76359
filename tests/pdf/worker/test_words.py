"""What a page's text layer says, drawn in every way that PDFs have of saying it."""

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from deepcompress_dagster.pdf.messages import RenderRequest
from deepcompress_dagster.pdf.worker.document import open_document
from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.pdf.worker.render import render_page
from deepcompress_dagster.records import Word

NewPdf = Callable[..., Path]


def words_of(path: Path) -> tuple[Word, ...]:
    return render_page(open_document(path), RenderRequest(1, 72, 40_000_000, None)).words


def texts(words: Sequence[Word]) -> list[list[str]]:
    """The words of each line."""
    return [
        [word.text for word in line]
        for _, line in groupby(words, key=lambda word: (word.block, word.line))
    ]


def write(page: Any, x: float, y: float, *pieces: tuple[str, float, float]) -> None:
    """Pieces of a line one after the other: text, font size, rise in points."""
    for text, size, rise in pieces:
        page.insert_text((x, y - rise), text, fontsize=size)
        x += pymupdf.get_text_length(text, fontsize=size)


def test_superscripts_and_subscripts_are_words_of_their_own(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        write(page, 50, 100, ("rose to $320", 10, 0), ("1", 6, 3.6), (" per cask", 10, 0))
        write(page, 50, 130, ("H", 10, 0), ("2", 6, -2), ("SO", 10, 0), ("4", 6, -2))
        write(page, 50, 160, ("the 1", 10, 0), ("st", 6, 3.6), (" of May", 10, 0))

    words = words_of(new_pdf("a.pdf", draw))
    assert texts(words) == [
        ["rose", "to", "$320", "1", "per", "cask"],
        ["H", "2", "SO", "4"],
        ["the", "1st", "of", "May"],
    ]
    assert [word.text for word in words if word.rise > 0] == ["1"]
    assert [word.text for word in words if word.rise < 0] == ["2", "4"]
    assert [word.text for word in words if not word.spaced] == ["1", "2", "SO", "4"]
    price, mark = words[2:4]
    assert price.bbox.x1 <= mark.bbox.x0 + 0.5


def test_a_mark_drawn_after_the_table_goes_to_its_number(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        for i, number in enumerate(("250", "931")):
            page.insert_text((100, 100 + 20 * i), number, fontsize=9)
            page.insert_text((200, 100 + 20 * i), "oil", fontsize=9)
        page.insert_text((115.1, 96.7), "9", fontsize=5.5)

    words = words_of(new_pdf("a.pdf", draw))
    assert ["250", "9"] in texts(words)
    assert [word.text for word in words if word.rise] == ["9"]


def test_smaller_type_on_the_same_baseline_is_no_superscript(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        write(page, 50, 100, ("M", 12, 0), ("ILL", 9, 0), (" C", 12, 0), ("REEK", 9, 0))

    assert not any(word.rise for word in words_of(new_pdf("a.pdf", draw)))


def test_text_drawn_several_times_at_one_place_counts_once(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        for shift in (0, 0.3, 0.6):
            page.insert_text((50 + shift, 100), "Total due", fontsize=11)
        for shift, grey in ((1.2, 0.6), (0, 0)):
            page.insert_text((50 + shift, 140 + shift), "Shadowed", fontsize=18, color=3 * (grey,))
        page.insert_text((50, 180), "very very well", fontsize=11)

    words = words_of(new_pdf("a.pdf", draw))
    assert texts(words) == [["Total", "due"], ["Shadowed"], ["very", "very", "well"]]
    assert [word.bold for word in words] == [True, True, False, False, False, False]


def test_ticks_of_zapf_dingbats_are_ticks(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        page.insert_text((50, 100), "48", fontname="zadb")

    assert texts(words_of(new_pdf("a.pdf", draw))) == [["✔✘"]]


def test_glyph_names_of_an_encoding_are_no_numbers(tmp_path: Path) -> None:
    document = pymupdf.open()
    page = document.new_page()
    page.insert_text((50, 100), "AB", fontname="zadb")
    font = page.get_fonts()[0][0]
    document.xref_set_key(font, "Encoding", "<</Differences[65/a103/a19]>>")
    document.save(tmp_path / "a.pdf")
    assert texts(words_of(tmp_path / "a.pdf")) == [["❣✓"]]


def test_greek_of_the_symbol_font_is_greek(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        page.insert_text((50, 100), "abS", fontname="symb")

    assert texts(words_of(new_pdf("a.pdf", draw))) == [["αβΣ"]]


def test_a_vertical_column_is_one_word(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        for i, column in enumerate(("水車小屋は谷", "年から麦を挽")):
            for k, character in enumerate(column):
                page.insert_text(
                    (300 - 28 * i, 100 + 20 * k), character, fontsize=16, fontname="japan"
                )
        for k, character in enumerate("一二三"):
            page.insert_text((80, 300 + 30 * k), character, fontsize=11, fontname="japan")

    words = words_of(new_pdf("a.pdf", draw))
    assert [word.text for word in words if word.vertical] == ["水車小屋は谷", "年から麦を挽"]
    assert [word.text for word in words if not word.vertical] == ["一", "二", "三"]


@pytest.mark.parametrize(
    "line",
    [
        "כמה סירות עברו בסכר? 14 סירות ביום 3 במאי.",
        "לפי סעיף 15(ב)(4) לחוק",
        "מחיר 1,250.50 לחבית",
        "التاريخ ١٤ مايو ١٤٣٤ والمبلغ ٢٥٠ دينار.",
        "البرمجة بلغة R و Python اليوم",
        "שָׁלוֹם עוֹלָם, (WHO) קבע 50% ב-12/05/2020.",
        "قال مُحَمَّد إنّ السعر 1,250.50 دولار (تقريبًا) لا إله",
        "The word שלום means peace.",
    ],
)
def test_a_right_to_left_line_is_in_logical_order(new_pdf: NewPdf, line: str) -> None:
    def draw(page: Any) -> None:
        direction = "ltr" if line[0].isascii() else "rtl"
        page.insert_htmlbox((20, 60, 380, 120), f'<p dir="{direction}">{line}</p>')

    words = words_of(new_pdf("a.pdf", draw))
    assert " ".join(word.text for word in words) == line


def test_a_drop_cap_begins_its_first_word(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        page.insert_text((60, 130), "T", fontsize=36)
        page.insert_text((85, 112), "his release of the Bureau", fontsize=10)
        page.insert_text((85, 125), "of Labor Statistics holds", fontsize=10)
        page.insert_text((60, 143), "figures by month", fontsize=10)

    assert texts(words_of(new_pdf("a.pdf", draw))) == [
        ["This", "release", "of", "the", "Bureau"],
        ["of", "Labor", "Statistics", "holds"],
        ["figures", "by", "month"],
    ]


def tick(page: Any, x: float, y: float) -> None:
    page.draw_polyline([(x, y + 5), (x + 4, y + 9), (x + 11, y)], width=1.5)


def cross(page: Any, x: float, y: float) -> None:
    page.draw_line((x, y), (x + 9, y + 9))
    page.draw_line((x, y + 9), (x + 9, y))


def test_drawn_ticks_and_crosses_in_cells_and_boxes_are_words(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        for y in (50, 70, 90):
            page.draw_line((50, y), (250, y))
        for x in (50, 150, 250):
            page.draw_line((x, 50), (x, 90))
        page.insert_text((54, 64), "North", fontsize=9)
        page.insert_text((54, 84), "South", fontsize=9)
        tick(page, 190, 55)
        cross(page, 190, 75)
        page.draw_rect(pymupdf.Rect(50, 120, 64, 134))
        tick(page, 51, 122)
        page.insert_text((70, 131), "I agree", fontsize=9)

    words = words_of(new_pdf("a.pdf", draw))
    assert texts(words) == [["North"], ["South"], ["✓", "I", "agree"], ["✓"], ["✗"]]


def test_arrows_and_marks_outside_of_frames_are_no_words(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        tick(page, 300, 300)
        page.draw_rect(pymupdf.Rect(50, 50, 250, 250))
        cross(page, 100, 150)
        page.draw_rect(pymupdf.Rect(300, 50, 320, 70))
        page.draw_polyline([(305, 55), (312, 60), (305, 65)])

    assert words_of(new_pdf("a.pdf", draw)) == ()


def test_numbers_and_latin_words_set_into_a_vertical_column_are_part_of_it(
    new_pdf: NewPdf,
) -> None:
    def draw(page: Any) -> None:
        y = 60.0
        for character in "年か\t麦を挽く\n海まで":
            if character == "\t":
                page.insert_text((200, y), "12", fontsize=14)
            elif character == "\n":
                page.insert_text((204, y - 12), "Python", fontsize=16, rotate=270)
                y += pymupdf.get_text_length("Python", fontsize=16) - 15
            else:
                page.insert_text((200, y), character, fontsize=16, fontname="japan")
            y += 17

    (word,) = words_of(new_pdf("a.pdf", draw))
    assert (word.text, word.vertical) == ("年か12麦を挽くPython海まで", True)


def test_reading_aids_beside_their_words_are_left_out(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        page.insert_text((50, 100), "水車小屋は谷に", fontsize=16, fontname="japan")
        page.insert_text((52, 85), "すいしゃごや", fontsize=7, fontname="japan")
        page.insert_text((50, 140), "あとがき", fontsize=7, fontname="japan")

    assert texts(words_of(new_pdf("a.pdf", draw))) == [["水車小屋は谷に"], ["あとがき"]]


def test_accents_drawn_over_their_letters_are_part_of_them(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        x = 50.0
        for text, accent in (("The caf", ""), ("e", "\u00b4"), (" in Z", ""), ("u", "\u00a8")):
            width = pymupdf.get_text_length(text, fontsize=12)
            if accent:
                page.insert_text((x + 1, 100), accent, fontsize=12)
            page.insert_text((x, 100), text, fontsize=12)
            x += width
        page.insert_text((x, 100), "rich, rock \u00b4n\u00b4 roll", fontsize=12)

    assert texts(words_of(new_pdf("a.pdf", draw))) == [
        ["The", "café", "in", "Zürich,", "rock", "´n´", "roll"]
    ]


def test_a_symbol_is_a_word_apart_from_the_text_behind_it(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        page.insert_text((50, 100), "\u25cf", fontsize=12, fontname="japan")
        page.insert_text((66, 100), "Oars", fontsize=12)
        page.insert_text((50, 130), "D", fontname="symb", fontsize=12)
        page.insert_text((57.4, 130), "T is ", fontsize=12)

    assert texts(words_of(new_pdf("a.pdf", draw))) == [["●", "Oars"], ["ΔT", "is"]]


def test_digits_far_off_the_baseline_are_raised_whatever_their_size(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        write(page, 50, 100, ("rose to $320", 10, 0), ("1", 9, 3.3), (" a cask", 10, 0))
        write(page, 50, 130, ("or to $320", 10, 0), ("1", 10, 3), (" a cask", 10, 0))
        write(page, 50, 160, ("of m", 10, 0), ("2", 5, 5), (" with Na", 10, 0), ("+", 7, 3))

    raised = [word.text for word in words_of(new_pdf("a.pdf", draw)) if word.rise > 0]
    assert raised == ["1", "1", "2", "+"]


def test_a_superscript_over_a_subscript_follows_it(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        write(page, 50, 100, ("with SO", 10, 0), ("4", 6.5, -1.5))
        page.insert_text((88, 96.5), "2+", fontsize=6.5)
        page.insert_text((97, 100), " in it", fontsize=10)

    words = words_of(new_pdf("a.pdf", draw))
    assert len({(word.block, word.line) for word in words}) == 1
    assert [(word.text, word.rise, word.spaced) for word in words[2:4]] == [
        ("4", -1, False),
        ("2+", 1, False),
    ]
