"""One run that is served: questions to it, what is finished, and what was logged meanwhile."""

import logging
import pickle
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from multiprocessing.connection import Connection
from typing import Any

from deepcompress_dagster.hosts.errors import HostError
from deepcompress_dagster.hosts.host import HostUsage, counted
from deepcompress_dagster.hosts.warm.messages import (
    Answer,
    Begin,
    Ended,
    Happened,
    Logged,
    NextTask,
    RegionsOf,
)
from deepcompress_dagster.models.cache import model_cache
from deepcompress_dagster.pipeline.parse import ParseEvent
from deepcompress_dagster.pipeline.shared_parse import SharedCall, SharedParser
from deepcompress_dagster.records import DocumentResult, DocumentTask, Region
from deepcompress_dagster.streaming import StreamCancelled

_log = logging.getLogger(__name__)

MOST_LOG_LINES = 200
"""Lines that wait for the next event of a run; older ones are dropped."""


USED_S = 1.0
"""How often a run is told what models and stages have done for it."""


class Account:
    """What models and stages do for all runs; each part of it is told to one of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told = model_cache().stats()

    def claim(self, parser: SharedParser) -> HostUsage:
        """What was done since anybody last asked."""
        with self._lock:
            before, self._told = self._told, model_cache().stats()
            return counted("", before, self._told, parser.stages_since_asked())


class _HungUp(Exception):
    """The run is gone."""


class Session:
    """Serves one run over its connection; ``run`` returns when there is no more to do."""

    def __init__(
        self,
        connection: Connection,
        begin: Begin,
        parser: SharedParser,
        account: Account,
        notice: Callable[[ParseEvent], None],
    ) -> None:
        """``notice`` is told of every event that goes to the run."""
        self._connection = connection
        self._begin = begin
        self._notice = notice
        self._sending = threading.Lock()
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._log_lines: deque[Logged] = deque(maxlen=MOST_LOG_LINES)
        self._parser = parser
        self._account = account
        self._used = HostUsage()
        self._used_at = time.monotonic()
        self._call: SharedCall | None = None
        self._is_gone = threading.Event()

    def run(self) -> None:
        """Parse what the run asks for. Nothing is raised: the run is told."""
        threading.Thread(target=self._listen, name="warm-session", daemon=True).start()
        error: Exception | None = None
        try:
            regions = self._regions if self._begin.has_regions else None
            self._call = self._parser.begin(self._tasks(), self._begin.selection, regions)
            if self._is_gone.is_set():
                self._call.cancel()
            with closing(self._call.events()) as events:
                for event in events:
                    self._tell(event)
        except (_HungUp, StreamCancelled, BrokenPipeError, ConnectionResetError):
            return  # a run that is still there sees it hang up, and goes on in the next process
        except Exception as problem:
            if self._is_gone.is_set():
                return
            error = problem
        finally:
            self._count()
        with suppress(OSError):
            self._send(self._used)
            self._send(Ended(error and portable(error)))

    def note(self, line: Logged) -> None:
        """Have a line of the log go with the next event; from any thread, at once."""
        self._log_lines.append(line)

    def _tell(self, event: ParseEvent) -> None:
        while self._log_lines:
            self._send(self._log_lines.popleft())
        if isinstance(event, DocumentResult) or time.monotonic() - self._used_at > USED_S:
            self._count()
            self._send(self._used)
        self._notice(event)
        self._send(Happened(event))

    def _count(self) -> None:
        self._used = self._used.plus(self._account.claim(self._parser))
        self._used_at = time.monotonic()

    def _send(self, message: object) -> None:
        with self._sending:
            self._connection.send(message)

    # Questions, asked from the one thread that takes the call's tasks

    def _tasks(self) -> Iterator[DocumentTask]:
        while (task := self._ask(NextTask())) is not None:
            yield task

    def _regions(self, document_id: str, page_number: int) -> tuple[Region, ...]:
        regions: tuple[Region, ...] = self._ask(RegionsOf(document_id, page_number))
        return regions

    def _ask(self, question: NextTask | RegionsOf) -> Any:
        try:
            self._send(question)
        except OSError as error:
            raise _HungUp from error
        answer = self._answers.get()
        if answer is None:
            self._answers.put(None)
            raise _HungUp
        return answer.value

    def _listen(self) -> None:
        """Take answers in until the run hangs up, which is the end of what it asked for."""
        with suppress(EOFError, OSError):
            while True:
                self._answers.put(self._connection.recv())
        self._is_gone.set()
        self._answers.put(None)
        if self._call is not None:
            self._call.cancel()


def portable(error: Exception) -> Exception:
    """The error itself if it survives the way to the run, else one that says the same."""
    try:
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301
        if type(copy) is type(error) and str(copy) == str(error):
            return error
    except Exception:
        _log.warning("an error that does not pickle", exc_info=error)
    return HostError(f"{type(error).__name__}: {error}")
