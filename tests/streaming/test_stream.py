"""What a stream promises of flows, batches, memory and failures."""

import gc
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

import pytest

from deepcompress_dagster.streaming import BatchSizer, Call, FlowTimings, ItemFailed, Stage, Stream
from tests.streaming.helpers import LONG_S, one, one_call


def run_all(
    stages: list[Stage[Any, Any]],
    items: Iterable[Any],
    flow: Callable[[Any, FlowTimings], Any] = one_call,
    budget: int = 100,
) -> list[Any]:
    return list(Stream(stages, budget=budget).run(items, flow, one))


class Recorder:
    """A stage function that notes its batches."""

    def __init__(self, work: Callable[[Any], Any] = lambda item: item) -> None:
        self.batches: list[list[Any]] = []
        self._work = work

    def __call__(self, items: list[Any]) -> list[Any]:
        self.batches.append(items)
        return [self._work(item) for item in items]


def wait_until(condition: Callable[[], bool], within_s: float = 5.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def refuse_odd(items: list[int]) -> list[int]:
    if any(item % 2 for item in items):
        raise ValueError(f"odd in {items}")
    return items


# Flows


def test_a_flow_gets_the_result_of_its_call_and_the_stream_yields_what_it_returns() -> None:
    stage = Stage("a", lambda items: [item + 1 for item in items])
    assert sorted(run_all([stage], range(5))) == [1, 2, 3, 4, 5]


def test_a_list_of_calls_is_answered_in_order_with_failures_in_place() -> None:
    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        return (yield [Call("a", item), Call("b", item + 1), Call("a", item + 2)])

    double = Stage[int, int]("b", lambda items: [2 * item for item in items])
    (results,) = run_all([Stage("a", refuse_odd), double], [1], flow)
    assert [type(result) for result in results] == [ItemFailed, int, ItemFailed]
    assert results[1] == 4
    assert str(results[2]) == "stage a failed 2 times: ValueError: odd in [3]"


def test_a_failed_call_raises_in_the_flow() -> None:
    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        try:
            return (yield Call("a", item))
        except ItemFailed as failure:
            return failure.stage, failure.attempts, type(failure.cause)

    results = run_all([Stage("a", refuse_odd, sizer=BatchSizer(4))], range(4), flow)
    assert Counter(results) == Counter([0, 2, *[("a", 2, ValueError)] * 2])


def test_an_empty_list_of_calls_is_answered_at_once() -> None:
    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        assert (yield []) == []
        return (yield Call("a", item))

    assert run_all([Stage("a", lambda items: items)], [1], flow) == [1]


def test_a_flow_may_ask_nothing() -> None:
    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        return item
        yield

    assert sorted(run_all([Stage("a", lambda items: items)], range(3), flow)) == [0, 1, 2]


def test_a_flow_may_ask_an_earlier_stage_again() -> None:
    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        first = yield Call("b", item)
        return (yield Call("a", first))

    stages = [Stage[int, int](name, lambda items: [i + 1 for i in items]) for name in "ab"]
    assert sorted(run_all(stages, range(3), flow)) == [2, 3, 4]


def test_no_items_give_no_results() -> None:
    assert run_all([Stage("a", lambda items: items)], []) == []


def test_the_trace_lists_the_calls_in_the_order_of_asking() -> None:
    def flow(item: int, timings: FlowTimings) -> Generator[Any, Any, Any]:
        yield [Call("b", item), Call("a", item), Call("b", item)]
        return [(entry.stage, entry.batch_size, entry.seconds > 0) for entry in timings.entries]

    stages = [
        Stage[int, int]("a", lambda items: items),
        Stage[int, int]("b", lambda items: items, sizer=BatchSizer(2)),
    ]
    assert run_all(stages, [1], flow) == [[("b", 2, True), ("a", 1, True), ("b", 2, True)]]


def test_answered_items_are_not_held() -> None:
    class Pixels:
        pass

    def flow(_item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        page = Pixels()
        held = weakref.ref(page)
        call = Call("a", page)
        del page
        asked = [call, call]
        del call
        yield asked
        del asked
        return held() is not None

    gc.disable()
    try:
        still_held = run_all([Stage("a", lambda items: [0] * len(items))], range(5), flow)
    finally:
        gc.enable()
    assert not any(still_held)


def test_items_of_failed_calls_are_not_held_by_their_error() -> None:
    class Pixels:
        pass

    def work(items: list[Any]) -> list[Any]:
        raise ValueError("unreadable")

    def flow(_item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        page = Pixels()
        held = weakref.ref(page)
        asked = [Call("a", page)]
        del page
        failures = yield asked
        del asked
        return failures[0].cause, held() is not None

    gc.disable()
    try:
        results = run_all([Stage("a", work, sizer=BatchSizer(4))], range(4), flow)
    finally:
        gc.enable()
    assert [held for _, held in results] == [False] * 4


# Batches


def test_a_last_batch_does_not_linger() -> None:
    work = Recorder()
    stage = Stage("a", work, sizer=BatchSizer(8), linger_s=LONG_S)
    started = time.monotonic()
    run_all([stage], range(10))
    assert time.monotonic() - started < LONG_S / 2
    assert [len(batch) for batch in work.batches] == [8, 2]


def test_a_batch_does_not_wait_for_items_that_have_no_room() -> None:
    work = Recorder()
    stage = Stage("a", work, sizer=BatchSizer(8), linger_s=LONG_S)
    started = time.monotonic()
    run_all([stage], range(6), budget=2)
    assert time.monotonic() - started < LONG_S / 2
    assert max(len(batch) for batch in work.batches) <= 2


def slowly(items: Iterable[int], gap_s: float = 0.05) -> Iterator[int]:
    for item in items:
        yield item
        time.sleep(gap_s)


def test_a_lingering_batch_goes_when_the_next_item_turns_out_to_have_no_room() -> None:
    work = Recorder()
    stage = Stage("a", work, sizer=BatchSizer(8), linger_s=LONG_S)
    started = time.monotonic()
    run_all([stage], slowly(range(3)), budget=2)
    assert time.monotonic() - started < LONG_S / 2
    assert work.batches == [[0, 1], [2]]


def test_a_lingering_batch_goes_when_the_items_turn_out_to_be_at_their_end() -> None:
    stage = Stage[int, int]("a", lambda items: items, sizer=BatchSizer(8), linger_s=LONG_S)
    started = time.monotonic()
    run_all([stage], slowly([0]))
    assert time.monotonic() - started < LONG_S / 2


def test_a_batch_waits_for_an_item_that_is_still_to_come() -> None:
    work = Recorder()
    stage = Stage("a", work, sizer=BatchSizer(2), linger_s=LONG_S)
    stream = Stream([stage], budget=10)
    list(stream.run(slowly([8, 2]), one_call, lambda item: item))
    assert work.batches == [[8, 2]]


def test_a_batch_does_not_wait_for_flows_further_downstream() -> None:
    is_through = threading.Event()

    def downstream(items: list[int]) -> list[int]:
        assert is_through.wait(LONG_S)
        return items

    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        if item == 0:
            return (yield Call("b", item))
        yield Call("a", item)
        is_through.set()
        return item

    stages = [
        Stage[int, int]("a", lambda items: items, sizer=BatchSizer(4), linger_s=LONG_S),
        Stage("b", downstream),
    ]
    started = time.monotonic()
    assert sorted(run_all(stages, range(2), flow)) == [0, 1]
    assert time.monotonic() - started < LONG_S / 2


def test_a_batch_waits_for_an_item_that_is_still_upstream() -> None:
    def slow_for_one(items: list[int]) -> list[int]:
        time.sleep(0.05 * items[0])
        return items

    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        yield Call("a", item)
        return (yield Call("b", item))

    work = Recorder()
    run_all(
        [
            Stage("a", slow_for_one, workers=2),
            Stage("b", work, sizer=BatchSizer(4), linger_s=LONG_S),
        ],
        range(2),
        flow,
    )
    assert work.batches == [[0, 1]]


def test_an_item_waits_no_longer_than_the_linger() -> None:
    first_is_done = threading.Event()

    def upstream(items: list[int]) -> list[int]:
        assert items == [0] or first_is_done.wait(LONG_S)
        return items

    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        yield Call("a", item)
        yield Call("b", item)
        first_is_done.set()

    work = Recorder()
    run_all(
        [
            Stage("a", upstream, workers=2),
            Stage("b", work, sizer=BatchSizer(4), linger_s=0.02),
        ],
        range(2),
        flow,
    )
    assert work.batches == [[0], [1]]


def test_batches_fill_when_the_producer_is_a_little_slower_than_the_consumer() -> None:
    def items() -> Iterator[int]:
        for number in range(60):
            time.sleep(0.003)
            yield number

    def work(batch: list[int]) -> list[int]:
        time.sleep(0.002)
        return batch

    stream = Stream([Stage("a", work, sizer=BatchSizer(8), linger_s=0.2)], budget=100)
    list(stream.run(items(), one_call, one))
    assert stream.metrics.stages["a"].mean_fill > 5


def test_a_batch_holds_items_of_similar_cost_and_nobody_starves() -> None:
    work = Recorder()
    stage = Stage("a", work, sizer=BatchSizer(64), cost=float, linger_s=LONG_S)
    costs = [1, 1000, *[1] * 20, 900, *[1] * 20]
    assert sorted(run_all([stage], costs)) == sorted(costs)
    assert [Counter(batch) for batch in work.batches] == [
        Counter({1: 41}),
        Counter({1000: 1, 900: 1}),
    ]


def test_the_workers_of_a_stage_work_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=LONG_S)

    def work(items: list[int]) -> list[int]:
        together.wait()
        return items

    assert sorted(run_all([Stage("a", work, workers=3)], range(3))) == [0, 1, 2]


def test_an_idle_worker_takes_what_another_left_in_the_line() -> None:
    together = threading.Barrier(2, timeout=5)

    def work(items: list[int]) -> list[int]:
        together.wait()
        return items

    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        yield Call("a", item)
        return (yield [Call("b", 1), Call("b", 1000)])

    stages = [
        Stage[int, int]("a", lambda items: time.sleep(0.05) or items),
        Stage("b", work, workers=2, sizer=BatchSizer(8), cost=float, linger_s=LONG_S),
    ]
    assert run_all(stages, [0], flow) == [[1, 1000]]


def test_a_lowered_batch_limit_lasts_for_the_next_run() -> None:
    def work(items: list[int]) -> list[int]:
        if len(items) > 2:
            raise MemoryError
        return items

    recorded = Recorder()
    stage = Stage[int, int](
        "a", lambda items: recorded(work(items)), sizer=BatchSizer(8), linger_s=LONG_S
    )
    stream = Stream([stage], budget=100)
    assert sorted(stream.run(range(8), one_call, one)) == list(range(8))
    assert sorted(stream.run(range(8), one_call, one)) == list(range(8))
    assert [len(batch) for batch in recorded.batches] == [2] * 8


# Budget


def test_a_slow_consumer_stalls_the_stream() -> None:
    pulled: list[int] = []

    def items() -> Iterator[int]:
        for number in range(1000):
            pulled.append(number)
            yield number

    work = Recorder()
    stream = Stream([Stage("a", work)], budget=4)
    results = stream.run(items(), one_call, one)
    taken = [next(results) for _ in range(3)]
    wait_until(lambda: len(work.batches) == len(taken) + 4)
    time.sleep(0.05)
    assert len(work.batches) == len(taken) + 4
    assert len(pulled) == len(work.batches) + 1
    assert stream.metrics.peak_size == 4
    results.close()


def test_an_item_larger_than_the_budget_goes_alone() -> None:
    in_flight: set[int] = set()
    company: dict[int, set[int]] = {}

    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        in_flight.add(item)
        yield Call("a", item)
        company[item] = set(in_flight)
        in_flight.remove(item)
        return item

    stream = Stream([Stage[int, int]("a", lambda items: items, workers=2)], budget=10)
    sizes = [3, 4, 50, 3, 11, 10, 2]
    assert sorted(stream.run(sizes, flow, lambda item: item)) == sorted(sizes)
    assert company[50] == {50}
    assert company[11] == {11}
    assert company[10] == {10}


def test_items_without_size_are_bounded_too() -> None:
    work = Recorder()
    stream = Stream([Stage("a", work)], budget=3)
    results = stream.run(range(100), one_call, lambda _item: 0)
    next(results)
    wait_until(lambda: len(work.batches) == 4)
    time.sleep(0.05)
    assert len(work.batches) == 4
    results.close()


# Mistakes of the caller


def test_a_budget_that_admits_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="budget of 0"):
        Stream([], budget=0)


def test_stages_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        Stream([Stage("a", list), Stage("a", list)], budget=1)


def test_an_unknown_stage_ends_the_stream_and_says_which_there_are() -> None:
    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        yield Call("layuot", item)

    with pytest.raises(ValueError, match=r"'layuot'; this stream has a, b"):
        run_all([Stage("a", list), Stage("b", list)], [1], flow)


@pytest.mark.parametrize("asked", [None, "a", [("a", 1)]])
def test_a_flow_that_yields_something_else_ends_the_stream(asked: object) -> None:
    def flow(_item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        yield asked

    with pytest.raises(TypeError, match="must yield a Call"):
        run_all([Stage("a", list)], [1], flow)


def test_a_second_run_at_the_same_time_is_refused() -> None:
    stream = Stream([Stage[int, int]("a", lambda items: items)], budget=1)
    first = stream.run(range(3), one_call, one)
    next(first)
    with pytest.raises(RuntimeError, match="running already"):
        next(stream.run(range(3), one_call, one))
    first.close()
    assert sorted(stream.run(range(3), one_call, one)) == [0, 1, 2]


# Cost of the engine


def test_overhead_per_call_is_below_100_microseconds() -> None:
    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        yield Call("a", item)
        yield Call("b", item)
        yield Call("c", item)

    stages = [Stage[int, int](name, lambda items: items) for name in "abc"]
    started = time.process_time()
    run_all(stages, range(1000), flow)
    assert (time.process_time() - started) / 3000 < 100e-6


def test_waiting_takes_no_processor_time() -> None:
    def work(items: list[int]) -> list[int]:
        time.sleep(0.5)
        return items

    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        yield Call("a", item)
        yield Call("b", item)

    stages = [
        Stage("a", work, workers=2, timeout_s=LONG_S),
        Stage[int, int]("b", lambda items: items, workers=4, sizer=BatchSizer(8)),
    ]
    started = time.process_time()
    run_all(stages, range(3), flow)
    assert time.process_time() - started < 0.1
