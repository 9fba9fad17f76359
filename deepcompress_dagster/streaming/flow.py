"""Flows: the way of one item through the stages, written as a generator, and what it may yield."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

from deepcompress_dagster.streaming.microbatch import Outcome, Waiting

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
class TraceEntry:
    """One answered call: the item's share in seconds, and the size of its last batch."""

    stage: str
    seconds: float
    batch_size: int


@dataclass
class Trace:
    """The calls that one flow has made, in the order in which it asked."""

    entries: list[TraceEntry] = field(default_factory=list)


@dataclass(eq=False, slots=True)
class Question(Waiting):
    """One call of a flow: waiting for its stage, then answered by an outcome."""

    stage: str
    station: int
    walk: "Walk"
    outcome: Outcome = field(init=False)

    def result(self) -> Any:
        """The value, or an ItemFailed."""
        if self.outcome.error is None:
            return self.outcome.value
        return ItemFailed(self.stage, self.outcome.error, self.outcome.attempts)


@dataclass(eq=False, slots=True)
class Walk:
    """One item on its way through its flow; ``size`` is what it took out of the budget.

    ``level`` is the first station that it is expected at: the one behind the last it has asked.
    """

    flow: Flow[Any]
    trace: Trace
    size: int
    level: int = 0
    missing: int = 0
    questions: list[Question] | None = None
    is_single: bool = False

    def step(self) -> Sequence[Call]:
        """Run the flow until it asks again. Raises what it raises, StopIteration at its end."""
        reply = None if self.questions is None else self._reply(self.questions)
        self.questions = []  # lets go of the items, whose memory the flow may give back now
        asked = self.flow.throw(reply) if isinstance(reply, ItemFailed) else self.flow.send(reply)
        self.is_single = isinstance(asked, Call)
        calls = [asked] if isinstance(asked, Call) else asked
        if not isinstance(calls, Sequence) or not all(isinstance(call, Call) for call in calls):
            raise TypeError(f"a flow yielded {asked!r}; it must yield a Call or a sequence of them")
        return calls

    def _reply(self, questions: list[Question]) -> Any:
        self.trace.entries += [
            TraceEntry(question.stage, question.outcome.seconds, question.outcome.batch_size)
            for question in questions
        ]
        results = [question.result() for question in questions]
        return results[0] if self.is_single else results
