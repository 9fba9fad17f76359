"""Checkpoints in transformers' own layout: how they are read from a folder, and nothing else.

Safetensors alone, no code from the checkpoint, no network: what may be fetched was fetched before
(see store.py).
"""

import logging
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, ResNetConfig
from transformers.utils import logging as transformers_logging

from deepcompress_dagster.models.device import is_out_of_memory, torch_dtype
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.settings import Attention, DType

T = TypeVar("T")

_log = logging.getLogger(__name__)

_FLASH_PACKAGE = "flash_attn"
_EAGER = Attention.EAGER.value

_LOCAL: Mapping[str, Any] = {"local_files_only": True, "trust_remote_code": False}

_UNUSED = ("num_batches_tracked", "mask_head.", "bbox_attention.")
"""Tensors that a detector does not need: counters of training, heads of the DETR that segments."""

_RESNETS: Mapping[str, tuple[str, tuple[int, ...]]] = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
    "resnet101": ("bottleneck", (3, 4, 23, 3)),
}
"""Layer type and depths by timm's name (He et al., 2015)."""

_BASIC_WIDTHS, _BOTTLENECK_WIDTHS = (64, 128, 256, 512), (256, 512, 1024, 2048)


def load(
    folder: Path, processor: Any, model: Any, *, device: str, dtype: str, attention: str
) -> tuple[Any, Any]:
    """The processor and the model in ``folder`` by Auto classes. Raises as ``load_model`` does."""
    config = load_config(folder)
    return (
        load_processor(folder, processor),
        load_model(folder, model, config, device=device, dtype=dtype, attention=attention),
    )


def load_config(folder: Path) -> Any:
    """The configuration in ``folder``, with a backbone that transformers builds itself.

    Published DETR and Table Transformer checkpoints name a ResNet of the package timm, which
    needs torchvision; transformers' own ResNet is the same network under other tensor names (see
    ``tensor_names``). Raises ModelError for a config that cannot be used.
    """
    config = _read(folder, AutoConfig.from_pretrained)
    backbone: Any = getattr(config, "backbone_config", None)
    if getattr(backbone, "model_type", None) == "timm_backbone":
        config.backbone_config = _resnet(backbone.backbone, dilation=config.dilation)
    return config


def load_processor(folder: Path, auto: Any) -> Any:
    """The processor in ``folder`` by an Auto class. Raises ModelError when there is none."""
    return _read(folder, auto.from_pretrained)


def load_model(
    folder: Path, auto: Any, config: Any, *, device: str, dtype: str, attention: str
) -> Any:
    """The model in ``folder`` by an Auto class, in evaluation mode on ``device``.

    ``auto`` and ``sdpa`` are the same: transformers' choice is SDPA in every part that has it.

    Raises ModelError for weights that are corrupt, incomplete or another model's, and for an
    attention implementation that is not installed.
    """
    _require_attention(attention, device, dtype)

    def load(path: Path, **local: Any) -> tuple[Any, dict[str, Any]]:
        loaded: tuple[Any, dict[str, Any]] = auto.from_pretrained(
            path,
            config=config,
            dtype=torch_dtype(dtype),
            attn_implementation=_EAGER if attention == Attention.EAGER else None,
            key_mapping=tensor_names(config),
            use_safetensors=True,
            output_loading_info=True,
            **local,
        )
        return loaded

    transformers_logging.disable_progress_bar()
    model, info = _read(folder, load)
    unknown = [name for name in info["unexpected_keys"] if not any(x in name for x in _UNUSED)]
    if info["missing_keys"] or unknown:
        raise ModelError(
            f"{folder}: its weights are not those of its config.json: "
            f"missing {sorted(info['missing_keys'])[:5]}, unknown {sorted(unknown)[:5]}"
        )
    if attention == Attention.FLASH:
        _use_flash(model)
    model.eval().requires_grad_(False)
    return model.to(torch.device(device))


def tensor_names(config: Any) -> dict[str, str]:
    """Patterns of tensor names in published detectors, and what transformers calls them here.

    They rename the ResNet of timm, and take away the prefix of a DETR that also segments. Each
    block has patterns of its own, as transformers carries over one group of a pattern only.
    """
    names = {r"^detr\.": ""}
    backbone: Any = getattr(config, "backbone_config", None)
    if getattr(backbone, "model_type", None) != "resnet":
        return names
    within = r"(backbone(?:\.conv_encoder)?\.model\.)"
    names |= {
        within + r"conv1\.": r"\1embedder.embedder.convolution.",
        within + r"bn1\.": r"\1embedder.embedder.normalization.",
    }
    for stage, depth in enumerate(backbone.depths):
        for block in range(depth):
            layer = rf"{within}layer{stage + 1}\.{block}\."
            ours = rf"\1encoder.stages.{stage}.layers.{block}."
            names[layer + r"downsample\.0\."] = ours + "shortcut.convolution."
            names[layer + r"downsample\.1\."] = ours + "shortcut.normalization."
            for part in range(3):
                names[layer + rf"conv{part + 1}\."] = ours + f"layer.{part}.convolution."
                names[layer + rf"bn{part + 1}\."] = ours + f"layer.{part}.normalization."
    return names


def _resnet(name: str, *, dilation: bool) -> Any:
    plain = re.sub(r"\..*", "", name)
    if plain not in _RESNETS or dilation:
        raise ModelError(
            f"backbone {name!r}{' with dilation' if dilation else ''} is not known here; "
            f"known without dilation: {', '.join(_RESNETS)}"
        )
    layer_type, depths = _RESNETS[plain]
    widths = _BASIC_WIDTHS if layer_type == "basic" else _BOTTLENECK_WIDTHS
    return ResNetConfig(
        layer_type=layer_type,
        depths=list(depths),
        hidden_sizes=list(widths),
        out_features=["stage4"],
    )


def _require_attention(attention: str, device: str, dtype: str) -> None:
    if attention != Attention.FLASH:
        return
    if find_spec(_FLASH_PACKAGE) is None:
        wanted = "the package flash-attn, which is not installed; install it"
    elif not device.startswith("cuda") or dtype == DType.FLOAT32:
        wanted = f"a CUDA device and a 16-bit dtype, not {device} and {dtype}; choose those"
    else:
        return
    raise ModelError(
        f"DEEPCOMPRESS_ATTENTION={attention} needs {wanted}, or set DEEPCOMPRESS_ATTENTION=auto"
    )


def _use_flash(model: Any) -> None:
    """Flash attention in the parts that have it; the others keep what transformers chose."""
    parts = [part for part in model.modules() if getattr(part, "_supports_flash_attn", False)]
    for part in parts:
        part.set_attn_implementation({"": Attention.FLASH.value})
    if not parts:
        _log.warning("%s has no flash attention; it runs without", type(model).__name__)


def _read(folder: Path, load: Callable[..., T]) -> T:
    """What ``load`` makes of the folder, its many errors as one."""
    try:
        return load(folder, **_LOCAL)
    except (OSError, ValueError, KeyError, TypeError, ImportError, SafetensorError) as error:
        raise ModelError(f"{folder} cannot be loaded: {type(error).__name__}: {error}") from error
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(f"{folder}: its weights do not fit its config.json: {error}") from error
