"""Flows: the way of one item through the stages, written as a generator, and what it may yield."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from deepcompress_dagster.streaming.microbatch import ItemOutcome, QueuedItem

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """What a flow yields: one item for one stage, by the stage's name."""

    stage: str
    item: Any


Flow: TypeAlias = Generator[Call | Sequence[Call], Any, T]
"""The way of one item. ``x = yield Call(...)`` gives the result or raises ItemFailed;
``xs = yield [Call(...), ...]`` gives a list in order, with an ItemFailed in place of each failed
result. What the flow returns, the stream yields. Code between two yields runs on the stream's
threads, on one at a time: keep it short and leave long or blocking work to a stage."""


class ItemFailed(Exception):
    """A stage failed on one item: ``cause`` is its last error, after ``attempts`` tries alone."""

    def __init__(self, stage: str, cause: BaseException, attempts: int) -> None:
        super().__init__(stage, cause, attempts)
        self.stage = stage
        self.cause = cause
        self.attempts = attempts
        self.__cause__ = cause

    def __str__(self) -> str:
        tries = "once" if self.attempts == 1 else f"{self.attempts} times"
        return f"stage {self.stage} failed {tries}: {type(self.cause).__name__}: {self.cause}"


@dataclass(frozen=True, slots=True)
class CallTiming:
    """One answered call: the item's share in seconds, and the size of its last batch."""

    stage: str
    seconds: float
    batch_size: int


@dataclass
class FlowTimings:
    """The calls that one flow has made, in the order in which it asked."""

    entries: list[CallTiming] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class PendingCall(QueuedItem):
    """One call of a flow: waiting for its stage, then with its outcome."""

    stage: str
    stage_index: int
    flow_run: "FlowRun"
    outcome: ItemOutcome = field(init=False)

    def result(self) -> Any:
        """The value, or an ItemFailed."""
        if self.outcome.error is None:
            return self.outcome.value
        return ItemFailed(self.stage, self.outcome.error, self.outcome.attempts)


@dataclass(eq=False, slots=True)
class FlowRun:
    """One item on its way through its flow; ``size`` is what it took out of the budget.

    ``level`` is the index of the first stage that it may still call: the one behind its last.
    """

    flow: Flow[Any]
    timings: FlowTimings
    size: int
    level: int = 0
    missing: int = 0
    pending: list[PendingCall] | None = None
    is_single: bool = False

    def step(self) -> Sequence[Call]:
        """Run the flow until it asks again. Raises what it raises, StopIteration at its end."""
        reply = None if self.pending is None else self._reply(self.pending)
        self.pending = []  # lets go of the items, whose memory the flow may give back now
        asked = self.flow.throw(reply) if isinstance(reply, ItemFailed) else self.flow.send(reply)
        self.is_single = isinstance(asked, Call)
        calls = [asked] if isinstance(asked, Call) else asked
        if not isinstance(calls, Sequence) or not all(isinstance(call, Call) for call in calls):
            raise TypeError(f"a flow yielded {asked!r}; it must yield a Call or a sequence of them")
        return calls

    def _reply(self, pending: list[PendingCall]) -> Any:
        self.timings.entries += [
            CallTiming(call.stage, call.outcome.seconds, call.outcome.batch_size)
            for call in pending
        ]
        results = [call.result() for call in pending]
        return results[0] if self.is_single else results
