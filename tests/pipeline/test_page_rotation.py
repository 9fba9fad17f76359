from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcompress_dagster.pipeline.page_rotation import PageRotation, turn_of_words
from deepcompress_dagster.records import BBox, Word

TURNS = (0, 90, 180, 270)


@given(
    turn=st.sampled_from(TURNS),
    size=st.tuples(st.integers(10, 900), st.integers(10, 900)),
    data=st.data(),
)
def test_upright_and_back_is_the_same_box(turn, size, data):
    width, height = size
    x0, x1 = sorted(data.draw(st.tuples(st.integers(0, width), st.integers(0, width))))
    y0, y1 = sorted(data.draw(st.tuples(st.integers(0, height), st.integers(0, height))))
    box = BBox(x0, y0, x1, y1)
    rotation = PageRotation(width, height, turn)
    assert rotation.displayed(rotation.upright(box)) == box


@pytest.mark.parametrize("turn", TURNS)
def test_boxes_turn_with_the_pixels(turn):
    page = np.zeros((200, 100, 3), np.uint8)
    page[20:50, 10:30] = 255
    rotation = PageRotation(100, 200, turn)
    x0, y0, x1, y1 = (int(value) for value in rotation.upright(BBox(10, 20, 30, 50)))
    upright = rotation.upright_pixels(page)
    assert upright[y0:y1, x0:x1].min() == 255
    assert upright.sum() == upright[y0:y1, x0:x1].sum()


def column(*texts: str, upward: bool) -> list[Word]:
    """Words of one line that stand on end, one above the other."""
    order = [*reversed(range(len(texts)))] if upward else range(len(texts))
    return [
        Word(BBox(100, 60 * place, 110, 60 * place + 40), text)
        for place, text in zip(order, texts, strict=True)
    ]


def test_words_that_stand_on_end_tell_the_turn_by_their_order():
    assert turn_of_words(column("Lock", "Keeper", "12", upward=True)) == 270
    assert turn_of_words(column("Lock", "Keeper", "12", upward=False)) == 90


def test_vertical_writing_is_upright():
    words = [replace(word, vertical=True) for word in column("水車小屋", "水車", upward=False)]
    assert turn_of_words(words) == 0


def test_upright_words_tell_that_nothing_is_turned():
    assert turn_of_words([Word(BBox(0, 0, 40, 10), "Lock"), Word(BBox(0, 0, 9, 40), "side")]) == 0


def test_words_that_go_left_and_lines_that_go_up_are_upside_down():
    places = [(300 - 60 * (i % 3), 700 - 14 * (i // 3)) for i in range(9)]
    words = [
        Word(BBox(x, y, x + 50, y + 10), "boats", line=i // 3) for i, (x, y) in enumerate(places)
    ]
    assert turn_of_words(words) == 180
    assert turn_of_words(words[::-1]) == 0


@pytest.mark.parametrize("words", [[], column("Lock", upward=True)])
def test_words_that_do_not_tell_leave_it_to_a_model(words):
    assert turn_of_words(words) is None
