"""What is read again, and how it takes its place."""

import numpy as np
import pymupdf
import pytest

from deepcompress_dagster.models.cache import model_cache
from deepcompress_dagster.models.catalog import Task, spec_for
from deepcompress_dagster.models.predictor import Image, ReadText
from deepcompress_dagster.models.text.cascade import (
    SURE,
    cut,
    is_hard,
    unsure_pieces,
    with_pieces,
)
from deepcompress_dagster.models.text.ctc import DecodedLine, DecodedWord
from deepcompress_dagster.settings import OcrEffort, load_settings


def line(text: str) -> DecodedLine:
    """A line of words of five letters, of which those in capitals are sure."""
    words = tuple(
        DecodedWord(word, i * 0.1 + 0.01, i * 0.1 + 0.09, 0.99 if word.isupper() else SURE - 0.1)
        for i, word in enumerate(text.split())
    )
    return DecodedLine(text, 0.9, words)


def read(text: str, confidence: float = 0.98) -> DecodedLine:
    count = len(text.split())
    words = tuple(
        DecodedWord(word, i / count, (i + 1) / count, confidence)
        for i, word in enumerate(text.split())
    )
    return DecodedLine(text, confidence, words)


def test_neighbouring_unsure_words_are_one_piece_cut_at_the_gaps_around_them():
    pieces = unsure_pieces(line("AAAAA bbbbb ccccc DDDDD EEEEE fffff"))
    assert [(piece.first, piece.stop) for piece in pieces] == [(1, 3), (5, 6)]
    assert [(piece.start, piece.end) for piece in pieces] == [
        (pytest.approx(0.1), pytest.approx(0.3)),
        (pytest.approx(0.5), 1.0),
    ]
    assert pieces[0].confidence == pytest.approx(SURE - 0.1)


def test_a_sure_line_has_no_pieces_and_one_without_words_is_a_piece():
    assert unsure_pieces(line("AAAAA BBBBB")) == []
    (piece,) = unsure_pieces(DecodedLine("", 0.0, ()))
    assert (piece.start, piece.end, piece.confidence) == (0.0, 1.0, 0.0)


def test_a_line_that_is_mostly_unsure_is_one_piece():
    (piece,) = unsure_pieces(line("aaaaa bbbbb CCCCC ddddd"))
    assert (piece.first, piece.stop, piece.start, piece.end) == (0, 4, 0.0, 1.0)


@pytest.mark.parametrize("text", ["No.2026", "with_HIM", "I876", "END.The"])
def test_an_implausible_word_is_read_again_however_sure_it_is(text):
    (piece,) = unsure_pieces(read(f"AAAAA {text} BBBBB"))
    assert (piece.first, piece.stop, piece.confidence) == (1, 2, 0.0)


@pytest.mark.parametrize("text", ["1,234.50", "(19", "%)", "façade", "20-30", "EU's", "3rd"])
def test_a_plausible_word_stands(text):
    assert unsure_pieces(read(f"AAAAA {text} BBBBB")) == []


def test_what_was_read_of_the_pieces_takes_their_place_in_the_line():
    whole = line("AAAAA bbbbb CCCCC ddddd EEEEE")
    first, second = unsure_pieces(whole)
    mended = with_pieces(whole, [(first, read("be be")), (second, read("ded"))])
    assert mended.text == "AAAAA be be CCCCC ded EEEEE"
    starts = [word.start for word in mended.words]
    assert starts == sorted(starts)
    assert starts[1] == pytest.approx(first.start)
    assert mended.confidence == pytest.approx((15 * 0.99 + 7 * 0.98) / 22)


def test_a_piece_has_pixels_however_small_it_is():
    image = np.zeros((4, 3, 3), np.uint8)
    (piece,) = unsure_pieces(line("AAAAA " * 9 + "bbbbb"))
    assert cut(image, piece).size > 0


def test_a_crop_is_hard_when_a_fifth_of_it_is_unsure_or_nothing_was_read():
    sure = line("AAAAA BBBBB CCCCC DDDDD EEEEE")
    assert not is_hard([sure])
    assert not is_hard([line("AAAAA BBBBB CCCCC DDDDD eeeee")])
    assert is_hard([sure, line("aaaaa bbbbb")])
    assert is_hard([DecodedLine("", 0.0, ())])
    assert not is_hard([])


def test_a_crop_of_long_lines_is_hard_when_half_of_it_is_unsure():
    third, most = line("AAAAA BBBBB CCCCC DDDDD eeeee fffff"), line("AAAAA bbbbb ccccc ddddd eeeee")
    assert not is_hard([third, third])
    assert is_hard([most, most])
    short = line("AAAAA BBBBB ccccc")
    assert is_hard([short, short])


def reading(image: Image, effort: str) -> ReadText:
    """What the models of the models folder read."""
    spec = spec_for(load_settings(text="ppocrv6", ocr_effort=effort), Task.TEXT)
    assert spec is not None
    (found,) = model_cache().get(spec).predict([image])
    return found


def page(*texts: str, font: str = "helv") -> Image:
    with pymupdf.open() as document:
        sheet = document.new_page(width=420, height=40 + 30 * len(texts))
        for number, text in enumerate(texts):
            sheet.insert_text((30, 40 + 30 * number), text, fontsize=13, fontname=font)
        pixmap = sheet.get_pixmap(dpi=144)
        pixels = np.frombuffer(pixmap.samples, np.uint8)
        return pixels.reshape(pixmap.height, pixmap.width, 3).copy()


@pytest.mark.models
def test_efforts_name_the_reader_of_each_line():
    clean = page("The committee met on Tuesday", "and agreed to all of the points")
    readers = {
        effort: {line.reader for line in reading(clean, effort).lines} for effort in OcrEffort
    }
    assert readers == {"fast": {"tiny"}, "balanced": {"tiny"}, "best": {"small"}}


@pytest.mark.models
def test_lines_in_a_script_that_the_tiny_reader_lacks_are_read_by_the_small_one():
    kana = page("ひらがなとカタカナをよむ", "これはにほんごのぶんです", font="japan")
    found = reading(kana, "balanced")
    assert [line.text for line in found.lines] == [
        "ひらがなとカタカナをよむ",
        "これはにほんごのぶんです",
    ]
    assert {line.reader for line in found.lines} == {"small"}
    assert [line.text for line in reading(kana, "fast").lines] != [
        line.text for line in found.lines
    ]


@pytest.mark.models
def test_a_blank_that_the_tiny_reader_loses_is_found_again_and_the_line_says_by_whom():
    texts = (
        "Order No. 2026-0417",
        "The bookkeeper will call all 33 offices on Tuesday.",
        "Payment is due within 30 days of the invoice date.",
    )
    fast, balanced = (reading(page(*texts), effort) for effort in ("fast", "balanced"))
    assert fast.lines[0].text == "Order No.2026-0417"
    assert [line.text for line in balanced.lines] == list(texts)
    assert balanced.lines[0].reader == "tiny+small"
    assert len(balanced.words) == sum(len(text.split()) for text in texts)
