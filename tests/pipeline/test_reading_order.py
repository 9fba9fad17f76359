from hypothesis import given
from hypothesis import strategies as st

from deepcompress_dagster.pipeline.reading_order import between, reading_order
from deepcompress_dagster.records import BBox

TITLE = BBox(50, 20, 550, 50)
LEFT_1, LEFT_2 = BBox(50, 60, 290, 200), BBox(50, 210, 290, 400)
RIGHT_1, RIGHT_2 = BBox(310, 60, 550, 250), BBox(310, 260, 550, 400)
FOOTER = BBox(50, 750, 550, 770)


def names(boxes: dict[str, BBox]) -> list[str]:
    keys = list(boxes)
    return [keys[index] for index in reading_order(list(boxes.values()))]


def test_columns_are_read_one_after_the_other_under_a_common_title():
    page = {
        "right 2": RIGHT_2,
        "footer": FOOTER,
        "left 1": LEFT_1,
        "title": TITLE,
        "right 1": RIGHT_1,
        "left 2": LEFT_2,
    }
    assert names(page) == ["title", "left 1", "left 2", "right 1", "right 2", "footer"]


def test_columns_whose_paragraphs_end_at_one_height_are_still_columns():
    page = {
        "l1": BBox(0, 0, 100, 50),
        "r1": BBox(120, 0, 220, 50),
        "l2": BBox(0, 60, 100, 90),
        "r2": BBox(120, 60, 220, 90),
    }
    assert names(page) == ["l1", "l2", "r1", "r2"]


def test_a_full_width_block_ends_the_columns_above_it():
    page = {
        "l1": BBox(0, 0, 100, 50),
        "r1": BBox(120, 0, 220, 50),
        "wide": BBox(0, 60, 220, 90),
        "l2": BBox(0, 100, 100, 150),
        "r2": BBox(120, 100, 220, 150),
    }
    assert names(page) == ["l1", "r1", "wide", "l2", "r2"]


boxes = st.builds(
    lambda x, y, w, h: BBox(x, y, x + w, y + h),
    st.integers(0, 500),
    st.integers(0, 700),
    st.integers(1, 300),
    st.integers(1, 200),
)


@given(st.lists(boxes, max_size=25))
def test_every_box_is_read_exactly_once(page):
    assert sorted(reading_order(page)) == list(range(len(page)))


@given(st.lists(boxes, max_size=12, unique=True), st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_the_order_of_arrival(page, random):
    shuffled = random.sample(page, len(page))
    assert [page[i] for i in reading_order(page)] == [shuffled[i] for i in reading_order(shuffled)]


def test_found_text_gets_a_place_between_its_neighbours():
    fixed = [BBox(0, 0, 100, 20), BBox(0, 100, 100, 120)]
    found = [BBox(0, 60, 100, 80), BBox(0, 30, 100, 50), BBox(0, 200, 100, 220)]
    assert between(fixed, found) == [1.6667, 1.3333, 2.5]


def test_a_heading_at_the_right_margin_begins_no_column():
    page = {
        "chapter": BBox(400, 40, 550, 70),
        "section": BBox(50, 100, 150, 115),
        "left": BBox(50, 200, 150, 300),
        "right": BBox(400, 200, 550, 300),
    }
    assert names(page) == ["chapter", "section", "left", "right"]


def test_columns_of_leftward_pages_are_read_from_the_right():
    title = BBox(50, 20, 550, 40)
    left, right = BBox(50, 60, 290, 700), BBox(310, 60, 550, 700)
    assert reading_order([left, right, title], leftward=True) == [2, 1, 0]
    assert reading_order([left, right, title]) == [2, 0, 1]
