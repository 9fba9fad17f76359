"""Documents in, finished pages and documents out: one stream over any number of documents.

Here a call has a stream of its own; calls that share one are shared_parse.py's.
"""

from collections.abc import Collection, Generator, Iterable
from contextlib import closing
from pathlib import Path

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.pipeline.model_source import Models
from deepcompress_dagster.pipeline.parse_context import (
    Item,
    OpenedDocument,
    ParseContext,
    ParseEvent,
    RegionLookup,
    accounted,
    flow,
)
from deepcompress_dagster.records import DocumentTask, PageResult
from deepcompress_dagster.settings import Settings
from deepcompress_dagster.streaming import Flow, FlowTimings, StageMetrics, StreamMetrics, total

__all__ = ["ParseEvent", "Parser", "RegionLookup"]


class Parser:
    """Parses documents. ``close`` ends the worker processes; so does leaving it as a context."""

    def __init__(
        self, settings: Settings, *, buffer_dir: Path, models: Models | None = None
    ) -> None:
        """``buffer_dir`` is a folder for pixel files where shared memory is short.

        Without ``models`` they are those that the settings choose, in the process-wide cache.
        """
        self._context = ParseContext(settings, buffer_dir=buffer_dir, models=models)
        self._metrics = StreamMetrics()
        self._earlier: tuple[StageMetrics, ...] = ()

    def __enter__(self) -> "Parser":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker processes and give back their memory."""
        self._context.close()

    def parse(
        self,
        tasks: Iterable[DocumentTask],
        selection: Collection[str] = ASSETS,
        regions: RegionLookup | None = None,
    ) -> Generator[ParseEvent, None, None]:
        """Parse documents and yield what is finished, as soon as it is.

        For each task a DocumentOpened, its PageResults in any order, and a DocumentResult; pages
        of different documents interleave. ``regions`` looks up the committed regions of a
        page; it is needed when the selection leaves out ``layouts``.

        Leaving it early interrupts the calls under way; this parser opens no document after that.
        Raises MissingModelError before anything is read when weights are not on this machine, and
        ValueError for a selection that cannot be run.
        """
        request = self._context.request(tasks, selection, regions)
        stream = self._context.stream()
        self._earlier, self._metrics = self.stages(), stream.metrics

        def way(item: Item, timings: FlowTimings) -> Flow[OpenedDocument | PageResult]:
            return flow(item, request.options, timings)

        items = self._context.items(request, stream.metrics.expect)
        results = stream.run(items, way, self._context.size)
        with closing(results):
            yield from accounted(results)

    def stages(self) -> tuple[StageMetrics, ...]:
        """What each stage has done in all calls of ``parse`` so far, and what waits for it."""
        return tuple(total([*self._earlier, *self._metrics.stages.values()]).values())
