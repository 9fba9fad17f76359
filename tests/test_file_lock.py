"""Locks over threads and processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepcompress_dagster import file_lock

HOLD = """
import sys
from pathlib import Path
from deepcompress_dagster import file_lock
lock = file_lock.acquire(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_readers_share_a_lock_and_a_writer_waits_for_them(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "lock"
    with file_lock.hold(path, shared=True), file_lock.hold(path, shared=True):
        assert not file_lock.is_held(path)
        with pytest.raises(file_lock.LockHeldError):
            file_lock.acquire(path, timeout_s=0)
    with file_lock.hold(path, timeout_s=0):
        assert file_lock.is_held(path)
        with pytest.raises(file_lock.LockHeldError, match=f"process {os.getpid()}"):
            file_lock.acquire(path, shared=True, timeout_s=0)
    assert not file_lock.is_held(path)


def test_who_waits_is_told_the_holder_once_and_gets_the_lock_when_that_dies(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with child:
        assert child.stdout
        child.stdout.readline()
        told: list[str] = []

        def kill(holder: str) -> None:
            told.append(holder)
            child.kill()

        file_lock.acquire(path, timeout_s=30, on_wait=kill).release()
    assert told == [str(child.pid)]


def test_a_lock_that_was_never_taken_is_free(tmp_path: Path) -> None:
    assert not file_lock.is_held(tmp_path / "none")
