"""Microbatches: what a stage is, which waiting items make a batch, what happens when a batch fails.

There are no threads here: the stream decides when a batch goes, this module decides what is in it
and brings it to one outcome per item.
"""

import logging
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

logger = logging.getLogger(__name__)

In = TypeVar("In")
Out = TypeVar("Out")

SIMILAR_COST = 2.0
"""Largest ratio of costs in one batch: padding to the dearest item at most doubles the work."""

TRIES_ALONE = 2
"""Calls that an item gets on its own before it counts as failed."""


class BatchSizer:
    """The largest batch that a stage may take; it shrinks when memory runs out and stays so.

    Thread-safe: the workers of a stage, or several stages, may share one. ``wanted`` may ask for
    less than the limit, anew for every batch. Raises ValueError when ``limit`` is below 1.
    """

    def __init__(self, limit: int, wanted: Callable[[], int] | None = None) -> None:
        if limit < 1:
            raise ValueError(f"a batch limit of {limit} holds no item; give 1 or more")
        self._limit = limit
        self._wanted = wanted
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """Items that fit into one batch, at least 1."""
        if self._wanted is None:
            return self._limit
        return max(1, min(self._limit, self._wanted()))

    def halve(self, failed_size: int) -> bool:
        """Lower the limit to half of a batch that was too large; False when that batch was one.

        Two workers that fail at the same size halve once.
        """
        if failed_size <= 1:
            return False
        with self._lock:
            self._limit = min(self._limit, failed_size // 2)
        return True


@dataclass(frozen=True)
class Stage(Generic[In, Out]):
    """One step of a stream: a function over a microbatch, and how to call it.

    ``run`` returns one output per input, in order; it is called from ``workers`` threads at once.
    An output that is an Exception is the failure of that item, which is not tried again.
    ``cost`` is a relative size (pixels, tokens): a batch holds items of similar cost. An item waits
    at most ``linger_s`` seconds for a fuller batch. ``timeout_s`` is the hard limit of one call; as
    a thread cannot be killed, exceeding it ends the stream and leaves that thread behind.
    ``free_memory`` is called after an error that ``is_out_of_memory`` recognises. An item whose
    error ``is_permanent`` is not tried a second time. ``unit`` is the word for items in the log.
    """

    name: str
    run: Callable[[list[In]], list[Out]]
    workers: int = 1
    sizer: BatchSizer = field(default_factory=lambda: BatchSizer(1))
    cost: Callable[[In], float] = lambda _item: 1.0
    linger_s: float = 0.05
    timeout_s: float | None = None
    is_out_of_memory: Callable[[BaseException], bool] = lambda error: isinstance(error, MemoryError)
    free_memory: Callable[[], None] = lambda: None
    is_permanent: Callable[[BaseException], bool] = lambda _error: False
    unit: str = "items"

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"stage {self.name} has {self.workers} workers; give 1 or more")


AnyStage: TypeAlias = Stage[Any, Any]


@dataclass(eq=False, slots=True)
class QueuedItem:
    """An item in a queue, its cost, and since when it waits there (``time.monotonic`` seconds)."""

    item: Any
    cost: float
    since: float


W = TypeVar("W", bound=QueuedItem)


class StageQueue(Generic[W]):
    """Items that wait for one stage, oldest first. Not thread-safe."""

    def __init__(self, stage: AnyStage) -> None:
        self._stage = stage
        # A linked list: a batch takes items out of the middle, and the front stays cheap to reach.
        self._queue: OrderedDict[W, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._queue)

    def add(self, item: W) -> None:
        """Queue an item behind all others."""
        self._queue[item] = None

    def take(self, now: float, *, may_grow: bool) -> list[W]:
        """Remove and return the next batch; empty while it should still wait.

        The batch goes when it is full, when nothing can join it (not ``may_grow``), or when its
        oldest item has waited ``linger_s``.
        """
        limit = self._stage.sizer.limit
        batch = self._oldest_and_similar(limit)
        if len(batch) < limit and may_grow and self.seconds_left(now):
            return []
        for item in batch:
            del self._queue[item]
        return batch

    def seconds_left(self, now: float) -> float | None:
        """How long the oldest item may still linger, at least 0; None when nobody waits."""
        if not self._queue:
            return None
        oldest = next(iter(self._queue))
        return max(0.0, oldest.since + self._stage.linger_s - now)

    def _oldest_and_similar(self, limit: int) -> list[W]:
        batch: list[W] = []
        low, high = float("inf"), float("-inf")
        for item in self._queue:
            cheapest, dearest = min(low, item.cost), max(high, item.cost)
            if batch and dearest > cheapest * SIMILAR_COST:
                continue
            low, high = cheapest, dearest
            batch.append(item)
            if len(batch) == limit:
                break
        return batch


@dataclass(frozen=True)
class ItemOutcome:
    """What became of one item: its ``value``, or the ``error`` of its last try alone.

    The error has no traceback, but a note that says where it was raised. ``attempts`` counts the
    tries alone of a failed item, so that it does not depend on the company
    the item was in. ``seconds`` is the item's share of all calls that it was part of,
    ``batch_size`` the size of the last of them.
    """

    value: Any
    error: Exception | None
    attempts: int
    seconds: float
    batch_size: int


_own = threading.local()


@contextmanager
def not_counted() -> Iterator[None]:
    """What a stage does within the block is no work on its items: the loading of a model.

    It is left out of the items' seconds, on the thread that runs the stage.
    """
    started = time.perf_counter()
    try:
        yield
    finally:
        left_out = getattr(_own, "left_out_s", 0.0)
        _own.left_out_s = left_out + time.perf_counter() - started


def run_batch(
    stage: Stage[In, Out],
    items: Sequence[In],
    call: Callable[[list[In]], list[Out]],
    *,
    attempt: int = 1,
    spent: float = 0.0,
) -> list[ItemOutcome]:
    """One outcome per item, in order, whatever fails.

    ``call`` is ``stage.run`` as the stream wraps it. After an out-of-memory error the items are
    tried again in smaller batches; after any other ``Exception`` they are bisected. An item that
    fails alone, out of memory included, is tried ``TRIES_ALONE`` times, or once when its error is
    permanent.
    """
    size = len(items)
    _own.left_out_s = 0.0
    started = time.perf_counter()
    values, error = _try(stage, items, call)
    spent += (time.perf_counter() - started - _own.left_out_s) / size
    if error is None:
        return [
            ItemOutcome(None, value, attempt, spent, size)
            if isinstance(value, Exception)
            else ItemOutcome(value, None, attempt, spent, size)
            for value in values
        ]
    part = _smaller(stage, size, error)
    if size > 1:
        outcomes: list[ItemOutcome] = []
        while rest := items[len(outcomes) :]:
            few = rest[: min(part, stage.sizer.limit)]  # the limit may fall from part to part
            outcomes += run_batch(stage, few, call, spent=spent)
        return outcomes
    if attempt < TRIES_ALONE and not stage.is_permanent(error):
        return run_batch(stage, items, call, attempt=attempt + 1, spent=spent)
    return [ItemOutcome(None, error, attempt, spent, size)]


def _try(
    stage: Stage[In, Out], items: Sequence[In], call: Callable[[list[In]], list[Out]]
) -> tuple[list[Out], Exception | None]:
    try:
        values = call(list(items))
        if len(values) != len(items):
            raise ValueError(
                f"stage {stage.name} returned {len(values)} outputs for {len(items)} items; "
                "it must return one for each"
            )
    except Exception as error:
        _drop_frames(error)
        return [], error
    return values, None


def _drop_frames(error: BaseException) -> None:
    """Keep where an error came from as a note: frames would keep items and tensors alive."""
    error.add_note("".join(traceback.format_exception(error)))
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        link.__traceback__ = None
        seen.append(link)
        link = link.__cause__ or link.__context__


def _smaller(stage: AnyStage, size: int, error: Exception) -> int:
    """Items per call after a batch of ``size`` failed."""
    if not stage.is_out_of_memory(error):
        return (size + 1) // 2
    stage.free_memory()
    if stage.sizer.halve(size):
        logger.warning(
            "%s: out of memory with %d %s in a batch; at most %d from now on",
            *(stage.name, size, stage.unit, stage.sizer.limit),
        )
    return stage.sizer.limit
