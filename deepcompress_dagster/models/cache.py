"""ModelCache: the one owner of every loaded model and processor in a process.

Here belongs who holds a model and when it goes. How one is loaded is registry.py's.
"""

import logging
import time
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

from deepcompress_dagster import file_lock
from deepcompress_dagster.file_lock import HeldLock, LockHeldError
from deepcompress_dagster.models import device, registry
from deepcompress_dagster.models.catalog import ModelSpec
from deepcompress_dagster.models.predictor import ModelError, Predictor

AnyPredictor: TypeAlias = Predictor[Any, Any]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CacheStats:
    """Loads, hits and seconds spent loading since the process started, by checkpoint name."""

    loads: Mapping[str, int]
    hits: Mapping[str, int]
    load_seconds: Mapping[str, float]

    @property
    def total_loads(self) -> int:
        return sum(self.loads.values())


@dataclass(frozen=True, slots=True)
class _Loaded:
    predictor: AnyPredictor
    size: int


class ModelCache:
    """Loads each model once and hands the same object to every thread, asset and run.

    On an accelerator the least recently used models are unloaded so that the weights stay inside
    the budget; a model larger than the budget is loaded alone. Ask again for every batch instead
    of keeping the predictor: a hit costs a microsecond, and only a model that nobody holds can be
    unloaded.

    Loads run one at a time: transformers switches process-wide state (the default dtype, how
    weights are initialised) while it loads. A hit never waits for a load.
    """

    def __init__(
        self,
        *,
        load: Callable[[ModelSpec], AnyPredictor] = registry.load_predictor,
        expected_bytes: Callable[[ModelSpec], int] = registry.expected_bytes,
        budget_bytes: Callable[[str], int | None] | None = None,
        lock_dir: Path | None = None,
        lock_timeout_s: float = 600.0,
    ) -> None:
        """``budget_bytes`` says how much the weights on a device may take, None for no limit.

        With a ``lock_dir`` a process holds an OS lock on each accelerator that it has models on.
        """
        self._load = load
        self._expected_bytes = expected_bytes
        self._budget_bytes = budget_bytes or _share_of_memory(0.9)
        self._lock_dir = lock_dir
        self._lock_timeout_s = lock_timeout_s
        self._loading = Lock()
        self._lock = Lock()
        self._loaded: OrderedDict[ModelSpec, _Loaded] = OrderedDict()
        self._held: dict[str, HeldLock] = {}
        self._loads: Counter[str] = Counter()
        self._hits: Counter[str] = Counter()
        self._load_seconds: defaultdict[str, float] = defaultdict(float)

    def configure(
        self, *, memory_fraction: float | None = None, lock_dir: Path | None = None
    ) -> None:
        """Set the share of an accelerator's memory that weights may take, and the lock folder.

        What is None stays as it is. Locks that are held already stay where they are.
        """
        with self._lock:
            if memory_fraction is not None:
                self._budget_bytes = _share_of_memory(memory_fraction)
            if lock_dir is not None:
                self._lock_dir = lock_dir

    def get(self, spec: ModelSpec) -> AnyPredictor:
        """The loaded model of ``spec``; the first call loads it, concurrent ones wait for that.

        Raises ModelError when it cannot be loaded; the next call then tries again.
        """
        if (predictor := self._hit(spec)) is not None:
            return predictor
        with self._loading:
            if (predictor := self._hit(spec)) is not None:
                return predictor
            return self._miss(spec)

    def stats(self) -> CacheStats:
        """A copy of the counters."""
        with self._lock:
            return CacheStats(dict(self._loads), dict(self._hits), dict(self._load_seconds))

    def loaded(self) -> tuple[ModelSpec, ...]:
        """What is loaded now, least recently used first."""
        with self._lock:
            return tuple(self._loaded)

    def unload(self, spec: ModelSpec | None = None) -> None:
        """Forget one model, or all of them, and give up the lock of a device without models."""
        with self._loading:
            with self._lock:
                for known in [known for known in self._loaded if spec in (None, known)]:
                    del self._loaded[known]
                used = {known.device for known in self._loaded}
            device.empty_cache()
            for name in [name for name in self._held if name not in used]:
                self._held.pop(name).release()

    def _hit(self, spec: ModelSpec) -> AnyPredictor | None:
        with self._lock:
            entry = self._loaded.get(spec)
            if entry is None:
                return None
            self._loaded.move_to_end(spec)
            self._hits[spec.checkpoint] += 1
            return entry.predictor

    def _miss(self, spec: ModelSpec) -> AnyPredictor:
        try:
            self._lock_device(spec.device)
            self._make_room(spec)
            started = time.perf_counter()
            predictor = self._load_or_clear(spec)
        except ModelError:
            raise
        except Exception as error:
            raise _load_failed(spec, error) from error
        seconds = time.perf_counter() - started
        with self._lock:
            self._loaded[spec] = _Loaded(predictor, device.weight_bytes(predictor))
            self._loads[spec.checkpoint] += 1
            self._load_seconds[spec.checkpoint] += seconds
        _log.info("loaded %s on %s in %.1f s", spec.checkpoint, spec.device, seconds)
        return predictor

    def _load_or_clear(self, spec: ModelSpec) -> AnyPredictor:
        try:
            return self._load(spec)
        except Exception as error:
            if not device.is_out_of_memory(error) or not self._drop_all(spec.device):
                raise
        # Outside of the handler, so that the failed load's tensors are not kept by its traceback.
        device.empty_cache()
        return self._load(spec)

    def _make_room(self, spec: ModelSpec) -> None:
        budget = self._budget_bytes(spec.device)
        if budget is None:
            return
        wanted = self._expected_bytes(spec)
        with self._lock:
            here = [known for known in self._loaded if known.device == spec.device]
            taken = sum(self._loaded[known].size for known in here)
            dropped = []
            for known in here:
                if taken + wanted <= budget:
                    break
                taken -= self._loaded.pop(known).size
                dropped.append(known.checkpoint)
        if dropped:
            device.empty_cache()
            _log.info("unloaded %s to make room for %s", ", ".join(dropped), spec.checkpoint)

    def _drop_all(self, name: str) -> bool:
        with self._lock:
            here = [known for known in self._loaded if known.device == name]
            for known in here:
                del self._loaded[known]
        return bool(here)

    def _lock_device(self, name: str) -> None:
        if name == device.CPU or self._lock_dir is None or name in self._held:
            return
        self._lock_dir.mkdir(parents=True, exist_ok=True)
        path = self._lock_dir / f"{device.device_identity(name).replace(':', '-')}.lock"
        self._held[name] = _acquire(path, name, self._lock_timeout_s)


@cache
def model_cache() -> ModelCache:
    """The cache of this process."""
    return ModelCache()


def _share_of_memory(fraction: float) -> Callable[[str], int | None]:
    def budget(name: str) -> int | None:
        memory = device.device_memory(name)
        return None if memory is None else int(memory.total * fraction)

    return budget


def _acquire(path: Path, name: str, timeout_s: float) -> HeldLock:
    """Hold a device until the lock is released or the process ends. Raises ModelError."""

    def wait(holder: str) -> None:
        _log.info("waiting for device %s, in use by process %s", name, holder)

    try:
        return file_lock.acquire(path, timeout_s=timeout_s, on_wait=wait)
    except LockHeldError as error:
        raise ModelError(
            f"device {name} is in use by process {error.holder} (lock {path}); wait for that run, "
            "or choose another device with DEEPCOMPRESS_DEVICE"
        ) from error


def _load_failed(spec: ModelSpec, error: Exception) -> ModelError:
    if device.is_out_of_memory(error):
        advice = "it does not fit; choose a smaller checkpoint or DEEPCOMPRESS_DEVICE=cpu"
    else:
        advice = (
            f"check its files, or get them again with: deepcompress models pull {spec.checkpoint}"
        )
    return ModelError(
        f"the {spec.task} model {spec.checkpoint} cannot be loaded on {spec.device}: "
        f"{type(error).__name__}: {error}; {advice}"
    )
