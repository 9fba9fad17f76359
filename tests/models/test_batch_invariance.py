"""What a model says of an item does not depend on the items beside it, for any batch size."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from benchmarks.checkpoints import FAMILIES
from deepcompress_dagster.models import registry
from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.models.shared.object_detector import ObjectDetector

PIXELS = 1e-3
SCORE = 1e-5

DETECTORS = [name for name in FAMILIES if registry.FAMILIES[name].task in ("layout", "table")]
WRITERS = [name for name in FAMILIES if name not in DETECTORS]


def in_batches(call: Callable[[Sequence[Any]], list[Any]], items: Sequence[Any], size: int) -> Any:
    starts = range(0, len(items), size)
    return [result for start in starts for result in call(items[start : start + size])]


@pytest.fixture(scope="module")
def alone_by_model() -> dict[str, Any]:
    return {}


@pytest.mark.parametrize("size", range(2, 9))
@pytest.mark.parametrize("model_type", DETECTORS)
def test_boxes_are_the_same_within_a_thousandth_of_a_pixel(model_type, size, load, pictures):
    detector: ObjectDetector = load(model_type)._detector

    def call(images: Sequence[Image]) -> Any:
        return detector.candidates(images, model_type)

    alone, together = in_batches(call, pictures, 1), in_batches(call, pictures, size)
    for one, other in zip(alone, together, strict=True):
        assert np.abs(one.boxes - other.boxes).max() < PIXELS
        assert np.abs(one.scores - other.scores).max() < SCORE


@pytest.mark.parametrize("model_type", DETECTORS)
def test_boxes_depend_on_the_image(model_type, load, pictures):
    """Without this the test above could not fail."""
    first, *_, same_shape, _ = load(model_type)._detector.candidates(pictures, model_type)
    assert np.abs(first.boxes - same_shape.boxes).max() > 1


@pytest.mark.parametrize("size", range(2, 9))
@pytest.mark.parametrize("model_type", WRITERS)
def test_text_is_the_same(model_type, size, load, pictures, alone_by_model):
    predictor = load(model_type, max_new_tokens=16, repetition_penalty=1.1)
    if model_type not in alone_by_model:
        alone_by_model[model_type] = in_batches(predictor.predict, pictures, 1)
    alone = alone_by_model[model_type]
    assert in_batches(predictor.predict, pictures, size) == alone
    assert len({str(result) for result in alone}) > len(alone) // 2


@pytest.mark.parametrize("model_type", FAMILIES)
def test_an_empty_batch_gives_an_empty_list(model_type, load):
    assert load(model_type).predict([]) == []
