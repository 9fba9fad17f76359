"""What a stream counts and what it logs."""

import logging
import time
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from deepcompress_dagster.streaming import (
    BatchSizer,
    Call,
    FlowTimings,
    Stage,
    Stream,
    StreamMetrics,
)
from deepcompress_dagster.streaming import metrics as metrics_module
from deepcompress_dagster.streaming.metrics import StageMetrics, total
from tests.streaming.helpers import one, one_call


def slow(items: list[int]) -> list[int]:
    time.sleep(0.01)
    return items


def test_items_batches_and_seconds_are_counted_per_stage() -> None:
    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        yield Call("a", item)
        yield [Call("b", item)] * 3

    stages = [
        Stage("a", slow, sizer=BatchSizer(4), linger_s=30),
        Stage[int, int]("b", lambda items: items, sizer=BatchSizer(30), linger_s=30),
    ]
    stream = Stream(stages, budget=100)
    list(stream.run(range(10), flow, one))
    a, b = stream.metrics.stages.values()
    assert (a.items, a.batches, a.mean_fill) == (10, 3, pytest.approx(10 / 3))
    assert (b.items, b.batches, b.mean_fill) == (30, 1, 30)
    assert a.busy_s >= 0.03
    assert a.seconds_per_item == pytest.approx(a.busy_s / 10)
    assert b.waiting_s >= 0.03
    assert stream.metrics.peak_size == 10


def test_failed_items_are_counted_too() -> None:
    def work(items: list[int]) -> list[int]:
        raise ValueError

    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        yield [Call("a", item)]

    stream = Stream([Stage("a", work, sizer=BatchSizer(4), linger_s=30)], budget=100)
    list(stream.run(range(4), flow, one))
    assert stream.metrics.stages["a"].items == 4
    assert stream.metrics.finished == 4


def test_numbers_add_up_over_runs() -> None:
    stream = Stream([Stage("a", slow)], budget=100)
    for _ in range(2):
        list(stream.run(range(3), one_call, one))
    assert stream.metrics.stages["a"].items == 6
    assert stream.metrics.finished == 6


def test_items_that_ask_no_stage_are_not_part_of_the_progress() -> None:
    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        if item % 2:
            yield Call("a", item)
        return item

    stream = Stream([Stage("a", slow)], budget=100)
    assert len(list(stream.run(range(6), flow, one))) == 6
    assert stream.metrics.finished == 3


def test_nothing_done_yet_is_zero_and_not_an_error() -> None:
    reading = StageMetrics("a", "pages")
    assert (reading.mean_fill, reading.seconds_per_item) == (0, 0)


@pytest.mark.parametrize(
    ("reading", "text"),
    [
        (StageMetrics("layout", "pages", 8, 1, 1.42), "layout: 8 pages in 1.42 s (0.18 s/page)"),
        (StageMetrics("text", "items", 1, 1, 2.0), "text: 1 item in 2.00 s (2.00 s/item)"),
    ],
)
def test_a_log_line_says_items_seconds_and_seconds_per_item(
    reading: StageMetrics, text: str
) -> None:
    assert str(reading) == text


def test_a_run_ends_with_a_line_per_stage_that_did_something(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger=metrics_module.__name__)
    stages = [Stage("a", slow, unit="pages"), Stage("b", slow)]
    stream = Stream(stages, budget=100)
    stream.metrics.expect(4)
    list(stream.run(range(3), one_call, one))
    assert [message.split(" in ")[0] for message in caplog.messages] == ["a: 3 pages"]
    assert ", 3/4, ETA " in caplog.text
    caplog.clear()
    list(stream.run(range(1), one_call, one))
    (message,) = caplog.messages
    assert message.startswith("a: 1 page in ")
    assert message.endswith(" s/page), 4/4")


def test_progress_is_logged_at_intervals_while_a_run_goes_on(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_module, "LOG_INTERVAL_S", 0.05)
    caplog.set_level(logging.INFO, logger=metrics_module.__name__)

    def items() -> Iterator[int]:
        for number in range(6):
            time.sleep(0.04)
            yield number

    list(Stream([Stage("a", slow)], budget=100).run(items(), one_call, one))
    *parts, whole = [int(message.split()[1]) for message in caplog.messages]
    assert len(parts) >= 2
    assert sum(parts) <= whole == 6


def test_the_eta_follows_the_rate_of_this_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(metrics_module.time, "monotonic", lambda: clock[0])
    metrics = StreamMetrics()
    metrics.expect(400)
    metrics.finished = 100
    metrics.begin_run()
    clock[0] += 10
    assert metrics._progress() == ", 100/400"
    metrics.finished += 50
    assert metrics._progress() == ", 150/400, ETA 50 s"


def test_what_waits_in_front_of_a_stage_can_be_seen_and_nothing_does_at_the_end() -> None:
    seen: list[int] = []

    def work(items: list[int]) -> list[int]:
        seen.append(stream.metrics.stages["a"].queued)
        return items

    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        yield [Call("a", item)] * 6

    stream = Stream([Stage[int, int]("a", work, sizer=BatchSizer(2), linger_s=30)], budget=100)
    list(stream.run(range(1), flow, one))
    assert seen == [4, 2, 0]
    broken = stream.run(range(50), flow, one)
    next(broken)
    broken.close()
    assert stream.metrics.stages["a"].queued == 0


def test_readings_of_a_stage_add_up_over_streams() -> None:
    first = StageMetrics("a", "pages", items=3, batches=1, busy_s=0.5, peak_bytes=7, queued=1)
    second = StageMetrics("a", "pages", items=1, batches=1, waiting_s=2.0, peak_bytes=5, queued=4)
    other = StageMetrics("b", "crops", items=9)
    assert list(total([first, other, second]).values()) == [
        StageMetrics("a", "pages", 4, 2, 0.5, 2.0, 7, 5),
        other,
    ]
