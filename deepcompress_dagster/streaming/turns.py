"""Items of several sources by turns, as one iterable: no source waits behind a longer one.

What belongs here: whose item is next. What does not: where items come from, and what becomes of
them.
"""

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")

WAITING = 2
"""Items that a source may have ready before it waits: the next one, and one behind it."""


class Turns(Generic[T]):
    """An iterator over what its sources offer; it waits while there is nothing, until closed.

    Thread-safe. The sources are asked one after the other; one that has ``limit`` items under way
    is passed over until it is told that some are done.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sources: deque[Source[T]] = deque()
        self._is_closed = False

    def open(self, limit: int) -> "Source[T]":
        """A further source. Raises ValueError when ``limit`` is below 1."""
        if limit < 1:
            raise ValueError(f"a source with {limit} items under way never gets a turn")
        source: Source[T] = Source(self._changed, limit)
        with self._changed:
            self._sources.append(source)
        return source

    def close(self) -> None:
        """End the iteration; what is waiting is dropped."""
        with self._changed:
            self._is_closed = True
            for source in self._sources:
                source.is_removed = True
            self._changed.notify_all()

    def __iter__(self) -> "Turns[T]":
        return self

    def __next__(self) -> T:
        with self._changed:
            while not self._is_closed:
                for _ in range(len(self._sources)):
                    source = self._sources.popleft()
                    if source.is_removed:
                        continue
                    self._sources.append(source)
                    if source.has_turn:
                        self._changed.notify_all()
                        return source.take()
                self._changed.wait()
        raise StopIteration


class Source(Generic[T]):
    """One of those that take turns."""

    def __init__(self, changed: threading.Condition, limit: int) -> None:
        self._changed = changed
        self._limit = limit
        self._waiting: deque[T] = deque()
        self._under_way = 0
        self.is_removed = False

    @property
    def has_turn(self) -> bool:
        return bool(self._waiting) and self._under_way < self._limit

    def take(self) -> T:
        self._under_way += 1
        return self._waiting.popleft()

    def offer(self, item: T) -> bool:
        """Have an item wait for its turn; blocks while others do. False once it was removed."""
        with self._changed:
            while len(self._waiting) >= WAITING and not self.is_removed:
                self._changed.wait()
            if not self.is_removed:
                self._waiting.append(item)
                self._changed.notify_all()
            return not self.is_removed

    def done(self) -> None:
        """One of its items is through."""
        with self._changed:
            self._under_way -= 1
            self._changed.notify_all()

    def remove(self) -> None:
        """Take no further turn; what is waiting is dropped."""
        with self._changed:
            self.is_removed = True
            self._waiting.clear()
            self._changed.notify_all()
