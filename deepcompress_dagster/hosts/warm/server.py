"""The warm process: one parser and the model cache for all runs of a data folder.

Starting afresh is always the same: the process replaces itself by a new one of the same command,
which gives back all memory, on whatever device, and takes up new code. Runs wait meanwhile.
"""

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection

import psutil

from deepcompress_dagster import file_lock
from deepcompress_dagster.hosts.process import pixel_folder
from deepcompress_dagster.hosts.warm import place
from deepcompress_dagster.hosts.warm.messages import (
    Begin,
    Ended,
    Logged,
    Reply,
    Status,
    Verdict,
    Wish,
    receive_words,
    send_words,
)
from deepcompress_dagster.hosts.warm.session import Account, Session, portable
from deepcompress_dagster.models import catalog
from deepcompress_dagster.models.cache import model_cache
from deepcompress_dagster.models.catalog import ModelSpec, Task
from deepcompress_dagster.models.device import CPU
from deepcompress_dagster.pipeline import stages
from deepcompress_dagster.pipeline.model_source import CatalogModels, Models
from deepcompress_dagster.pipeline.parse import ParseEvent
from deepcompress_dagster.pipeline.shared_parse import SharedParser
from deepcompress_dagster.process_hooks import forwarded_logs, stop_signals
from deepcompress_dagster.records import PageResult
from deepcompress_dagster.settings import Settings
from deepcompress_dagster.streaming import StageHung

_log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often the process looks whether it is to end or to start afresh."""

END_S = 5.0
"""Time for the sessions to end once their streams have."""

MakeModels = Callable[[Settings], Models]


def catalog_models(settings: Settings) -> Models:
    """The models that the settings of a run choose."""
    return CatalogModels(settings, model_cache())


class WarmProcess:
    """Listens, serves each run on threads of its own, and knows when to start afresh.

    Runs with equal settings share a parser. With other settings a run gets another one; the one
    that nobody uses is closed, and the models that only it used are given back.
    """

    def __init__(self, settings: Settings, make_models: MakeModels = catalog_models) -> None:
        self._settings = settings
        self._make_models = make_models
        self._lock = threading.Lock()
        self._parsers: dict[Settings, SharedParser] = {}
        self._sessions: set[Session] = set()
        self._account = Account()
        self._runs_before = 0
        self._pages = 0
        self._began = self._used_at = time.monotonic()
        self._afresh = ""  # why it has to start afresh once no run is left
        self._is_stopping = threading.Event()

    def serve(self, *, while_parent_lives: bool = False) -> None:
        """Serve runs until SIGTERM or SIGINT; returns when nothing is left.

        With ``while_parent_lives`` it ends as well when the process that started it is gone and no
        run is left. Waits while another warm process has the data folder. Does not return to start
        afresh.
        """
        data_dir = self._settings.data_dir
        place.loaded_code()
        place.make_folder(data_dir)
        lock = file_lock.acquire(place.lock_path(data_dir), on_wait=_say_who_is_there)
        key = place.new_key(data_dir)
        parent = os.getppid() if while_parent_lives else 0
        with (
            stop_signals(lambda _: self._is_stopping.set()),
            place.listen(data_dir) as listener,
            forwarded_logs(self._spread),
        ):
            print(f"warm: process {os.getpid()} waits for runs on {data_dir}", flush=True)
            threading.Thread(target=self._accept, args=(listener, key), daemon=True).start()
            while not self._is_stopping.wait(LOOK_S):
                if parent and os.getppid() != parent and not self._sessions:
                    break
                if self._is_due():
                    break
            place.remove(data_dir)
        self._close()
        lock.release()
        if self._afresh and not self._is_stopping.is_set():
            print(f"warm: process {os.getpid()} starts afresh: {self._afresh}", flush=True)
            sys.stdout.flush()
            os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606

    # When to start afresh

    def _is_due(self) -> bool:
        """Whether to start afresh now; no run is admitted from then on."""
        with self._lock:
            if self._sessions:
                self._used_at = time.monotonic()
                return False
            idle = time.monotonic() - self._used_at
            holds = bool(self._parsers) or bool(model_cache().loaded())
            if not self._afresh and holds and idle > self._settings.warm_idle_s:
                self._afresh = f"nobody came for {idle:.0f} s"
            return bool(self._afresh)

    def _must_start_afresh(self, why: str) -> None:
        with self._lock:
            self._afresh = self._afresh or why

    def _close(self) -> None:
        with self._lock:
            parsers, self._parsers = list(self._parsers.values()), {}
        for parser in parsers:
            parser.close()
        deadline = time.monotonic() + END_S
        while self._sessions and time.monotonic() < deadline:
            time.sleep(0.05)

    # Who comes

    def _accept(self, listener: socket.socket, key: bytes) -> None:
        with suppress(OSError):
            while True:
                ours, _ = listener.accept()
                threading.Thread(target=self._meet, args=(ours, key), daemon=True).start()

    def _meet(self, ours: socket.socket, key: bytes) -> None:
        try:
            with place.admit(ours, key) as connection:
                words = receive_words(connection)
                wish = Wish(words["wish"])
                if wish is Wish.STATUS:
                    send_words(connection, self._status())
                elif wish is Wish.REST:
                    if not self._sessions:
                        self._must_start_afresh("its memory is wanted")
                    send_words(connection, Reply(Verdict.RENEWING, os.getpid()))
                else:
                    self._welcome(connection, str(words["code"]))
        except AuthenticationError:
            _log.warning("somebody with another key was turned away")
        except (EOFError, OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("a conversation ended before it began: %s", error)

    def _welcome(self, connection: Connection, code: str) -> None:
        reply = self._judge(code)
        send_words(connection, reply)
        if reply.verdict is Verdict.WELCOME:
            place.limit_waiting(connection, 0)
            begin = connection.recv()
            if isinstance(begin, Begin):
                self._serve_run(connection, begin)

    def _judge(self, code: str) -> Reply:
        if code != place.loaded_code():
            if place.code_on_disk() == place.loaded_code():
                return Reply(
                    Verdict.OLD_CODE,
                    os.getpid(),
                    f"runs the code of {sys.prefix} as it is on disk, and this run other code:"
                    " reload the code location, or use one installation for both",
                )
            self._must_start_afresh("the code has changed")
        if self._afresh:
            runs = len(self._sessions)
            why = f"starts afresh once {runs} runs are through: {self._afresh}"
            return Reply(Verdict.RENEWING, os.getpid(), why)
        return Reply(Verdict.WELCOME, os.getpid())

    def _serve_run(self, connection: Connection, begin: Begin) -> None:
        try:
            parser = self._parser_for(begin.settings)
        except Exception as error:
            connection.send(Ended(portable(error)))
            return
        session = Session(connection, begin, parser, self._account, self._notice)
        with self._lock:
            self._sessions.add(session)
        try:
            session.run()
        finally:
            if isinstance(parser.end, StageHung):
                self._must_start_afresh("a model hangs in a call")
            with self._lock:
                self._sessions.discard(session)
                self._runs_before += 1
                self._used_at = time.monotonic()

    def _notice(self, event: ParseEvent) -> None:
        """Count pages, and mind what a model failed at on an accelerator.

        After some errors an accelerator is of no use any more to the process that met them.
        """
        if isinstance(event, PageResult):
            self._pages += 1
            on_device = any(timing.device != CPU for timing in event.timings)
            if on_device and any(e.stage not in stages.PDF_STAGES for e in event.errors):
                self._must_start_afresh("a model failed on an accelerator")

    # Parsers

    def _parser_for(self, settings: Settings) -> SharedParser:
        """The parser of these settings; others that nobody uses are closed, with their models."""
        with self._lock:
            current = self._parsers.get(settings)
            if current is None or current.has_ended:
                self._retire(settings)
                self._parsers[settings] = current = self._new_parser(settings)
            return current

    def _retire(self, wanted: Settings) -> None:
        for settings, parser in list(self._parsers.items()):
            if not parser.calls:
                del self._parsers[settings]
                parser.close()
        used = _specs([wanted, *self._parsers])
        for spec in model_cache().loaded():
            if spec not in used:
                model_cache().unload(spec)

    def _new_parser(self, settings: Settings) -> SharedParser:
        model_cache().configure(
            memory_fraction=settings.gpu_memory_fraction, lock_dir=settings.data_dir / "locks"
        )
        return SharedParser(
            settings, buffer_dir=pixel_folder(settings), models=self._make_models(settings)
        )

    # What is told

    def _status(self) -> Status:
        stats = model_cache().stats()
        return Status(
            pid=os.getpid(),
            seconds=round(time.monotonic() - self._began, 1),
            runs=len(self._sessions),
            runs_before=self._runs_before,
            pages=self._pages,
            idle_s=0.0 if self._sessions else round(time.monotonic() - self._used_at, 1),
            memory_mb=_memory_mb(),
            loaded=tuple(spec.checkpoint for spec in model_cache().loaded()),
            loads=stats.loads,
            hits=stats.hits,
        )

    def _spread(self, level: int, text: str) -> None:
        """Have a line of the log go to all runs."""
        for session in list(self._sessions):
            session.note(Logged(level, text))


def _specs(chosen: list[Settings]) -> set[ModelSpec]:
    """The models that these settings may ask for."""
    found = (catalog.spec_for(settings, task) for settings in chosen for task in Task)
    return {spec for spec in found if spec is not None}


def _memory_mb() -> int:
    """Resident memory of this process and those below it; shared pages count in each."""
    ours = psutil.Process()
    total = ours.memory_info().rss
    for child in ours.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += child.memory_info().rss
    return total // 2**20


def _say_who_is_there(holder: str) -> None:
    print(f"warm: process {holder} has the data folder; waiting for its end", flush=True)
