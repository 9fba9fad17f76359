import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcompress_dagster.pipeline.page_rotation import PageRotation
from deepcompress_dagster.records import BBox

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
