"""What a stream has done: counts and seconds per stage, progress, and the log lines of both.

Numbers add up over all runs of one stream. Seconds are wall-clock seconds.
"""

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from deepcompress_dagster.streaming.microbatch import AnyStage

logger = logging.getLogger(__name__)

LOG_INTERVAL_S = 10.0
"""Time between two log lines of a stage while a stream runs."""


@dataclass(frozen=True, slots=True)
class StageMetrics:
    """What one stage has done.

    ``items`` counts the items it is through with, failed ones included, and ``batches`` the batches
    they were taken in. ``busy_s`` is the time spent on batches, retries included, ``waiting_s`` the
    time spent waiting for one; both add up over the stage's workers. ``peak_bytes`` is the most
    device memory in use at the end of a batch or during it, 0 where nobody measured it. ``queued``
    is how many items wait in front of the stage now.
    """

    name: str
    unit: str
    items: int = 0
    batches: int = 0
    busy_s: float = 0.0
    waiting_s: float = 0.0
    peak_bytes: int = 0
    queued: int = 0

    @property
    def mean_fill(self) -> float:
        """Items per batch, 0 before the first."""
        return self.items / self.batches if self.batches else 0.0

    @property
    def seconds_per_item(self) -> float:
        """Busy seconds per item, 0 before the first."""
        return self.busy_s / self.items if self.items else 0.0

    def plus(
        self, items: int = 0, batches: int = 0, busy_s: float = 0.0, waiting_s: float = 0.0
    ) -> "StageMetrics":
        return replace(
            self,
            items=self.items + items,
            batches=self.batches + batches,
            busy_s=self.busy_s + busy_s,
            waiting_s=self.waiting_s + waiting_s,
        )

    def since(self, earlier: "StageMetrics") -> "StageMetrics":
        """What was added since an ``earlier`` reading."""
        return self.plus(-earlier.items, -earlier.batches, -earlier.busy_s, -earlier.waiting_s)

    def __str__(self) -> str:
        one = self.unit.removesuffix("s")
        return (
            f"{self.name}: {self.items} {one if self.items == 1 else self.unit} "
            f"in {self.busy_s:.2f} s ({self.seconds_per_item:.2f} s/{one}){self._memory()}"
        )

    def _memory(self) -> str:
        return f", peak {self.peak_bytes / 2**30:.2f} GiB" if self.peak_bytes else ""


def total(readings: Iterable[StageMetrics]) -> dict[str, StageMetrics]:
    """What stages of the same name have done together, by name; of peaks the highest."""
    found: dict[str, StageMetrics] = {}
    for one in readings:
        known = found.get(one.name, StageMetrics(one.name, one.unit))
        found[one.name] = replace(
            known.plus(one.items, one.batches, one.busy_s, one.waiting_s),
            peak_bytes=max(known.peak_bytes, one.peak_bytes),
            queued=known.queued + one.queued,
        )
    return found


class StreamMetrics:
    """The counts of a stream, to be read at any time from any thread.

    ``finished`` counts the items whose flow has returned, leaving out those that asked no stage;
    ``expected`` is how many of them were announced. ``peak_size`` is the most that was taken out
    of the stream's budget at one time.
    """

    def __init__(self, stages: Iterable[AnyStage] = ()) -> None:
        self.expected = 0
        self.finished = 0
        self.peak_size = 0
        self._lock = threading.Lock()
        self._stages = {stage.name: StageMetrics(stage.name, stage.unit) for stage in stages}
        self.begin_run()

    @property
    def stages(self) -> dict[str, StageMetrics]:
        """A reading of each stage, by name, upstream first."""
        with self._lock:
            return dict(self._stages)

    def expect(self, count: int) -> None:
        """Announce ``count`` more items; without it the log shows no progress and no ETA."""
        with self._lock:
            self.expected += count

    def add(
        self,
        stage: str,
        items: int = 0,
        batches: int = 0,
        busy_s: float = 0.0,
        waiting_s: float = 0.0,
    ) -> None:
        """Count what a stage has done."""
        with self._lock:
            self._stages[stage] = self._stages[stage].plus(items, batches, busy_s, waiting_s)

    def note_queue(self, stage: str, queued: int) -> None:
        """Remember how many items wait in front of a stage."""
        with self._lock:
            self._stages[stage] = replace(self._stages[stage], queued=queued)

    def note_peak(self, stage: str, peak_bytes: int) -> None:
        """Remember device memory that was in use in a batch, if it is the most so far."""
        with self._lock:
            reading = self._stages[stage]
            if peak_bytes > reading.peak_bytes:
                self._stages[stage] = replace(reading, peak_bytes=peak_bytes)

    def begin_run(self) -> None:
        """A run begins: progress and the last log lines count from here."""
        self._begun = self._logged = time.monotonic()
        self._finished_before = self.finished
        self._at_begin = self._at_log = self.stages

    def seconds_to_log(self) -> float:
        """Time until the next log lines are due, at least 0."""
        return max(0.0, self._logged + LOG_INTERVAL_S - time.monotonic())

    def log_when_due(self) -> None:
        """Log what each stage did since the last lines, once these are ``LOG_INTERVAL_S`` old."""
        if self.seconds_to_log() == 0:
            self._log(self._at_log)
            self._logged = time.monotonic()
            self._at_log = self.stages

    def log_run(self) -> None:
        """Log what each stage did since the run began."""
        self._log(self._at_begin)

    def _log(self, earlier: Mapping[str, StageMetrics]) -> None:
        progress = self._progress()
        for name, reading in self.stages.items():
            done = reading.since(earlier[name])
            if done.batches:
                logger.info("%s%s", done, progress)

    def _progress(self) -> str:
        if not self.expected:
            return ""
        done, left = self.finished - self._finished_before, self.expected - self.finished
        text = f", {self.finished}/{self.expected}"
        if done < 1 or left < 1:
            return text
        return f"{text}, ETA {(time.monotonic() - self._begun) / done * left:.0f} s"
