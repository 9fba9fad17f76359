"""What ``deepcompress doctor`` looks at: is all that the pipeline needs here and in order.

Looking changes nothing: no folder is made, no snapshot published, no dead run reported.

Not here: putting right what is amiss; each finding says who does that.
"""

import os
import platform
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import dagster as dg
import psutil

from deepcompress_dagster.file_lock import is_held
from deepcompress_dagster.hosts.errors import HostError
from deepcompress_dagster.hosts.warm import client as warm
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.orchestration import disk, inbox, run_records
from deepcompress_dagster.records import DocumentStatus
from deepcompress_dagster.settings import Inbox, ParseOn, Settings, SettingsError
from deepcompress_dagster.warehouse import Warehouse, WarehouseError

PACKAGES = ("deepcompress-dagster", "dagster", "duckdb", "pymupdf", "torch", "transformers")

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smbfs", "smb3", "afpfs", "webdav", "9p", "ceph", "glusterfs", "lustre"}
)
"""Where file locks and renames are not trusted; FUSE is looked at by what it mounts."""

NETWORK_FUSE = frozenset({"sshfs", "rclone", "s3fs", "gcsfuse", "goofys", "davfs", "osxfs"})

SPARSE_SHARE = 0.5
"""Free blocks of the warehouse above which the next publication writes it anew."""

BUSY_WAIT_S = 5.0
"""Seconds to wait for a writer before the warehouse is called busy."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; ``advice`` says what to do, None where all is well."""

    subject: str
    state: str
    advice: str | None = None


Look = Callable[[Settings], Iterator[Finding]]


def findings(settings: Settings) -> Iterator[Finding]:
    """Every finding, as it is made. What cannot be looked at is a finding of its own."""
    for look in _LOOKS:
        try:
            yield from look(settings)
        except (HostError, ModelError, SettingsError, WarehouseError, OSError) as error:
            yield Finding(look.__name__.strip("_"), "cannot be looked at", str(error))


def _versions(settings: Settings) -> Iterator[Finding]:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            yield Finding(package, "not installed", "install with -c constraints.txt")
    yield Finding("versions", f"Python {platform.python_version()}, {', '.join(found)}")


def _device(settings: Settings) -> Iterator[Finding]:
    from deepcompress_dagster.models.catalog import device_for

    device = device_for(settings)
    idle = settings.device not in ("auto", device.partition(":")[0], device)
    advice = "its models run on the CPU: set DEEPCOMPRESS_PROFILE=full" if idle else None
    yield Finding("device", f"{device} (set: {settings.device})", advice)


def _models(settings: Settings) -> Iterator[Finding]:
    from deepcompress_dagster.models import inventory

    for entry in inventory.entries(settings):
        if entry.in_use:
            advice = None if entry.present else "deepcompress models pull"
            state = "present" if entry.present else f"missing from {settings.models_dir}"
            yield Finding(f"model {entry.checkpoint.name}", state, advice)


def _passwords(settings: Settings) -> Iterator[Finding]:
    from deepcompress_dagster.passwords import load_passwords

    count = len(load_passwords(settings).rules)
    path = settings.passwords_file
    shared = path is not None and stat.S_IMODE(path.stat().st_mode) & 0o077
    advice = f"others may read {path}: chmod 600 it" if shared else None
    yield Finding("passwords", f"{count} known", advice)


def _folders(settings: Settings) -> Iterator[Finding]:
    data, models = settings.data_dir, settings.models_dir
    yield from map(_inbox, settings.inbox)
    state = f"{data}, {disk.free_mb(data)} MB free, {disk.needed_mb(settings)} MB kept free"
    yield Finding("data folder", state, disk.blocked_reason(settings))
    kind = file_system(data)
    yield Finding(
        "file system",
        f"{kind or 'unknown'} under the data folder",
        "move the data folder to a local disk: locks are not trusted here"
        if is_remote(kind)
        else None,
    )
    yield Finding("models folder", f"{models}, {disk.free_mb(models)} MB free")


def _inbox(place: Inbox) -> Finding:
    if isinstance(place, Path):
        is_readable = place.is_dir() and os.access(place, os.R_OK | os.X_OK)
        advice = "create it, mount it, or name another with DEEPCOMPRESS_INBOX"
    else:
        try:
            next(inbox.candidates(place, settle_s=0), None)
            is_readable, advice = True, ""
        except inbox.InboxError as error:
            is_readable, advice = False, str(error)
    return Finding(
        "inbox",
        f"{place} is {'readable' if is_readable else 'missing or may not be read'}",
        None if is_readable else advice,
    )


def file_system(folder: Path) -> str:
    """The type of the file system that a folder, which need not exist, is on; empty: unknown."""
    place = os.path.realpath(folder)
    mounts = {item.mountpoint: item.fstype for item in psutil.disk_partitions(all=True)}
    above = [path for path in (place, *map(str, Path(place).parents)) if path in mounts]
    return mounts[above[0]] if above else ""


def is_remote(kind: str) -> bool:
    """Whether a type of file system lies behind a network."""
    outer, _, inner = kind.lower().partition(".")
    return outer in NETWORK_FILE_SYSTEMS or (outer == "fuse" and inner in NETWORK_FUSE)


def _locks(settings: Settings) -> Iterator[Finding]:
    data = settings.data_dir
    for path in (data / "warehouse.lock", *sorted((data / "locks").glob("*.lock"))):
        if path.exists():
            held = is_held(path)
            yield Finding(f"lock {path.name}", f"held by process {_pid(path)}" if held else "free")
    held_runs = [path.stem for path in (data / "runs").glob("*.lock") if is_held(path)]
    yield Finding("running now", ", ".join(sorted(held_runs)) or "nothing")


def _pid(path: Path) -> str:
    return path.read_text(errors="replace").strip() or "unknown"


def _warm_process(settings: Settings) -> Iterator[Finding]:
    found = warm.status(settings.data_dir)
    if found is not None:
        yield Finding("warm process", warm.in_words(found))
    elif settings.parse_on is ParseOn.WARM:
        yield Finding("warm process", "none", warm.START_IT)


def _runs(settings: Settings) -> Iterator[Finding]:
    home = settings.data_dir / "dagster"
    if not (home / "dagster.yaml").exists():
        yield Finding("dagster", f"no home at {home} yet")
        return
    os.environ["DAGSTER_HOME"] = str(home)
    with dg.DagsterInstance.get() as instance:
        dead = run_records.dead_runs(instance, settings.data_dir)
        waiting = len(run_records.unfinished_runs(instance)) - len(dead)
    yield Finding(
        "runs",
        f"{waiting} queued or running, {len(dead)} dead",
        "their processes are gone: `deepcompress up` or the next run reports them"
        if dead
        else None,
    )


def _warehouse(settings: Settings) -> Iterator[Finding]:
    warehouse = Warehouse(settings.data_dir, lock_timeout_s=BUSY_WAIT_S)
    if not warehouse.exists:
        yield Finding("warehouse", "none yet: it is made with the first PDF")
        return
    health = warehouse.health()
    yield Finding(
        "warehouse",
        f"schema {health.schema_version}, {health.bytes / 1e6:.1f} MB, {health.free_share:.0%} free"
        + (", written anew when next published" if health.free_share > SPARSE_SHARE else ""),
    )
    yield _snapshot(health.published_at, health.is_snapshot_sound, health.is_snapshot_current)
    counts = warehouse.counts()
    failed = counts[DocumentStatus.FAILED] + counts[DocumentStatus.PARTIAL]
    yield Finding(
        "documents",
        ", ".join(f"{counts[state]} {state}" for state in DocumentStatus),
        "`deepcompress status` says why, `deepcompress retry` tries again" if failed else None,
    )
    stale = len({item.document_id for item in warehouse.stale_partitions()})
    yield Finding(
        "stale",
        f"{stale} documents",
        "materialise them again in the UI, or `deepcompress process` their files"
        if stale
        else None,
    )


def _snapshot(published_at: float | None, is_sound: bool, is_current: bool) -> Finding:
    if published_at is None:
        return Finding("snapshot", "none", "any `deepcompress query` publishes one")
    age = f"{max(0.0, time.time() - published_at):.0f} s old"
    if not is_sound:
        return Finding("snapshot", f"{age}, damaged", "any `deepcompress query` publishes it anew")
    return Finding("snapshot", f"{age}, {'current' if is_current else 'the warehouse is newer'}")


_LOOKS: tuple[Look, ...] = (
    _versions,
    _device,
    _models,
    _passwords,
    _folders,
    _locks,
    _warm_process,
    _runs,
    _warehouse,
)
