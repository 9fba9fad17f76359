import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import pytest
import torch

from deepcompress_dagster.models.cache import ModelCache, model_cache
from deepcompress_dagster.models.catalog import ModelSpec, Task
from deepcompress_dagster.models.predictor import MissingModelError, ModelError

MEGABYTE = 1_000_000


class Model:
    """A predictor whose weights take one megabyte."""

    name = "test"
    device = "cpu"

    def __init__(self) -> None:
        self.layer = torch.nn.Linear(250, 1000, bias=False)


class Loader:
    """Counts loads, and does what a test tells it to do in each."""

    def __init__(self, during: Callable[[ModelSpec], None] = lambda spec: None) -> None:
        self.loaded: list[str] = []
        self.during = during

    def __call__(self, spec: ModelSpec) -> Model:
        self.loaded.append(spec.checkpoint)
        self.during(spec)
        return Model()


def spec(checkpoint: str, device: str = "cpu") -> ModelSpec:
    return ModelSpec(Task.LAYOUT, checkpoint, None, device, "float32")


def cache_of(loader: Loader, budget: int | None = None) -> ModelCache:
    return ModelCache(
        load=loader,
        expected_bytes=lambda spec: MEGABYTE,
        budget_bytes=lambda device: None if device == "cpu" else budget,
    )


def test_many_threads_that_ask_at_once_load_once_and_get_the_same_object() -> None:
    loader = Loader(lambda spec: time.sleep(0.2))
    cache, together = cache_of(loader), Barrier(16)

    def ask(_: int) -> object:
        together.wait()
        return cache.get(spec("a"))

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, range(16)))
    assert len({id(model) for model in found}) == 1
    assert loader.loaded == ["a"]
    stats = cache.stats()
    assert (stats.loads, stats.hits, stats.total_loads) == ({"a": 1}, {"a": 15}, 1)
    assert 0.2 <= stats.load_seconds["a"] < 2


def test_a_hit_does_not_wait_for_another_model_that_loads() -> None:
    started, go_on = Event(), Event()

    def wait(loading: ModelSpec) -> None:
        if loading.checkpoint == "slow":
            started.set()
            go_on.wait(10)

    cache = cache_of(Loader(wait))
    cache.get(spec("quick"))
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(cache.get, spec("slow"))
        assert started.wait(5)
        pool.submit(cache.get, spec("quick")).result(5)
        assert not slow.done()
        go_on.set()


def test_specs_that_differ_in_anything_that_changes_the_model_are_different_models() -> None:
    cache = cache_of(Loader())
    first = cache.get(spec("a"))
    threshold = ModelSpec(Task.LAYOUT, "a", None, "cpu", "float32", (("threshold", 0.3),))
    half = ModelSpec(Task.LAYOUT, "a", None, "cpu", "bfloat16")
    download = ModelSpec(Task.LAYOUT, "a", None, "cpu", "float32", allow_download=True)
    assert cache.get(threshold) is not first
    assert cache.get(half) is not first
    assert cache.get(download) is first


def test_a_failed_load_names_the_checkpoint_and_the_way_out_and_is_tried_again() -> None:
    def fail_once(_: ModelSpec) -> None:
        if len(loader.loaded) == 1:
            raise ValueError("bad tensor")

    loader = Loader(fail_once)
    cache = cache_of(loader)
    with pytest.raises(ModelError) as caught:
        cache.get(spec("some-model"))
    for part in ("layout model some-model", "bad tensor", "deepcompress models pull some-model"):
        assert part in str(caught.value)
    assert cache.stats().total_loads == 0
    assert cache.get(spec("some-model")) is cache.get(spec("some-model"))


def test_a_missing_model_is_reported_in_its_own_words() -> None:
    def missing(_: ModelSpec) -> None:
        raise MissingModelError("not here")

    with pytest.raises(MissingModelError, match=r"^not here$"):
        cache_of(Loader(missing)).get(spec("a"))


def test_the_least_recently_used_model_makes_room_on_an_accelerator() -> None:
    loader = Loader()
    cache = cache_of(loader, budget=2 * MEGABYTE)
    a, b, c = (spec(name, "mps") for name in "abc")
    for asked in (a, b, a, c):
        cache.get(asked)
    assert cache.loaded() == (a, c)
    cache.get(b)
    assert cache.loaded() == (c, b)
    assert loader.loaded == ["a", "b", "c", "b"]


def test_a_model_larger_than_the_budget_is_loaded_alone() -> None:
    cache = cache_of(Loader(), budget=MEGABYTE // 2)
    cache.get(spec("a", "mps"))
    cache.get(spec("b", "mps"))
    assert cache.loaded() == (spec("b", "mps"),)


def test_models_on_the_cpu_neither_leave_nor_count_for_an_accelerator() -> None:
    cache = cache_of(Loader(), budget=MEGABYTE)
    for asked in (spec("a"), spec("b"), spec("c", "mps"), spec("d", "mps")):
        cache.get(asked)
    assert cache.loaded() == (spec("a"), spec("b"), spec("d", "mps"))


def test_a_load_that_runs_out_of_memory_has_the_device_to_itself_the_second_time() -> None:
    def crowded(loading: ModelSpec) -> None:
        if cache.loaded():
            raise torch.OutOfMemoryError("out of memory")

    loader = Loader(crowded)
    cache = cache_of(loader)
    cache.get(spec("a"))
    cache.get(spec("b"))
    assert cache.loaded() == (spec("b"),)
    assert loader.loaded == ["a", "b", "b"]


def test_a_model_that_never_fits_says_so() -> None:
    def full(_: ModelSpec) -> None:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(ModelError, match="does not fit"):
        cache_of(Loader(full)).get(spec("a"))


def test_an_unloaded_model_is_loaded_again() -> None:
    loader = Loader()
    cache = cache_of(loader)
    cache.get(spec("a"))
    cache.get(spec("b"))
    cache.unload(spec("a"))
    assert cache.loaded() == (spec("b"),)
    cache.unload()
    assert cache.loaded() == ()
    cache.get(spec("a"))
    assert cache.stats().loads == {"a": 2, "b": 1}


def test_two_owners_of_one_accelerator_exclude_each_other_until_it_is_empty(
    tmp_path: Path,
) -> None:
    first = ModelCache(load=Loader(), budget_bytes=lambda _: None, lock_dir=tmp_path)
    second = ModelCache(
        load=Loader(), budget_bytes=lambda _: None, lock_dir=tmp_path, lock_timeout_s=0.1
    )
    first.get(spec("a", "mps"))
    first.get(spec("b", "mps"))
    with pytest.raises(ModelError, match="device mps is in use by process"):
        second.get(spec("a", "mps"))
    second.get(spec("a"))
    first.unload(spec("a", "mps"))
    with pytest.raises(ModelError, match="in use"):
        second.get(spec("a", "mps"))
    first.unload()
    second.get(spec("a", "mps"))
    second.unload()


@pytest.fixture
def other_process(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    code = (
        "import fcntl, os, sys, time\n"
        f"file = open({str(tmp_path / 'mps.lock')!r}, 'a+b')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "file.write(str(os.getpid()).encode())\n"
        "file.flush()\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_the_lock_of_a_process_that_was_killed_is_free(
    tmp_path: Path, other_process: "subprocess.Popen[bytes]"
) -> None:
    cache = ModelCache(
        load=Loader(), budget_bytes=lambda _: None, lock_dir=tmp_path, lock_timeout_s=0.1
    )
    with pytest.raises(ModelError, match=f"in use by process {other_process.pid} "):
        cache.get(spec("a", "mps"))
    other_process.kill()
    other_process.wait()
    cache.get(spec("a", "mps"))
    cache.unload()


def test_the_share_of_memory_and_the_lock_folder_can_be_set_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deepcompress_dagster.models import device

    memory = device.DeviceMemory(total=4 * MEGABYTE, free=0)
    monkeypatch.setattr(device, "device_memory", lambda name: memory)
    cache = ModelCache(load=Loader(), expected_bytes=lambda _: MEGABYTE)
    cache.configure(memory_fraction=0.5, lock_dir=tmp_path / "locks")
    for name in "abc":
        cache.get(spec(name, "mps"))
    assert [known.checkpoint for known in cache.loaded()] == ["b", "c"]
    assert (tmp_path / "locks" / "mps.lock").is_file()
    cache.unload()


def test_a_process_has_one_cache() -> None:
    assert model_cache() is model_cache()
