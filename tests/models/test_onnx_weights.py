import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from deepcompress_dagster.models.onnx_weights import (
    read_onnx,
    save_checkpoint,
    without_subnormals,
)
from deepcompress_dagster.models.predictor import ModelError


@pytest.fixture
def onnx_file(tmp_path: Path) -> Path:
    weight = numpy_helper.from_array(np.full((2, 1, 1, 1), 3, np.float32), "w")
    bias = helper.make_node(
        "Constant", [], ["b"], value=numpy_helper.from_array(np.array([1, 2], np.float32))
    )
    convolution = helper.make_node("Conv", ["x", "w", "b"], ["y"], "first", strides=[2, 2])
    graph = helper.make_graph(
        [bias, convolution],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 2, 2])],
        [weight],
    )
    model = helper.make_model(graph)
    helper.set_model_props(model, {"names": "a,b"})
    path = tmp_path / "m.onnx"
    onnx.save(model, str(path))
    return path


def test_initialisers_and_constant_nodes_are_both_constants(onnx_file: Path) -> None:
    graph = read_onnx(onnx_file)
    assert graph.constant("w").shape == (2, 1, 1, 1)
    assert graph.constant("b").tolist() == [1, 2]
    assert graph.metadata == {"names": "a,b"}


def test_nodes_are_found_by_type_and_by_their_values(onnx_file: Path) -> None:
    graph = read_onnx(onnx_file)
    (node,) = graph.of_type("Conv")
    assert node.attributes["strides"] == [2, 2]
    assert graph.consumers("w") == (node,)
    assert graph.producer("y") == node
    assert graph.producer("x") is None


def test_a_tensor_that_is_not_stored_is_named_in_the_error(onnx_file: Path) -> None:
    with pytest.raises(ModelError, match="'nowhere'"):
        read_onnx(onnx_file).constant("nowhere")


def test_a_file_that_is_not_onnx_is_a_model_error(tmp_path: Path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"not a model at all")
    with pytest.raises(ModelError, match=r"bad\.onnx"):
        read_onnx(path)


def test_only_subnormal_floats_become_zero() -> None:
    tiny = np.finfo(np.float32).tiny
    values = np.array([tiny, -tiny, tiny / 2, -1e-42, 0, 1], np.float32)
    assert without_subnormals(values).tolist() == [tiny, -tiny, 0, 0, 0, 1]
    assert without_subnormals(np.array([1, 2])).tolist() == [1, 2]


def test_a_saved_checkpoint_reads_back_and_is_the_same_every_time(tmp_path: Path) -> None:
    config = {"model_type": "t", "characters": ["é"]}
    tensors = {"b": np.array([1e-42, 2], np.float32), "a": np.arange(6).reshape(2, 3).T}
    contents = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        save_checkpoint(folder, config, tensors)
        contents.append([(folder / f).read_bytes() for f in ("config.json", "model.safetensors")])
    assert contents[0] == contents[1]
    assert json.loads((tmp_path / "one/config.json").read_text(encoding="utf-8")) == config
    loaded = load_file(str(tmp_path / "one/model.safetensors"))
    assert loaded["b"].tolist() == [0, 2]
    assert loaded["a"].tolist() == tensors["a"].tolist()


def test_a_checkpoint_without_a_model_type_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="model_type"):
        save_checkpoint(tmp_path, {}, {})
