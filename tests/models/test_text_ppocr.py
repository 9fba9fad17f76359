import math
import threading

import cv2
import numpy as np
import pymupdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcompress_dagster.models.cache import model_cache
from deepcompress_dagster.models.cancellation import Cancelled, cancel_when
from deepcompress_dagster.models.catalog import Task, spec_for
from deepcompress_dagster.models.predictor import Image, ModelError, ReadText
from deepcompress_dagster.models.text import ppocr
from deepcompress_dagster.models.text.ctc import decode, first_steps
from deepcompress_dagster.models.text.detection import GROWTH, LineBox, cut_out, find_lines
from deepcompress_dagster.models.text.ppocr import LineReader, PPOCRPredictor
from deepcompress_dagster.models.text.ppocr_onnx import PPOCROnnxPredictor
from deepcompress_dagster.models.text.rows import reading_order
from deepcompress_dagster.settings import load_settings

CHARACTERS = ["", "a", "b", "c", " "]


def decoded(spelled: str, length: float | None = None):
    """Decode steps written as letters, with ``-`` for the blank class."""
    classes = np.array(["-abc ".index(letter) for letter in spelled])
    steps = first_steps(classes)
    sure = np.linspace(0.5, 1.0, len(steps), dtype=np.float32)
    return decode(classes, steps, sure, CHARACTERS, length or len(classes))


@pytest.mark.parametrize(
    ("spelled", "text"),
    [
        ("aaa", "a"),
        ("a-a", "aa"),
        ("-ab-bc-", "abbc"),
        ("ab c", "ab c"),
        ("- a-  -b -", "a b"),
        ("----", ""),
        ("", ""),
    ],
)
def test_steps_become_text(spelled, text):
    assert decoded(spelled).text == text


def test_confidence_is_the_mean_over_the_characters_and_zero_without_any():
    assert decoded("a-b-c").confidence == pytest.approx(0.75)
    assert decoded("---").confidence == 0.0


def test_words_lie_where_their_steps_are():
    words = decoded("-aab-  -cc-").words
    assert [(word.text, word.start, word.end) for word in words] == [
        ("ab", pytest.approx(1 / 11), pytest.approx(4 / 11)),
        ("c", pytest.approx(8 / 11), pytest.approx(10 / 11)),
    ]


def test_padding_takes_no_part_of_a_line():
    (word,) = decoded("-aab------", length=5).words
    assert (word.start, word.end) == (pytest.approx(0.2), pytest.approx(0.8))
    assert decoded("---a", length=2).words[0].end == 1.0


def bar(shape, x, y, width, height, angle=0.0, value=0.9):
    probability = np.zeros(shape, np.float32)
    corners = cv2.boxPoints(((x, y), (width, height), angle))
    cv2.fillPoly(probability, [np.round(corners).astype(np.int32)], value)
    return probability


def test_a_core_grows_on_each_side_by_its_area_over_its_perimeter():
    (box,) = find_lines(bar((100, 300), 150, 50, 120, 10))
    growth = GROWTH * 120 * 10 / (2 * 130)
    assert (box.x, box.y, box.angle) == (150, 50, 0)
    assert box.width == pytest.approx(120 + 2 * growth)
    assert box.height == pytest.approx(10 + 2 * growth)
    assert box.score == pytest.approx(0.9)


def test_specks_and_faint_cores_are_no_text():
    assert find_lines(bar((50, 50), 20, 20, 2, 2)) == []
    assert find_lines(bar((50, 90), 45, 20, 40, 8, value=0.4)) == []


@pytest.mark.parametrize("angle", [-20.0, -3.0, 2.0, 30.0])
def test_a_long_core_tells_its_slant(angle):
    (box,) = find_lines(bar((300, 400), 200, 150, 200, 12, angle))
    assert box.angle == pytest.approx(angle, abs=1)
    assert (box.x, box.y) == (pytest.approx(200, abs=1), pytest.approx(150, abs=1))


def test_a_short_core_shares_the_slant_of_the_long_ones():
    slanted = bar((300, 400), 200, 100, 250, 12, angle=5)
    word = bar((300, 400), 150, 200, 24, 12)
    boxes = find_lines(np.maximum(slanted, word))
    assert [box.angle for box in boxes] == [pytest.approx(5, abs=0.5)] * 2


@pytest.mark.parametrize("angle", [0.0, 7.0, -25.0])
def test_a_slanted_line_is_cut_out_straight(angle):
    page = np.full((200, 300, 3), 255, np.uint8)
    page[bar((200, 300), 150, 100, 160, 20, angle) > 0] = 0
    line = cut_out(page, LineBox(150, 100, 180, 40, angle, 1.0))
    assert line.shape == (40, 180, 3)
    assert line[16:24, 20:160].max() == 0
    assert line[:6].min() == 255 == line[-6:].min()


def test_a_box_beyond_the_image_still_gives_pixels():
    page = np.zeros((20, 30, 3), np.uint8)
    for x, y in [(-50, -50), (100, 100), (15, 10)]:
        assert cut_out(page, LineBox(x, y, 8, 4, 0.0, 1.0)).size > 0


@pytest.mark.parametrize(
    ("turn", "expected"),
    [(0, (20, 40, 45, 60)), (90, (20, 40, 100, 45)), (270, (20, 55, 100, 60))],
)
def test_the_first_quarter_of_a_line_lies_where_it_is_read_first(turn, expected):
    part = LineBox(60, 50, 80, 20, 0.0, 1.0).part(0, 0.3125 if turn == 0 else 0.25, turn)
    assert part.bounds == pytest.approx(expected)


def test_a_part_of_a_slanted_line_stays_on_the_line():
    line = LineBox(100, 100, 200, 10, 30.0, 1.0)
    part = line.part(0.75, 1.0, 0)
    assert part.x == pytest.approx(100 + 75 * math.cos(math.radians(30)))
    assert part.y == pytest.approx(100 + 75 * math.sin(math.radians(30)))


def line_at(x, y, width=80.0, height=10.0, angle=0.0):
    return LineBox(x, y, width, height, angle, 1.0)


def test_rows_are_read_from_left_to_right_and_from_top_to_bottom():
    boxes = [line_at(200, 52), line_at(60, 20), line_at(60, 50), line_at(200, 18)]
    assert reading_order(boxes) == [1, 3, 2, 0]


def test_a_slanted_row_stays_one_row():
    slope = math.tan(math.radians(4))
    boxes = [line_at(x, 50 + slope * x, angle=4.0) for x in (700, 100, 400)]
    below = [line_at(x, 65 + slope * x, angle=4.0) for x in (400, 700, 100)]
    assert reading_order([*boxes, *below]) == [1, 2, 0, 5, 3, 4]


@pytest.mark.parametrize(("turn", "order"), [(90, [2, 3, 0, 1]), (270, [1, 0, 3, 2])])
def test_lines_down_and_up_the_page_are_read_column_by_column(turn, order):
    boxes = [line_at(x, y, 10, 80) for x in (20, 50) for y in (60, 200)]
    assert reading_order(boxes, turn) == order


@given(
    st.lists(st.tuples(*[st.floats(0, 500)] * 2, *[st.floats(1, 200)] * 2, st.floats(-45, 45))),
    st.sampled_from([0, 90, 270]),
)
def test_every_line_is_read_once(numbers, turn):
    boxes = [LineBox(*values, 1.0) for values in numbers]
    assert sorted(reading_order(boxes, turn)) == list(range(len(boxes)))


RED = np.full((24, 60, 3), (255, 0, 0), np.uint8)


def test_the_recogniser_sees_blue_first_and_nothing_to_the_right_of_a_line():
    canvas = ppocr._line_canvas(RED, width=120, padded=128, blue_first=True)
    assert canvas.shape == (1, 3, 48, 128)
    np.testing.assert_allclose(canvas[0, :, 20, 100], (-1, -1, 1))
    assert not canvas[..., 120:].any()


def test_the_detector_sees_blue_first_and_a_margin_in_the_colour_of_the_edge():
    crop = RED.copy()
    crop[10:14, 20:40] = 0
    canvas = ppocr._detector_canvas(crop, 1.0)
    assert canvas.shape == (1, 3, 64, 96)
    red = np.array([-0.485 / 0.229, -0.456 / 0.224, 0.594 / 0.225])
    np.testing.assert_allclose(canvas[0, :, 0], np.broadcast_to(red[:, None], (3, 96)), rtol=1e-5)
    top = left = ppocr.MARGIN
    assert canvas[0, 2, top + 12, left + 30] < 0 < canvas[0, 2, top + 12, left + 10]


@pytest.mark.parametrize(("side", "seen"), [(600, 600), (1600, 960), (3000, 1500), (10_000, 2560)])
def test_large_sheets_are_shown_larger_to_the_detector(side, seen):
    sheet = np.broadcast_to(np.uint8(255), (side, 100, 3))
    assert side * ppocr._detector_scale(sheet) == pytest.approx(seen)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(ModelError, match="no PP-OCR graphs"):
        PPOCROnnxPredictor.from_folder(tmp_path)


@pytest.fixture(scope="module")
def reader() -> PPOCRPredictor:
    """The predictor of the models folder; without it the error names the command that gets it."""
    spec = spec_for(load_settings(text="ppocrv6", ocr_effort="best"), Task.TEXT)
    assert spec is not None
    predictor = model_cache().get(spec)
    assert isinstance(predictor, PPOCRPredictor)
    return predictor


LINES = (
    "Invoice No. 2026-0417",
    "The bookkeeper will call all 33 offices on Tuesday.",
    "Größe, façade and jalapeño: 1,234.50 EUR (19 %)",
    "Total",
)


def drawn(lines=LINES, *, size=11.0, turn=0.0) -> tuple[Image, list[tuple[str, pymupdf.Rect]]]:
    """A page at 144 dpi with these lines, and its words in pixels, before turning."""
    document = pymupdf.open()
    page = document.new_page(width=400, height=40 + 30 * len(lines))
    for number, line in enumerate(lines):
        page.insert_text((40, 40 + 30 * number), line, fontsize=size)
    words = [
        (word[4], pymupdf.Rect(word[:4]) * pymupdf.Matrix(2, 2)) for word in page.get_text("words")
    ]
    pixmap = page.get_pixmap(dpi=144)
    image = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3)
    document.close()
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -turn, 1.0)
    white = (255, 255, 255)
    return cv2.warpAffine(image, matrix, (width, height), borderValue=white), words


def read(reader: PPOCRPredictor, image: Image) -> ReadText:
    (result,) = reader.predict([image])
    return result


def texts(result: ReadText) -> tuple[str, ...]:
    return tuple(line.text for line in result.lines)


@pytest.mark.models
def test_lines_are_read_in_order_with_boxes_around_their_words(reader):
    image, words = drawn()
    result = read(reader, image)
    assert texts(result) == LINES
    assert min(line.confidence for line in result.lines) > 0.9
    assert [word.text for word in result.words] == [text for text, _ in words]
    for word, (_, drawn_box) in zip(result.words, words, strict=True):
        x, y = word.bbox.center
        assert abs(x - (drawn_box.x0 + drawn_box.x1) / 2) < 8
        assert drawn_box.y0 < y < drawn_box.y1


@pytest.mark.models
@pytest.mark.parametrize("turn", [-2.0, 2.0, 6.0])
def test_a_page_that_was_scanned_askew_reads_the_same(reader, turn):
    assert texts(read(reader, drawn(turn=turn)[0])) == LINES


@pytest.mark.models
@pytest.mark.parametrize("quarters", [1, 3])
def test_a_page_that_lies_on_its_side_reads_the_same(reader, quarters):
    assert texts(read(reader, np.rot90(drawn()[0], quarters))) == LINES


@pytest.mark.models
@pytest.mark.parametrize("size", [6.0, 28.0])
def test_small_and_large_letters_are_read(reader, size):
    lines = ("Total 1,234.50", "Page 7 of 31")
    assert texts(read(reader, drawn(lines, size=size)[0])) == lines


@pytest.mark.models
def test_a_line_without_any_space_around_it_is_read(reader):
    image, _ = drawn(("Tuesday",))
    rows, columns = (np.flatnonzero((image < 128).any(axis=axis)) for axis in ((1, 2), (0, 2)))
    tight = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert texts(read(reader, tight)) == ("Tuesday",)


@pytest.mark.models
@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (400, 300)])
def test_blank_crops_of_any_shape_have_no_lines(reader, shape):
    assert read(reader, np.full((*shape, 3), 240, np.uint8)) == ReadText(())


@pytest.mark.models
def test_crops_read_together_give_what_they_give_alone(reader, monkeypatch):
    crops = [drawn(LINES[i:])[0] for i in range(3)]
    crops.insert(1, np.full((60, 90, 3), 255, np.uint8))
    alone = [reader.predict([crop])[0] for crop in crops]
    monkeypatch.setattr(reader.first.lines._recogniser, "lines_per_batch", 4)
    together = reader.predict(crops)
    for one, other in zip(alone, together, strict=True):
        assert texts(one) == texts(other)
        for line, same in zip(one.lines, other.lines, strict=True):
            assert line.bbox == pytest.approx(same.bbox, abs=1e-3)
            # Products of eight bits are rounded by the largest value of a batch.
            assert line.confidence == pytest.approx(same.confidence, abs=1e-2)


@pytest.mark.models
def test_a_crop_reads_the_same_every_time_and_as_a_view_of_its_page(reader):
    page, _ = drawn()
    view = page[40:200, 30:700]
    assert read(reader, view) == read(reader, view) == read(reader, view.copy())


@pytest.mark.models
def test_reading_ends_between_two_lines_when_it_is_told_to(reader, monkeypatch):
    page, _ = drawn()
    told, decoded = threading.Event(), []

    decode = LineReader._decode

    def decode_once(self, lines, padded):
        decoded.append(decode(self, lines, padded))
        told.set()
        return decoded[-1]

    monkeypatch.setattr(LineReader, "_decode", decode_once)
    with cancel_when(told), pytest.raises(Cancelled):
        read(reader, page)
    assert len(decoded) == 1
    monkeypatch.undo()
    assert len(read(reader, page).lines) == len(LINES)


@pytest.mark.models
def test_no_crops_have_no_text(reader):
    assert reader.predict([]) == []
