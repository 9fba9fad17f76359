"""The run's side: tasks go to the warm process of the data folder, events come back.

When that process dies, what it had not finished is asked of the next one. Only rows travel: the
warm process reads the PDFs and writes the images where the tasks say.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from deepcompress_dagster.file_lock import is_held
from deepcompress_dagster.hosts.errors import HostError
from deepcompress_dagster.hosts.host import HostUsage
from deepcompress_dagster.hosts.warm import place
from deepcompress_dagster.hosts.warm.messages import (
    Answer,
    Begin,
    Ended,
    Happened,
    Hello,
    Logged,
    NextTask,
    RegionsOf,
    Reply,
    Status,
    Verdict,
    Wish,
    receive_words,
    send_words,
)
from deepcompress_dagster.pipeline.parse import ParseEvent, RegionLookup
from deepcompress_dagster.records import DocumentOpened, DocumentResult, DocumentTask, PageResult
from deepcompress_dagster.settings import Settings

_log = logging.getLogger(__name__)

T = TypeVar("T")

WAIT_S = 60.0
"""How long a run waits for a warm process to come: `up` starts a dead one again within some s."""

LOOK_S = 0.2

MOST_LOSSES = 3
"""Warm processes that may die one after the other without a page from any. The fourth would die of
the same page: the run fails, and the next attempts take fewer documents at a time."""

HELD = 64
"""Events that wait for the run to take them; then the warm process waits."""

JOIN_S = 5.0

START_IT = (
    "start it with `deepcompress up` or `deepcompress warm`, or set DEEPCOMPRESS_PARSE_ON=process"
)


class _Lost(Exception):
    """The warm process is gone."""


class _RunFailed(Exception):
    """What ``tasks`` or ``regions`` raised."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))
        self.error = error


class WarmHost:
    """Parsing in the warm process of the data folder."""

    def __init__(self, settings: Settings, wait_s: float = WAIT_S) -> None:
        """Nothing is connected before the first call, which waits ``wait_s`` for a process."""
        self._settings = settings
        self._wait_s = wait_s
        self._pid = 0
        self._used_before = self._used = HostUsage()

    def parse(
        self,
        tasks: Iterable[DocumentTask],
        selection: Collection[str],
        regions: RegionLookup | None = None,
    ) -> Generator[ParseEvent, None, None]:
        """As ``ParseHost`` says. Raises HostError where no warm process is to be had."""
        work = _Work(tasks)
        losses = 0
        while True:
            finished = work.pages_finished
            try:
                yield from self._session(work, tuple(selection), regions)
            except _Lost as error:
                losses = 1 if work.pages_finished > finished else losses + 1
                if losses > MOST_LOSSES:
                    raise HostError(
                        f"{losses} warm processes died one after the other on documents "
                        f"{', '.join(work.unfinished)}; see the log of `deepcompress up`"
                    ) from None
                _log.warning(
                    "the warm process %d is gone (%s); %d documents go on in the next one",
                    *(self._pid, error, len(work.unfinished)),
                )
            else:
                return

    def usage(self) -> HostUsage:
        """What the warm process did since this run came that no other run has counted."""
        used = self._used_before.plus(self._used)
        where = f"the warm process {self._pid}" if self._pid else "the warm process"
        return replace(used, place=where)

    def close(self) -> None:
        """Nothing is left: a connection lives as long as the stream that it serves."""

    def _session(
        self, work: "_Work", selection: tuple[str, ...], regions: RegionLookup | None
    ) -> Iterator[ParseEvent]:
        """The rest of the work, with one warm process. Raises _Lost when that is gone."""
        connection, self._pid = _admitted(self._settings.data_dir, self._wait_s)
        self._used_before, self._used = self._used_before.plus(self._used), HostUsage()
        work.begin_again()
        talk = _Talk(connection, work, regions)
        try:
            talk.begin(Begin(self._settings, selection, regions is not None))
            for message in talk.messages():
                if isinstance(message, Happened):
                    if work.note(message.event):
                        yield message.event
                elif isinstance(message, HostUsage):
                    self._used = message
        finally:
            talk.close()


class _Work:
    """The tasks of a run, and which pages of them are done; those of a lost process come again."""

    def __init__(self, tasks: Iterable[DocumentTask]) -> None:
        self._new = iter(tasks)
        self._again: list[DocumentTask] = []
        self._opened: set[str] = set()
        self.unfinished: dict[str, DocumentTask] = {}
        self.pages_finished = 0

    def begin_again(self) -> None:
        """What was handed out and is not finished is to be handed out again."""
        self._again = list(self.unfinished.values())

    def next(self) -> DocumentTask | None:
        """The next task; None at their end."""
        if self._again:
            return self._again.pop(0)
        task = next(self._new, None)
        if task is not None:
            self.unfinished[task.document_id] = task
        return task

    def note(self, event: ParseEvent) -> bool:
        """Put an event on record. False where the run knows of it from a process before."""
        name = event.document_id
        if isinstance(event, DocumentOpened):
            is_new = name not in self._opened
            self._opened.add(name)
            return is_new
        if isinstance(event, PageResult):
            task = self.unfinished[name]
            done = task.finished_pages | {event.page.page_number}
            self.unfinished[name] = replace(task, finished_pages=done)
            self.pages_finished += 1
        elif isinstance(event, DocumentResult):
            del self.unfinished[name]
            self._opened.discard(name)
        return True

    def close(self) -> None:
        if isinstance(self._new, Generator):
            self._new.close()


class _Talk:
    """One conversation: a thread answers what is asked, the caller's takes what is finished."""

    def __init__(self, connection: Connection, work: _Work, regions: RegionLookup | None) -> None:
        self._connection = connection
        self._work = work
        self._regions = regions
        self._messages: queue.Queue[Any] = queue.Queue(HELD)
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="warm-host", daemon=True)

    def begin(self, begin: Begin) -> None:
        """Say what is to be done, and listen from then on. Raises _Lost."""
        try:
            self._connection.send(begin)
        except OSError as error:
            raise _Lost(str(error)) from error
        self._thread.start()

    def messages(self) -> Iterator[Happened | HostUsage]:
        """What the warm process tells until it is through. Raises _Lost, and what ended it."""
        while True:
            message = self._messages.get()
            if isinstance(message, BaseException):
                raise message
            if isinstance(message, Ended):
                if message.error is not None:
                    raise message.error
                return
            yield message

    def close(self) -> None:
        """Hang up, which ends the work over there."""
        self._is_closed.set()
        place.hang_up(self._connection)
        with suppress(queue.Empty):
            while True:
                self._messages.get_nowait()
        if self._thread.is_alive():
            self._thread.join(JOIN_S)
        self._connection.close()
        if self._thread.is_alive():
            _log.warning("the tasks of a run still block: their thread is left behind")

    def _listen(self) -> None:
        try:
            while not self._is_closed.is_set():
                self._take(self._connection.recv())
        except _RunFailed as failure:
            self._messages.put(failure.error)
        except (EOFError, OSError) as error:
            self._messages.put(_Lost(str(error) or "it hung up"))
        except BaseException as error:
            self._messages.put(error)

    def _take(self, message: object) -> None:
        if isinstance(message, NextTask):
            self._connection.send(Answer(_asked(self._work.next)))
        elif isinstance(message, RegionsOf):
            assert self._regions is not None
            key = message.document_id, message.page_number
            self._connection.send(Answer(_asked(self._regions, *key)))
        elif isinstance(message, Logged):
            _log.log(message.level, "%s", message.text)
        else:
            self._messages.put(message)


def _asked(function: Callable[..., T], *args: Any) -> T:
    try:
        return function(*args)
    except BaseException as error:
        raise _RunFailed(error) from error


# Finding the process


def status(data_dir: Path) -> Status | None:
    """How the warm process of a data folder is; None where none lives. Raises HostError."""
    if not is_held(place.lock_path(data_dir)):
        return None
    try:
        with place.connect(data_dir) as connection:
            send_words(connection, Hello(Wish.STATUS, place.loaded_code()))
            return Status(**receive_words(connection))
    except (OSError, EOFError, ValueError, TypeError, AuthenticationError) as error:
        raise HostError(
            f"the warm process of {data_dir} lives and does not answer: {_reason(error)}"
        ) from error


def in_words(status: Status) -> str:
    """A line about a warm process."""
    state = f"{status.runs} runs" if status.runs else f"idle for {status.idle_s:.0f} s"
    loads, hits = sum(status.loads.values()), sum(status.hits.values())
    return (
        f"process {status.pid}, {state}; {', '.join(status.loaded) or 'no models'} loaded,"
        f" {status.memory_mb} MB; since {status.seconds:.0f} s: {status.runs_before} runs,"
        f" {status.pages} pages, {loads} loads, {hits} hits"
    )


def ask_to_rest(data_dir: Path) -> None:
    """Have a warm process that no run uses give its models back; nothing where there is none."""
    with (
        suppress(HostError, OSError, EOFError, ValueError, AuthenticationError),
        place.connect(data_dir) as connection,
    ):
        send_words(connection, Hello(Wish.REST, place.loaded_code()))
        receive_words(connection)


def _admitted(data_dir: Path, wait_s: float) -> tuple[Connection, int]:
    """A conversation with the warm process, and its process id. Raises HostError."""
    deadline = time.monotonic() + wait_s
    told = ""
    while True:
        try:
            connection = place.connect(data_dir)
            reply = _greet(connection)
        except (FileNotFoundError, ConnectionError, EOFError, AuthenticationError) as error:
            problem = f"no warm process answers for {data_dir} ({_reason(error)}); {START_IT}"
        except OSError as error:
            raise HostError(f"the warm process of {data_dir}: {_reason(error)}") from error
        else:
            if reply.verdict is Verdict.WELCOME:
                place.limit_waiting(connection, 0)
                return connection, reply.pid
            connection.close()
            problem = f"the warm process {reply.pid} of {data_dir} {reply.why}"
            if reply.verdict is Verdict.OLD_CODE:
                raise HostError(problem)
            deadline = time.monotonic() + wait_s
        if time.monotonic() > deadline:
            raise HostError(problem)
        if problem != told:
            _log.info("waiting: %s", problem)
            told = problem
        time.sleep(LOOK_S)


def _greet(connection: Connection) -> Reply:
    try:
        send_words(connection, Hello(Wish.PARSE, place.loaded_code()))
        words = receive_words(connection)
        return Reply(Verdict(words["verdict"]), int(words["pid"]), str(words["why"]))
    except (KeyError, ValueError) as error:
        connection.close()
        raise HostError(
            f"what listens there speaks another version: {error}; {START_IT}"
        ) from error
    except BaseException:
        connection.close()
        raise


def _reason(error: Exception) -> str:
    if isinstance(error, AuthenticationError):
        return "it has another key than the file says"
    if isinstance(error, BlockingIOError):
        return "it is silent"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
