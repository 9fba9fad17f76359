"""Processes that ``deepcompress up`` runs beside Dagster: started, looked after, stopped.

What belongs here: keeping a process alive. What does not: what it does, and Dagster's own
processes, which server.py watches.
"""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from deepcompress_dagster.orchestration.inbox import Backoff

LONG_LIFE_S = 600.0
"""What lived for so long and dies is started again at once, as if for the first time."""

STOP_TIMEOUT_S = 5.0
"""Time to end after SIGTERM, before it is killed."""


@dataclass(frozen=True)
class Companion:
    """A module that runs as a process, and where it answers, as ``up`` prints it."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    says: str = ""


class Companions:
    """Processes that are started again when they die, later each time."""

    def __init__(
        self,
        companions: Sequence[Companion],
        environment: Mapping[str, str],
        log: IO[bytes] | None = None,
    ) -> None:
        self._companions = companions
        self._environment = dict(environment)
        self._log = log
        self._running: dict[Companion, subprocess.Popen[bytes]] = {}
        self._started_at: dict[Companion, float] = {}
        self._backoff = Backoff()

    def start(self) -> None:
        """Start all of them, and print where each answers."""
        for companion in self._companions:
            self._running[companion] = self._spawn(companion)
            if companion.says:
                print(companion.says, flush=True)

    def tend(self) -> None:
        """Start again what has died, once its wait is over; to be called every now and then."""
        for companion, process in self._running.items():
            if process.poll() is None:
                continue
            if time.monotonic() - self._started_at[companion] > LONG_LIFE_S:
                self._backoff.succeeded(companion.name)
            if self._backoff.ready(companion.name):
                wait = self._backoff.failed(companion.name)
                print(
                    f"the {companion.name} ended with status {process.returncode}; starting it"
                    f" again, next time after {wait:.0f} s",
                    flush=True,
                )
                self._running[companion] = self._spawn(companion)

    def stop(self) -> None:
        """End all of them."""
        for process in self._running.values():
            process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))
            process.kill()
            process.wait()
        self._running = {}

    def _spawn(self, companion: Companion) -> "subprocess.Popen[bytes]":
        self._started_at[companion] = time.monotonic()
        command = [sys.executable, "-m", companion.module, *companion.arguments]
        return subprocess.Popen(  # noqa: S603
            command,
            env=self._environment,
            stdout=self._log or subprocess.DEVNULL,
            stderr=self._log,
            start_new_session=True,
        )
