"""Cutting an ONNX file short, once, when it is pulled. Nothing here runs a graph."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepcompress_dagster.models.predictor import ModelError

_HEIGHT, _WIDTH = 2, 3
"""Axes of an image input, (batch, channels, height, width)."""


def cut(path: Path, outputs: Sequence[str]) -> None:
    """Have the graph in ``path`` end at the tensors ``outputs``, and take images of any size.

    Exported detectors decode their boxes for one size of image; before that they are convolutions,
    which take any. Raises ModelError when the file is no graph or has no such tensors.
    """
    import onnx

    try:
        model = onnx.load(str(path))
    except Exception as error:
        raise ModelError(f"{path} is not a readable ONNX model: {error}") from error
    graph = model.graph
    nodes = _leading_to(graph, outputs, path)
    read = {name for node in nodes for name in node.input}
    weights = [tensor for tensor in graph.initializer if tensor.name in read]
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs
    ]
    size = graph.input[0].type.tensor_type.shape.dim
    size[_HEIGHT].dim_param, size[_WIDTH].dim_param = "height", "width"
    short = onnx.helper.make_graph(nodes, graph.name, graph.input, ends, weights)
    model.graph.CopyFrom(short)
    path.write_bytes(model.SerializeToString())


def _leading_to(graph: Any, outputs: Sequence[str], path: Path) -> list[Any]:
    """The nodes that ``outputs`` are computed by, in the order of the graph."""
    producers = {name: i for i, node in enumerate(graph.node) for name in node.output}
    if missing := [name for name in outputs if name not in producers]:
        raise ModelError(f"{path} has no tensors named {', '.join(missing)}")
    wanted, kept = list(outputs), set()
    while wanted:
        number = producers.get(wanted.pop())
        if number is not None and number not in kept:
            kept.add(number)
            wanted += graph.node[number].input
    return [graph.node[number] for number in sorted(kept)]
