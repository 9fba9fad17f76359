"""Products of eight-bit numbers in a graph, in place of float ones; made once, when it is pulled.

Convolutions over one pixel and a last layer are products of matrices. Their weights are rounded
here, by output channel; what they are multiplied with is rounded as it comes, when the graph runs
(ONNX Runtime's DynamicQuantizeMatMul), so that no sample has to be seen.

Not here: which processors gain by it (``device.py``).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from deepcompress_dagster.models.onnx_graph import LOGITS, OUTPUT, Floats, simplify

LARGEST = 127
"""Weights become -127 to 127. With seven bits, which would do on any processor, word F1 of eight
scans falls from .937 to .921, with eight it stays."""

DOMAIN = "com.microsoft"
CHANNELS_LAST, CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)

_POOLS = ("ReduceMean", "GlobalAveragePool")
_KEEP_SIZE = ("Conv", "Relu", "HardSigmoid", "Sigmoid")
"""What a pooled image goes through until it scales the channels of a large one."""

Weights: TypeAlias = Mapping[str, npt.NDArray[Any]]


def write(source: Path, target: Path, least_channels: int = 1) -> None:
    """Write the graph of ``source`` to ``target`` with products of eight bits.

    Convolutions of fewer channels than ``least_channels``, in or out, stay as they are.
    Where the graph ends in the probabilities of classes, the new one ends before the softmax and
    says so in its metadata: over thousands of classes it takes as long as the product. Raises
    ModelError for a file that is no graph.
    """
    import onnx

    simplify(source, target)
    model = onnx.load(str(target))
    _end_before_softmax(model)
    graph = model.graph
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes, added = _with_products(graph, weights, least_channels)
    read = {name for node in nodes for name in node.input}
    tensors = [tensor for tensor in graph.initializer if tensor.name in read] + added
    ends = graph.input, graph.output
    graph.CopyFrom(onnx.helper.make_graph(nodes, graph.name, *ends, tensors))
    if DOMAIN not in {opset.domain for opset in model.opset_import}:
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    target.write_bytes(model.SerializeToString())


def _end_before_softmax(model: Any) -> None:
    from onnx import TensorProto, helper

    (output,) = model.graph.output
    last = next(node for node in model.graph.node if output.name in node.output)
    if last.op_type != "Softmax":
        return
    output.CopyFrom(helper.make_tensor_value_info(last.input[0], TensorProto.FLOAT, None))
    model.graph.node.remove(last)
    known = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, {**known, OUTPUT: LOGITS})


def _with_products(
    graph: Any, weights: Weights, least_channels: int
) -> tuple[list[Any], list[Any]]:
    """The nodes of a graph with those that are replaced, and the tensors that these read."""
    layer = _last_layer(graph, weights)
    pooled: set[str] = set()
    nodes, tensors = [], []
    for node in graph.node:
        keeps_size = node.op_type in _KEEP_SIZE and node.input[0] in pooled
        if node.op_type in _POOLS or keeps_size:
            pooled.update(node.output)
        if not keeps_size and _is_of_one_pixel(node, weights, least_channels):
            new, read = _convolution(node, weights)
        elif layer and node == layer[-1]:
            new, read = _layer(layer[0], layer[1], weights)
        else:
            new, read = [node] if node not in layer else [], []
        nodes += new
        tensors += read
    return nodes, tensors


def _is_of_one_pixel(node: Any, weights: Weights, least_channels: int) -> bool:
    """Whether a node is a convolution over one pixel, of all pixels and of enough channels."""
    from onnx import helper

    if node.op_type != "Conv":
        return False
    given = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    plain = max(given.get("strides", [1])) == 1 and not any(given.get("pads", []))
    channels_out, channels_in, *kernel = weights[node.input[1]].shape
    wide = given.get("group", 1) == 1 and min(channels_out, channels_in) >= least_channels
    return plain and wide and kernel == [1, 1]


def _convolution(node: Any, weights: Weights) -> tuple[list[Any], list[Any]]:
    """A product over the channels, which it wants last.

    Of the transpositions ONNX Runtime leaves out those that another one undoes.
    """
    from onnx import helper

    (name,) = node.output
    matrix = weights[node.input[1]][:, :, 0, 0].T
    bias = weights[node.input[2]] if len(node.input) > 2 else np.zeros(matrix.shape[1], np.float32)
    last, product = f"{name}_channels_last", f"{name}_product"
    multiply, tensors = _product(last, matrix, bias, product)
    return [
        helper.make_node("Transpose", [node.input[0]], [last], perm=CHANNELS_LAST),
        multiply,
        helper.make_node("Transpose", [product], [name], perm=CHANNELS_FIRST),
    ], tensors


def _last_layer(graph: Any, weights: Weights) -> list[Any]:
    """The product with weights and the addition of a bias that end a graph; empty without them."""
    makers = {name: node for node in graph.node for name in node.output}
    addition = makers[graph.output[0].name]
    layer = [makers.get(addition.input[0]), addition]
    kinds = [node.op_type for node in layer if node is not None]
    weighted = kinds == ["MatMul", "Add"] and all(node.input[1] in weights for node in layer)
    return layer if weighted else []


def _layer(product: Any, addition: Any, weights: Weights) -> tuple[list[Any], list[Any]]:
    matrix, bias = (weights[node.input[1]] for node in (product, addition))
    multiply, tensors = _product(product.input[0], matrix, bias, addition.output[0])
    return [multiply], tensors


def _product(values: str, matrix: Floats, bias: Floats, name: str) -> tuple[Any, list[Any]]:
    """``values``, (..., rows), times ``matrix``, (rows, columns); columns have their own scales."""
    from onnx import helper, numpy_helper

    scales = np.maximum(np.abs(matrix).max(axis=0), np.finfo(np.float32).tiny) / LARGEST
    read = {
        "weights": np.round(matrix / scales).astype(np.int8),
        "scales": scales.astype(np.float32),
        "zeros": np.zeros(len(scales), np.int8),
        "bias": bias,
    }
    tensors = [numpy_helper.from_array(value, f"{name}_{key}") for key, value in read.items()]
    inputs = [values, *(tensor.name for tensor in tensors)]
    return helper.make_node("DynamicQuantizeMatMul", inputs, [name], domain=DOMAIN), tensors
