"""Which class serves a checkpoint: looked up from the ``model_type`` of its own config.json.

Family modules may import torch and transformers, so they are named here and imported on first use.
Each has a Predictor class: ``from_folder(folder, **options)`` of graphs on ONNX Runtime,
``from_folder(folder, device, dtype, **options)`` of checkpoints on torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from deepcompress_dagster.models import device
from deepcompress_dagster.models.catalog import (
    Checkpoint,
    Engine,
    ModelSpec,
    Task,
    engine_of,
    named_checkpoint,
)
from deepcompress_dagster.models.predictor import ModelError, Predictor
from deepcompress_dagster.models.weights import store

_THREADS = frozenset({"threads"})
_READER = frozenset({"threads", "tessdata", "effort"})
_DETECTOR = frozenset({"threads", "threshold", "overlap"})
_DETR = frozenset({"threshold", "overlap", "attention"})
_GENERATING = frozenset(
    {"max_new_tokens", "repetition_penalty", "temperature", "time_limit_s", "attention"}
)
"""What predictors take of the options that settings.py declares for their task."""


@dataclass(frozen=True, slots=True)
class Family:
    """One model architecture: the task it serves, its module and class, the options it takes."""

    task: Task
    module: str
    predictor: str
    options: frozenset[str] = frozenset()
    locates_lines: bool = True
    """Of a text family: whether lines have boxes of their own, or only share that of the crop."""


FAMILIES: Mapping[str, Family] = {
    "picodet": Family(Task.LAYOUT, "layout.picodet", "PicoDetPredictor", _DETECTOR),
    "yolov8": Family(Task.LAYOUT, "layout.yolov8", "YoloV8Predictor", _DETECTOR),
    "detr": Family(Task.LAYOUT, "layout.detr", "DetrPredictor", _DETR),
    "rt_detr": Family(Task.LAYOUT, "layout.detr", "DetrPredictor", _DETR),
    "rt_detr_v2": Family(Task.LAYOUT, "layout.detr", "DetrPredictor", _DETR),
    "pplcnet_orientation": Family(
        Task.ORIENTATION, "orientation.pplcnet", "OrientationPredictor", _THREADS
    ),
    "pp_ocrv6": Family(Task.TEXT, "text.ppocr_onnx", "PPOCROnnxPredictor", _READER),
    "pp_ocr": Family(Task.TEXT, "text.ppocr_torch", "PPOCRTorchPredictor", frozenset({"tessdata"})),
    "got_ocr2": Family(
        Task.TEXT,
        "text.got_ocr2",
        "GotOcr2Predictor",
        _GENERATING | {"ocr_mode"},
        locates_lines=False,
    ),
    "slanet": Family(Task.TABLE, "table.slanet", "SLANetPredictor", _THREADS),
    "table-transformer": Family(
        Task.TABLE,
        "table.table_transformer",
        "TableTransformerPredictor",
        frozenset({"attention"}),
    ),
    "pix2struct": Family(Task.FIGURE, "figure.pix2struct", "Pix2StructPredictor", _GENERATING),
}
"""By model_type; modules are relative to this package."""


def family_of(checkpoint: Checkpoint, model_type: str) -> Family:
    """The family that serves a checkpoint. Raises ModelError when none serves its task."""
    family = FAMILIES.get(model_type)
    if family is None or family.task is not checkpoint.task:
        known = ", ".join(key for key, item in FAMILIES.items() if item.task is checkpoint.task)
        raise ModelError(
            f"{checkpoint.name} is of model type {model_type!r}, which serves no {checkpoint.task} "
            f"here; known {checkpoint.task} model types: {known}"
        )
    return family


def load_predictor(spec: ModelSpec) -> Predictor[Any, Any]:
    """Load the model that ``spec`` names, from this machine, and give it its display name.

    Raises MissingModelError when its files are not here, ModelError when they cannot be used, and
    what the engine raises when it does not fit.
    """
    checkpoint, folder = _located(spec)
    family = _family_in(checkpoint, folder)
    place: tuple[str, ...] = ()
    if engine_of(checkpoint) is Engine.TORCH:
        device.import_torch()
        place = (spec.device, spec.dtype)
    options = {key: value for key, value in spec.options if key in family.options}
    loader = getattr(_module(family), family.predictor).from_folder
    predictor: Predictor[Any, Any] = loader(folder, *place, **options)
    predictor.name = store.display_name(checkpoint, folder)
    return predictor


def locates_lines(spec: ModelSpec) -> bool:
    """Whether a text model says where on a crop its lines are. Raises as ``load_predictor``."""
    return _family_in(*_located(spec)).locates_lines


def expected_bytes(spec: ModelSpec) -> int:
    """Bytes of the checkpoint's weight files: about what the loaded model takes."""
    _, folder = _located(spec)
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


def _located(spec: ModelSpec) -> tuple[Checkpoint, Path]:
    checkpoint = named_checkpoint(spec.checkpoint, spec.task)
    folder = store.locate(checkpoint, spec.models_dir, allow_download=spec.allow_download)
    return checkpoint, folder


def _family_in(checkpoint: Checkpoint, folder: Path) -> Family:
    return family_of(checkpoint, store.read_config(checkpoint, folder)["model_type"])


def _module(family: Family) -> Any:
    return import_module(f"{__package__}.{family.module}")
