"""The cluster and the pool on it: to connect, to place actors, to say why there is none.

What belongs here: Ray's own words for these. What does not: what is handed to an actor (host.py).
"""

import hashlib
import json
import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from deepcompress_dagster.hosts.code import code_contents
from deepcompress_dagster.hosts.errors import HostError
from deepcompress_dagster.hosts.ray.actor import ANSWER_S, ModelsFactory, ParseActor
from deepcompress_dagster.settings import Settings

_log = logging.getLogger(__name__)

NAMESPACE = "deepcompress"

REACH_S = 5.0
"""Time in which the head of a cluster answers at all. Ray itself tries for a minute, then ends the
process."""

ASK_S = 5.0

SESSIONS = 32
"""Threads of an actor: each run that it works for takes one."""

HERE = frozenset(
    {
        *("inbox", "data_dir", "min_free_mb", "passwords_file", "password", "exports"),
        *("parse_on", "warm_idle_s", "ray_address", "ray_actors", "viewer_port", "viewer_url"),
        *("sensor_interval_s", "settle_s", "documents_per_run", "max_queued_runs", "max_attempts"),
    }
)
"""Settings that say nothing of how a page is read: actors are not told them, and stay as they are
when one differs."""


@contextmanager
def connected(address: str) -> Iterator[None]:
    """A connection of this process, unless it has one. Raises HostError."""
    if ray.is_initialized():
        yield
        return
    _require_reachable(address)
    try:
        with _own_signals():
            ray.init(
                address=address,
                namespace=NAMESPACE,
                log_to_driver=False,
                configure_logging=False,
                logging_level=logging.WARNING,
            )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise HostError(_refusal(address, error)) from error
    try:
        yield
    finally:
        ray.shutdown()


def _require_reachable(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), REACH_S).close()
    except OSError as error:
        raise HostError(_refusal(address, error)) from error


def _refusal(address: str, error: Exception) -> str:
    told = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "ersion mismatch" in str(error):
        return (
            f"the Ray cluster at {address} is of another version: {' '.join(told)[:300]};"
            " install the same Ray and Python on both"
        )
    reason = getattr(error, "strerror", None) or (told or [type(error).__name__])[0]
    return (
        f"no Ray cluster at {address} ({reason}); start one with `ray start --head`, set"
        " DEEPCOMPRESS_RAY_ADDRESS to its head, or set DEEPCOMPRESS_PARSE_ON=process"
    )


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's answer to SIGTERM: Ray puts its own there."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@dataclass(frozen=True)
class Pool:
    """The actors that read pages under one choice of settings, with one state of the code."""

    settings: Settings
    make_models: ModelsFactory | None = None

    @property
    def name(self) -> str:
        """What its actors' names begin with; another choice or other code has another."""
        shared = self._shared().model_dump(mode="json", exclude=set(HERE))
        models = getattr(self.make_models, "__qualname__", repr(self.make_models))
        text = json.dumps([code_contents(), models, shared], sort_keys=True)
        return f"deepcompress-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    @property
    def size(self) -> int:
        """Actors of this pool: as many as are asked for, else as the cluster can hold."""
        if self.settings.ray_actors:
            return self.settings.ray_actors
        there = ray.cluster_resources()
        wanted = {"CPU": self.settings.ray_cpus_per_actor, "GPU": self.settings.ray_gpus_per_actor}
        rooms = [there.get(kind, 0) / amount for kind, amount in wanted.items() if amount]
        return max(1, int(min(rooms)))

    def place(self, index: int) -> Any:
        """The actor of this index: the one that lives, else a new one, as soon as there is room."""
        options: dict[str, Any] = {
            "name": f"{self.name}-{index}",
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "get_if_exists": True,
            "num_cpus": self.settings.ray_cpus_per_actor,
            "num_gpus": self.settings.ray_gpus_per_actor,
            "max_restarts": -1,
            "max_task_retries": 0,
            "max_concurrency": SESSIONS,
            "scheduling_strategy": "SPREAD",
        }
        made = ray.remote(ParseActor).options(**options)
        return made.remote(self._shared(), self.settings.warm_idle_s, self.make_models)

    def _shared(self) -> Settings:
        """What an actor is told of the settings."""
        fields = Settings.model_fields
        update = {name: fields[name].get_default() for name in HERE}
        if not self.settings.cpu_cores:
            update["cpu_cores"] = max(1, int(self.settings.ray_cpus_per_actor))
        if 0 < (share := self.settings.ray_gpus_per_actor) < 1:
            update["gpu_memory_fraction"] = max(0.1, self.settings.gpu_memory_fraction * share)
        return self.settings.model_copy(update=update)

    def make_room(self) -> None:
        """End idle actors of other pools."""
        others = []
        for found in ray.util.list_named_actors(all_namespaces=True):
            if found["namespace"] == NAMESPACE and not found["name"].startswith(f"{self.name}-"):
                with suppress(ValueError):  # it has ended meanwhile
                    others.append(ray.get_actor(found["name"], namespace=NAMESPACE))
        asked = {actor.at_work.remote(): actor for actor in others}
        if not asked:
            return
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_S)
        for answer in answered:
            with suppress(RayError):
                if not ray.get(answer):
                    ray.kill(asked[answer])

    def why_none(self, waited_s: float, *, was_there: bool) -> str:
        """Why no actor answers, and what to do; ``was_there`` tells whether one did before."""
        free, address = ray.available_resources(), self.settings.ray_address
        cpus, gpus = self.settings.ray_cpus_per_actor, self.settings.ray_gpus_per_actor
        if was_there or (free.get("CPU", 0) >= cpus and free.get("GPU", 0) >= gpus):
            return (
                f"no actor on the Ray cluster at {address} answered for {waited_s:.0f} s; see"
                " `ray status` and Ray's logs there. What is finished is kept: run again"
            )
        return (
            f"the Ray cluster at {address} is full: no actor with {cpus:g} CPUs"
            f" and {gpus:g} GPUs came up within {waited_s:.0f} s ({free.get('CPU', 0):g} CPUs and"
            f" {free.get('GPU', 0):g} GPUs are free); free some, add a machine, or lower"
            " DEEPCOMPRESS_RAY_CPUS_PER_ACTOR or DEEPCOMPRESS_RAY_GPUS_PER_ACTOR"
        )
