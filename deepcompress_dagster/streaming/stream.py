"""The stream: items take their flows through shared stages, in microbatches and bounded memory.

Three kinds of threads serve a run. The *feeder* pulls items, waits until the budget has room and
starts their flows. The *workers* of a stage run its batches; whoever brings the last result that a
flow asked for runs the flow on to its next call, so that a flow never runs on two threads at
once. The *consumer*, the caller's own thread, takes the results and watches time limits. One lock
guards all state, and every wait is a wait on a condition of that lock.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from deepcompress_dagster.streaming.flow import Call, Flow, FlowRun, FlowTimings, PendingCall
from deepcompress_dagster.streaming.metrics import StreamMetrics
from deepcompress_dagster.streaming.microbatch import AnyStage, StageQueue, run_batch

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
T = TypeVar("T")

FEEDER_GRACE_S = 5.0
"""How long the end of a run waits for ``items`` when these block."""


class StageHung(RuntimeError):
    """A call exceeded the time limit of its stage; its thread is left behind."""


class StreamCancelled(RuntimeError):
    """The stream was cancelled."""


class Stream:
    """Stages, upstream first, and a budget that bounds what is in flight.

    ``budget`` has the unit of ``size``, usually bytes. Batch limits that an out-of-memory error has
    lowered and ``metrics`` last from run to run. Raises ValueError when the budget is below 1 or
    two stages share a name.
    """

    def __init__(
        self,
        stages: Sequence[AnyStage],
        *,
        budget: int,
        interrupt: Callable[[], None] = lambda: None,
    ) -> None:
        """``interrupt`` is called when a run ends before all its results were taken.

        It may make the calls that are under way return or raise early; what becomes of them is of
        no interest any more. It may come from any thread, and more than once.
        """
        if budget < 1:
            raise ValueError(f"a budget of {budget} admits nothing; give 1 or more")
        names = [stage.name for stage in stages]
        if len(set(names)) < len(names):
            raise ValueError(f"two stages have the same name in {names}; calls go by name")
        self.metrics = StreamMetrics(stages)
        self._stages = tuple(stages)
        self._budget = budget
        self._interrupt = interrupt
        self._is_cancelled = False
        self._in_use = threading.Lock()
        self._run: _Run[Any] | None = None

    def run(
        self,
        items: Iterable[Item],
        flow: Callable[[Item, FlowTimings], Flow[T]],
        size: Callable[[Item], int],
    ) -> Generator[T, None, None]:
        """Run every item through its flow and yield what the flows return, as they finish.

        An item is admitted when its ``size`` (counted as 1 at least) fits into what the budget has
        left, and gives it back when its result is taken; one larger than the budget goes alone. One
        further item is pulled and waits for room. An exception that leaves ``items``, ``size`` or a
        flow ends the stream with it, after the results that were finished by then.

        However the run ends, closing this generator included, its threads are joined, flows that
        did not finish are closed, and so is ``items`` if it is a generator. A call that a stage is
        in is waited for, and its flow gets the answer before it is closed. A call, or ``items``,
        that ``interrupt`` does not end either is left behind with its thread and a warning, past
        the stage's time limit or ``FEEDER_GRACE_S``: the thread is a daemon and ends on its own if
        it ever returns.

        Raises StageHung when a call exceeds its time limit, noticed while the consumer waits here;
        StreamCancelled after ``cancel``; RuntimeError when another run is going on.
        """
        if not self._in_use.acquire(blocking=False):
            raise RuntimeError("this stream is running already; finish or close that run first")
        try:
            self._run = run = _Run[T](self._stages, self._budget, self.metrics, self._interrupt)
            if self._is_cancelled:
                run.cancel()
            try:
                run.start(items, flow, size)
                yield from run.results()
            finally:
                run.shut_down()
        finally:
            self._run = None
            self._in_use.release()

    def cancel(self) -> None:
        """End the current run and any later one with StreamCancelled; untaken results are dropped.

        Thread-safe, and may be called in a signal handler. No further batch starts; the consumer's
        thread cleans up when it next reads from the run or closes it.
        """
        self._is_cancelled = True
        if (run := self._run) is not None:
            run.cancel()


class _Stopped(BaseException):
    """Unwinds a worker whose run has ended."""


@dataclass(eq=False, slots=True)
class _StageState:
    """A stage in one run: its place, the queue in front of it, and what its workers wait on."""

    index: int
    stage: AnyStage
    queue: StageQueue[PendingCall]
    wake: threading.Condition


class _Run(Generic[T]):
    """The state of one run and what its threads do with it."""

    def __init__(
        self,
        stages: Sequence[AnyStage],
        budget: int,
        metrics: StreamMetrics,
        interrupt: Callable[[], None],
    ) -> None:
        # Reentrant: a signal handler may cancel while its own thread holds the lock.
        self._lock = threading.RLock()
        self._room = threading.Condition(self._lock)
        self._news = threading.Condition(self._lock)
        self._states = {
            stage.name: _StageState(
                index, stage, StageQueue(stage), threading.Condition(self._lock)
            )
            for index, stage in enumerate(stages)
        }
        self._metrics = metrics
        self._interrupt = interrupt
        self._budget = budget
        self._taken = 0
        self._size_at_door = 0  # of the item that waits for room; 0: none waits
        self._flow_runs: dict[FlowRun, None] = {}
        self._levels = [0] * (len(stages) + 1)  # flow runs per level
        self._finished: deque[tuple[T, int]] = deque()
        self._is_pulling = False
        self._is_fed = False
        self._is_stopped = False
        self._error: BaseException | None = None
        self._deadlines: dict[threading.Thread, tuple[float, AnyStage]] = {}
        self._abandoned: set[threading.Thread] = set()
        self._workers: list[threading.Thread] = []
        self._feeder: threading.Thread | None = None

    # What the consumer's thread does

    def start(
        self,
        items: Iterable[Item],
        flow: Callable[[Item, FlowTimings], Flow[T]],
        size: Callable[[Item], int],
    ) -> None:
        self._metrics.begin_run()
        self._workers = [
            self._thread(f"stream-{state.stage.name}-{number}", partial(self._work, state))
            for state in self._states.values()
            for number in range(state.stage.workers)
        ]
        self._feeder = self._thread("stream-feeder", partial(self._feed, items, flow, size))
        for thread in (*self._workers, self._feeder):
            thread.start()

    def results(self) -> Iterator[T]:
        """Results as they finish; raises what ended the run."""
        while True:
            self._metrics.log_when_due()
            with self._lock:
                if not (self._finished or self._is_stopped or self._is_done()):
                    self._news.wait(self._patience())
                self._stop_if_hung()
                if isinstance(self._error, StreamCancelled):
                    raise self._error
                if self._finished:
                    result, size = self._finished.popleft()
                    self._taken -= size
                    self._room.notify()
                elif self._error is not None:
                    raise self._error
                elif self._is_done():
                    return
                else:
                    continue
            yield result
            del result

    def cancel(self) -> None:
        self._stop(StreamCancelled("the stream was cancelled"))

    def shut_down(self) -> None:
        """Leave nothing: no thread, no open flow.

        Only a thread that an interrupt caught while it was being started ends by itself, at once.
        """
        self._stop()
        for thread in self._workers:
            self._join_worker(thread)
        if self._feeder is not None and self._feeder.is_alive():
            self._feeder.join(FEEDER_GRACE_S if self._is_pulling else None)
            if self._feeder.is_alive():
                logger.warning("the items of a stream still block: their thread is left behind")
        with ExitStack() as stack:
            for flow_run in self._flow_runs:
                stack.callback(flow_run.flow.close)
        for name in self._states:
            self._metrics.note_queue(name, 0)
        self._metrics.log_run()

    def _join_worker(self, thread: threading.Thread) -> None:
        while thread.is_alive():
            with self._lock:
                deadline, _ = self._deadlines.get(thread, (None, None))
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    self._abandoned.add(thread)
                    break
            thread.join(left)
        if thread in self._abandoned:
            logger.warning("%s hangs in a call: the thread is left behind", thread.name)

    def _is_done(self) -> bool:
        return self._is_fed and not self._flow_runs and not self._finished

    def _patience(self) -> float:
        """Seconds until a log line is due or a call, begun or not, may exceed its time limit."""
        now = time.monotonic()
        stages = (state.stage for state in self._states.values())
        limits = [stage.timeout_s for stage in stages if stage.timeout_s is not None]
        limits += [deadline - now for deadline, _ in self._deadlines.values()]
        return max(0.0, min([self._metrics.seconds_to_log(), *limits]))

    def _stop_if_hung(self) -> None:
        for deadline, stage in self._deadlines.values():
            if time.monotonic() > deadline and not self._is_stopped:
                text = f"a call of stage {stage.name} did not return within {stage.timeout_s} s"
                self._stop(StageHung(f"{text}; its thread cannot be stopped: use a new process"))

    # What the feeder does

    def _feed(
        self,
        items: Iterable[Item],
        flow: Callable[[Item, FlowTimings], Flow[T]],
        size: Callable[[Item], int],
    ) -> None:
        source = iter(items)
        with closing(source) if isinstance(source, Generator) else nullcontext():
            for item in self._pull(source):
                self._admit(item, flow, max(1, size(item)))
        with self._lock:
            self._is_fed = True
            self._notify()

    def _pull(self, source: Iterator[Item]) -> Iterator[Item]:
        while True:
            with self._lock:
                if self._is_stopped:
                    return
                self._is_pulling = True
            try:
                item = next(source)
            except StopIteration:
                return
            finally:
                self._is_pulling = False
            yield item

    def _admit(self, item: Item, flow: Callable[[Item, FlowTimings], Flow[T]], size: int) -> None:
        with self._lock:
            self._size_at_door = size
            self._notify()
            while not (self._fits(size) or self._is_stopped):
                self._room.wait()
            if self._is_stopped:
                return
            self._size_at_door = 0
            self._taken += size
            self._metrics.peak_size = max(self._metrics.peak_size, self._taken)
        timings = FlowTimings()
        flow_run = FlowRun(flow(item, timings), timings, size)
        with self._lock:
            self._flow_runs[flow_run] = None
            self._levels[flow_run.level] += 1
        self._advance(flow_run)

    def _fits(self, size: int) -> bool:
        return self._taken == 0 or self._taken + size <= self._budget

    # What a worker does

    def _work(self, state: _StageState) -> None:
        while batch := self._take(state):
            flow_runs = self._process(state.stage, batch)
            del batch  # the items must not be held while their flows give back the memory
            while flow_runs:
                self._advance(flow_runs.pop(0))

    def _take(self, state: _StageState) -> list[PendingCall]:
        """Wait for a batch; none when the run has ended."""
        began = now = time.monotonic()
        with self._lock:
            while not self._is_stopped:
                if batch := state.queue.take(now, may_grow=self._may_grow(state)):
                    if state.queue:
                        state.wake.notify()
                    self._metrics.note_queue(state.stage.name, len(state.queue))
                    self._metrics.add(state.stage.name, waiting_s=now - began)
                    return batch
                state.wake.wait(state.queue.seconds_left(now))
                now = time.monotonic()
        return []

    def _may_grow(self, state: _StageState) -> bool:
        """Whether anything in flight, or an item that has room, may still join the queue."""
        if any(self._levels[: state.index + 1]):
            return True
        return not self._is_fed and (not self._size_at_door or self._fits(self._size_at_door))

    def _process(self, stage: AnyStage, batch: list[PendingCall]) -> list[FlowRun]:
        """Run the batch; returns the flow runs that have all their results now."""
        began = time.monotonic()
        outcomes = run_batch(stage, [q.item for q in batch], partial(self._call, stage))
        busy_s = time.monotonic() - began
        self._metrics.add(stage.name, items=len(batch), batches=1, busy_s=busy_s)
        flow_runs = []
        with self._lock:
            if threading.current_thread() in self._abandoned:
                raise _Stopped
            for call, outcome in zip(batch, outcomes, strict=True):
                flow_run = call.flow_run
                call.outcome = outcome
                flow_run.missing -= 1
                if not flow_run.missing:
                    flow_runs.append(flow_run)
        return flow_runs

    def _call(self, stage: AnyStage, items: list[Any]) -> list[Any]:
        """One call of the stage, its time limit on record."""
        thread = threading.current_thread()
        with self._lock:
            if self._is_stopped:
                raise _Stopped
            if stage.timeout_s is not None:
                self._deadlines[thread] = time.monotonic() + stage.timeout_s, stage
        try:
            return stage.run(items)
        finally:
            with self._lock:
                self._deadlines.pop(thread, None)

    # What any of these threads does

    def _advance(self, flow_run: FlowRun) -> None:
        """Run a flow until it waits for a stage or ends."""
        try:
            while not (calls := flow_run.step()):
                pass
        except StopIteration as end:
            self._finish(flow_run, end.value)
        else:
            self._ask(flow_run, calls)

    def _ask(self, flow_run: FlowRun, calls: Sequence[Call]) -> None:
        pending = [self._pending_call(flow_run, call) for call in calls]
        with self._lock:
            flow_run.pending, flow_run.missing = pending, len(pending)
            self._levels[flow_run.level] -= 1
            flow_run.level = 1 + max(call.stage_index for call in pending)
            self._levels[flow_run.level] += 1
            for call in pending:
                queue = self._states[call.stage].queue
                queue.add(call)
                self._metrics.note_queue(call.stage, len(queue))
            self._notify()

    def _pending_call(self, flow_run: FlowRun, call: Call) -> PendingCall:
        if call.stage not in self._states:
            known = ", ".join(self._states)
            raise ValueError(f"a flow called stage {call.stage!r}; this stream has {known}")
        state = self._states[call.stage]
        cost = state.stage.cost(call.item)
        return PendingCall(call.item, cost, time.monotonic(), call.stage, state.index, flow_run)

    def _finish(self, flow_run: FlowRun, result: T) -> None:
        with self._lock:
            self._levels[flow_run.level] -= 1
            del self._flow_runs[flow_run]
            if self._is_stopped:
                return  # it may have come of a call that was interrupted
            self._finished.append((result, flow_run.size))
            self._metrics.finished += bool(flow_run.timings.entries)
            self._notify()

    def _notify(self) -> None:
        """Wake who may have something to do now that a flow or the feeder has moved."""
        if self._finished or self._is_done():
            self._news.notify()
        for state in self._states.values():
            if state.queue:
                state.wake.notify()

    def _stop(self, error: BaseException | None = None) -> None:
        """Let all threads end; the consumer gets the first ``error``."""
        with self._lock:
            if self._is_stopped:
                if error is not None:
                    logger.error("a further error while a stream was ending", exc_info=error)
                return
            is_early = not self._is_done()
            self._is_stopped, self._error = True, error
            wakes = [state.wake for state in self._states.values()]
            for condition in (self._room, self._news, *wakes):
                condition.notify_all()
        if is_early:
            self._interrupt()

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=self._guard, args=(work,), name=name, daemon=True)

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except _Stopped:
            return
        except BaseException as error:
            self._stop(error)
