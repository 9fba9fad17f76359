"""Graphs whose products are made eight-bit ones: what they say, and which are left as they are."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from deepcompress_dagster.models import onnx_graph
from deepcompress_dagster.models.onnx_graph import (
    EIGHT_BIT,
    LOGITS,
    OUTPUT,
    OnnxGraph,
    for_this_processor,
)
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.models.weights import eight_bit

CHANNELS, CLASSES = 8, 40


def alternating(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Weights whose neighbours among the inputs have opposite signs.

    Sums of pairs stay within 16 bits, so that any processor adds them up exactly.
    """
    signs = np.where(np.arange(shape[1]) % 2, -1, 1).reshape(1, -1, *(1,) * (len(shape) - 2))
    return (signs * random.uniform(0.2, 1, shape)).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small recogniser: squeeze and excite, a convolution over one pixel, a layer, a softmax."""
    random = np.random.default_rng(3)
    weights = {
        "squeeze": alternating(random, CHANNELS, CHANNELS, 1, 1),
        "mix": alternating(random, CHANNELS, CHANNELS, 1, 1),
        "mix_bias": random.normal(size=(1, CHANNELS, 1, 1)).astype(np.float32),
        "deep": random.uniform(size=(CHANNELS, 1, 3, 3)).astype(np.float32),
        "layer": alternating(random, CLASSES, CHANNELS).T.copy(),
        "layer_bias": random.normal(size=CLASSES).astype(np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["pooled"], axes=[2, 3], keepdims=1),
        helper.make_node("Conv", ["pooled", "squeeze"], ["squeezed"]),
        helper.make_node("HardSigmoid", ["squeezed"], ["gate"]),
        helper.make_node("Mul", ["image", "gate"], ["gated"]),
        helper.make_node("Conv", ["gated", "mix"], ["mixed"]),
        helper.make_node("Add", ["mixed", "mix_bias"], ["added"]),
        helper.make_node("Relu", ["added"], ["positive"]),
        helper.make_node("Conv", ["positive", "deep"], ["seen"], group=CHANNELS, pads=[1, 1, 1, 1]),
        helper.make_node("ReduceMean", ["seen"], ["line"], axes=[2], keepdims=0),
        helper.make_node("Transpose", ["line"], ["steps"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["steps", "layer"], ["product"]),
        helper.make_node("Add", ["product", "layer_bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=2),
    ]
    graph = helper.make_graph(
        nodes,
        "recogniser",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, CHANNELS, 4, "width"])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 11)])
    helper.set_model_props(model, {"character": "a\nb"})
    onnx.save(model, tmp_path / "rec.onnx")
    return tmp_path / "rec.onnx"


def images() -> list[np.ndarray]:
    random = np.random.default_rng(7)
    return [random.uniform(size=(1, CHANNELS, 4, n)).astype(np.float32) for n in (5, 64)]


def test_products_of_eight_bits_say_what_the_float_ones_say_but_for_the_softmax(
    path: Path,
) -> None:
    target = path.with_suffix(EIGHT_BIT)
    eight_bit.write(path, target)
    graph, known = OnnxGraph(target), OnnxGraph(path)
    assert graph.metadata == {"character": "a\nb", OUTPUT: LOGITS}
    for image in images():
        (logits,), (probabilities,) = graph.run(image), known.run(image)
        own = np.exp(logits - logits.max(axis=-1, keepdims=True))
        assert own / own.sum(axis=-1, keepdims=True) == pytest.approx(probabilities, abs=0.1)


def test_only_products_of_whole_images_and_the_last_layer_are_made_eight_bit(path: Path) -> None:
    target = path.with_suffix(EIGHT_BIT)
    eight_bit.write(path, target)
    graph = onnx.load(target).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("DynamicQuantizeMatMul") == 2
    assert kinds.count("Conv") == 2
    assert "MatMul" not in kinds
    assert "layer" not in {tensor.name for tensor in graph.initializer}
    eight_bit.write(path, target, least_channels=CHANNELS + 1)
    kinds = [node.op_type for node in onnx.load(target).graph.node]
    assert kinds.count("DynamicQuantizeMatMul") == 1


def test_a_file_that_is_no_graph_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "rec.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"rec\.onnx cannot be loaded"):
        eight_bit.write(path, path.with_suffix(EIGHT_BIT))


def test_the_eight_bit_graph_is_taken_where_it_is_there_and_the_processor_gains_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rec.onnx"
    monkeypatch.setattr(onnx_graph, "multiplies_eight_bits", lambda: True)
    assert for_this_processor(path) == path
    path.with_suffix(EIGHT_BIT).touch()
    assert for_this_processor(path) == path.with_suffix(EIGHT_BIT)
    monkeypatch.setattr(onnx_graph, "multiplies_eight_bits", lambda: False)
    assert for_this_processor(path) == path
