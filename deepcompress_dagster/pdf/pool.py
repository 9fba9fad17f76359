"""A pool of worker processes that may crash, hang or be killed, each at its own cost only.

Every worker is a fresh interpreter (never a fork) with a connection of its own, so that nothing is
shared that a dying worker could leave locked or half written. ``pebble.ProcessPool`` was tried
first: its workers share one pipe and two locks, and killing an idle worker ends the whole pool.
``multiprocessing`` spawns import the parent's main module again: 1.5 s where that is Dagster, and
an endless recursion where it is a script without a guard.
"""

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from deepcompress_dagster.pdf.errors import OutOfMemory, WorkerDied

WORKER_START_TIMEOUT_S = 60.0
"""Seconds in which a worker must have started; it takes 0.3 s on an idle machine."""

_MODULE = "deepcompress_dagster.pdf.worker"


class TaskTimeout(Exception):
    """A task took longer than the deadline and its worker was killed."""


class PoolClosed(RuntimeError):
    """The pool was closed before or during the call."""


class WorkerPool:
    """Runs functions in worker processes, from any number of threads at once."""

    def __init__(self, *, workers: int, timeout_s: float, memory_mb: int, max_tasks: int) -> None:
        """``timeout_s`` is the deadline of one task; a worker is replaced after ``max_tasks``.

        Workers start when they are first needed.
        """
        self._timeout_s = timeout_s
        self._memory_mb = memory_mb
        self._max_tasks = max_tasks
        self._workers = workers
        self._permits = threading.BoundedSemaphore(workers)
        self._guard = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._closed = False
        # Linux ends a worker when the thread that started it ends: so one thread starts them all.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="worker-starter")

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the workers that exist."""
        with self._guard:
            return tuple(worker.pid for worker in self._all)

    def call(self, function: str, *args: Any) -> Any:
        """The result of ``function`` ("package.module:name") in a worker; waits for a free one.

        Arguments and result must pickle. Raises what the function raises, TaskTimeout, WorkerDied,
        or PoolClosed.
        """
        with self._permits:
            worker = self._take()
            try:
                result, error = worker.run(function, args, self._timeout_s)
            except BaseException as problem:
                self._discard(worker)
                if self._closed and isinstance(problem, WorkerDied):
                    raise PoolClosed("the worker pool was closed") from problem
                raise
            self._put_back(worker, keep=not isinstance(error, MemoryError | OutOfMemory))
        if error is not None:
            raise error
        return result

    def interrupt(self) -> None:
        """Take no more calls and kill the workers of those under way: both raise PoolClosed."""
        with self._guard:
            self._closed = True
            for worker in self._all.difference(self._idle):
                worker.kill()

    def close(self) -> None:
        """Kill all workers; calls under way raise PoolClosed. Nothing is left behind."""
        self.interrupt()
        with self._guard:
            idle, self._idle = self._idle, []
        for worker in idle:
            self._discard(worker)
        for _ in range(self._workers):
            self._permits.acquire()  # each call under way has discarded its worker
        self._permits.release(self._workers)
        self._starter.shutdown()

    def _take(self) -> "_Worker":
        with self._guard:
            if self._closed:
                raise PoolClosed("the worker pool is closed")
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive():
                    return worker
                self._all.discard(worker)
                worker.close()
            started = self._starter.submit(_Worker, self._memory_mb, self._timeout_s)
        worker = started.result()
        if self._register(worker):
            return worker
        self._discard(worker)
        raise PoolClosed("the worker pool was closed")

    def _register(self, worker: "_Worker") -> bool:
        with self._guard:
            self._all.add(worker)
            return not self._closed

    def _put_back(self, worker: "_Worker", *, keep: bool) -> None:
        with self._guard:
            keep = keep and not self._closed and worker.tasks < self._max_tasks
            if keep:
                self._idle.append(worker)
        if not keep:
            self._discard(worker)

    def _discard(self, worker: "_Worker") -> None:
        with self._guard:
            self._all.discard(worker)
        worker.close()


class _Worker:
    """One worker process and the connection to it; used by one thread at a time."""

    def __init__(self, memory_mb: int, timeout_s: float) -> None:
        self.tasks = 0
        self._ready = False
        self._connection, theirs = Pipe()
        with theirs:
            self._process = _start(theirs, memory_mb, timeout_s)

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def run(
        self, function: str, args: tuple[Any, ...], timeout_s: float
    ) -> tuple[Any, Exception | None]:
        """Result and error of the call, one of them None. Raises TaskTimeout or WorkerDied."""
        if not self._ready:
            self._wait_until_ready()
        self.tasks += 1
        try:
            self._connection.send((function, args))
            if not self._connection.poll(timeout_s):
                raise TaskTimeout(f"no answer within {timeout_s:g} s")
            answer: tuple[Any, Exception | None] = self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        return answer

    def kill(self) -> None:
        """End the process at once; it holds nothing that needs saving."""
        self._process.kill()

    def close(self) -> None:
        """End the process, wait until it is gone, and close the connection."""
        self._process.kill()
        self._process.wait()
        self._connection.close()

    def _wait_until_ready(self) -> None:
        try:
            if not self._connection.poll(WORKER_START_TIMEOUT_S):
                limit = f"{WORKER_START_TIMEOUT_S:g} s"
                raise WorkerDied(f"a worker process did not start within {limit}")
            self._connection.recv()
        except (EOFError, OSError) as error:
            raise self._died() from error
        self._ready = True

    def _died(self) -> WorkerDied:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return WorkerDied("a worker process closed its connection")
        return WorkerDied(f"a worker process ended with {describe_exit(code)}")


def _start(theirs: Connection, memory_mb: int, timeout_s: float) -> "subprocess.Popen[bytes]":
    fd = theirs.fileno()
    arguments = [str(fd), str(os.getpid()), str(memory_mb), str(timeout_s)]
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return subprocess.Popen(  # noqa: S603 - this interpreter, this package
        [sys.executable, "-P", "-m", _MODULE, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(fd,),
        env={**os.environ, "PYTHONPATH": path},
        process_group=0,
    )


def describe_exit(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    hint = " (often the kernel, out of memory)" if name == "SIGKILL" else ""
    return f"{name}{hint}"
