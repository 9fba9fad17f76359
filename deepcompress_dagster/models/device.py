"""The machine under the models: how torch is imported, which device runs, how much memory it has.

Torch is imported here and nowhere earlier; importing this module does not import it.
"""

import gc
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.settings import DType

if TYPE_CHECKING:
    import torch
    from torch import nn

CPU = "cpu"

EIGHT_BIT_FLAGS = frozenset({"avx512_vnni", "avx_vnni"})
"""What Linux calls the instructions that add up products of eight-bit numbers without overflow."""

_OUT_OF_MEMORY_TEXTS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""What torch says in a plain RuntimeError on MPS, on a CPU and inside cuBLAS."""


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """Memory of an accelerator in bytes; ``free`` is what the driver could still hand out."""

    total: int
    free: int


@cache
def multiplies_eight_bits() -> bool:
    """Whether products of eight-bit numbers are exact and fast on this machine's processor.

    Without such instructions sums of products are cut off at 16 bits. Asked of Linux alone.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = (line.partition(":")[2].split() for line in text.splitlines() if line[:5] == "flags")
    return not EIGHT_BIT_FLAGS.isdisjoint(next(flags, ()))


def import_torch(threads: int | None = None) -> None:
    """Import torch with threads that sleep while they wait, ``threads`` for one operation.

    Spinning OpenMP threads cost 5 to 10 times the CPU time on a shared machine, and OpenMP reads
    its environment once, when torch is imported. A variable that the user has set stays. None
    leaves the number of threads as it is, 1 at the first import.
    """
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        os.environ.setdefault("GOMP_SPINCOUNT", "0")
        os.environ.setdefault("OMP_NUM_THREADS", str(threads or 1))
    import torch

    if threads is not None and torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def resolve_device(name: str) -> str:
    """The device that ``name`` stands for: ``cpu``, ``mps`` or ``cuda:N``.

    ``auto`` is the first of CUDA, MPS and CPU that works. Raises ModelError for a device that this
    machine or this build of torch does not have.
    """
    if name == CPU:
        return CPU
    import_torch()
    import torch

    cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if cuda else "mps" if mps else CPU
    if name == "cuda":
        name = "cuda:0"
    if (name.startswith("cuda:") and int(name[5:]) >= cuda) or (name == "mps" and not mps):
        raise ModelError(
            f"device {name} is not available (torch {torch.__version__} sees {cuda} CUDA devices, "
            f"MPS: {mps}); set DEEPCOMPRESS_DEVICE=auto or cpu, or install torch for this device"
        )
    return name


def resolve_dtype(dtype: DType, device: str) -> str:
    """The number format by name, as in ``getattr(torch, name)``; ``auto`` is float32 on a CPU."""
    if dtype is not DType.AUTO:
        return dtype.value
    if device == CPU:
        return DType.FLOAT32.value
    import_torch()
    import torch

    native = device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False)
    return (DType.BFLOAT16 if native else DType.FLOAT32).value


def torch_dtype(name: str) -> "torch.dtype":
    """The torch dtype of a ModelSpec's ``dtype``."""
    import torch

    dtype = getattr(torch, name, None)
    if not isinstance(dtype, torch.dtype):
        raise ModelError(f"torch has no number format named {name!r}")
    return dtype


def is_out_of_memory(error: BaseException) -> bool:
    """Whether ``error`` says that memory ran out, on the accelerator or on the CPU."""
    if isinstance(error, MemoryError):
        return True
    if any(cls.__name__ == "OutOfMemoryError" for cls in type(error).__mro__):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(hint in text for hint in _OUT_OF_MEMORY_TEXTS)


def empty_cache() -> None:
    """Give memory that torch keeps for reuse back to the device; does nothing without torch."""
    gc.collect()
    if "torch" not in sys.modules:
        return
    import torch

    torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def device_memory(device: str) -> DeviceMemory | None:
    """Memory of an accelerator; None for the CPU, whose memory belongs to everyone."""
    if device == CPU:
        return None
    import torch

    if device == "mps":
        total = torch.mps.recommended_max_memory()
        return DeviceMemory(total, max(0, total - torch.mps.driver_allocated_memory()))
    free, total = torch.cuda.mem_get_info(torch.device(device))
    return DeviceMemory(total, free)


def reset_peak_memory(device: str) -> None:
    """Count the peak of ``peak_memory`` from here; does nothing where none is counted."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(torch.device(device))


def peak_memory(device: str) -> int:
    """The most bytes of tensors on a CUDA device since the last reset; 0 on other devices.

    Stages that run at the same time share the device and so the number.
    """
    if not device.startswith("cuda"):
        return 0
    import torch

    return int(torch.cuda.max_memory_allocated(torch.device(device)))


def device_identity(device: str) -> str:
    """A name for the physical accelerator, the same in every process of this machine.

    ``cuda:0`` is another card in a process with another CUDA_VISIBLE_DEVICES, so CUDA devices are
    named by their UUID.
    """
    if not device.startswith("cuda"):
        return device
    import torch

    return f"cuda-{torch.cuda.get_device_properties(torch.device(device)).uuid}"


def weight_bytes(predictor: object) -> int:
    """Bytes of the parameters and buffers of all torch modules that ``predictor`` holds.

    Looks into the predictor's attributes and into lists, tuples and dicts among them.
    """
    if "torch" not in sys.modules:
        return 0
    tensors = {
        id(tensor): tensor.numel() * tensor.element_size()
        for module in _modules(vars(predictor).values())
        for tensor in (*module.parameters(), *module.buffers())
    }
    return sum(tensors.values())


def _modules(values: Iterable[Any]) -> Iterator["nn.Module"]:
    from torch import nn

    for value in values:
        if isinstance(value, nn.Module):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _modules(value)
        elif isinstance(value, dict):
            yield from _modules(value.values())
