"""What the tests of the streaming engine share."""

import threading
import time
from collections.abc import Generator
from typing import Any

from deepcompress_dagster.streaming import Call, FlowTimings

LONG_S = 30.0
"""A wait that no passing test sits out."""


def stream_threads() -> list[str]:
    """Names of the engine's threads that are alive."""
    return [t.name for t in threading.enumerate() if t.name.startswith("stream-")]


def wait_for_threads_to_end() -> None:
    deadline = time.monotonic() + LONG_S
    while stream_threads():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def one(_item: object) -> int:
    """The size of items that all count the same."""
    return 1


def one_call(item: Any, _trace: FlowTimings) -> Generator[Any, Any, Any]:
    """A flow that asks stage ``a`` and returns its result."""
    return (yield Call("a", item))
