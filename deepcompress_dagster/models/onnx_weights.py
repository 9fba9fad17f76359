"""Reading the numbers out of an ONNX file and writing them as a checkpoint folder.

Used once per model, when ``deepcompress models pull`` converts a downloaded file. Nothing here
runs an ONNX graph, and nothing here needs torch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepcompress_dagster.models.predictor import ModelError

Array = npt.NDArray[Any]

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"


@dataclass(frozen=True, slots=True)
class OnnxNode:
    """One node of a graph; an optional input that is left out is an empty string."""

    op_type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OnnxGraph:
    """Nodes in topological order, and every tensor that is stored in the file, by value name."""

    path: Path
    nodes: tuple[OnnxNode, ...]
    constants: Mapping[str, Array]
    metadata: Mapping[str, str]

    def constant(self, name: str) -> Array:
        """The stored tensor ``name``. Raises ModelError when the file has none."""
        try:
            return self.constants[name]
        except KeyError:
            raise ModelError(f"{self.path}: no stored tensor named {name!r}") from None

    def of_type(self, *op_types: str) -> tuple[OnnxNode, ...]:
        """Nodes of these operator types, in topological order."""
        return tuple(node for node in self.nodes if node.op_type in op_types)

    def consumers(self, value: str) -> tuple[OnnxNode, ...]:
        """Nodes that read ``value``."""
        return tuple(node for node in self.nodes if value in node.inputs)

    def producer(self, value: str) -> OnnxNode | None:
        """The node that computes ``value``; None for a graph input or a stored tensor."""
        return next((node for node in self.nodes if value in node.outputs), None)


def read_onnx(path: Path) -> OnnxGraph:
    """The graph of an ONNX file: initialisers and ``Constant`` nodes alike become ``constants``.

    Raises ModelError when the file is not an ONNX model. Subgraphs of control-flow operators stay
    in the ``attributes`` of their node; ``subgraph`` opens them.
    """
    import onnx

    try:
        model = onnx.load(str(path))
    except Exception as error:
        raise ModelError(f"{path} is not a readable ONNX model: {error}") from error
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return _graph(path, model.graph, metadata)


def subgraph(graph: OnnxGraph, node: OnnxNode, attribute: str = "body") -> OnnxGraph:
    """The graph inside a ``Loop``, ``Scan`` or ``If`` node, with the outer constants visible."""
    inner = _graph(graph.path, node.attributes[attribute], {})
    return OnnxGraph(graph.path, inner.nodes, {**graph.constants, **inner.constants}, {})


def without_subnormals(array: Array) -> Array:
    """``array`` with subnormal floats set to zero; other arrays come back as they are.

    Subnormal operands make a CPU's float units several times slower and carry no information.
    """
    if not np.issubdtype(array.dtype, np.floating):
        return array
    small = np.abs(array) < np.finfo(array.dtype).tiny
    return np.where(small, np.zeros((), array.dtype), array)


def save_checkpoint(
    out_folder: Path, config: Mapping[str, Any], tensors: Mapping[str, Array]
) -> None:
    """Write ``config.json`` and ``model.safetensors`` into ``out_folder``, which must exist.

    ``config`` must have a ``model_type`` that models/registry.py knows. Subnormal weights are
    zeroed. Equal arguments give equal bytes.
    """
    from safetensors.numpy import save

    if "model_type" not in config:
        raise ValueError("config needs a model_type")
    cleaned = {
        name: np.ascontiguousarray(without_subnormals(array)) for name, array in tensors.items()
    }
    # save_file would leave a file that only its owner can read.
    (out_folder / WEIGHTS_NAME).write_bytes(save(cleaned, metadata={"format": "pt"}))
    text = json.dumps(dict(config), indent=2, ensure_ascii=False) + "\n"
    (out_folder / CONFIG_NAME).write_text(text, encoding="utf-8")


def _graph(path: Path, graph: Any, metadata: Mapping[str, str]) -> OnnxGraph:
    from onnx import numpy_helper

    nodes = tuple(_node(node) for node in graph.node)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in nodes:
        if node.op_type == "Constant":
            constants[node.outputs[0]] = _constant_value(node)
    return OnnxGraph(path, nodes, constants, metadata)


def _node(node: Any) -> OnnxNode:
    import onnx
    from onnx import numpy_helper

    attributes = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        is_tensor = attribute.type == onnx.AttributeProto.TENSOR
        attributes[attribute.name] = numpy_helper.to_array(value) if is_tensor else value
    return OnnxNode(node.op_type, node.name, tuple(node.input), tuple(node.output), attributes)


def _constant_value(node: OnnxNode) -> Array:
    ((_, value),) = node.attributes.items()
    return np.asarray(value)
