"""The seam: what an asset asks for, wherever it is carried out.

Tasks, settings and events are frozen records that pickle. A host lets the PDFs be read and the
images be written where the tasks say, whatever it does in between; pixels of pages stay inside.
"""

from collections import Counter
from collections.abc import Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from deepcompress_dagster.models.cache import CacheStats
from deepcompress_dagster.pipeline.parse import ParseEvent, RegionLookup
from deepcompress_dagster.records import DocumentTask
from deepcompress_dagster.streaming import StageMetrics, total


@dataclass(frozen=True)
class HostUsage:
    """Where a run was parsed, and how often its host loaded and reused each model meanwhile.

    Of what a host does for several runs at once each part counts for one of them, so that the sum
    over runs is what was done.
    """

    place: str = ""
    """In words, with the process ids that a person would look for."""
    loads: Mapping[str, int] = field(default_factory=dict)
    hits: Mapping[str, int] = field(default_factory=dict)
    stages: tuple[StageMetrics, ...] = ()
    """What each stage has done, and how many items wait in front of it now."""
    load_seconds: Mapping[str, float] = field(default_factory=dict)

    def plus(self, later: "HostUsage") -> "HostUsage":
        """Both together; what waits is what waits later."""
        before = [replace(stage, queued=0) for stage in self.stages]
        return HostUsage(
            later.place or self.place,
            dict(Counter(self.loads) + Counter(later.loads)),
            dict(Counter(self.hits) + Counter(later.hits)),
            tuple(total([*before, *later.stages]).values()),
            _added(self.load_seconds, later.load_seconds),
        )


class ParseHost(Protocol):
    """A place where parsing runs, for the length of one run. The caller closes it."""

    def parse(
        self,
        tasks: Iterable[DocumentTask],
        selection: Collection[str],
        regions: RegionLookup | None = None,
    ) -> Generator[ParseEvent, None, None]:
        """Parse documents and yield what is finished, as soon as it is.

        For each task a DocumentOpened, its PageResults in any order, and a DocumentResult; pages
        of different documents interleave. ``tasks`` are taken one by one, shortly before they are
        opened, on another thread; so is ``regions`` called, which looks up the committed regions
        of a page and is needed when the selection leaves out ``layouts``.

        Closing the generator ends the work on its tasks, wherever it is done. A page that was
        yielded is never yielded again. Raises HostError, what ``Parser.parse`` raises, and what
        ``tasks`` and ``regions`` raise.
        """
        ...

    def usage(self) -> HostUsage:
        """Where this run is parsed, and its loads and hits so far; after ``close`` as well."""
        ...

    def close(self) -> None:
        """Leave nothing running that was started for this run alone."""
        ...


def counted(
    place: str, before: CacheStats, now: CacheStats, stages: tuple[StageMetrics, ...] = ()
) -> HostUsage:
    """What a model cache did between two readings, and ``stages`` meanwhile."""
    return HostUsage(
        place,
        dict(Counter(now.loads) - Counter(before.loads)),
        dict(Counter(now.hits) - Counter(before.hits)),
        stages,
        _added(now.load_seconds, {name: -s for name, s in before.load_seconds.items()}),
    )


def _added(some: Mapping[str, float], more: Mapping[str, float]) -> dict[str, float]:
    sums = {name: some.get(name, 0.0) + more.get(name, 0.0) for name in {**some, **more}}
    return {name: seconds for name, seconds in sums.items() if seconds > 0}
