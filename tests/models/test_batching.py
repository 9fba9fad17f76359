import pytest

from deepcompress_dagster.models.batching import adaptive_batch

GIB = 2**30


@pytest.mark.parametrize(
    ("free", "size"),
    [(0, 2), (5.99, 2), (6, 4), (11.99, 4), (12, 8), (16, 8), (16.01, 16), (80, 16)],
)
def test_a_batch_is_as_large_as_free_memory_allows(free, size):
    assert adaptive_batch(int(free * GIB), pages=100) == size


@pytest.mark.parametrize(("pages", "size"), [(1, 2), (3, 3), (5, 5), (6, 2)])
def test_up_to_five_pages_go_at_once(pages, size):
    assert adaptive_batch(4 * GIB, pages) == size
