"""The run's side: documents go to the actors of the pool, rows and images come back.

One thread reads PDFs ahead, one talks to all actors, and the caller's takes what is finished. The
run alone writes: images here, rows wherever the caller puts them.
"""

import logging
import os
import queue
import threading
import time
import uuid
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError, RayTaskError

from deepcompress_dagster.hosts.code import code_contents
from deepcompress_dagster.hosts.errors import HostError
from deepcompress_dagster.hosts.host import HostUsage
from deepcompress_dagster.hosts.ray.actor import ANSWER_S, ModelsFactory, UnknownSession
from deepcompress_dagster.hosts.ray.cluster import ASK_S, Pool, connected
from deepcompress_dagster.hosts.ray.messages import Finished, Job, Report, Welcome
from deepcompress_dagster.hosts.ray.work import Work
from deepcompress_dagster.pipeline import stages
from deepcompress_dagster.pipeline.parse import ParseEvent, RegionLookup
from deepcompress_dagster.records import DocumentResult, DocumentTask
from deepcompress_dagster.settings import Settings
from deepcompress_dagster.streaming import StageHung

_log = logging.getLogger(__name__)

WAIT_S = 60.0
"""How long a run waits for a first actor, and for one to come back when all are lost."""

ROOM_AFTER_S = 3.0
"""An actor that is not there by then may lack room: idle ones of other pools are ended."""

AGAIN_S = 1.0
"""Wait before a lost actor is looked for again; Ray starts it again within some 2 s."""

HELD = 64
"""Events that wait for the caller; then actors are not asked for more."""

MOST_EVENTS = 16
"""Events of one answer: about 3 MB of page images."""


class RayHost:
    """Parsing by a pool of actors on a Ray cluster."""

    def __init__(
        self, settings: Settings, make_models: ModelsFactory | None = None, wait_s: float = WAIT_S
    ) -> None:
        """Nothing is connected before the first call. Without ``make_models`` an actor has those
        that the settings choose.
        """
        self._settings = settings
        self._pool = Pool(settings, make_models)
        self._wait_s = wait_s
        self._connection = ExitStack()
        self._is_connected = False
        self._used = HostUsage()
        self._place = "no Ray actor yet"

    def parse(
        self,
        tasks: Iterable[DocumentTask],
        selection: Collection[str],
        regions: RegionLookup | None = None,
    ) -> Generator[ParseEvent, None, None]:
        """As ``ParseHost`` says. Raises HostError where no cluster or actor is to be had."""
        lookup = stages.plan(selection).regions_from(regions)
        if not self._is_connected:
            self._connection.enter_context(connected(self._settings.ray_address))
            self._is_connected = True
        talk = _Talk(self._pool, tuple(selection), lookup, self._wait_s)
        try:
            yield from talk.events(tasks)
        finally:
            talk.close()
            self._used = self._used.plus(talk.used)
            self._place = talk.place

    def usage(self) -> HostUsage:
        """What the actors did that no other run has counted."""
        return replace(self._used, place=self._place)

    def close(self) -> None:
        """Let go of the cluster; actors stay, with their models."""
        self._connection.close()


@dataclass(eq=False)
class _Member:
    """An actor of the pool as this run sees it: what it was asked, and which jobs it has."""

    index: int
    actor: Any
    session: str = ""
    asked: Any = None
    welcome: Welcome | None = None
    jobs: set[int] = field(default_factory=set)
    again_at: float = 0.0


class _Talk:
    """One call of the host: its documents, and what is said to the actors about them."""

    def __init__(
        self, pool: Pool, selection: tuple[str, ...], regions: RegionLookup | None, wait_s: float
    ) -> None:
        self._pool = pool
        self._selection = selection
        self._regions = regions
        self._wait_s = wait_s
        self._work = Work()
        self._targets: dict[str, Path] = {}
        self._members = [_Member(index, pool.place(index)) for index in range(pool.size)]
        self._read: queue.Queue[tuple[DocumentTask, Any] | BaseException | None]
        self._read = queue.Queue(max(2, len(self._members)))
        self._is_read = False
        self._told: queue.SimpleQueue[ParseEvent | BaseException | None] = queue.SimpleQueue()
        self._is_closed = threading.Event()
        self._seen: dict[int, Welcome] = {}
        self._threads: list[threading.Thread] = []
        self.used = HostUsage()

    @property
    def place(self) -> str:
        """The actors that worked for this run, in words."""
        nodes: dict[str, list[int]] = {}
        for welcome in self._seen.values():
            nodes.setdefault(welcome.node, []).append(welcome.pid)
        where = "; ".join(
            f"{node}: process {', '.join(map(str, pids))}" for node, pids in nodes.items()
        )
        return f"{len(self._seen)} Ray actors ({where})" if where else "no Ray actor"

    # The caller's thread

    def events(self, tasks: Iterable[DocumentTask]) -> Iterator[ParseEvent]:
        """What is finished, until all is. Raises what ended the work."""
        for target, arguments in ((self._read_ahead, (tasks,)), (self._talk, ())):
            thread = threading.Thread(target=target, args=arguments, name="ray-host", daemon=True)
            self._threads.append(thread)
            thread.start()
        while (told := self._told.get()) is not None:
            if isinstance(told, BaseException):
                raise told
            yield told

    def close(self) -> None:
        """End the work of this run, wherever it is done."""
        self._is_closed.set()
        for thread in self._threads:
            thread.join(ASK_S)
            if thread.is_alive():
                _log.warning("the tasks of a run still block: their thread is left behind")
        ended = [m.actor.close.remote(m.session) for m in self._members if m.welcome]
        if ended:
            ray.wait(ended, num_returns=len(ended), timeout=ASK_S)
        for member in self._members:
            if member.index not in self._seen:
                ray.kill(member.actor)  # it waits for room, which nobody asks for any more

    # The thread that reads ahead

    def _read_ahead(self, tasks: Iterable[DocumentTask]) -> None:
        try:
            with closing(tasks) if isinstance(tasks, Generator) else nullcontext():
                for task in tasks:
                    self._put((task, _in_store(task.path)))
                    if self._is_closed.is_set():
                        return
            self._put(None)
        except BaseException as error:
            self._put(error)

    def _put(self, read: tuple[DocumentTask, Any] | BaseException | None) -> None:
        while not self._is_closed.is_set():
            with suppress(queue.Full):
                self._read.put(read, timeout=ANSWER_S)
                return

    # The thread that talks

    def _talk(self) -> None:
        try:
            for member in self._members:
                self._greet(member)
            made_room, alive_at = False, time.monotonic()
            began = alive_at
            while not self._is_closed.is_set() and not self._is_through():
                self._listen()
                for member in self._members:
                    if member.asked is None and time.monotonic() >= member.again_at:
                        self._ask(member)
                now = time.monotonic()
                if any(member.welcome for member in self._members):
                    alive_at = now
                elif now - alive_at > self._wait_s:
                    was_there = bool(self._seen)
                    raise HostError(self._pool.why_none(now - alive_at, was_there=was_there))
                if not made_room and now - began > ROOM_AFTER_S:
                    made_room = True
                    if not all(member.welcome for member in self._members):
                        self._pool.make_room()
            self._told.put(None)
        except BaseException as error:
            self._told.put(error)

    def _is_through(self) -> bool:
        while not self._is_read and self._work.waiting < len(self._members):
            try:
                read = self._read.get_nowait()
            except queue.Empty:
                break
            if isinstance(read, BaseException):
                raise read
            if read is None:
                self._is_read = True
            else:
                task, pdf = read
                self._targets[task.document_id] = task.image_dir.parent.parent
                self._work.add(task, pdf)
        return self._is_read and not self._work.documents

    def _listen(self) -> None:
        """Wait for an answer, and take in all that there are."""
        asked = {member.asked: member for member in self._members if member.asked is not None}
        if not asked:
            time.sleep(ANSWER_S)
            return
        some, _ = ray.wait(list(asked), num_returns=1, timeout=ANSWER_S)
        if some:
            answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0)
            for answer in answered:
                self._hear(asked[answer])

    def _hear(self, member: _Member) -> None:
        asked, member.asked = member.asked, None
        try:
            answer = ray.get(asked)
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, StageHung):
                ray.kill(member.actor, no_restart=False)
            elif not isinstance(cause, UnknownSession):
                raise cause from None
            self._lose(member, cause)
        except RayError as error:
            self._lose(member, error)
        else:
            if isinstance(answer, Welcome):
                member.welcome = self._seen[member.index] = answer
            else:
                self._take(member, answer)

    def _take(self, member: _Member, report: Report) -> None:
        self.used = self.used.plus(report.used)
        for finished in report.finished:
            self._write_images(finished)
            for event in self._work.note(finished.job, finished.event):
                self._told.put(event)
            if isinstance(finished.event, DocumentResult):
                member.jobs.discard(finished.job)

    def _write_images(self, finished: Finished) -> None:
        for name, content in finished.images.items():
            path = self._targets[finished.event.document_id] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
            temporary.write_bytes(content)
            temporary.replace(path)

    def _lose(self, member: _Member, error: Exception) -> None:
        """Have others do what an actor had in hand; look for the actor again later."""
        if isinstance(error, ActorDiedError) and "creation task" in str(error):
            raise HostError(f"a Ray actor cannot start: {str(error).strip().splitlines()[-1]}")
        if member.welcome is not None:
            _log.warning(
                "the Ray actor %d at %s is gone (%s); its %d jobs go to others",
                *(member.welcome.pid, member.welcome.node, type(error).__name__),
                len(member.jobs),
            )
        for event in self._work.lose(member.jobs):
            self._told.put(event)
        member.jobs, member.welcome = set(), None
        member.again_at = time.monotonic() + AGAIN_S
        if isinstance(error, ActorDiedError):
            member.actor = self._pool.place(member.index)

    def _ask(self, member: _Member) -> None:
        if member.welcome is None:
            self._greet(member)
            return
        room = min(MOST_EVENTS, HELD - self._told.qsize())
        jobs = list(self._jobs_for(member, member.welcome.appetite)) if room > 0 else []
        member.asked = member.actor.turn.remote(member.session, jobs, max(0, room))

    def _greet(self, member: _Member) -> None:
        member.session = uuid.uuid4().hex
        member.asked = member.actor.open.remote(member.session, code_contents(), self._selection)

    def _jobs_for(self, member: _Member, appetite: int) -> Iterator[Job]:
        while self._work.pages(member.jobs) < appetite:
            job = self._work.hand_out(member.jobs)
            if job is None:
                return
            member.jobs.add(job.number)
            yield self._with_regions(job)

    def _with_regions(self, job: Job) -> Job:
        """The job with the committed regions of its pages, where they are not to be found."""
        if self._regions is None:
            return job
        pages = set(job.task.pages or ()) - job.task.finished_pages
        name = job.task.document_id
        return replace(job, stored={page: self._regions(name, page) for page in sorted(pages)})


def _in_store(path: Path) -> Any:
    """A reference to the file's bytes; None where it cannot be read, which the actor finds too."""
    try:
        return ray.put(path.read_bytes())
    except OSError:
        return None
