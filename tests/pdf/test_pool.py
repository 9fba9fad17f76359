"""Workers crash, hang, balloon and are killed, each at its own cost only."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from deepcompress_dagster.pdf.errors import WorkerDied
from deepcompress_dagster.pdf.pool import PoolClosed, TaskTimeout, WorkerPool, describe_exit

GETPID = "os:getpid"
SLEEP = "time:sleep"

NewPool = Callable[..., WorkerPool]
StartPython = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def new_pool() -> Iterator[NewPool]:
    pools: list[WorkerPool] = []

    def build(
        workers: int = 2, timeout_s: float = 30, memory_mb: int = 512, max_tasks: int = 1000
    ) -> WorkerPool:
        pools.append(
            WorkerPool(
                workers=workers, timeout_s=timeout_s, memory_mb=memory_mb, max_tasks=max_tasks
            )
        )
        return pools[-1]

    yield build
    for pool in pools:
        pool.close()


def gone(pid: int, within_s: float = 10) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_a_call_runs_elsewhere_and_gives_its_result(new_pool: NewPool) -> None:
    pool = new_pool(1)
    assert pool.call(GETPID) != os.getpid()
    assert pool.call("math:hypot", 3, 4) == 5.0


def test_what_a_task_raises_is_raised_here_with_its_traceback(new_pool: NewPool) -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        new_pool(1).call("operator:truediv", 1, 0)
    assert "resolve_name" in "".join(caught.value.__notes__)


def test_an_answer_that_does_not_pickle_is_an_error_and_the_worker_goes_on(
    new_pool: NewPool,
) -> None:
    pool = new_pool(1)
    pid = pool.call(GETPID)
    with pytest.raises(TypeError, match="does not pickle"):
        pool.call("threading:Lock")
    assert pool.call(GETPID) == pid


def test_workers_load_no_heavy_modules(new_pool: NewPool) -> None:
    loaded = set(new_pool(1).call("builtins:eval", "sorted(__import__('sys').modules)"))
    assert "pymupdf" in loaded
    # Not numpy: 65 ms and 15 MB, for the geometry of ruled grids.
    heavy = {"dagster", "duckdb", "torch", "transformers", "polars", "onnxruntime"}
    assert not loaded & heavy
    assert not loaded & {"pymupdf.layout", "pymupdf4llm"}


def test_the_parent_loads_no_pymupdf(start_python: StartPython) -> None:
    code = "import sys, deepcompress_dagster.pdf.client; sys.exit('pymupdf' in sys.modules)"
    with start_python("-c", code) as process:
        assert process.wait(timeout=60) == 0


def test_threads_share_the_workers(new_pool: NewPool) -> None:
    pool = new_pool(2)
    with ThreadPoolExecutor(8) as threads:
        pids = list(threads.map(lambda _: pool.call(GETPID), range(40)))
    assert set(pids) == set(pool.pids)
    assert 1 <= len(set(pids)) <= 2


def test_a_worker_survives_the_thread_that_first_called_it(new_pool: NewPool) -> None:
    pool = new_pool(1)
    pids: list[int] = []
    thread = threading.Thread(target=lambda: pids.append(pool.call(GETPID)))
    thread.start()
    thread.join()
    time.sleep(0.2)
    assert [pool.call(GETPID)] == pids


def test_a_task_that_exits_costs_only_itself(new_pool: NewPool) -> None:
    pool = new_pool(2)
    with ThreadPoolExecutor(2) as threads:
        other = threads.submit(pool.call, "builtins:eval", "__import__('time').sleep(1) or 'done'")
        with pytest.raises(WorkerDied, match="exit code 3"):
            pool.call("os:_exit", 3)
        assert other.result() == "done"
    assert pool.call(GETPID) in pool.pids


def test_a_killed_worker_costs_only_its_task(new_pool: NewPool) -> None:
    pool = new_pool(2)
    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(pool.call, "time:sleep", 0.3) for _ in range(8)]
        while not pool.pids:
            time.sleep(0.01)
        time.sleep(0.8)
        os.kill(pool.pids[0], signal.SIGKILL)
        errors = [call.exception() for call in calls]
    assert [type(error) for error in errors if error] == [WorkerDied]


def test_a_worker_killed_while_it_answers_costs_only_its_task(new_pool: NewPool) -> None:
    pool = new_pool(2)
    large = "b'x' * 200_000_000"
    with ThreadPoolExecutor(1) as threads:
        pool.call(GETPID)
        answer = threads.submit(pool.call, "builtins:eval", large)
        time.sleep(0.15)
        for pid in pool.pids:
            os.kill(pid, signal.SIGKILL)
        error = answer.exception()
    assert error is None or isinstance(error, WorkerDied)
    assert pool.call("operator:add", 1, 2) == 3


def test_a_worker_killed_while_idle_costs_nothing(new_pool: NewPool) -> None:
    pool = new_pool(1)
    first = pool.call(GETPID)
    os.kill(first, signal.SIGKILL)
    assert gone(first)
    assert pool.call(GETPID) != first


def test_a_task_past_its_deadline_is_killed(new_pool: NewPool) -> None:
    pool = new_pool(1, timeout_s=0.5)
    pid = pool.call(GETPID)
    start = time.monotonic()
    with pytest.raises(TaskTimeout):
        pool.call(SLEEP, 60)
    assert time.monotonic() - start < 5
    assert gone(pid)
    assert pool.call(GETPID) != pid


def test_a_hang_that_holds_the_interpreter_is_killed_too(new_pool: NewPool) -> None:
    pool = new_pool(1, timeout_s=0.5)
    with pytest.raises(TaskTimeout):
        pool.call("re:fullmatch", "(a+)+b", "a" * 64)
    assert pool.call("operator:add", 1, 2) == 3


def test_the_start_of_a_worker_is_not_in_the_deadline(new_pool: NewPool) -> None:
    assert new_pool(1, timeout_s=0.05).call("operator:add", 1, 2) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux")
def test_a_balloon_ends_at_the_limit_and_costs_only_its_task(new_pool: NewPool) -> None:
    pool = new_pool(1, memory_mb=256)
    pid = pool.call(GETPID)
    assert pool.call("builtins:len", bytes(10)) == 10
    with pytest.raises(MemoryError):
        pool.call("builtins:bytearray", 300 * 2**20)
    assert pool.call(GETPID) != pid


def test_a_worker_is_replaced_after_its_tasks(new_pool: NewPool) -> None:
    pool = new_pool(1, max_tasks=2)
    pids = [pool.call(GETPID) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert gone(pids[0])


def test_ctrl_c_is_left_to_the_parent(new_pool: NewPool) -> None:
    pool = new_pool(1)
    pid = pool.call(GETPID)
    os.kill(pid, signal.SIGINT)
    assert pool.call(GETPID) == pid
    assert os.getpgid(pid) != os.getpgid(0)


def test_closing_ends_calls_under_way_and_leaves_nothing(new_pool: NewPool) -> None:
    before = psutil.Process().num_fds()
    threads_before = threading.active_count()
    pool = new_pool(2)
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(pool.call, SLEEP, 60) for _ in range(4)]
        while len(pool.pids) < 2:
            time.sleep(0.01)
        time.sleep(0.5)
        pids = pool.pids
        start = time.monotonic()
        pool.close()
        assert time.monotonic() - start < 5
        assert all(isinstance(call.exception(), PoolClosed) for call in calls)
    assert all(gone(pid, within_s=0.1) for pid in pids)
    assert threading.active_count() == threads_before
    assert psutil.Process().num_fds() == before
    with pytest.raises(PoolClosed):
        pool.call(GETPID)
    pool.close()


def test_an_interrupt_ends_calls_under_way_and_refuses_others(new_pool: NewPool) -> None:
    pool = new_pool(1)
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(pool.call, SLEEP, 600) for _ in range(2)]
        while not pool.pids:
            time.sleep(0.01)
        pool.interrupt()
        assert all(isinstance(call.exception(), PoolClosed) for call in calls)
    assert pool.pids == ()
    with pytest.raises(PoolClosed):
        pool.call(GETPID)


PARENT = """
import sys, threading, time
from deepcompress_dagster.pdf.pool import WorkerPool
pool = WorkerPool(workers=1, timeout_s=300, memory_mb=512, max_tasks=10)
pid = pool.call("os:getpid")
threading.Thread(target=pool.call, args=("re:fullmatch", "(a+)+b", "a" * 64), daemon=True).start()
time.sleep(0.5)
print(pid, flush=True)
time.sleep(float(sys.argv[1]))
"""


@pytest.mark.parametrize("forgets", [True, False], ids=["forgets to close", "is killed"])
def test_workers_end_with_their_parent_even_when_busy(
    start_python: StartPython, forgets: bool
) -> None:
    with start_python("-c", PARENT, "0" if forgets else "300") as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if not forgets:
            parent.kill()
        parent.wait(timeout=20)
    assert gone(pid)


def test_a_watching_thread_ends_a_process_whose_parent_is_gone(start_python: StartPython) -> None:
    watcher = (
        "import os, threading, time;"
        "from deepcompress_dagster.pdf.worker.__main__ import watch_parent;"
        "threading.Thread(target=watch_parent, args=(os.getppid(), 0.05), daemon=True).start();"
        "print(os.getpid(), flush=True); time.sleep(60)"
    )
    parent_code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {watcher!r}])"
    with start_python("-c", parent_code) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert psutil.pid_exists(pid)
        parent.kill()
        parent.stdout.close()
    assert gone(pid)


def test_a_script_without_a_main_guard_may_use_workers(
    tmp_path: Path, start_python: StartPython
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from deepcompress_dagster.pdf.pool import WorkerPool\n"
        "print('once')\n"
        "with WorkerPool(workers=1, timeout_s=9, memory_mb=512, max_tasks=9) as pool:\n"
        "    print(pool.call('operator:add', 1, 2))\n"
    )
    with start_python(script) as process:
        output, _ = process.communicate(timeout=60)
    assert output.split() == ["once", "3"]


@pytest.mark.parametrize(
    ("code", "words"),
    [(3, "exit code 3"), (-9, "SIGKILL (often the kernel, out of memory)"), (-11, "SIGSEGV")],
)
def test_the_end_of_a_worker_is_described(code: int, words: str) -> None:
    assert describe_exit(code) == words
