import pytest

from deepcompress_dagster.pipeline.numbering import section_number


@pytest.mark.parametrize(
    ("text", "parts", "depth"),
    [
        ("6.1.2 Names", (6, 1, 2), 3),
        ("6. Names", (6,), 1),
        ("4) Names", (4,), 1),
        ("Chapter 7 Names", (7,), 1),
        ("Appendix A", (1,), 1),
        ("A.2 Names", (1, 2), 2),
        ("\uff16\uff0e\uff11\u3000船舶", (6, 1), 2),
        ("1.2引言", (1, 2), 2),
        ("第6章 船舶", (6,), 1),
        ("第\uff16章 船舶", (6,), 1),
        ("第十二节 材料", (12,), 2),
        ("第二十章", (20,), 1),
        ("第3編 港", (3,), 0),
        ("제2절 자료", (2,), 2),
    ],
)
def test_the_number_of_a_heading_is_read(text, parts, depth):
    number = section_number(text)
    assert number is not None
    assert (number.parts, number.depth) == (parts, depth)


@pytest.mark.parametrize("text", ["Names", "2024", "A guide to names", "3.5kg of flour", "第一次"])
def test_other_text_has_no_number(text):
    assert section_number(text) is None
