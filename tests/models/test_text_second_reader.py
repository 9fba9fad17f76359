"""Lines of scripts that PP-OCR was not taught: which are handed on, and what comes back."""

import sys
from collections.abc import Sequence

import numpy as np
import pymupdf
import pytest

from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.models.text.ctc import DecodedLine
from deepcompress_dagster.models.text.detection import LineBox
from deepcompress_dagster.models.text.second_reader import LineReading, Reread, reread
from deepcompress_dagster.models.text.tesseract import TesseractReader

PAGE = np.full((400, 1000, 3), 255, np.uint8)

RUSSIAN = (
    "Мельница стоит там, где река выходит из ущелья,",
    "и мелет рожь и ячмень с года великого потопа.",
    "Колесо медленно вращается в сухие месяцы.",
)


def reading(text: str, confidence: float, row: int = 0, width: float = 900.0) -> LineReading:
    box = LineBox(500, 20 + 40 * row, width, 30, 0.0, 0.9)
    return LineReading(box, 0, DecodedLine(text, confidence, ()))


class Recorder:
    """Reads ``text`` in every line and remembers how many lines it was shown."""

    def __init__(self, text: str, confidence: float = 0.9, script: str | None = "Cyrillic"):
        self._line = DecodedLine(text, confidence, ())
        self._script = script
        self.shown = 0

    def read(self, lines: Sequence[Image]) -> Reread:
        self.shown += len(lines)
        return Reread((self._line,) * len(lines), self._script, "a note")


def test_lines_of_which_nearly_nothing_was_read_are_read_again():
    clean = reading("a line of English that is long enough to be sure of itself", 0.98, 0)
    second = Recorder("по-русски")
    readings = [clean, reading(". , -", 0.9, 1), reading("", 0.0, 2)]
    found, note = reread(PAGE, readings, second)
    assert [r.line.text for r in found] == [clean.line.text, "по-русски", "по-русски"]
    assert note == "a note"


@pytest.mark.parametrize(
    "readings",
    [
        [],
        [reading("a line of English that is long enough to be sure of itself", 0.97)],
        [
            reading(
                "自大洪水那年以来一直在磨黑麦和大麦旱季的时候水轮转得很慢磨坊主为那些日子准备", 0.95
            )
        ],
        [reading("....................... 17", 0.93), reading("12.50", 0.9, 1, width=60)],
        [reading("a line of English that is long enough", 0.97, i) for i in range(20)]
        + [reading("", 0.0, 21)],
    ],
)
def test_a_page_that_was_read_is_left_alone(readings):
    second = Recorder("other")
    assert reread(PAGE, readings, second) == (readings, None)
    assert second.shown == 0


def test_unsure_lines_stay_where_the_second_reader_is_no_surer():
    unsure = [reading("λ τται ε πυ πτι βγανι απ τ αγγι αι αλει σαλη", 0.8, i) for i in range(3)]
    assert reread(PAGE, unsure, Recorder("x", 0.7, None)) == (unsure, None)
    found, _ = reread(PAGE, unsure, Recorder("ο μύλος", 0.9, "Greek"))
    assert [r.line.text for r in found] == ["ο μύλος"] * 3


def lines_of(texts: Sequence[str], direction: str = "ltr") -> list[Image]:
    """Each text drawn on a strip of its own at 144 dpi."""
    strips = []
    for text in texts:
        document = pymupdf.open()
        page = document.new_page(width=420, height=22)
        page.insert_htmlbox((4, 2, 416, 22), f'<p dir="{direction}" style="margin:0">{text}</p>')
        pixmap = page.get_pixmap(dpi=144)
        strips.append(
            np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3)
        )
    return strips


def test_without_the_extra_the_note_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tesserocr", None)
    found = TesseractReader().read([PAGE] * 3)
    assert found.lines == (None, None, None)
    assert found.note is not None
    assert "3 lines" in found.note
    assert "deepcompress-dagster[tesseract]" in found.note


def test_without_language_data_the_note_names_them_and_the_setting(tmp_path):
    pytest.importorskip("tesserocr", reason="the extra tesseract is not installed")
    found = TesseractReader(tmp_path).read([PAGE])
    assert found.lines == (None,)
    assert found.note is not None
    assert "DEEPCOMPRESS_TESSDATA" in found.note


@pytest.fixture
def tesseract() -> TesseractReader:
    pytest.importorskip("tesserocr", reason="the extra tesseract is not installed")
    reader = TesseractReader()
    if reader._folder is None or not {"osd", "rus"} <= reader._installed:
        pytest.skip("Tesseract's data for Russian are not installed")
    return reader


def test_russian_lines_are_told_and_read(tesseract):
    found = tesseract.read(lines_of(RUSSIAN))
    assert found.script == "Cyrillic"
    assert [line and line.text for line in found.lines] == list(RUSSIAN)
    words = [word for line in found.lines if line for word in line.words]
    assert [word.text for word in words] == " ".join(RUSSIAN).split()
    assert all(0 <= word.start < word.end <= 1 for word in words)


def test_a_script_without_its_language_is_named(tesseract):
    if {"tha", "script/Thai"} & tesseract._installed:
        pytest.skip("Tesseract's data for Thai are installed")
    thai = ("โรงสีตั้งอยู่ตรงที่แม่น้ำไหลออกจากหุบเขา", "และได้บดข้าวไรย์และข้าวบาร์เลย์มาตั้งแต่ปี") * 2
    found = tesseract.read(lines_of(thai))
    assert found.script == "Thai"
    assert found.note is not None
    assert "(Thai); install Tesseract's data for tha" in found.note
