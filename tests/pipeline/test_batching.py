import pytest

from deepcompress_dagster.models import device
from deepcompress_dagster.models.device import DeviceMemory
from deepcompress_dagster.pipeline import stages
from deepcompress_dagster.pipeline.batching import (
    ACCELERATOR_BATCH,
    GIB,
    LARGEST_BATCH,
    Batching,
    adaptive_batch,
)


@pytest.mark.parametrize(
    ("free", "size"),
    [(0, 2), (5.99, 2), (6, 4), (11.99, 4), (12, 8), (16, 8), (16.01, 16), (80, 16)],
)
def test_a_batch_is_as_large_as_free_memory_allows(free, size):
    assert adaptive_batch(int(free * GIB), pages=100) == size


@pytest.mark.parametrize(("pages", "size"), [(1, 2), (3, 3), (5, 5), (6, 2)])
def test_up_to_five_pages_go_at_once(pages, size):
    assert adaptive_batch(4 * GIB, pages) == size


@pytest.fixture
def on_a_gpu(settings, monkeypatch):
    """Sizes for an accelerator with that much free memory."""

    def batching(gib: float, **changes) -> Batching:
        memory = DeviceMemory(80 * GIB, int(gib * GIB))
        monkeypatch.setattr(device, "device_memory", lambda name: memory)
        return Batching(settings.model_copy(update=changes), "cuda:0")

    return batching


@pytest.mark.parametrize(("gib", "size"), [(4, 2), (8, 4), (14, 8), (40, 16)])
def test_adaptive_sizes_follow_free_memory(on_a_gpu, gib, size):
    batching = on_a_gpu(gib, adaptive=True)
    for stage in (stages.LAYOUT, stages.TEXT, stages.TABLES, stages.FIGURES):
        assert batching.sizer(stage, lambda: 100).limit == size


def test_adaptive_sizes_follow_the_pages_that_are_announced(on_a_gpu):
    expected = 5
    sizer = on_a_gpu(4, adaptive=True).sizer(stages.LAYOUT, lambda: expected)
    assert sizer.limit == 5
    expected = 10
    assert sizer.limit == 2


def test_a_size_that_is_asked_for_stands_whatever_the_memory(on_a_gpu):
    batching = on_a_gpu(4, adaptive=True, ocr_batch_size=32)
    assert batching.sizer(stages.TEXT, lambda: 100).limit == 32


def test_without_adaptive_sizes_are_those_of_the_design(on_a_gpu):
    batching = on_a_gpu(4)
    for stage, size in ACCELERATOR_BATCH.items():
        assert batching.sizer(stage, lambda: 100).limit == size <= LARGEST_BATCH


def test_a_cpu_takes_one_item_at_a_time_and_four_pages_in_flight(settings):
    batching = Batching(settings, "cpu")
    assert batching.size(stages.TEXT) == 1
    assert batching.budget == 4 * batching.page_bytes(612, 792)
