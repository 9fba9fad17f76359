"""Carries the weights of an ONNX graph over into a torch module that computes the same.

An exported file rarely keeps the names of the module that it was exported from, but it keeps the
order in which the layers run. So the convolutions and linear layers of both sides are paired in
that order, and every pair must agree in shape. Used once per model, when weights are converted.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from deepcompress_dagster.models.onnx_weights import Array, OnnxGraph, OnnxNode
from deepcompress_dagster.models.predictor import ModelError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class BatchNorm:
    """Numbers of a batch normalisation, one per channel."""

    weight: Array
    bias: Array
    mean: Array
    variance: Array


@dataclass(frozen=True, slots=True)
class OnnxLayer:
    """A convolution or linear layer of a graph, its weight in torch's layout."""

    weight: Array
    bias: Array | None
    norm: BatchNorm | None


@dataclass(frozen=True, slots=True)
class TorchLayer:
    """A convolution or linear layer of a module; the norm is the one that runs right after it."""

    name: str
    shape: tuple[int, ...]
    has_bias: bool
    norm: str | None = None
    norm_eps: float = 0.0


def onnx_layers(graph: OnnxGraph) -> tuple[OnnxLayer, ...]:
    """Layers with stored weights, in the order in which the graph runs them."""
    follow = _Followers(graph)
    return tuple(
        _onnx_layer(graph, follow, node)
        for node in graph.of_type("Conv", "ConvTranspose", "MatMul")
        if node.inputs[1] in graph.constants
    )


def onnx_layer_norms(graph: OnnxGraph) -> tuple[tuple[Array, Array], ...]:
    """Weight and bias of each layer normalisation that was exported as single steps.

    Such a normalisation ends in a division, a product with the weight and a sum with the bias.
    """
    follow = _Followers(graph)
    found = []
    for node in graph.of_type("Div"):
        product = follow.only(node, "Mul")
        weight = _vector(graph, product)
        bias = _vector(graph, follow.only(product, "Add")) if product else None
        if weight is not None and bias is not None:
            found.append((weight, bias))
    return tuple(found)


def torch_layers(module: "nn.Module", run: Callable[[], object]) -> tuple[TorchLayer, ...]:
    """Convolutions and linear layers of ``module`` in the order in which ``run()`` calls them."""
    from torch import nn

    order: list[TorchLayer] = []

    def record(name: str, layer: "nn.Module") -> None:
        if isinstance(layer, nn.BatchNorm2d):
            last = order[-1]
            order[-1] = TorchLayer(last.name, last.shape, last.has_bias, name, layer.eps)
        elif isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            order.append(TorchLayer(name, tuple(layer.weight.shape), layer.bias is not None))

    handles = [
        layer.register_forward_hook(lambda layer, _in, _out, name=name: record(name, layer))
        for name, layer in module.named_modules()
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return tuple(order)


def carried_over(
    graph: OnnxGraph, onnx: Sequence[OnnxLayer], torch: Sequence[TorchLayer]
) -> dict[str, Array]:
    """The torch module's tensors, taken from the ONNX layers at the same positions.

    A normalisation that the export has folded into its convolution becomes one that only adds the
    bias. Raises ModelError when the two sides differ in number or shape.
    """
    if len(onnx) != len(torch):
        raise ModelError(f"{graph.path}: {len(onnx)} layers where the module has {len(torch)}")
    tensors: dict[str, Array] = {}
    for source, target in zip(onnx, torch, strict=True):
        if source.weight.shape != target.shape:
            raise ModelError(
                f"{graph.path}: layer of shape {source.weight.shape} where the module's "
                f"{target.name} has {target.shape}"
            )
        tensors.update(_layer_tensors(source, target))
    return tensors


def require_complete(graph: OnnxGraph, module: "nn.Module", names: Iterable[str]) -> None:
    """Raises ModelError unless ``names`` are just the tensors that ``module`` loads."""
    wanted = {name for name in module.state_dict() if not name.endswith("num_batches_tracked")}
    if difference := sorted(wanted.symmetric_difference(names)):
        raise ModelError(f"{graph.path}: missing or unknown tensors {difference[:5]}")


class _Followers:
    """Looks up which node reads a value next, through nodes that only rename it."""

    def __init__(self, graph: OnnxGraph) -> None:
        renamed = {node.outputs[0]: node.inputs[0] for node in graph.of_type("Identity")}
        self._readers: dict[str, list[OnnxNode]] = {}
        for node in graph.nodes:
            if node.op_type == "Identity":
                continue
            for value in node.inputs:
                while value in renamed:
                    value = renamed[value]
                self._readers.setdefault(value, []).append(node)

    def only(self, node: OnnxNode | None, op_type: str) -> OnnxNode | None:
        """The one reader of ``node``'s output when there is just one, of this operator type."""
        readers = self._readers.get(node.outputs[0], []) if node else []
        return readers[0] if len(readers) == 1 and readers[0].op_type == op_type else None


def _onnx_layer(graph: OnnxGraph, follow: _Followers, node: OnnxNode) -> OnnxLayer:
    weight = graph.constant(node.inputs[1])
    if node.op_type == "MatMul":
        weight = weight.T
    bias: Array | None
    if len(node.inputs) > 2 and node.inputs[2]:
        bias = graph.constant(node.inputs[2])
    else:
        bias = _vector(graph, follow.only(node, "Add"))
    norm = follow.only(node, "BatchNormalization")
    return OnnxLayer(weight, bias, _batch_norm(graph, norm) if norm else None)


def _batch_norm(graph: OnnxGraph, node: OnnxNode) -> BatchNorm:
    return BatchNorm(*(graph.constant(name) for name in node.inputs[1:5]))


def _vector(graph: OnnxGraph, node: OnnxNode | None) -> Array | None:
    """The stored vector that ``node`` adds or multiplies; None when it has none."""
    stored = (
        [graph.constants[name] for name in node.inputs if name in graph.constants] if node else []
    )
    if len(stored) != 1 or stored[0].size != max(stored[0].shape, default=0):
        return None
    return stored[0].reshape(-1)


def _layer_tensors(source: OnnxLayer, target: TorchLayer) -> dict[str, Array]:
    bias, norm = source.bias, source.norm
    if target.norm is not None and norm is None and bias is not None:
        norm = _adding(np.zeros_like(bias) if target.has_bias else bias, target.norm_eps)
        bias = bias if target.has_bias else None
    if (bias is None) == target.has_bias or (norm is None) != (target.norm is None):
        raise ModelError(f"{target.name} and its ONNX layer differ in bias or normalisation")
    tensors = {f"{target.name}.weight": source.weight}
    if bias is not None:
        tensors[f"{target.name}.bias"] = bias
    if norm is not None:
        tensors[f"{target.norm}.weight"] = norm.weight
        tensors[f"{target.norm}.bias"] = norm.bias
        tensors[f"{target.norm}.running_mean"] = norm.mean
        tensors[f"{target.norm}.running_var"] = norm.variance
    return tensors


def _adding(bias: Array, eps: float) -> BatchNorm:
    """A normalisation that does nothing but add ``bias``."""
    ones = np.ones_like(bias)
    return BatchNorm(weight=ones, bias=bias, mean=0 * ones, variance=ones - ones.dtype.type(eps))
