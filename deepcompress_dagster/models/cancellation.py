"""How a model that is at work in a thread learns that its result is no longer wanted."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_local = threading.local()


class Cancelled(RuntimeError):
    """A model ended early because nobody wants its result."""


@contextmanager
def cancel_when(event: threading.Event) -> Iterator[None]:
    """While this lasts, models called from this thread end early once ``event`` is set."""
    before = getattr(_local, "event", None)
    _local.event = event
    try:
        yield
    finally:
        _local.event = before


def is_requested() -> bool:
    """Whether a model called from this thread should end now."""
    event: threading.Event | None = getattr(_local, "event", None)
    return event is not None and event.is_set()


def check() -> None:
    """Raise Cancelled if a model called from this thread should end now."""
    if is_requested():
        raise Cancelled("the model was told to end")
