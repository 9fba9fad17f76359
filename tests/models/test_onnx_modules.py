from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, save
from onnx.reference import ReferenceEvaluator
from torch import nn

from deepcompress_dagster.models import onnx_modules
from deepcompress_dagster.models.onnx_weights import OnnxGraph, read_onnx
from deepcompress_dagster.models.predictor import ModelError


class Net(nn.Module):
    """Layers of every kind that is carried over; ``second`` is registered before ``first``."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.ConvTranspose2d(3, 2, 2, stride=2)
        self.second_norm = nn.BatchNorm2d(2)
        self.first = nn.Conv2d(1, 3, 3, bias=False)
        self.first_norm = nn.BatchNorm2d(3)
        self.linear = nn.Linear(8, 4)
        self.layer_norm = nn.LayerNorm(4)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        hidden = self.first_norm(self.first(pixels))
        hidden = self.second_norm(self.second(hidden))
        result: torch.Tensor = self.layer_norm(self.linear(hidden))
        return result


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The same net as an exporter writes it.

    The first normalisation is whole, the second one is folded into a bias that is added after
    two identities, the third is written out in single steps.
    """
    stored = {
        "w1": floats(3, 1, 3, 3),
        "scale": 1 + floats(3) ** 2,
        "shift": floats(3, seed=1),
        "mean": floats(3, seed=2),
        "variance": 1 + floats(3, seed=3) ** 2,
        "w2": floats(3, 2, 2, 2, seed=4),
        "b2": floats(1, 2, 1, 1, seed=5),
        "w3": floats(8, 4, seed=6),
        "b3": floats(4, seed=7),
        "two": np.float32(2),
        "eps": np.float32(1e-5),
        "gain": floats(4, seed=8),
        "offset": floats(4, seed=9),
    }
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1"], ["c1"]),
        node("BatchNormalization", ["c1", "scale", "shift", "mean", "variance"], ["n1"]),
        node("ConvTranspose", ["n1", "w2"], ["c2"], strides=[2, 2]),
        node("Identity", ["c2"], ["same"]),
        node("Identity", ["same"], ["still"]),
        node("Add", ["still", "b2"], ["n2"]),
        node("MatMul", ["n2", "w3"], ["m"]),
        node("Add", ["m", "b3"], ["linear"]),
        node("ReduceMean", ["linear"], ["mu"], axes=[-1]),
        node("Sub", ["linear", "mu"], ["centred"]),
        node("Pow", ["centred", "two"], ["squared"]),
        node("ReduceMean", ["squared"], ["var"], axes=[-1]),
        node("Add", ["var", "eps"], ["safe"]),
        node("Sqrt", ["safe"], ["deviation"]),
        node("Div", ["centred", "deviation"], ["normal"]),
        node("Mul", ["normal", "gain"], ["gained"]),
        node("Add", ["gained", "offset"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in stored.items()],
    )
    opset = [helper.make_opsetid("", 15)]
    save(helper.make_model(graph, opset_imports=opset), str(tmp_path / "net.onnx"))
    return tmp_path / "net.onnx"


def carried(graph: OnnxGraph, net: nn.Module) -> dict[str, np.ndarray]:
    pixels = torch.zeros(1, 1, 6, 6)
    layers = onnx_modules.torch_layers(net, lambda: net(pixels))
    tensors = onnx_modules.carried_over(graph, onnx_modules.onnx_layers(graph), layers)
    ((gain, offset),) = onnx_modules.onnx_layer_norms(graph)
    return {**tensors, "layer_norm.weight": gain, "layer_norm.bias": offset}


def test_a_module_with_carried_weights_computes_what_the_graph_computes(path: Path) -> None:
    graph, net = read_onnx(path), Net().eval()
    tensors = carried(graph, net)
    onnx_modules.require_complete(graph, net, tensors)
    state = {name: torch.tensor(np.ascontiguousarray(value)) for name, value in tensors.items()}
    net.load_state_dict(state, strict=False)
    pixels = floats(1, 1, 6, 6, seed=10)
    (expected,) = ReferenceEvaluator(str(path)).run(None, {"x": pixels})
    with torch.inference_mode():
        found = net(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_layers_are_listed_in_the_order_in_which_they_run() -> None:
    net = Net().eval()
    layers = onnx_modules.torch_layers(net, lambda: net(torch.zeros(1, 1, 6, 6)))
    assert [(layer.name, layer.norm) for layer in layers] == [
        ("first", "first_norm"),
        ("second", "second_norm"),
        ("linear", None),
    ]


def test_a_layer_of_another_shape_is_refused_by_name(path: Path) -> None:
    net = Net().eval()
    net.linear = nn.Linear(8, 5)
    net.layer_norm = nn.LayerNorm(5)
    with pytest.raises(ModelError, match=r"net\.onnx.*linear"):
        carried(read_onnx(path), net)


def test_another_number_of_layers_is_refused(path: Path) -> None:
    graph = read_onnx(path)
    with pytest.raises(ModelError, match="3 layers where the module has 0"):
        onnx_modules.carried_over(graph, onnx_modules.onnx_layers(graph), [])


def test_a_tensor_that_was_not_carried_over_is_named(path: Path) -> None:
    graph, net = read_onnx(path), Net().eval()
    tensors = carried(graph, net)
    del tensors["layer_norm.bias"]
    with pytest.raises(ModelError, match=r"layer_norm\.bias"):
        onnx_modules.require_complete(graph, net, tensors)
