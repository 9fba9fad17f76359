"""Graphs on ONNX Runtime: the one module that imports it, when a graph is first loaded.

What a graph's inputs and outputs mean is told by the predictors. Graphs run on the CPU, in the
thread that calls them; several threads may call one graph.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from deepcompress_dagster.models import cancellation
from deepcompress_dagster.models.device import multiplies_eight_bits
from deepcompress_dagster.models.predictor import ModelError

Array: TypeAlias = npt.NDArray[Any]
Floats: TypeAlias = npt.NDArray[np.float32]

_SESSION_ENTRIES: Mapping[str, str] = {
    # Threads that spin while they wait cost a shared machine 5 to 10 times the CPU time.
    "session.intra_op.allow_spinning": "0",
    # Subnormal operands make a CPU's float units several times slower and say nothing.
    "session.set_denormal_as_zero": "1",
}

EIGHT_BIT = ".int8.onnx"
"""Ending of a graph with products of eight-bit numbers, beside the one that it was made from."""

OUTPUT, LOGITS = "output", "logits"
"""Entry in the metadata of a graph whose output is what a softmax would make probabilities of."""

_PROVIDERS = ["CPUExecutionProvider"]
_ERRORS_ONLY = 3
_OUT_OF_MEMORY_TEXTS = ("bad_alloc", "bad allocation", "Failed to allocate memory")


class OnnxGraph:
    """A loaded graph with one input."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """``threads`` work on one call; 0 is 1. Raises ModelError for a file that is no graph."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, threads)
        options.inter_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        # An arena keeps what the largest page took, in every session and for every shape: three
        # scans took 646 MB with arenas and 522 MB without, in the same CPU time.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        for key, value in _SESSION_ENTRIES.items():
            options.add_session_config_entry(key, value)
        try:
            self._session = onnxruntime.InferenceSession(path, options, providers=_PROVIDERS)
        except Exception as error:
            raise _reported(error, f"{path} cannot be loaded") from error
        self._path = path
        self._input: str = self._session.get_inputs()[0].name

    @cached_property
    def metadata(self) -> Mapping[str, str]:
        """What the file says of itself: class names, characters."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, values: Array) -> list[Array]:
        """The graph's outputs for ``values``.

        Raises Cancelled when the caller is told to end, MemoryError when memory runs out, and
        ModelError for what the graph does not take.
        """
        cancellation.check()
        try:
            outputs: list[Array] = self._session.run(None, {self._input: values})
        except Exception as error:
            raise _reported(error, f"{self._path} does not run") from error
        return outputs


def for_this_processor(path: Path) -> Path:
    """The graph in ``path``, or the one with eight-bit products beside it where those are fast."""
    eight_bit = path.with_suffix(EIGHT_BIT)
    return eight_bit if multiplies_eight_bits() and eight_bit.exists() else path


def simplify(source: Path, target: Path) -> None:
    """Write the graph of ``source`` to ``target`` without nodes that do nothing, with its additions
    of a bias in the convolutions before them, and with nothing that suits one processor alone.

    Raises ModelError for a file that is no graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = _ERRORS_ONLY
    try:
        onnxruntime.InferenceSession(source, options, providers=_PROVIDERS)
    except Exception as error:
        raise _reported(error, f"{source} cannot be loaded") from error


def _reported(error: Exception, what: str) -> Exception:
    """ONNX Runtime's many errors as one of two: memory, or the model."""
    if any(text in str(error) for text in _OUT_OF_MEMORY_TEXTS):
        return MemoryError(f"{what}: {error}")
    return ModelError(f"{what}: {type(error).__name__}: {error}")
