"""What a process puts in place for the length of a block: for its signals, and for its own log.

What was there before is put back. What is done about a signal or a line is the caller's.
"""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PACKAGE = "deepcompress_dagster"


@contextmanager
def stop_signals(note: Callable[[int], object]) -> Iterator[None]:
    """Have SIGINT and SIGTERM call ``note`` with their number; for the main thread."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda got, _: note(got)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def forwarded_logs(take: Callable[[int, str], object]) -> Iterator[None]:
    """Hand progress and warnings of this package to ``take``, as level and text."""
    logger = logging.getLogger(PACKAGE)
    forwarder = _Forwarder(take)
    level = logger.level
    logger.addHandler(forwarder)
    logger.setLevel(min(logging.INFO, logger.getEffectiveLevel()))
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeHandler(forwarder)


class _Forwarder(logging.Handler):
    def __init__(self, take: Callable[[int, str], object]) -> None:
        super().__init__(logging.INFO)
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        self._take(record.levelno, record.getMessage())
