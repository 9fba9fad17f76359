"""However a run ends, it leaves no thread and no open flow, and says what happened."""

import signal
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from deepcompress_dagster.streaming import (
    BatchSizer,
    Call,
    FlowTimings,
    ItemFailed,
    Stage,
    StageHung,
    Stream,
    StreamCancelled,
    stream,
)
from tests.streaming.helpers import LONG_S, one, one_call, stream_threads, wait_for_threads_to_end


def endless(closed: list[str]) -> Iterator[int]:
    number = 0
    try:
        while True:
            yield number
            number += 1
    finally:
        closed.append("items")


class Flows:
    """Flows that note what is open; each holds a resource from its start to its end."""

    def __init__(self) -> None:
        self.started = 0
        self.ended = 0

    def __call__(self, item: Any, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        self.started += 1
        try:
            first = yield Call("a", item)
            return (yield [Call("b", first), Call("b", first)])[0]
        finally:
            self.ended += 1

    def are_closed(self) -> bool:
        return self.started == self.ended > 0


def two_stages() -> list[Stage[Any, Any]]:
    return [
        Stage[int, int]("a", lambda items: items, workers=2),
        Stage[int, int]("b", lambda items: items, sizer=BatchSizer(4), linger_s=LONG_S),
    ]


class Blocker:
    """A stage function that blocks until it is released."""

    def __init__(self) -> None:
        self.is_in = threading.Event()
        self.release = threading.Event()

    def __call__(self, items: list[int]) -> list[int]:
        self.is_in.set()
        assert self.release.wait(LONG_S)
        return items


# Closing and cancelling


def test_closing_early_closes_flows_and_items() -> None:
    flows, closed = Flows(), list[str]()
    results = Stream(two_stages(), budget=10).run(endless(closed), flows, one)
    assert len([next(results) for _ in range(20)]) == 20
    results.close()
    assert stream_threads() == []
    assert flows.are_closed()
    assert closed == ["items"]


def test_leaving_the_loop_ends_the_stream() -> None:
    flows, closed = Flows(), list[str]()
    for _ in Stream(two_stages(), budget=10).run(endless(closed), flows, one):
        break
    assert stream_threads() == []
    assert flows.are_closed()
    assert closed == ["items"]


def test_a_generator_that_was_never_started_holds_nothing() -> None:
    the_stream = Stream(two_stages(), budget=10)
    the_stream.run(endless([]), Flows(), one).close()
    assert len(list(the_stream.run(range(3), Flows(), one))) == 3


def test_cancel_from_another_thread_ends_a_waiting_consumer() -> None:
    flows, closed, block = Flows(), list[str](), Blocker()
    the_stream = Stream([Stage("a", block), *two_stages()[1:]], budget=10)

    def cancel() -> None:
        assert block.is_in.wait(LONG_S)
        the_stream.cancel()
        block.release.set()

    threading.Thread(target=cancel).start()
    with pytest.raises(StreamCancelled):
        list(the_stream.run(endless(closed), flows, one))
    assert stream_threads() == []
    assert flows.are_closed()
    assert closed == ["items"]


def test_cancel_drops_results_that_nobody_took() -> None:
    the_stream = Stream(two_stages(), budget=10)
    results = the_stream.run(range(10), Flows(), one)
    next(results)
    the_stream.cancel()
    with pytest.raises(StreamCancelled):
        next(results)


def test_no_call_begins_after_cancel() -> None:
    calls: list[list[int]] = []
    the_stream: Stream

    def work(items: list[int]) -> list[int]:
        calls.append(items)
        the_stream.cancel()
        raise ValueError

    stage = Stage("a", work, sizer=BatchSizer(4), linger_s=LONG_S)
    the_stream = Stream([stage], budget=10)
    with pytest.raises(StreamCancelled):
        list(the_stream.run(range(8), one_call, one))
    assert len(calls) == 1


def test_a_cancelled_stream_stays_cancelled() -> None:
    the_stream = Stream(two_stages(), budget=10)
    the_stream.cancel()
    for _ in range(2):
        with pytest.raises(StreamCancelled):
            list(the_stream.run(range(3), Flows(), one))


def test_cancel_in_a_signal_handler_of_the_consumer() -> None:
    flows, closed = Flows(), list[str]()
    the_stream = Stream(two_stages(), budget=10)
    before = signal.signal(signal.SIGALRM, lambda *_: the_stream.cancel())
    try:
        results = the_stream.run(endless(closed), flows, one)
        next(results)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(StreamCancelled):
            for _ in results:
                pass
    finally:
        signal.signal(signal.SIGALRM, before)
    assert flows.are_closed()


def test_cancel_while_its_own_thread_holds_the_lock_does_not_block() -> None:
    the_stream = Stream(two_stages(), budget=10)
    results = the_stream.run(range(10), Flows(), one)
    next(results)
    assert the_stream._run is not None
    with the_stream._run._lock:
        the_stream.cancel()
    with pytest.raises(StreamCancelled):
        next(results)


def test_calls_under_way_are_interrupted_when_a_run_ends_early() -> None:
    flows, closed, block = Flows(), list[str](), Blocker()
    stages = [*two_stages()[:1], Stage("b", block)]
    the_stream = Stream(stages, budget=10, interrupt=block.release.set)
    results = the_stream.run(endless(closed), flows, one)
    threading.Thread(target=lambda: (block.is_in.wait(LONG_S), the_stream.cancel())).start()
    with pytest.raises(StreamCancelled):
        next(results)
    assert block.release.is_set()
    assert flows.are_closed()


def test_nothing_is_interrupted_when_all_results_were_taken() -> None:
    calls: list[str] = []
    the_stream = Stream(two_stages(), budget=10, interrupt=lambda: calls.append("interrupt"))
    assert len(list(the_stream.run(range(9), Flows(), one))) == 9
    assert calls == []


def test_what_comes_of_an_interrupted_call_is_no_result() -> None:
    block = Blocker()

    def items() -> Iterator[int]:
        yield from (0, 1)
        assert block.is_in.wait(LONG_S)
        raise LookupError("no more items")

    def work(items: list[int]) -> list[int]:
        return items if items == [0] else block(items)

    the_stream = Stream([Stage("a", work)], budget=10, interrupt=block.release.set)
    results = the_stream.run(items(), one_call, one)
    got = [next(results)]
    wait_for_threads_to_end()
    with pytest.raises(LookupError):
        got.extend(results)
    assert got == [0]


def test_keyboard_interrupt_while_waiting_leaves_nothing() -> None:
    flows, closed = Flows(), list[str]()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def work(items: list[int]) -> list[int]:
        time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGALRM)
        time.sleep(0.05)
        return items

    stages = [Stage("a", work), *two_stages()[1:]]
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(Stream(stages, budget=1).run(endless(closed), flows, one))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert stream_threads() == []
    assert flows.are_closed()
    assert closed == ["items"]


def test_keyboard_interrupt_in_the_loop_body_leaves_nothing() -> None:
    flows, closed = Flows(), list[str]()

    def consume() -> None:
        for _ in Stream(two_stages(), budget=10).run(endless(closed), flows, one):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        consume()
    del caught  # its traceback holds the frame of consume, and with it the generator
    assert stream_threads() == []
    assert flows.are_closed()


def test_a_call_that_goes_on_while_the_run_ends_still_answers_its_flow() -> None:
    held: list[str] = []
    block = Blocker()

    def acquire(items: list[int]) -> list[str]:
        block(items)
        held.append("slot")
        return ["slot"]

    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        slot = yield Call("a", item)
        try:
            yield Call("b", item)
        finally:
            held.remove(slot)

    the_stream = Stream([Stage("a", acquire), *two_stages()[1:]], budget=1)

    def cancel() -> None:
        assert block.is_in.wait(LONG_S)
        the_stream.cancel()
        block.release.set()

    threading.Thread(target=cancel).start()
    with pytest.raises(StreamCancelled):
        list(the_stream.run([1], flow, one))
    assert held == []


def test_items_that_block_are_left_behind_after_a_grace(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream, "FEEDER_GRACE_S", 0.05)
    release, closed = threading.Event(), list[str]()

    def items() -> Iterator[int]:
        try:
            yield 1
            release.wait(LONG_S)
            yield 2
        finally:
            closed.append("items")

    results = Stream([Stage[int, int]("a", lambda items: items)], budget=10).run(
        items(), one_call, one
    )
    assert next(results) == 1
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < LONG_S / 2
    assert "items of a stream still block" in caplog.text
    release.set()
    wait_for_threads_to_end()
    assert closed == ["items"]


# Errors


def test_an_error_in_a_flow_ends_the_stream_with_it() -> None:
    flows, closed = Flows(), list[str]()

    def flow(item: int, timings: FlowTimings) -> Generator[Any, Any, Any]:
        result = yield from flows(item, timings)
        if item == 7:
            raise LookupError("page 7")
        return result

    with pytest.raises(LookupError, match="page 7"):
        list(Stream(two_stages(), budget=10).run(endless(closed), flow, one))
    assert stream_threads() == []
    assert flows.are_closed()
    assert closed == ["items"]


def test_a_failure_that_a_flow_does_not_handle_ends_the_stream() -> None:
    def work(items: list[int]) -> list[int]:
        raise OSError("gone")

    with pytest.raises(ItemFailed, match="stage a failed 2 times: OSError: gone"):
        list(Stream([Stage("a", work)], budget=10).run(range(3), one_call, one))


def test_an_error_in_the_items_ends_the_stream_with_it() -> None:
    flows = Flows()

    def items() -> Iterator[int]:
        yield from range(5)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(Stream(two_stages(), budget=10).run(items(), flows, one))
    assert flows.are_closed()


def test_the_end_of_the_items_does_not_overtake_their_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stop = stream._Run._stop

    def slow_stop(run: Any, error: BaseException | None = None) -> None:
        time.sleep(0.05 if error else 0)
        stop(run, error)

    def items() -> Iterator[int]:
        yield 1
        raise LookupError

    monkeypatch.setattr(stream._Run, "_stop", slow_stop)
    with pytest.raises(LookupError):
        list(Stream(two_stages(), budget=10).run(items(), Flows(), one))


def test_an_error_in_size_ends_the_stream_with_it() -> None:
    closed: list[str] = []
    with pytest.raises(ZeroDivisionError):
        list(Stream(two_stages(), budget=10).run(endless(closed), Flows(), lambda n: 1 // n))
    assert closed == ["items"]


def test_an_error_in_a_cost_ends_the_stream_with_it() -> None:
    stage = Stage[int, int]("a", lambda items: items, cost=lambda n: 1 // n)
    with pytest.raises(ZeroDivisionError):
        list(Stream([stage], budget=10).run(range(3), one_call, one))


def test_an_interrupt_inside_a_stage_ends_the_stream() -> None:
    def work(items: list[int]) -> list[int]:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        list(Stream([Stage("a", work)], budget=10).run(range(3), one_call, one))


def test_results_finished_before_an_error_are_handed_out_first() -> None:
    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        yield Call("a", item)
        if item == 5:
            raise LookupError("page 5")
        return item

    results = Stream([Stage[int, int]("a", lambda items: items)], budget=10).run(
        range(10), flow, one
    )
    got = [next(results)]
    while stream_threads():
        time.sleep(0.005)
    with pytest.raises(LookupError):
        got.extend(results)
    assert got == [0, 1, 2, 3, 4]


def test_a_second_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    together = threading.Barrier(2, timeout=LONG_S)

    def work(items: list[int]) -> list[int]:
        together.wait()
        raise SystemExit(items[0])

    with pytest.raises(SystemExit):
        list(Stream([Stage("a", work, workers=2)], budget=2).run(range(2), one_call, one))
    assert "a further error while a stream was ending" in caplog.text


def test_an_error_while_flows_are_closed_does_not_keep_others_open() -> None:
    flows = Flows()

    def flow(item: int, timings: FlowTimings) -> Generator[Any, Any, Any]:
        try:
            return (yield from flows(item, timings))
        finally:
            if item == 3:
                raise LookupError("cannot close 3")

    block = Blocker()
    stages = [Stage[int, int]("a", lambda items: items), Stage("b", block)]
    the_stream = Stream(stages, budget=6)

    def cancel() -> None:
        assert block.is_in.wait(LONG_S)
        the_stream.cancel()
        block.release.set()

    threading.Thread(target=cancel).start()
    with pytest.raises(LookupError, match="cannot close 3") as caught:
        list(the_stream.run(iter([3, 1, 2]), flow, one))
    assert isinstance(caught.value.__context__, GeneratorExit | StreamCancelled)
    assert flows.are_closed()


# Time limits


def test_a_call_over_its_time_limit_ends_the_stream() -> None:
    flows, closed, block = Flows(), list[str](), Blocker()
    stages = [Stage[int, int]("a", lambda items: items), Stage("b", block, timeout_s=0.1)]
    started = time.monotonic()
    with pytest.raises(StageHung, match=r"stage b did not return within 0\.1 s"):
        list(Stream(stages, budget=10).run(endless(closed), flows, one))
    assert time.monotonic() - started < 5
    assert stream_threads() == ["stream-b-0"]
    assert flows.are_closed()
    assert closed == ["items"]
    block.release.set()
    wait_for_threads_to_end()


def test_a_thread_that_was_left_behind_is_a_daemon_and_touches_nothing_when_it_returns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    flows, block = Flows(), Blocker()
    results = Stream([Stage("a", block, timeout_s=0.05)], budget=10).run(range(3), flows, one)
    with pytest.raises(StageHung):
        next(results)
    (thread,) = [t for t in threading.enumerate() if t.name == "stream-a-0"]
    assert thread.daemon
    assert "stream-a-0 hangs in a call" in caplog.text
    caplog.clear()
    block.release.set()
    wait_for_threads_to_end()
    assert caplog.text == ""
    assert flows.started == flows.ended == 3


def test_closing_waits_for_a_call_no_longer_than_its_time_limit() -> None:
    block = Blocker()

    def work(items: list[int]) -> list[int]:
        return items if items == [0] else block(items)

    results = Stream([Stage("a", work, timeout_s=0.2)], budget=10).run(range(3), one_call, one)
    assert next(results) == 0
    assert block.is_in.wait(LONG_S)
    started = time.monotonic()
    results.close()
    assert time.monotonic() - started < LONG_S / 2
    block.release.set()
    wait_for_threads_to_end()


def test_a_call_that_returns_while_its_flow_is_closed_is_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    block = Blocker()

    def flow(item: int, _trace: FlowTimings) -> Generator[Any, Any, Any]:
        try:
            yield Call("a", item)
        finally:
            block.release.set()
            wait_for_threads_to_end()

    with pytest.raises(StageHung):
        list(Stream([Stage("a", block, timeout_s=0.05)], budget=10).run([1], flow, one))
    assert "a further error" not in caplog.text


def test_calls_within_their_time_limit_are_left_alone() -> None:
    def items() -> Iterator[int]:
        for number in range(3):
            yield number
            time.sleep(0.3)

    stage = Stage[int, int]("a", lambda items: items, timeout_s=0.2)
    assert len(list(Stream([stage], budget=10).run(items(), one_call, one))) == 3
