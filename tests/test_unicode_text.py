import unicodedata

import pytest

from deepcompress_dagster.unicode_text import is_cjk, is_rtl, normalised, subscript, superscript


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("plain", "plain"),
        ("a\x00b\x07c\x9f", "abc"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("so\u00adft\u00ad", "soft-"),
        ("\u202emirror\u202c", "mirror"),
        ("\u0645\u06cc\u200c\u0634\u0648\u062f", "\u0645\u06cc\u200c\u0634\u0648\u062f"),
        ("\x01", ""),
    ],
)
def test_what_no_one_sees_is_dropped(raw, clean):
    assert normalised(raw) == clean


def test_decomposed_accents_are_composed():
    assert normalised(unicodedata.normalize("NFD", "Café über Đặng")) == "Café über Đặng"


@pytest.mark.parametrize(
    ("form", "letters"),
    [
        ("ﬁn", "fin"),
        ("\ufefb", "لا"),
        ("\ufedf\ufe98", "لت"),
        ("⼈⽇", "人日"),
        ("︒﹁", "。「"),
    ],
)
def test_presentation_forms_become_the_letters_they_stand_for(form, letters):
    assert normalised(form) == letters


def test_private_characters_are_known_ones_or_count_as_garbled():
    assert normalised("\uf0b7 \uf8eb \uf731") == "• ⎛ 1"
    assert normalised("\ue000\uf3ff") == "\ufffd\ufffd"


@pytest.mark.parametrize(
    ("text", "raised", "lowered"),
    [
        ("12", "¹²", "₁₂"),
        ("-2", "⁻²", "₋₂"),
        ("a", "ᵃ", "ₐ"),
        ("1,2", "^{1,2}", "_{1,2}"),
        ("TM", "™", "_{TM}"),
    ],
)
def test_superscripts_are_unicode_where_it_has_them(text, raised, lowered):
    assert (superscript(text), subscript(text)) == (raised, lowered)


def test_scripts_are_told_by_their_letters():
    assert all(map(is_cjk, "漢かカ。ー（"))
    assert not any(map(is_cjk, "a1한я("))
    assert is_rtl("סעיף 15")
    assert is_rtl("مايو")
    assert not is_rtl("plain Ж 漢")
