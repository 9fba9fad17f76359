from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deepcompress_dagster.models.predictor import Detection
from deepcompress_dagster.models.shared.boxes import detections
from deepcompress_dagster.records import BBox, Label
from tests.models.conftest import iou

LABELS = (Label.TEXT, Label.TABLE)


def found(
    boxes: list[tuple[float, ...]],
    scores: list[tuple[float, float]],
    *,
    threshold: float = 0.4,
    overlap: float = 0.5,
) -> list[Detection]:
    return detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32).reshape(-1, 2),
        LABELS,
        width=100,
        height=200,
        threshold=threshold,
        overlap=overlap,
    )


def test_a_box_takes_its_best_class() -> None:
    (region,) = found([(10, 20, 30, 40)], [(0.1, 0.75)])
    assert region == Detection(Label.TABLE, BBox(10, 20, 30, 40), 0.75)


def test_nothing_found_is_an_empty_list() -> None:
    assert found([], []) == []
    assert found([(10, 20, 30, 40)], [(0.39, 0.1)]) == []


def test_scores_are_rounded_before_they_meet_the_threshold() -> None:
    boxes = [(0.0, 0, 10, 10), (0, 50, 10, 60)]
    kept = found(boxes, [(0.39996, 0), (0.39994, 0)])
    assert [region.score for region in kept] == [0.4]


def test_coordinates_are_rounded_to_a_hundredth_of_a_pixel_and_cut_to_the_page() -> None:
    (region,) = found([(-3, 10.006, 99.994, 250)], [(0.9, 0)])
    assert region.bbox == BBox(0, 10.01, 99.99, 200)


def test_boxes_that_vanish_on_the_page_are_dropped() -> None:
    assert found([(120, 10, 140, 20), (10, 10, 10.001, 20)], [(0.9, 0), (0.9, 0)]) == []


def test_of_two_boxes_that_overlap_the_stronger_stays_whatever_its_class() -> None:
    boxes = [(0.0, 0, 50, 50), (0, 0, 50, 40), (0, 100, 50, 150)]
    kept = found(boxes, [(0.6, 0.1), (0.1, 0.8), (0.5, 0.1)])
    assert [(region.label, region.score) for region in kept] == [
        (Label.TABLE, 0.8),
        (Label.TEXT, 0.5),
    ]


def test_the_overlap_that_is_allowed_can_be_set() -> None:
    boxes = [(0.0, 0, 50, 50), (0, 0, 50, 25)]
    scores = [(0.9, 0.0), (0.8, 0)]
    assert len(found(boxes, scores, overlap=0.5)) == 2
    assert len(found(boxes, scores, overlap=0.49)) == 1


def test_a_box_is_not_dropped_for_one_that_was_dropped_itself() -> None:
    boxes = [(0.0, 0, 50, 50), (0, 20, 50, 70), (0, 40, 50, 90)]
    kept = found(boxes, [(0.9, 0), (0.8, 0), (0.7, 0)], overlap=0.3)
    assert [region.bbox.y0 for region in kept] == [0, 40]


@given(
    candidates=st.lists(
        st.tuples(
            st.integers(0, 80), st.integers(0, 80), st.integers(1, 40), st.sampled_from([5, 6, 7])
        ),
        max_size=12,
    ),
    random=st.randoms(use_true_random=False),
)
def test_the_order_of_the_candidates_does_not_matter(
    candidates: list[tuple[int, int, int, int]], random: Random
) -> None:
    def regions(chosen: list[tuple[int, int, int, int]]) -> list[Detection]:
        boxes = [(x, y, x + size, y + size) for x, y, size, _ in chosen]
        return found(boxes, [(score / 10, 0.0) for *_, score in chosen])

    kept = regions(candidates)
    shuffled = list(candidates)
    random.shuffle(shuffled)
    assert regions(shuffled) == kept
    assert [region.score for region in kept] == sorted(
        (region.score for region in kept), reverse=True
    )
    for index, region in enumerate(kept):
        assert all(iou(region.bbox, other.bbox) <= 0.5 for other in kept[:index])
