"""Buffers are reused, counted and never left behind."""

import fcntl
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from deepcompress_dagster.pdf import pixel_buffers
from deepcompress_dagster.pdf.pixel_buffers import PixelBuffer, PixelBufferStore, remove_stale

StartPython = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    folder = tmp_path / "memory"
    folder.mkdir()
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    return tmp_path / "disk"


@pytest.fixture
def store(memory: Path, disk: Path) -> Iterator[PixelBufferStore]:
    store = PixelBufferStore(disk, shared_memory=memory)
    yield store
    store.close()


def write(buffer: PixelBuffer, height: int, width: int, value: int = 7) -> None:
    """What a worker does."""
    with buffer.path.open("r+b") as file:
        file.write(bytes([value]) * (height * width * 3))


def open_files() -> int:
    return psutil.Process().num_fds()


@pytest.fixture
def dead_process(start_python: StartPython) -> int:
    with start_python("-c", "") as process:
        return process.pid


def test_pixels_are_what_a_worker_wrote(store: PixelBufferStore) -> None:
    buffer = store.take()
    write(buffer, 4, 5, value=9)
    pixels = buffer.pixels(4, 5)
    assert pixels.shape == (4, 5, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == 9).all()
    assert not pixels.flags.writeable


def test_a_buffer_is_used_again_and_grows(store: PixelBufferStore) -> None:
    first = store.take()
    write(first, 4, 5)
    first.pixels(4, 5)
    store.give_back(first)
    second = store.take()
    assert second is first
    write(second, 40, 50, value=3)
    assert (second.pixels(40, 50) == 3).all()
    assert second.size == 40 * 50 * 3


def test_two_pages_never_share_a_buffer(store: PixelBufferStore) -> None:
    assert store.take() is not store.take()
    assert store.in_use == 2


def test_giving_back_twice_counts_once(store: PixelBufferStore) -> None:
    buffer = store.take()
    store.give_back(buffer)
    store.give_back(buffer)
    assert store.take() is buffer
    assert store.take() is not buffer


def test_names_carry_the_process_id(store: PixelBufferStore, memory: Path) -> None:
    buffer = store.take()
    assert buffer.path.parent.parent == memory
    assert f"-{os.getpid()}-" in buffer.path.parent.name


def test_little_shared_memory_sends_buffers_to_disk(
    store: PixelBufferStore, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_buffers, "MIN_SHARED_MEMORY", 10**18)
    assert store.take().path.is_relative_to(disk)


def test_missing_shared_memory_sends_buffers_to_disk(disk: Path, tmp_path: Path) -> None:
    store = PixelBufferStore(disk, shared_memory=tmp_path / "nowhere")
    assert store.take().path.is_relative_to(disk)
    store.close()


def test_free_buffers_are_kept_up_to_a_sum(
    store: PixelBufferStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pixel_buffers, "KEEP_BYTES", 100)
    small, large = store.take(), store.take()
    for buffer, side in ((small, 5), (large, 10)):
        write(buffer, side, side)
        buffer.pixels(side, side)
        store.give_back(buffer)
    assert small.path.exists()
    assert not large.path.exists()


def test_views_outlive_the_store(store: PixelBufferStore) -> None:
    buffer = store.take()
    write(buffer, 4, 5, value=9)
    pixels = buffer.pixels(4, 5)
    store.close()
    assert (pixels == 9).all()


def test_closing_leaves_no_file_and_no_handle(memory: Path, disk: Path) -> None:
    before = open_files()
    store = PixelBufferStore(disk, shared_memory=memory)
    taken = [store.take(on_disk=index % 2 == 0) for index in range(6)]
    for buffer in taken:
        write(buffer, 4, 5)
        buffer.pixels(4, 5)
    store.give_back(taken[0])
    store.close()
    assert list(memory.iterdir()) == list(disk.iterdir()) == []
    del taken, buffer
    assert open_files() == before


def test_a_buffer_that_comes_back_after_closing_is_removed(memory: Path, disk: Path) -> None:
    store = PixelBufferStore(disk, shared_memory=memory)
    buffer = store.take()
    store.close()
    store.give_back(buffer)
    assert store.in_use == 0
    assert not buffer.path.exists()
    with pytest.raises(RuntimeError, match="closed"):
        store.take()


def test_folders_of_dead_processes_are_removed_at_start(
    memory: Path, disk: Path, dead_process: int
) -> None:
    dead = memory / f"{pixel_buffers.PREFIX}{dead_process}-1"
    mine = memory / f"{pixel_buffers.PREFIX}{os.getpid()}-99"
    other = memory / "deepcompress-notes-x"
    for folder in (dead, mine, other):
        folder.mkdir()
        (folder / "1.buffer").touch()
    PixelBufferStore(disk, shared_memory=memory).close()
    assert not dead.exists()
    assert mine.exists()
    assert other.exists()


def test_a_locked_folder_is_kept_though_its_process_id_means_nothing_here(
    memory: Path, dead_process: int
) -> None:
    folder = memory / f"{pixel_buffers.PREFIX}{dead_process}-1"
    folder.mkdir()
    with (folder / "lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        remove_stale(memory)
        assert folder.exists()
    remove_stale(memory)
    assert not folder.exists()


OWNER = """
import sys
import time
from pathlib import Path
from deepcompress_dagster.pdf.pixel_buffers import PixelBufferStore
store = PixelBufferStore(Path(sys.argv[1]), shared_memory=Path(sys.argv[2]))
store.take()
print("ready", flush=True)
time.sleep(float(sys.argv[3]))
"""


def test_a_process_that_forgets_to_close_leaves_nothing(
    memory: Path, disk: Path, start_python: StartPython
) -> None:
    with start_python("-c", OWNER, disk, memory, "0") as process:
        assert process.wait(timeout=60) == 0
    assert list(memory.iterdir()) == []


def test_buffers_of_a_killed_process_go_with_the_next_store(
    memory: Path, disk: Path, start_python: StartPython
) -> None:
    with start_python("-c", OWNER, disk, memory, "60") as process:
        assert process.stdout is not None
        process.stdout.readline()
        PixelBufferStore(disk, shared_memory=memory).close()
        assert len(list(memory.iterdir())) == 1
        process.kill()
    PixelBufferStore(disk, shared_memory=memory).close()
    assert list(memory.iterdir()) == []
