"""Runs: which documents they work on, the lock that each holds, and what becomes of dead ones.

Dagster learns of a run's end from the run itself. One that was killed stays STARTED for ever, keeps
its slot of the pool and stops all work behind it. Hence the lock: the operating system gives it
back when its holder dies, however it dies.

Not here: what a run does (execution/) and when one is asked for (the sensor, ingest.py).
"""

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg

from deepcompress_dagster import file_lock
from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.file_lock import LockHeldError, is_held
from deepcompress_dagster.orchestration.naming import EXPORTS_ASSET, PLAIN, Naming

ASSET_JOB_NAME = "__ASSET_JOB"
"""The job that Dagster makes for assets materialised from its UI."""

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
SCATTERED_TAG = "deepcompress/scattered"
"""Set on a run whose documents do not stand side by side: they are the ones it names, and its
partition is only one of them."""

INTERRUPTED_TAG = "deepcompress/interrupted"
"""Set on a run that ended for a reason that is none of its documents': it is no attempt at them."""

BY_SIGNAL, BY_DISK = "true", "disk"
"""Values of that tag: stopped from outside, or stopped by a disk without room."""

GRACE_S = 30.0
"""A run that started more recently may not have come to its lock."""

LOCK_GRACE_S = 5.0
"""A run that gave its lock back more recently may not have come to its last event."""

START_GRACE_S = 180.0
"""Time for a run's process to come up; dagster.yaml's ``start_timeout_seconds`` is the same."""

HISTORY = 500
"""Finished runs that are looked at, the newest ones."""

UNFINISHED = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
FINISHED = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)
BADLY_ENDED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
_RUNNING = (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
_LOCK_WAIT_S = 5.0
_POLL_S = 0.5


def documents_of(
    run: dg.DagsterRun, partitions: Sequence[str], names: Naming = PLAIN
) -> frozenset[str]:
    """The documents that a run works on: those it names, within its partition or range.

    ``partitions`` are all partition keys in Dagster's order.
    """
    named = frozenset(_setting(run, "ops", names.op, "config", "documents") or ())
    if SCATTERED_TAG in run.tags:
        return named
    within = _within(run.tags, partitions)
    return within & named if named else within


def _setting(run: dg.DagsterRun, *path: str) -> Any:
    """What stands at ``path`` in a run's configuration; None where nothing does."""
    found: Any = run.run_config
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _within(tags: Mapping[str, str], partitions: Sequence[str]) -> frozenset[str]:
    if PARTITION_TAG in tags:
        return frozenset({tags[PARTITION_TAG]})
    try:
        first = partitions.index(tags[RANGE_START_TAG])
        last = partitions.index(tags[RANGE_END_TAG])
    except (KeyError, ValueError):
        return frozenset()
    return frozenset(partitions[first : last + 1])


def unfinished_runs(instance: dg.DagsterInstance, names: Naming = PLAIN) -> list[dg.RunRecord]:
    """Runs of this pipeline that are queued or running, newest first."""
    return _records(instance, UNFINISHED, names)


def _records(
    instance: dg.DagsterInstance,
    statuses: Sequence[dg.DagsterRunStatus],
    names: Naming,
    limit: int | None = None,
    *,
    assets: tuple[str, ...] = ASSETS,
    **bounds: Any,
) -> list[dg.RunRecord]:
    own = {names.job, names.exports_job} if EXPORTS_ASSET in assets else {names.job}
    return [
        record
        for job_name in (*own, ASSET_JOB_NAME)
        for record in instance.get_run_records(
            dg.RunsFilter(job_name=job_name, statuses=list(statuses), **bounds), limit=limit
        )
        if job_name in own or _is_of(record.dagster_run, names.asset_keys(assets))
    ]


def is_ours(run: dg.DagsterRun, names: Naming) -> bool:
    """Whether a run is of this pipeline: of its jobs, or of its assets by Dagster's own job."""
    if run.job_name == ASSET_JOB_NAME:
        return _is_of(run, names.asset_keys((*ASSETS, EXPORTS_ASSET)))
    return run.job_name in (names.job, names.exports_job)


def _is_of(run: dg.DagsterRun, keys: Sequence[dg.AssetKey]) -> bool:
    """Whether a run of Dagster's own job for assets is of some of these.

    In somebody's project other assets are materialised by the same job.
    """
    return run.asset_selection is None or not run.asset_selection.isdisjoint(keys)


def export_runs(
    instance: dg.DagsterInstance, names: Naming = PLAIN, *, limit: int
) -> list[dg.RunRecord]:
    """The newest runs that the sensor on exports asked for, with the newest first."""
    return list(instance.get_run_records(dg.RunsFilter(job_name=names.exports_job), limit=limit))


def documents_in(
    instance: dg.DagsterInstance, records: Sequence[dg.RunRecord], names: Naming = PLAIN
) -> frozenset[str]:
    """The documents that ``records`` work on."""
    partitions = instance.get_dynamic_partitions(names.partitions)
    named = (documents_of(record.dagster_run, partitions, names) for record in records)
    return frozenset().union(*named)


def interruptions(instance: dg.DagsterInstance, names: Naming = PLAIN) -> Counter[str]:
    """How often each document was in a run that was no attempt at it, of the newest runs."""
    partitions = instance.get_dynamic_partitions(names.partitions)
    counted: Counter[str] = Counter()
    for record in _records(
        instance, FINISHED, names, limit=HISTORY, tags={INTERRUPTED_TAG: [BY_SIGNAL, BY_DISK]}
    ):
        counted.update(documents_of(record.dagster_run, partitions, names))
    return counted


def cancelled_documents(instance: dg.DagsterInstance, names: Naming = PLAIN) -> frozenset[str]:
    """Documents whose newest run somebody cancelled: they wait until somebody asks for them.

    Runs that a Ctrl-C or a kill ended are not among these: nobody meant their documents.
    """
    if not _records(instance, (dg.DagsterRunStatus.CANCELED,), names, limit=1):
        return frozenset()
    partitions = instance.get_dynamic_partitions(names.partitions)
    newest_first = sorted(
        _records(instance, FINISHED, names, limit=HISTORY), key=lambda record: -record.storage_id
    )
    decided: dict[str, bool] = {}
    for record in newest_first:
        if named := documents_of(record.dagster_run, partitions, names) - decided.keys():
            decided |= dict.fromkeys(named, _was_cancelled(instance, record.dagster_run))
    return frozenset(name for name, is_cancelled in decided.items() if is_cancelled)


def _was_cancelled(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether somebody asked for the end of a run; a signal alone leaves no such event."""
    asked = dg.DagsterEventType.PIPELINE_CANCELING
    return run.status is dg.DagsterRunStatus.CANCELED and bool(
        instance.all_logs(run.run_id, of_type=asked)
    )


def badly_ended(
    instance: dg.DagsterInstance, since: datetime, names: Naming = PLAIN
) -> list[dg.RunRecord]:
    """Runs that failed or were cancelled and changed after ``since``, with the newest first."""
    return _records(instance, BADLY_ENDED, names, limit=HISTORY, updated_after=since)


def seconds_since(record: dg.RunRecord) -> float:
    """How long ago a run last changed."""
    return time.time() - record.update_timestamp.timestamp()


# Locks


def lock_path(data_dir: Path, run_id: str) -> Path:
    """Where the lock of a run lies."""
    return data_dir / "runs" / f"{run_id}.lock"


@contextmanager
def hold_run(data_dir: Path, run_id: str) -> Iterator[None]:
    """Hold the lock of a run. Raises RuntimeError when another process holds it."""
    path = lock_path(data_dir, run_id)
    try:
        lock = file_lock.acquire(path, timeout_s=_LOCK_WAIT_S)
    except LockHeldError as error:
        raise RuntimeError(
            f"run {run_id} is already executing: process {error.holder} holds {path}"
        ) from None
    try:
        yield
    finally:
        os.utime(path)
        lock.release()


# Dead runs


def reap_dead_runs(
    instance: dg.DagsterInstance,
    data_dir: Path,
    *,
    grace_s: float = GRACE_S,
    start_grace_s: float = START_GRACE_S,
    names: Naming = PLAIN,
) -> list[str]:
    """Report runs whose process is gone as failed. Returns their ids.

    Slots of the pool that ended runs still hold are freed, whoever found that they had ended;
    until then nothing else starts. Lock files that nobody needs any more are removed.
    """
    dead = dead_runs(instance, data_dir, grace_s=grace_s, start_grace_s=start_grace_s, names=names)
    for run in dead:
        instance.report_run_failed(
            run,
            "The process of this run is gone: nobody holds its lock. What it finished is kept; the"
            " documents that it did not complete are taken up again.",
        )
    _free_slots(instance)
    _remove_old_locks(data_dir, grace_s)
    return [run.run_id for run in dead]


def dead_runs(
    instance: dg.DagsterInstance,
    data_dir: Path,
    *,
    grace_s: float = GRACE_S,
    start_grace_s: float = START_GRACE_S,
    names: Naming = PLAIN,
) -> list[dg.DagsterRun]:
    """Runs that Dagster takes for running and whose process is gone."""
    return [
        record.dagster_run
        for record in _records(
            instance,
            (dg.DagsterRunStatus.STARTING, *_RUNNING),
            names,
            assets=(*ASSETS, EXPORTS_ASSET),
        )
        if _is_dead(record, _lock_of(record.dagster_run, data_dir, names), grace_s, start_grace_s)
    ]


def _free_slots(instance: dg.DagsterInstance) -> None:
    holders = instance.event_log_storage.get_concurrency_run_ids()
    if holders:
        ended = dg.RunsFilter(run_ids=list(holders), statuses=list(FINISHED))
        for record in instance.get_run_records(ended):
            instance.event_log_storage.free_concurrency_slots_for_run(record.dagster_run.run_id)


def await_dead_runs(instance: dg.DagsterInstance, data_dir: Path, names: Naming = PLAIN) -> None:
    """Report dead runs; return when there is none left that may yet turn out to be dead.

    A run does this before it waits for the pool: the slot that a dead one holds never becomes
    free by itself.
    """
    while True:
        reap_dead_runs(instance, data_dir, names=names)
        doubtful = [
            record
            for record in _records(instance, _RUNNING, names)
            if not is_held(_lock_of(record.dagster_run, data_dir, names))
        ]
        if not doubtful:
            return
        time.sleep(_POLL_S)


def _is_dead(record: dg.RunRecord, path: Path, grace_s: float, start_grace_s: float) -> bool:
    run = record.dagster_run
    if is_held(path):
        return False
    if path.exists():
        return time.time() - _modified(path) > min(grace_s, LOCK_GRACE_S)
    began = record.start_time or record.update_timestamp.timestamp()
    grace = grace_s if run.status in _RUNNING else start_grace_s
    return time.time() - began > grace


def _lock_of(run: dg.DagsterRun, data_dir: Path, names: Naming) -> Path:
    return lock_path(_data_dir_of(run, data_dir, names), run.run_id)


def _data_dir_of(run: dg.DagsterRun, default: Path, names: Naming) -> Path:
    """The data folder of a run: the launchpad may have named another."""
    named = _setting(run, "resources", names.warehouse, "config", "data_dir")
    return Path(named) if isinstance(named, str) else default


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _remove_old_locks(data_dir: Path, grace_s: float) -> None:
    for path in (data_dir / "runs").glob("*.lock"):
        if time.time() - _modified(path) > grace_s and not is_held(path):
            path.unlink(missing_ok=True)
