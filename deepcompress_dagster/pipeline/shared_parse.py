"""One stream for many calls: their pages take turns, fill one another's batches and share models.

What belongs here: telling calls apart that share a stream, and ending one without the others. What
does not: where calls come from (hosts/), and how a page is read.
"""

import logging
import queue
import threading
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from deepcompress_dagster.pipeline.model_source import Models
from deepcompress_dagster.pipeline.parse_context import (
    Item,
    OpenedDocument,
    ParseContext,
    ParseEvent,
    ParseRequest,
    RegionLookup,
    accounted,
    flow,
)
from deepcompress_dagster.records import DocumentTask, PageResult
from deepcompress_dagster.settings import Settings
from deepcompress_dagster.streaming import (
    Flow,
    FlowTimings,
    ItemFailed,
    Source,
    StageMetrics,
    StreamCancelled,
    Turns,
)

logger = logging.getLogger(__name__)

Result: TypeAlias = OpenedDocument | PageResult


@dataclass(frozen=True)
class _AllOffered:
    """A call has put all that it asks for into the stream: this many items."""

    items: int


@dataclass(frozen=True)
class _Failed:
    """A call ends with this error; the others go on."""

    error: BaseException


class SharedCall:
    """One call of a SharedParser. ``events`` is for one thread, ``cancel`` for any."""

    def __init__(self, parser: "SharedParser", request: ParseRequest) -> None:
        self.request = request
        self.is_cancelled = False
        self._is_through = False
        self._lock = threading.Lock()
        self._parser = parser
        self._source: Source[tuple[SharedCall, Item]] = parser.turns.open(
            parser.context.most_under_way
        )
        self._results: queue.SimpleQueue[Result | _AllOffered | _Failed] = queue.SimpleQueue()
        self._pages_left = 0
        threading.Thread(target=self._offer_all, name="shared-parse-feeder", daemon=True).start()

    def events(self) -> Generator[ParseEvent, None, None]:
        """What is finished, as ``Parser.parse`` yields it; closing it cancels the call.

        Raises StreamCancelled once the call is cancelled, what ``tasks`` and ``regions`` raise,
        and what ends the stream.
        """
        try:
            yield from accounted(self._taken())
            self._is_through = True
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Stop the work of this call; calls of models and workers under way end with the last."""
        with self._lock:
            if self.is_cancelled:
                return
            self.is_cancelled = True
        self._source.remove()
        self._results.put(_Failed(StreamCancelled("the call was cancelled")))
        self._parser.leave(self, self._pages_left, is_through=self._is_through)

    def deliver(self, result: "Result | _Failed | None") -> None:
        """Take a result in, on the stream's thread."""
        self._pages_left -= isinstance(result, PageResult)
        if result is not None:
            self._results.put(result)

    def _taken(self) -> Iterator[Result]:
        taken, offered = 0, None
        while offered is None or taken < offered:
            found = self._results.get()
            if isinstance(found, _Failed):
                raise found.error
            if isinstance(found, _AllOffered):
                offered = found.items
            else:
                taken += 1
                self._source.done()
                yield found

    def _offer_all(self) -> None:
        offered = 0
        try:
            with closing(self._parser.context.items(self.request, self._expect)) as items:
                for item in items:
                    if not self._source.offer((self, item)):
                        return
                    offered += 1
        except BaseException as error:
            self._results.put(_Failed(error))
        else:
            self._results.put(_AllOffered(offered))

    def _expect(self, pages: int) -> None:
        self._pages_left += pages
        self._parser.expect(pages)


class SharedParser:
    """Workers, models and one stream, for as many calls as come. ``close`` ends all of them."""

    def __init__(
        self, settings: Settings, *, buffer_dir: Path, models: Models | None = None
    ) -> None:
        """As ``Parser``."""
        self.context = ParseContext(settings, buffer_dir=buffer_dir, models=models)
        self.turns: Turns[tuple[SharedCall, Item]] = Turns()
        self._stream = self.context.stream()
        self._lock = threading.Lock()
        self._told = self._stream.metrics.stages
        self._calls: set[SharedCall] = set()
        self._end: BaseException | None = None
        self._thread = threading.Thread(target=self._dispatch, name="shared-parse", daemon=True)
        self._thread.start()

    @property
    def calls(self) -> int:
        """Calls that are not through."""
        with self._lock:
            return len(self._calls)

    @property
    def end(self) -> BaseException | None:
        """Why it takes no further call; None while it does."""
        return self._end

    @property
    def has_ended(self) -> bool:
        """Whether it takes no further call."""
        return self._end is not None

    def stages_since_asked(self) -> tuple[StageMetrics, ...]:
        """What each stage has done since this was last asked, and what waits for it now."""
        with self._lock:
            now = self._stream.metrics.stages
            since = tuple(now[name].since(told) for name, told in self._told.items())
            self._told = now
        return since

    def begin(
        self,
        tasks: Iterable[DocumentTask],
        selection: Collection[str],
        regions: RegionLookup | None = None,
    ) -> SharedCall:
        """Begin a call, from any thread; its ``events`` are as ``Parser.parse`` yields them.

        Raises StreamCancelled when this parser has ended, and as ``Parser.parse``.
        """
        request = self.context.request(tasks, selection, regions)
        with self._lock:
            if self._end is not None:
                raise StreamCancelled("the parser has ended")
            if not self._calls:
                self._stream.metrics.begin_run()  # time in which nobody was there is no progress
            call = SharedCall(self, request)
            self._calls.add(call)
        return call

    def expect(self, pages: int) -> None:
        """Announce pages, or take back an announcement."""
        self._stream.metrics.expect(pages)

    def leave(self, call: SharedCall, pages_left: int, *, is_through: bool) -> None:
        """A call is through, or wants ``pages_left`` pages no more.

        When it is not and leaves nobody behind, the stream ends, and with it the calls of models
        and workers.
        """
        with self._lock:
            self._calls.discard(call)
            ends = not is_through and not self._calls and self._end is None
            if ends:
                self._end = StreamCancelled("the last call was cancelled")
        self.expect(-pages_left)
        if ends:
            self._stop()

    def close(self) -> None:
        """End all calls, the stream and the worker processes."""
        with self._lock:
            self._end = self._end or StreamCancelled("the parser was closed")
        self._stop()
        self._thread.join()
        self.context.close()

    def _stop(self) -> None:
        self.turns.close()
        self._stream.cancel()

    def _dispatch(self) -> None:
        """Hand results to their calls until the stream ends."""
        try:
            with closing(self._stream.run(self.turns, self._way, self._size)) as results:
                for call, result in results:
                    call.deliver(result)
            error: BaseException = StreamCancelled("the parser was closed")
        except BaseException as problem:
            error = problem
        with self._lock:
            self._end = error
            calls = list(self._calls)
        self.turns.close()
        for call in calls:
            call.deliver(_Failed(error))

    def _way(
        self, entry: tuple[SharedCall, Item], timings: FlowTimings
    ) -> Flow[tuple[SharedCall, Result | _Failed | None]]:
        """The flow of an item of a call; what it raises is the end of that call alone."""
        call, item = entry
        try:
            result = yield from _while_wanted(flow(item, call.request.options, timings), call)
        except Exception as error:
            return call, _Failed(error)
        return call, result

    def _size(self, entry: tuple[SharedCall, Item]) -> int:
        return self.context.size(entry[1])


def _while_wanted(inner: Flow[Any], call: SharedCall) -> Flow[Result | None]:
    """The flow, ended between two of its questions when its call is cancelled."""
    with closing(inner):
        try:
            asked = next(inner)
            while not call.is_cancelled:
                try:
                    reply = yield asked
                except ItemFailed as failure:
                    asked = inner.throw(failure)
                else:
                    asked = inner.send(reply)
        except StopIteration as end:
            result: Result = end.value
            return result
    return None
