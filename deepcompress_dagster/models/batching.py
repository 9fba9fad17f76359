"""How large a batch fits: by the accelerator's free memory and the number of pages at hand."""

GIB = 2**30

SMALL_DOCUMENT = 5
"""Pages that go into one batch whatever the memory; more of them than fit are halved."""

_BY_FREE_MEMORY = ((6 * GIB, 2), (12 * GIB, 4), (16 * GIB + 1, 8))
"""Amounts of free memory, and the batch size below each of them."""

_LARGEST = 16


def adaptive_batch(free_bytes: int, pages: int) -> int:
    """Items in a batch, by free memory of the accelerator and the pages known so far.

    Under 6 GiB 2, under 12 GiB 4, to 16 GiB 8, more 16; up to 5 pages at once.
    """
    size = next((size for below, size in _BY_FREE_MEMORY if free_bytes < below), _LARGEST)
    return max(size, pages) if pages <= SMALL_DOCUMENT else size
