"""How much goes at once: items in a batch, bytes in flight, threads. Arithmetic only.

All of it follows the settings and the device; nothing of it changes a row.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

from deepcompress_dagster.models import device as machine
from deepcompress_dagster.pipeline import stages
from deepcompress_dagster.settings import Settings
from deepcompress_dagster.streaming import BatchSizer

GIB = 2**30

PAGES_IN_FLIGHT = 4
"""On a CPU: enough to keep every stage busy, few enough that first results come early."""

BATCHES_IN_FLIGHT = 3
"""On an accelerator: one batch in the model, one rendering, one being written."""

PAGE_POINTS = 612 * 792
"""Area of a letter page, by which the memory for pages in flight is counted."""

BYTES_PER_PIXEL = 3

ACCELERATOR_BATCH = {
    stages.LAYOUT: 8,
    stages.ORIENTATION: 8,
    stages.TEXT: 16,
    stages.TABLES: 8,
    stages.FIGURES: 4,
}
"""Batch sizes on an accelerator where the settings say auto."""

LARGEST_BATCH = 64
"""Items that a batch may hold whatever the settings."""

SMALL_DOCUMENT = 5
"""Pages that go into one batch whatever the memory; more of them than fit are halved."""

MOST_RENDER_WORKERS = 4
"""Processes that render where the settings say auto: one renders 70 pages a second."""

MOST_READERS = 8
"""Threads that read text on a CPU."""

_BY_FREE_MEMORY = ((6 * GIB, 2), (12 * GIB, 4), (16 * GIB + 1, 8))
"""Amounts of free memory, and the batch size below each of them."""

_LARGEST_ADAPTIVE = 16


def adaptive_batch(free_bytes: int, pages: int) -> int:
    """Items in a batch, by free memory of the accelerator and the pages known so far.

    Under 6 GiB 2, under 12 GiB 4, to 16 GiB 8, more 16; up to 5 pages at once.
    """
    size = next((size for below, size in _BY_FREE_MEMORY if free_bytes < below), _LARGEST_ADAPTIVE)
    return max(size, pages) if pages <= SMALL_DOCUMENT else size


@dataclass(frozen=True)
class Batching:
    """Sizes for one run on ``device``: cpu, mps, cuda or cuda:N."""

    settings: Settings
    device: str

    def sizer(self, stage: str, expected_pages: Callable[[], int]) -> BatchSizer:
        """The limit of a stage's batches; adaptive ones follow ``expected_pages`` as they rise."""
        memory = machine.device_memory(self.device) if self.settings.adaptive else None
        if self._given(stage) or memory is None:
            return BatchSizer(self.size(stage))
        free = memory.free
        return BatchSizer(LARGEST_BATCH, wanted=lambda: adaptive_batch(free, expected_pages()))

    def size(self, stage: str) -> int:
        """Items in a batch of a stage, as the settings say or by the device."""
        return self._given(stage) or (1 if self.device == "cpu" else ACCELERATOR_BATCH[stage])

    def _given(self, stage: str) -> int:
        """The size that the settings ask for, 0 where they leave it open."""
        given = {
            stages.LAYOUT: self.settings.layout_batch_size,
            stages.TEXT: self.settings.ocr_batch_size,
            stages.TABLES: self.settings.table_batch_size,
            stages.FIGURES: self.settings.figure_batch_size,
        }
        return given.get(stage, 0)

    @property
    def budget(self) -> int:
        """Bytes of pixels that pages in flight may take together."""
        if self.settings.stream_memory_mb:
            return self.settings.stream_memory_mb * 2**20
        pages = PAGES_IN_FLIGHT
        if self.device != "cpu":
            pages = BATCHES_IN_FLIGHT * self.size(stages.LAYOUT)
        return pages * self._letter_bytes

    @property
    def pages_in_flight(self) -> int:
        """Letter pages that the budget holds, at least one."""
        return max(1, self.budget // self._letter_bytes)

    @property
    def _letter_bytes(self) -> int:
        """Bytes that the pixels of a letter page take."""
        return BYTES_PER_PIXEL * int(PAGE_POINTS * self._pixels_per_point)

    def page_bytes(self, width: float, height: float) -> int:
        """Bytes that the pixels of a page of this size (points) will take."""
        pixels = width * height * self._pixels_per_point
        return BYTES_PER_PIXEL * int(min(pixels, self.settings.max_page_pixels))

    @property
    def _pixels_per_point(self) -> float:
        """Pixels in a square point."""
        return (self.settings.dpi / 72) ** 2

    @property
    def render_workers(self) -> int:
        """Processes that render: one core is left to the models."""
        most = max(1, min(MOST_RENDER_WORKERS, self._cores - 1))
        return self.settings.render_workers or most

    @property
    def readers(self) -> int:
        """Readers at once: one a core on a CPU, where reading is what takes the time."""
        return max(1, min(MOST_READERS, self._cores)) if self.device == "cpu" else 1

    @property
    def _cores(self) -> int:
        return self.settings.cpu_cores or os.cpu_count() or 1
