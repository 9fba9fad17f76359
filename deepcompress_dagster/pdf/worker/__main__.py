"""The worker process: reads tasks from its parent, one at a time, and answers each.

It lives no longer than its parent, ignores Ctrl-C (the parent decides), is limited in memory on
Linux, and ends itself when a task outlives its deadline by far and the parent did not end it.
Started as ``python -m deepcompress_dagster.pdf.worker <fd> <parent pid> <memory MB> <deadline s>``.
"""

import ctypes
import importlib
import os
import pickle
import pkgutil
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from deepcompress_dagster.pdf.errors import PdfError

ORPHAN_GRACE_S = 30.0
"""Seconds past the deadline after which the kernel ends a worker whose parent did not."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(fd: int, parent: int, memory_mb: int, deadline_s: float) -> None:
    """Serve tasks from the connection ``fd`` until the parent closes it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(parent)
    # Before the first task, whose deadline would run meanwhile.
    importlib.import_module("deepcompress_dagster.pdf.worker.handlers")
    limit_memory(memory_mb)
    connection = Connection(fd)
    connection.send(None)
    while True:
        try:
            function, arguments = connection.recv()
        except (EOFError, OSError):
            return
        signal.setitimer(signal.ITIMER_REAL, deadline_s + ORPHAN_GRACE_S)
        try:
            _answer(connection, run(function, arguments))
        except OSError:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)


def run(function: str, arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    """Result and error of calling ``function`` ("package.module:name"), one of them None."""
    try:
        return pkgutil.resolve_name(function)(*arguments), None
    except Exception as error:
        if not isinstance(error, PdfError):
            error.add_note(traceback.format_exc())
        return None, error


def _answer(connection: Connection, answer: tuple[Any, Exception | None]) -> None:
    try:
        connection.send(answer)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        connection.send((None, TypeError(f"{answer!r:.200} does not pickle: {error}")))


def end_with_parent(parent: int) -> None:
    """Have this process end when the process ``parent`` does."""
    if sys.platform != "linux" or ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL):
        threading.Thread(target=watch_parent, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def watch_parent(parent: int, every_s: float = 1.0) -> None:
    """End this process once it has another parent; looks again every ``every_s`` seconds."""
    while os.getppid() == parent:
        time.sleep(every_s)
    os._exit(1)


def limit_memory(megabytes: int) -> None:
    """Allow this process ``megabytes`` of address space on top of what it has (Linux)."""
    if sys.platform != "linux":
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
