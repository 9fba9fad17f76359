"""What ``deepcompress up`` does when a process of Dagster is gone; stand-ins for Dagster's own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from deepcompress_dagster.orchestration import companions, server
from deepcompress_dagster.orchestration.custody import Custody
from deepcompress_dagster.settings import load_settings

SERVICE = """
import subprocess, sys, time
code = "import time; time.sleep(60)"
servers = [subprocess.Popen([sys.executable, "-c", code, "api", "grpc"])]
print("started", flush=True)
for line in sys.stdin:
    if line.strip() == "reload":
        servers[-1].kill()
        servers[-1].wait()
        time.sleep(0.3)
        servers.append(subprocess.Popen([sys.executable, "-c", code, "api", "grpc"]))
"""


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[bytes]"]:
    """A process with a code server below it, which it starts anew when told ``reload``."""
    monkeypatch.setattr(server, "CODE_SERVER_LOOK_S", 0.1)
    monkeypatch.setattr(server, "CODE_SERVER_GONE_S", 1.0)
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout
    process.stdout.readline()
    yield process
    server._stop(process)
    process.communicate()


def watching(service: "subprocess.Popen[bytes]", stopping: list[int]) -> threading.Thread:
    thread = threading.Thread(target=server._watch, args=(service, stopping))
    thread.start()
    time.sleep(0.5)
    assert thread.is_alive()
    return thread


def test_a_companion_that_dies_is_started_again_and_none_is_left(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pids = tmp_path / "pids"
    code = f"import os, time; print(os.getpid(), file=open({str(pids)!r}, 'a')); time.sleep(60)"
    (tmp_path / "companion.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    beside = companions.Companions([companions.Companion("helper", "companion")], environment)

    beside.start()
    first = wait_for_lines(pids, 1)[0]
    os.kill(first, signal.SIGKILL)
    wait_for_end(first)
    beside.tend()
    second = wait_for_lines(pids, 2)[1]
    beside.stop()

    assert not psutil.pid_exists(second)
    assert "the helper ended with status -9; starting it again" in capfd.readouterr().out


def wait_for_lines(path: Path, count: int) -> list[int]:
    while not path.exists() or len(path.read_text().split()) < count:
        time.sleep(0.05)
    return [int(line) for line in path.read_text().split()]


def wait_for_end(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.05)


def code_servers(service: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    return psutil.Process(service.pid).children()


def test_a_code_server_that_is_gone_is_noticed(service: "subprocess.Popen[bytes]") -> None:
    watch = watching(service, [])
    code_servers(service)[0].kill()
    watch.join(10)
    assert not watch.is_alive()
    assert service.poll() is None


def test_a_code_server_that_is_replaced_is_not_missed(service: "subprocess.Popen[bytes]") -> None:
    stopping: list[int] = []
    watch = watching(service, stopping)
    assert service.stdin
    service.stdin.write(b"reload\n")
    service.stdin.flush()
    time.sleep(2.5)
    assert watch.is_alive()
    stopping.append(2)
    watch.join(10)
    assert not watch.is_alive()


def test_the_end_of_dagster_itself_is_noticed_and_nothing_of_it_stays(
    service: "subprocess.Popen[bytes]",
) -> None:
    watch = watching(service, [])
    left = code_servers(service)
    service.kill()
    watch.join(10)
    assert not watch.is_alive()
    server._stop(service)
    assert not [process for process in left if process.is_running()]


def test_a_data_folder_is_served_once(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data", inbox=tmp_path / "inbox")
    holder = Custody(settings.data_dir, "up")
    holder.take()
    with pytest.raises(server.ServeError, match=f"process {os.getpid()} looks after {tmp_path}"):
        server.serve(settings, host="127.0.0.1", port=0, log_file=None)
    assert not (tmp_path / "inbox").exists()
