from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from deepcompress_dagster.models import registry
from deepcompress_dagster.models.catalog import (
    CHECKPOINTS,
    Checkpoint,
    ModelSpec,
    PackageOrigin,
    Task,
)
from deepcompress_dagster.models.onnx_weights import save_checkpoint
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.models.registry import FAMILIES, family_of, load_predictor

PACKAGED = [item for item in CHECKPOINTS.values() if isinstance(item.origin, PackageOrigin)]


@pytest.mark.parametrize("checkpoint", PACKAGED, ids=lambda item: item.name)
def test_every_packaged_checkpoint_has_a_family_that_converts_it(checkpoint: Checkpoint) -> None:
    assert checkpoint.model_type is not None
    assert family_of(checkpoint, checkpoint.model_type).task is checkpoint.task
    assert callable(registry.converter(checkpoint))


@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_family_has_a_class_that_loads_from_a_folder(model_type: str) -> None:
    family = FAMILIES[model_type]
    module = import_module(f"deepcompress_dagster.models.{family.module}")
    assert callable(getattr(module, family.predictor).from_folder)


def spec(folder: Path, task: Task = Task.LAYOUT, **options: object) -> ModelSpec:
    return ModelSpec(task, str(folder), None, "cpu", "float32", tuple(options.items()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A detector with untrained weights, as a user's own folder."""
    from deepcompress_dagster.models.layout.picodet import PicoDet

    folder = tmp_path / "mine"
    folder.mkdir()
    tensors = {name: tensor.numpy() for name, tensor in PicoDet(2).state_dict().items()}
    config = {"model_type": "picodet", "labels": ["text", "table"], "image_size": [64, 96]}
    save_checkpoint(folder, config, tensors)
    return folder


def test_a_folder_is_served_by_the_class_that_its_config_names(folder: Path) -> None:
    predictor = load_predictor(spec(folder, threshold=0.9, attention="eager"))
    assert type(predictor).__name__ == "PicoDetPredictor"
    assert predictor.name.startswith("mine@")
    assert predictor.device == "cpu"
    (regions,) = predictor.predict([np.zeros((50, 40, 3), np.uint8)])
    assert regions == []


def test_a_model_of_another_task_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="'picodet', which serves no table"):
        load_predictor(spec(folder, Task.TABLE))


@pytest.mark.parametrize("config", ["{}", "not json", '{"model_type": 3}', "[]"])
def test_a_config_without_a_model_type_is_an_error_that_names_the_file(
    folder: Path, config: str
) -> None:
    (folder / "config.json").write_text(config)
    with pytest.raises(ModelError, match=r"config\.json"):
        load_predictor(spec(folder))


def test_weights_of_another_network_are_refused(folder: Path) -> None:
    config = {"model_type": "picodet", "labels": ["text", "table"], "image_size": [64, 96]}
    save_checkpoint(folder, config, {"other": np.zeros(3, np.float32)})
    with pytest.raises(ModelError, match="missing tensors"):
        load_predictor(spec(folder))
