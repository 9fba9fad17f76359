"""Batch limits, what is taken out of a waiting line, and recovery from failures of a batch."""

import gc
import time
import weakref
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepcompress_dagster.streaming.microbatch import (
    BatchSizer,
    ItemOutcome,
    QueuedItem,
    Stage,
    StageQueue,
    not_counted,
    run_batch,
)


class Thing:
    """Something that a weak reference can watch."""


def run(stage: Stage[int, int], items: list[int]) -> list[ItemOutcome]:
    return run_batch(stage, items, stage.run)


def line(limit: int, costs: list[float], linger_s: float = 10.0) -> StageQueue[QueuedItem]:
    waiting = StageQueue[QueuedItem](
        Stage("s", lambda items: items, sizer=BatchSizer(limit), linger_s=linger_s)
    )
    for number, cost in enumerate(costs):
        waiting.add(QueuedItem(number, cost, since=float(number)))
    return waiting


def taken(waiting: StageQueue[QueuedItem], now: float, *, may_grow: bool) -> list[int]:
    return [entry.item for entry in waiting.take(now, may_grow=may_grow)]


# BatchSizer


def test_sizer_halves_and_remembers() -> None:
    sizer = BatchSizer(16)
    assert sizer.halve(16)
    assert sizer.limit == 8


def test_sizer_halves_once_for_two_failures_at_the_same_size() -> None:
    sizer = BatchSizer(16)
    sizer.halve(16)
    sizer.halve(16)
    assert sizer.limit == 8


def test_sizer_does_not_go_below_one() -> None:
    sizer = BatchSizer(1)
    assert not sizer.halve(1)
    assert sizer.limit == 1


def test_an_item_that_fails_alone_does_not_shrink_larger_batches() -> None:
    sizer = BatchSizer(8)
    assert not sizer.halve(1)
    assert sizer.limit == 8


def test_limits_that_hold_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="batch limit of 0"):
        BatchSizer(0)
    with pytest.raises(ValueError, match="stage s has 0 workers"):
        Stage("s", lambda items: items, workers=0)


# StageQueue


def test_a_full_batch_goes_at_once() -> None:
    assert taken(line(2, [1, 1, 1]), now=0, may_grow=True) == [0, 1]


def test_a_batch_that_may_grow_waits_for_the_linger_of_its_oldest() -> None:
    waiting = line(4, [1, 1], linger_s=10)
    assert taken(waiting, now=9.9, may_grow=True) == []
    assert waiting.seconds_left(9.9) == pytest.approx(0.1)
    assert taken(waiting, now=10, may_grow=True) == [0, 1]


def test_a_batch_that_cannot_grow_does_not_wait() -> None:
    assert taken(line(4, [1, 1]), now=0, may_grow=False) == [0, 1]


def test_nobody_waits_in_an_empty_line() -> None:
    waiting = line(4, [])
    assert taken(waiting, now=0, may_grow=False) == []
    assert waiting.seconds_left(0) is None


def test_a_batch_takes_the_oldest_and_items_of_similar_cost() -> None:
    waiting = line(8, [4, 100, 8, 3, 5, 90])
    assert taken(waiting, now=0, may_grow=False) == [0, 2, 4]
    assert taken(waiting, now=0, may_grow=False) == [1, 5]
    assert taken(waiting, now=0, may_grow=False) == [3]


@given(
    limit=st.integers(1, 5),
    costs=st.lists(st.floats(0.1, 100), min_size=1, max_size=30),
)
@settings(max_examples=100, deadline=None)
def test_every_batch_holds_the_oldest_and_differs_by_a_factor_of_two_at_most(
    limit: int, costs: list[float]
) -> None:
    waiting = line(limit, costs)
    left = list(range(len(costs)))
    while left:
        batch = taken(waiting, now=0, may_grow=False)
        chosen = [costs[number] for number in batch]
        assert batch[0] == left[0]
        assert batch == sorted(batch)
        assert len(batch) <= limit
        assert max(chosen) <= 2 * min(chosen)
        left = [number for number in left if number not in batch]


# run_batch


def failing(bad: set[int], error: type[Exception] = ValueError) -> Callable[[list[int]], list[int]]:
    def work(items: list[int]) -> list[int]:
        for item in items:
            if item in bad:
                raise error(f"item {item}")
        return [item * 10 for item in items]

    return work


def test_the_rest_of_a_batch_succeeds_when_one_item_fails() -> None:
    outcomes = run(Stage("s", failing({3})), list(range(8)))
    assert [o.value for o in outcomes] == [0, 10, 20, None, 40, 50, 60, 70]
    assert str(outcomes[3].error) == "item 3"
    assert outcomes[3].attempts == 2


def test_an_item_that_fails_once_succeeds_alone() -> None:
    seen: set[int] = set()

    def work(items: list[int]) -> list[int]:
        new = set(items) - seen
        if new:
            seen.add(min(new))
            raise ValueError("first time")
        return items

    outcomes = run(Stage("s", work), [1, 2, 3])
    assert [o.value for o in outcomes] == [1, 2, 3]


def test_a_permanent_error_is_not_tried_again() -> None:
    calls: list[list[int]] = []

    def work(items: list[int]) -> list[int]:
        calls.append(items)
        return failing({1})(items)

    stage = Stage("s", work, is_permanent=lambda error: isinstance(error, ValueError))
    outcomes = run(stage, [1])
    assert (outcomes[0].attempts, calls) == (1, [[1]])


def test_attempts_do_not_depend_on_the_company() -> None:
    stage = Stage("s", failing({0, 5}))
    together = run(stage, list(range(8)))
    alone = [run(stage, [item])[0] for item in range(8)]
    assert [o.attempts for o in together if o.error] == [o.attempts for o in alone if o.error]


@pytest.mark.parametrize("wrong", [[], [1, 2, 3, 4]])
def test_a_wrong_number_of_outputs_fails_the_item_that_causes_it(wrong: list[int]) -> None:
    stage = Stage[int, int]("s", lambda items: wrong if 2 in items else items)
    outcomes = run(stage, [1, 2, 3])
    assert [o.value for o in outcomes] == [1, None, 3]
    assert f"stage s returned {len(wrong)} outputs for 1 items" in str(outcomes[1].error)


def test_out_of_memory_halves_frees_and_tries_again() -> None:
    sizes: list[int] = []
    freed: list[int] = []

    def work(items: list[int]) -> list[int]:
        sizes.append(len(items))
        if len(items) > 3:
            raise MemoryError
        return items

    stage = Stage("s", work, sizer=BatchSizer(8), free_memory=lambda: freed.append(1))
    outcomes = run(stage, list(range(8)))
    assert [o.value for o in outcomes] == list(range(8))
    assert sizes == [8, 4, 2, 2, 2, 2]
    assert stage.sizer.limit == 2
    assert len(freed) == 2


def test_an_item_too_large_for_memory_fails_alone() -> None:
    def work(items: list[int]) -> list[int]:
        if 7 in items:
            raise MemoryError("too large")
        return items

    outcomes = run(Stage("s", work, sizer=BatchSizer(4)), [6, 7, 8, 9])
    assert [o.value for o in outcomes] == [6, None, 8, 9]
    assert isinstance(outcomes[1].error, MemoryError)


def test_memory_of_a_failed_call_is_released_before_it_is_freed() -> None:
    watched: list[weakref.ref[Thing]] = []
    alive: list[bool] = []

    def helper(tensor: Thing) -> None:
        raise MemoryError(repr(tensor))

    def work(items: list[int]) -> list[int]:
        tensor = Thing()
        watched.append(weakref.ref(tensor))
        try:
            helper(tensor)
        except MemoryError as error:
            raise RuntimeError("out of memory") from error
        return items

    stage = Stage(
        "s",
        work,
        is_out_of_memory=lambda error: "out of memory" in str(error),
        free_memory=lambda: alive.append(watched[-1]() is not None),
    )
    gc.disable()
    try:
        run(stage, [1])
    finally:
        gc.enable()
    assert alive == [False, False]


def test_an_error_says_where_it_was_raised() -> None:
    (outcome,) = run(Stage("s", failing({1})), [1])
    assert outcome.error is not None
    assert "in work" in outcome.error.__notes__[0]


def test_seconds_are_the_item_s_share_of_all_its_calls() -> None:
    outcomes = run(Stage("s", failing({1})), [0, 1])
    assert all(o.seconds > 0 for o in outcomes)
    assert [o.batch_size for o in outcomes] == [1, 1]


def test_an_error_that_is_no_exception_leaves_the_batch() -> None:
    def work(items: list[int]) -> list[int]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Stage("s", work), [1])


def test_an_output_that_is_an_exception_is_the_failure_of_that_item_alone():
    calls = []

    def run(items):
        calls.append(items)
        return [ValueError("runaway") if item == 2 else item for item in items]

    outcomes = run_batch(Stage("text", run), [1, 2, 3], run)
    assert [outcome.value for outcome in outcomes] == [1, None, 3]
    assert str(outcomes[1].error) == "runaway"
    assert [outcome.error for outcome in outcomes[::2]] == [None, None]
    assert calls == [[1, 2, 3]]


def test_a_sizer_follows_what_is_wanted_up_to_its_limit():
    wanted = iter([3, 100, 0, 100])
    sizer = BatchSizer(8, wanted=lambda: next(wanted))
    assert [sizer.limit, sizer.limit, sizer.limit] == [3, 8, 1]
    sizer.halve(8)
    assert sizer.limit == 4


def test_what_a_stage_does_before_its_work_is_left_out_of_the_seconds_of_its_items():
    def work(items: list[int]) -> list[int]:
        with not_counted():
            time.sleep(0.2)
        time.sleep(0.01)
        return items

    began = time.perf_counter()
    first, second = run(Stage("s", work), [1, 2])
    whole = time.perf_counter() - began
    assert first.seconds == second.seconds
    assert 0.01 <= 2 * first.seconds <= whole - 0.2
