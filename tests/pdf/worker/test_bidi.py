"""Logical order from the places of glyphs, as different producers leave them."""

import pytest

from deepcompress_dagster.pdf.worker.bidi import Glyph, logical_order, without_thin


def placed(visual: str) -> list[Glyph]:
    """Glyphs from left to right, one unit wide each."""
    return [Glyph(text, i, i + 1, 0, 1) for i, text in enumerate(visual)]


def read(visual: str) -> str:
    return "".join(glyph.text for glyph in logical_order(placed(visual)))


@pytest.mark.parametrize(
    ("visual", "logical"),
    [
        ("plain text, 12", "plain text, 12"),
        (".םלוע םולש", "שלום עולם."),
        ("קוחל (4)(ב)15 ףיעס", "סעיף 15(ב)(4) לחוק"),
        ("קוחל )4()ב(15 ףיעס", "סעיף 15(ב)(4) לחוק"),
        ("%50 וא 1,250.50", "1,250.50 או %50"),
        ("2.5- אוה -2.5 הככ", "ככה -2.5 הוא -2.5"),
        ("Python 3 הצופנ תונכת תפש", "שפת תכנות נפוצה Python 3"),
        ("they say םלוע םולש twice", "they say שלום עולם twice"),
        (
            ".14:30 ב John Smith לא report-2024.pdf ץבוק",
            "קובץ report-2024.pdf אל John Smith ב 14:30.",
        ),
        ("%١٥ ةبسن", "نسبة ١٥%"),
        ("%15 ةبسن", "نسبة 15%"),
    ],
)
def test_a_visual_line_is_put_into_the_order_in_which_it_is_read(visual, logical):
    assert read(visual) == logical


def test_letters_of_a_ligature_stand_at_either_end_of_it():
    before = [Glyph("ا", 9, 9, 0, 1), Glyph("ل", 5, 9, 0, 1), Glyph("خ", 2, 5, 0, 1)]
    over = [Glyph("ل", 5, 9, 0, 1), Glyph("ا", 5, 5, 0, 1), Glyph("ر", 2, 5, 0, 1)]
    assert [glyph.text for glyph in without_thin(before)] == ["لا", "خ"]
    assert [glyph.text for glyph in without_thin(over)] == ["لا", "ر"]


def test_marks_stand_on_their_letter():
    marked = [Glyph("ש", 4, 5, 0, 1), Glyph("ׁ", 4.5, 4.5, 0, 1), Glyph("ל", 3, 4, 0, 1)]
    assert [glyph.text for glyph in without_thin(marked)] == ["שׁ", "ל"]


def test_a_second_vowel_belongs_to_the_next_letter():
    """A letter with its vowel may be one glyph: the vowel comes first, at its right edge."""
    glyphs = [("מ", 4, 5), ("\u05b7", 4, 4), ("\u05b4", 4, 4), ("י", 3, 4)]
    marked = [Glyph(text, x0, x1, 0, 1) for text, x0, x1 in glyphs]
    assert [glyph.text for glyph in without_thin(marked)] == ["מ\u05b7", "י\u05b4"]
