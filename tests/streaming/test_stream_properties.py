"""Whatever the limits, failures and timing: the same results, each once, and nothing left."""

import sys
import threading
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcompress_dagster.streaming import (
    BatchSizer,
    Call,
    FlowTimings,
    ItemFailed,
    Stage,
    Stream,
    StreamCancelled,
)
from tests.streaming.helpers import stream_threads

NAMES = "abc"


@pytest.fixture(autouse=True, scope="module")
def _threads_switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


class Fate(Enum):
    """What happens to an item in a stage."""

    FINE = "fine"
    PERMANENT = "permanent"
    ALWAYS = "always"
    FIRST_TIME = "first time"
    EXTRA_OUTPUT = "extra output"


class DamagedError(Exception):
    """An error that a second try does not mend."""


@dataclass(frozen=True)
class Page:
    number: int
    size: int
    delay_ms: int
    start: Fate
    parts: tuple[tuple[str, Fate], ...]
    """The fan-out: which stage is asked, and what becomes of it."""


class Job(NamedTuple):
    page: int
    part: int
    fate: Fate
    delay_ms: int
    cost: float


@dataclass(frozen=True)
class Setting:
    """How one stage is run; none of it may show in the results."""

    limit: int
    workers: int
    linger_s: float
    memory: int
    """Largest batch that fits into memory."""


@dataclass
class Work:
    """A stage function that suffers the fates of its items."""

    setting: Setting
    is_hopeless: bool = False
    tried: set[tuple[int, int]] = field(default_factory=set)

    def __call__(self, jobs: list[Job]) -> list[int]:
        time.sleep(max(job.delay_ms for job in jobs) / 1000)
        if len(jobs) > self.setting.memory or self.is_hopeless:
            raise MemoryError(f"{len(jobs)} jobs")
        results = []
        for job in jobs:
            if job.fate is Fate.PERMANENT:
                raise DamagedError(f"job {job.page}.{job.part}")
            if job.fate is Fate.ALWAYS:
                raise ValueError(f"job {job.page}.{job.part}")
            if job.fate is Fate.FIRST_TIME and (job.page, job.part) not in self.tried:
                self.tried.add((job.page, job.part))
                raise OSError("try again")
            results += [job.page * 100 + job.part] * (2 if job.fate is Fate.EXTRA_OUTPUT else 1)
        return results


class Watch:
    """A flow that notes how often it is opened and closed, and what is in flight together."""

    def __init__(self) -> None:
        self.opened: list[int] = []
        self.closed: list[int] = []
        self.in_flight: dict[int, int] = {}
        self.most: list[dict[int, int]] = []
        self._lock = threading.Lock()

    def flow(self, page: Page, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        with self._lock:
            self.opened.append(page.number)
            self.in_flight[page.number] = page.size
            self.most.append(dict(self.in_flight))
        try:
            try:
                start = yield Call("a", Job(page.number, 0, page.start, page.delay_ms, page.size))
            except ItemFailed as failure:
                return page.number, said(failure), []
            parts = yield [
                Call(stage, Job(page.number, number, fate, page.delay_ms, 1 + number % 3))
                for number, (stage, fate) in enumerate(page.parts, 1)
            ]
            return page.number, start, [said(part) for part in parts]
        finally:
            with self._lock:
                self.closed.append(page.number)
                del self.in_flight[page.number]


def said(result: int | ItemFailed) -> int | str:
    if isinstance(result, ItemFailed):
        return f"{result.stage} {type(result.cause).__name__} {result.attempts}"
    return result


def expected(page: Page, hopeless: str) -> tuple[int, int | str, list[int | str]]:
    """What the page comes to when it goes through its stages all by itself."""

    def result(stage: str, part: int, fate: Fate) -> int | str:
        if stage == hopeless:
            return f"{stage} MemoryError 2"
        words = {
            Fate.PERMANENT: f"{stage} DamagedError 1",
            Fate.ALWAYS: f"{stage} ValueError 2",
            Fate.EXTRA_OUTPUT: f"{stage} ValueError 2",
        }
        return words.get(fate, page.number * 100 + part)

    start = result("a", 0, page.start)
    if isinstance(start, str):
        return page.number, start, []
    parts = [result(stage, number, fate) for number, (stage, fate) in enumerate(page.parts, 1)]
    return page.number, start, parts


fates = st.sampled_from([*[Fate.FINE] * 6, *Fate])
settings_of_a_stage = st.builds(
    Setting,
    limit=st.integers(1, 9),
    workers=st.integers(1, 3),
    linger_s=st.sampled_from([0.0, 0.002, 0.02]),
    memory=st.integers(1, 9),
)
page_lists = st.lists(
    st.builds(
        Page,
        number=st.just(0),
        size=st.integers(1, 5),
        delay_ms=st.sampled_from([0, 0, 0, 0, 1, 3]),
        start=fates,
        parts=st.lists(st.tuples(st.sampled_from(NAMES), fates), max_size=5).map(tuple),
    ),
    max_size=16,
).map(
    lambda pages: [
        Page(number, page.size, page.delay_ms, page.start, page.parts)
        for number, page in enumerate(pages)
    ]
)


def make_stages(how: list[Setting], hopeless: str) -> list[Stage[Any, Any]]:
    return [
        Stage(
            name,
            Work(setting, name == hopeless),
            workers=setting.workers,
            sizer=BatchSizer(setting.limit),
            cost=lambda job: job.cost,
            linger_s=setting.linger_s,
            is_permanent=lambda error: isinstance(error, DamagedError),
        )
        for name, setting in zip(NAMES, how, strict=True)
    ]


def arriving(pages: list[Page], gap_ms: int) -> Iterator[Page]:
    for page in pages:
        if gap_ms and page.number % 2:
            time.sleep(gap_ms / 1000)
        yield page


@given(
    pages=page_lists,
    how=st.lists(settings_of_a_stage, min_size=3, max_size=3),
    hopeless=st.sampled_from(["", "", "", "b"]),
    budget=st.integers(1, 30),
    gap_ms=st.sampled_from([0, 0, 2]),
    is_reversed=st.booleans(),
)
@settings(max_examples=100, deadline=None)
def test_results_do_not_depend_on_limits_workers_budget_or_timing(
    pages: list[Page],
    how: list[Setting],
    hopeless: str,
    budget: int,
    gap_ms: int,
    is_reversed: bool,
) -> None:
    watch = Watch()
    stream = Stream(make_stages(how, hopeless), budget=budget)
    order = pages[::-1] if is_reversed else pages
    results = list(stream.run(arriving(order, gap_ms), watch.flow, lambda page: page.size))

    assert stream_threads() == []
    assert sorted(results, key=lambda result: result[0]) == [
        expected(page, hopeless) for page in pages
    ]
    assert sorted(watch.opened) == sorted(watch.closed) == [page.number for page in pages]
    for together in watch.most:
        assert len(together) == 1 or sum(together.values()) <= budget
    calls = sum(1 + (isinstance(result[1], int) and len(result[2])) for result in results)
    assert sum(stage.items for stage in stream.metrics.stages.values()) == calls


@pytest.mark.parametrize("ending", ["close", "cancel", "flow", "items", "interrupt"])
@given(
    pages=page_lists.filter(bool),
    how=st.lists(settings_of_a_stage, min_size=3, max_size=3),
    budget=st.integers(1, 30),
    after=st.integers(0, 15),
)
@settings(max_examples=40, deadline=None)
def test_nothing_is_left_when_a_run_ends_anywhere(
    ending: str, pages: list[Page], how: list[Setting], budget: int, after: int
) -> None:
    watch = Watch()
    closed: list[str] = []
    stream = Stream(make_stages(how, ""), budget=budget)
    after %= len(pages)

    def items() -> Iterator[Page]:
        try:
            yield from pages[:after] if ending == "items" else pages
            if ending == "items":
                raise LookupError
        finally:
            closed.append("items")

    def flow(page: Page, timings: FlowTimings) -> Generator[Any, Any, Any]:
        result = yield from watch.flow(page, timings)
        if ending == "flow" and page.number == after:
            raise LookupError
        return result

    def consume() -> None:
        for count, _ in enumerate(results):
            if count == after and ending == "close":
                return
            if count == after and ending == "cancel":
                stream.cancel()
            if count == after and ending == "interrupt":
                raise KeyboardInterrupt

    results = stream.run(items(), flow, lambda page: page.size)
    error = {
        "cancel": StreamCancelled,
        "flow": LookupError,
        "items": LookupError,
        "interrupt": KeyboardInterrupt,
    }.get(ending)
    if error is None:
        consume()
    else:
        with pytest.raises(error):
            consume()
    results.close()

    assert stream_threads() == []
    assert sorted(watch.opened) == sorted(watch.closed)
    assert closed == ["items"]
