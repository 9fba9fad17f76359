"""Graphs that are drawn here: how they are cut when pulled, loaded, and run."""

import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from deepcompress_dagster.models.cancellation import Cancelled, cancel_when
from deepcompress_dagster.models.onnx_graph import OnnxGraph
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.models.weights.graph_cut import cut


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A graph for images of 4 x 4 that doubles them, and flattens what it got."""
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["image", "two"], ["doubled"]),
            helper.make_node("Reshape", ["doubled", "shape"], ["flat"]),
        ],
        "doubler",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("flat", TensorProto.FLOAT, [48])],
        [
            helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0]),
            helper.make_tensor("shape", TensorProto.INT64, [1], [48]),
        ],
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)])
    onnx.helper.set_model_props(model, {"names": "a,b"})
    onnx.save(model, tmp_path / "graph.onnx")
    return tmp_path / "graph.onnx"


def image(side: int) -> np.ndarray:
    return np.ones((1, 3, side, side), np.float32)


def test_a_graph_that_was_cut_takes_images_of_any_size_and_keeps_what_it_says_of_itself(
    path: Path,
) -> None:
    with pytest.raises(ModelError, match=r"graph\.onnx does not run"):
        OnnxGraph(path).run(image(6))
    cut(path, ("doubled",))
    graph = OnnxGraph(path)
    for side in (4, 6):
        (doubled,) = graph.run(image(side))
        assert (doubled == 2 * image(side)).all()
    assert graph.metadata == {"names": "a,b"}
    assert [tensor.name for tensor in onnx.load(path).graph.initializer] == ["two"]


def test_a_graph_is_not_cut_where_it_has_no_such_tensor(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ModelError, match="no tensors named tripled"):
        cut(path, ("doubled", "tripled"))
    assert path.read_bytes() == before


def test_a_file_that_is_no_graph_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"other\.onnx is not a readable"):
        cut(tmp_path / "other.onnx", ("doubled",))
    with pytest.raises(ModelError, match=r"other\.onnx cannot be loaded"):
        OnnxGraph(tmp_path / "other.onnx")


def test_a_graph_does_not_run_for_a_caller_who_is_told_to_end(path: Path) -> None:
    graph, told = OnnxGraph(path), threading.Event()
    with cancel_when(told):
        graph.run(image(4))
        told.set()
        with pytest.raises(Cancelled):
            graph.run(image(4))


def test_threads_share_a_graph(path: Path) -> None:
    graph, seen = OnnxGraph(path), []
    threads = [
        threading.Thread(target=lambda: seen.append(graph.run(image(4))[0].sum())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [96.0] * 4
