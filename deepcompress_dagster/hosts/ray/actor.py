"""What runs on the cluster: one parser with its models, for the runs that come.

A run opens a session and asks again and again for what is finished. When it stops asking, its
session ends: Ray does not tell a detached actor that a driver is gone.
"""

import logging
import os
import queue
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import ray

from deepcompress_dagster.hosts.code import code_contents
from deepcompress_dagster.hosts.errors import HostError
from deepcompress_dagster.hosts.host import HostUsage
from deepcompress_dagster.hosts.ray.messages import Finished, Job, Report, Welcome
from deepcompress_dagster.hosts.warm.session import Account
from deepcompress_dagster.models.cache import model_cache
from deepcompress_dagster.pdf.pixel_buffers import ProcessFolder, remove_stale
from deepcompress_dagster.pipeline.model_source import Models
from deepcompress_dagster.pipeline.parse import ParseEvent
from deepcompress_dagster.pipeline.shared_parse import SharedCall, SharedParser
from deepcompress_dagster.records import DocumentResult, PageResult, Region
from deepcompress_dagster.settings import Settings, load_settings
from deepcompress_dagster.streaming import StreamCancelled

_log = logging.getLogger(__name__)

LEASE_S = 7.0
"""A run that did not ask for so long is gone. Runs ask about twice a second."""

LOOK_S = 1.0

ANSWER_S = 0.5
"""How long a run waits for something to be finished before it is told that nothing is."""

OF_THE_MACHINE = ("models_dir", "tessdata")
"""Settings that a machine of the cluster may have in its own environment."""

ModelsFactory = Callable[[Settings], Models]


class UnknownSession(Exception):
    """The actor is another process than the one that the session was opened with."""


class ParseActor:
    """A Ray actor. Its methods are called from several threads at once."""

    def __init__(
        self, settings: Settings, idle_s: float, make_models: ModelsFactory | None = None
    ) -> None:
        """``idle_s`` after its last run it ends. Without ``make_models`` those of the settings."""
        self._idle_s = idle_s
        base = Path(tempfile.gettempdir()) / f"deepcompress-actors-{os.getuid()}"
        base.mkdir(mode=0o700, exist_ok=True)
        remove_stale(base)
        self._folder = ProcessFolder(base)
        self._settings = _on_this_machine(settings, self._folder.path)
        model_cache().configure(memory_fraction=settings.gpu_memory_fraction)
        self._models = make_models(self._settings) if make_models else None
        self._account = Account()
        self._lock = threading.Lock()
        self._parser: SharedParser | None = None
        self._sessions: dict[str, _Session] = {}
        self._used_at = time.monotonic()
        self._myself = ray.get_runtime_context().current_actor
        threading.Thread(target=self._watch, name="ray-leases", daemon=True).start()

    def open(self, session: str, code: str, selection: Collection[str]) -> Welcome:
        """Begin to work for a run. Raises HostError where this machine has other code."""
        node = ray.util.get_node_ip_address()
        if code_contents() != code:
            raise HostError(
                f"the machine {node} of the Ray cluster has another version of this package, or of"
                " a package that it reads pages with: install the same on all of them, then"
                " restart Ray there"
            )
        with self._lock:
            self._sessions[session] = _Session(
                self._folder.path / session, tuple(selection), self._begin
            )
        parser = self._current_parser()
        return Welcome(os.getpid(), node, 2 * parser.context.pages_in_flight)

    def turn(self, session: str, jobs: Sequence[Job], most: int) -> Report:
        """Take ``jobs`` on, and tell what is finished, up to ``most`` events.

        Waits for something for ``ANSWER_S``. Raises UnknownSession, and what ended a job.
        """
        current = self._sessions.get(session)
        if current is None:
            raise UnknownSession(session)
        finished = current.turn(jobs, most)
        if session not in self._sessions:
            # Nobody hears this: what was done is another run's.
            return Report(finished, HostUsage())
        return Report(finished, self._account.claim(self._current_parser()))

    def close(self, session: str) -> None:
        """End what is under way for a run."""
        with self._lock:
            current = self._sessions.pop(session, None)
            self._used_at = time.monotonic()
        if current is not None:
            current.close()

    def at_work(self) -> int:
        """The process id while it works for a run, else 0."""
        return os.getpid() if self._sessions else 0

    def _begin(self, job: Job, path: Path, selection: tuple[str, ...]) -> SharedCall:
        """Start a job on the current parser, or on a fresh one where that has just ended."""
        stored = job.stored

        def regions(_: str, number: int) -> tuple[Region, ...]:
            assert stored is not None
            return stored[number]

        lookup = None if stored is None else regions
        images = path.parent / "data" / "images" / job.task.document_id
        task = replace(job.task, path=path, image_dir=images)
        while True:
            parser = self._current_parser()
            try:
                return parser.begin([task], selection, lookup)
            except StreamCancelled:
                if not parser.has_ended:
                    raise

    def _current_parser(self) -> SharedParser:
        with self._lock:
            if self._parser is None or self._parser.has_ended:
                if self._parser is not None:
                    self._parser.close()
                folder = self._folder.path / "pixels"
                self._parser = SharedParser(self._settings, buffer_dir=folder, models=self._models)
            return self._parser

    def _watch(self) -> None:
        """End the sessions of runs that are gone, and this actor when none came for long."""
        while True:
            time.sleep(LOOK_S)
            now = time.monotonic()
            for name, session in list(self._sessions.items()):
                if now - session.asked_at > LEASE_S:
                    _log.warning("a run did not ask for %.0f s: its work is ended", LEASE_S)
                    self.close(name)
            if not self._sessions and now - self._used_at > self._idle_s:
                self._end()

    def _end(self) -> None:
        """Leave nothing of this actor."""
        if self._parser is not None:
            self._parser.close()
        self._folder.close()
        ray.kill(self._myself)


class _Session:
    """What one run has here: its jobs, and what of them is finished and not told yet."""

    def __init__(
        self,
        folder: Path,
        selection: tuple[str, ...],
        begin: Callable[[Job, Path, tuple[str, ...]], SharedCall],
    ) -> None:
        self._folder = folder
        self._selection = selection
        self._begin = begin
        self._lock = threading.Lock()
        self._files: Counter[Path] = Counter()
        self._calls: set[SharedCall] = set()
        self._is_closed = False
        self._finished: queue.SimpleQueue[Finished | Exception] = queue.SimpleQueue()
        self.asked_at = time.monotonic()

    def turn(self, jobs: Sequence[Job], most: int) -> tuple[Finished, ...]:
        self.asked_at = time.monotonic()
        for job in jobs:
            threading.Thread(target=self._do, args=(job,), name="ray-job", daemon=True).start()
        found = list(self._take(most))
        self.asked_at = time.monotonic()
        return tuple(found)

    def _take(self, most: int) -> list[Finished]:
        found: list[Finished] = []
        if most < 1:
            time.sleep(ANSWER_S)
            return found
        try:
            found.append(_unless_error(self._finished.get(timeout=ANSWER_S)))
            while len(found) < most:
                found.append(_unless_error(self._finished.get_nowait()))
        except queue.Empty:
            pass
        return found

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            calls = list(self._calls)
        for call in calls:
            call.cancel()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _do(self, job: Job) -> None:
        """Do a job to its end, on a thread of its own."""
        path = self._folder / job.task.document_id / job.task.path.name
        try:
            self._write(path, job)
            try:
                self._run(job, path)
            finally:
                self._release(path)
        except Exception as error:
            if not self._is_closed:
                self._finished.put(error)

    def _run(self, job: Job, path: Path) -> None:
        call = self._begin(job, path, self._selection)
        with self._lock:
            self._calls.add(call)
            is_late = self._is_closed
        try:
            with closing(call.events()) as events:
                if is_late:
                    call.cancel()
                for event in events:
                    images = _images(event, path.parent / "data")
                    told = _as_the_run_knows_it(event, path, job.task.path)
                    self._finished.put(Finished(job.number, told, images))
        finally:
            with self._lock:
                self._calls.discard(call)

    def _write(self, path: Path, job: Job) -> None:
        content: bytes | None = None if job.pdf is None else ray.get(job.pdf)
        with self._lock:
            self._files[path] += 1
            if self._files[path] == 1 and content is not None and not self._is_closed:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.write_bytes(content)

    def _release(self, path: Path) -> None:
        with self._lock:
            self._files[path] -= 1
            if not self._files[path]:
                del self._files[path]
                shutil.rmtree(path.parent, ignore_errors=True)


def _unless_error(found: Finished | Exception) -> Finished:
    if isinstance(found, Exception):
        raise found
    return found


def _images(event: ParseEvent, data_dir: Path) -> dict[str, bytes]:
    """The image files of a page, by path below the data folder; they are not kept."""
    if not isinstance(event, PageResult):
        return {}
    names = [event.page.image_path, *(figure.image_path for figure in event.figures or ())]
    found = {}
    for name in names:
        if name and (path := data_dir / name).is_file():
            found[name] = path.read_bytes()
            path.unlink()
    return found


def _as_the_run_knows_it(event: ParseEvent, path: Path, original: Path) -> ParseEvent:
    """The event, with the run's own folder where a message names this machine's."""
    if not isinstance(event, DocumentResult) or event.fatal is None:
        return event
    message = event.fatal.message.replace(str(path.parent), str(original.parent))
    return replace(event, fatal=replace(event.fatal, message=message))


def _on_this_machine(settings: Settings, folder: Path) -> Settings:
    """The run's settings, with this machine's folders."""
    own = load_settings()
    here = {name: getattr(own, name) for name in OF_THE_MACHINE if name in own.model_fields_set}
    return settings.model_copy(update={"data_dir": folder, **here})
