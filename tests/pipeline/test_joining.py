import pytest

from deepcompress_dagster.pipeline.joining import joined, line_text, vocabulary_of
from deepcompress_dagster.records import BBox, Word


def word(text: str, x: float = 0, width: float = 10, **more: object) -> Word:
    return Word(BBox(x, 0, x + width, 10), text, 10, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["the ice had bro-", "ken"], "the ice had broken"),
        (["Schiff-", "fahrt"], "Schifffahrt"),
        (["the well-", "known man"], "the well-known man"),
        (["self-", "made"], "self-made"),
        (["mother-in-", "law"], "mother-in-law"),
        (["an e-", "mail"], "an e-mail"),
        (["Anglo-", "Saxon"], "Anglo-Saxon"),
        (["in 1998-", "2003"], "in 1998-2003"),
        (["1998–", "2003"], "1998–2003"),
        (["RX-", "77"], "RX-77"),
        (["Vor-", "und Nachteile"], "Vor- und Nachteile"),
        (["the A-", "B test"], "the A- B test"),
        (["so -", "he said"], "so - he said"),
        (["-", "5"], "- 5"),
        (["", "alone", ""], "alone"),
    ],
)
def test_hyphens_of_line_breaks_go_and_those_of_compounds_stay(lines, text):
    assert joined(lines) == text


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (
            ["at https://a.example/annual/", "2024/of-it.html now"],
            "https://a.example/annual/2024/of-it.html now",
        ),
        (["at http://a.example/lock-", "boats?y=1, or"], "http://a.example/lock-boats?y=1, or"),
        (["at https://a.example/lock", "/boats now"], "https://a.example/lock/boats now"),
        (["see www.a.example/", "and more"], "www.a.example/ and more"),
        (["to keeper.of-", "lock@a.example for"], "keeper.of-lock@a.example for"),
        (["doi:10.1000/182.abc-", "def.20 as"], "doi:10.1000/182.abc-def.20 as"),
        (["at https://a.example.", "Then see"], "https://a.example. Then see"),
        (["re-", "elected"], "re-elected"),
        (["re-", "moved"], "removed"),
    ],
)
def test_addresses_broken_behind_a_sign_are_whole(lines, text):
    assert joined(lines).endswith(text)


def test_the_other_words_of_the_page_decide_about_a_hyphen():
    known = vocabulary_of(["a long-term view", "the database holds a data-", "base"])
    assert joined(["long-", "term"], known) == "long-term"
    assert joined(["data-", "base"], known) == "database"
    assert joined(["well-", "being"], vocabulary_of(["wellbeing"])) == "wellbeing"


def test_chinese_and_japanese_lines_join_without_a_blank_and_korean_ones_with_one():
    assert joined(["自大洪水那年以来一直", "在磨黑麦"]) == "自大洪水那年以来一直在磨黑麦"
    assert joined(["ライ麦と大", "麦を。", "「次"]) == "ライ麦と大麦を。「次"
    assert joined(["물레방아는", "강에"]) == "물레방아는 강에"
    assert joined(["使用", "Python"]) == "使用 Python"


def test_spaced_cjk_characters_of_one_word_have_no_blank_and_words_set_apart_have_one():
    assert line_text([word("目"), word("录", 25)]) == "目录"
    assert line_text([word("第一章", 0, 30), word("总则", 50, 20)]) == "第一章 总则"


def test_superscripts_are_marked_and_stand_apart_from_numbers_where_that_is_asked_for():
    price = [word("$320"), word("1", 10, 3, rise=1, spaced=False), word("per", 20)]
    power = [word("10"), word("6", 10, 3, rise=1, spaced=False)]
    oxide = [word("CO"), word("2", 10, 3, rise=-1, spaced=False), word("gas", 20)]
    assert line_text(price) == "$320¹ per"
    assert line_text(price, apart=True) == "$320 ¹ per"
    assert line_text(power, apart=True) == "10⁶"
    assert line_text(oxide, apart=True) == "CO₂ gas"
