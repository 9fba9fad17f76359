import pytest

from deepcompress_dagster.models.predictor import ReadText
from deepcompress_dagster.pipeline.hidden_text import (
    SAMPLE_LINES,
    is_contradicted,
    mixes_scripts,
    sample,
)
from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.records import BBox, TextLine, TextSource, Word

TRUE = "The mill stands where the river leaves"
WRONG = "Thc mi11 stsnds whcre thc r1ver 1eavcs"


def line(text: str, y: float = 0) -> PageLine:
    box = BBox(0, y, 100, y + 10)
    return PageLine(box, tuple(Word(box, piece) for piece in text.split()), TextSource.TEXT_LAYER)


def read(text: str, confidence: float = 0.97) -> ReadText:
    return ReadText((TextLine(BBox(0, 0, 100, 10), text, confidence),))


def test_a_sample_is_spread_over_the_page_and_takes_long_lines():
    lines = [line("a short one" if n % 5 else TRUE, y=12 * n) for n in range(60)]
    chosen = sample(lines)
    assert len(chosen) == SAMPLE_LINES
    assert {found.text for found in chosen} == {TRUE}
    assert chosen[0].bbox.y0 < 120
    assert chosen[-1].bbox.y0 >= 600


def test_lines_in_scripts_that_no_model_must_read_are_not_sampled():
    assert sample([line("Мельница стоит у реки"), line("12"), line("- - - - - - - - - -")]) == []


@pytest.mark.parametrize(
    ("layer", "again", "contradicted"),
    [
        ([TRUE] * 6, [read(TRUE)] * 6, False),
        ([WRONG] * 6, [read(TRUE)] * 6, True),
        ([WRONG, *[TRUE] * 5], [read(TRUE)] * 6, False),
        ([WRONG] * 6, [read(TRUE, 0.7)] * 6, False),
        ([WRONG] * 6, [read(TRUE), read(TRUE), *[None] * 4], False),
        ([WRONG] * 6, [ReadText(())] * 6, False),
        ([WRONG], [read(TRUE)], True),
        ([TRUE.upper()] * 3, [read(TRUE)] * 3, False),
    ],
    ids=[
        "same",
        "wrong",
        "one line wrong",
        "read without certainty",
        "too few read",
        "nothing read",
        "one line on the page",
        "other case",
    ],
)
def test_a_layer_stands_unless_most_lines_read_again_say_otherwise(layer, again, contradicted):
    assert is_contradicted([line(text) for text in layer], again) is contradicted


def test_words_of_two_scripts_tell_a_layer_that_was_read_in_the_wrong_language():
    cyrillic = str.maketrans("aeopc", "\u0430\u0435\u043e\u0440\u0441")
    russian = "\u041c\u0435\u043b\u044c\u043d\u0438\u0446\u0430 \u0443 \u0440\u0435\u043a\u0438"
    assert mixes_scripts([line(TRUE.translate(cyrillic))])
    assert not mixes_scripts([line(TRUE), line(f"{russian} and USB")])
