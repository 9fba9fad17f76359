"""Every test of the engine checks that it leaves no thread."""

from collections.abc import Iterator

import pytest

from tests.streaming.helpers import stream_threads


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert stream_threads() == []
