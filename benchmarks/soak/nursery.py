"""Runs that start without their imports: forks of a process that has done these."""

import json
import os
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from benchmarks.soak.bench import SELF, Bench
from benchmarks.soak.processes import process


class Nursery:
    """Starts run processes without their imports: forks of a process that has done these, which
    has no threads yet."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def __enter__(self) -> "Nursery":
        self._parent = subprocess.Popen(
            [*SELF, "nursery"],
            env=self._bench.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._parent.communicate()

    def start(self, files: Sequence[Path]) -> int:
        """The process id of a run over these files."""
        assert self._parent.stdin
        self._parent.stdin.write(json.dumps([str(path) for path in files]) + "\n")
        self._parent.stdin.flush()
        return int(self._line())

    def wait(self) -> int:
        """The exit status of the run, once it has ended; negative for a signal."""
        return int(self._line())

    def _line(self) -> str:
        assert self._parent.stdout
        line = ""
        while not line.startswith("nursery "):
            line = self._parent.stdout.readline()
            if not line:
                raise RuntimeError("the nursery has ended")
        return line.removeprefix("nursery ")


def nursery() -> None:
    """For each line of files, fork a run, and say its process id and then its exit status."""
    import benchmarks.tiny  # noqa: F401 - what a run imports, once for all

    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            leave_with([Path(name) for name in json.loads(line)])
        print(f"nursery {child}", flush=True)
        _, status = os.waitpid(child, 0)
        print(f"nursery {os.waitstatus_to_exitcode(status)}", flush=True)


def leave_with(files: Sequence[Path]) -> None:
    """Parse files and end at once: in a fork, what libraries do at the end may hang."""
    status = 1
    try:
        status = process(files)
    except KeyboardInterrupt:
        status = 130
    except Exception:
        traceback.print_exc()
    finally:
        os._exit(status)
