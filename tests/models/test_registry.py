import shutil
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from deepcompress_dagster.models.catalog import (
    CHECKPOINTS,
    Checkpoint,
    ModelSpec,
    PackageOrigin,
    Task,
)
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.models.registry import FAMILIES, family_of, load_predictor
from deepcompress_dagster.settings import load_settings, options_of

PACKAGED = [item for item in CHECKPOINTS.values() if isinstance(item.origin, PackageOrigin)]


@pytest.mark.parametrize("checkpoint", PACKAGED, ids=lambda item: item.name)
def test_every_packaged_checkpoint_has_a_family(checkpoint: Checkpoint) -> None:
    assert checkpoint.model_type is not None
    assert family_of(checkpoint, checkpoint.model_type).task is checkpoint.task


@pytest.mark.parametrize("model_type", FAMILIES)
def test_every_family_has_a_class_that_loads_from_a_folder(model_type: str) -> None:
    family = FAMILIES[model_type]
    module = import_module(f"deepcompress_dagster.models.{family.module}")
    assert callable(getattr(module, family.predictor).from_folder)


def spec(folder: Path, task: Task = Task.LAYOUT, **options: object) -> ModelSpec:
    return ModelSpec(task, str(folder), None, "cpu", "float32", tuple(options.items()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A detector as a user's own folder: a copy of the packaged one."""
    packaged = load_settings().models_dir / "yolov8n-doclaynet"
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("config.json", "weights.onnx"):
        shutil.copy(packaged / name, folder)
    return folder


@pytest.mark.models
def test_a_folder_is_served_by_the_class_that_its_config_names(folder: Path) -> None:
    predictor = load_predictor(spec(folder, threshold=0.9, attention="eager"))
    assert type(predictor).__name__ == "YoloV8Predictor"
    assert predictor.name.startswith("mine@")
    assert predictor.device == "cpu"
    (regions,) = predictor.predict([np.zeros((50, 40, 3), np.uint8)])
    assert regions == []


@pytest.mark.models
def test_a_model_of_another_task_is_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="'yolov8', which serves no table"):
        load_predictor(spec(folder, Task.TABLE))


@pytest.mark.models
@pytest.mark.parametrize("config", ["{}", "not json", '{"model_type": 3}', "[]"])
def test_a_config_without_a_model_type_is_an_error_that_names_the_file(
    folder: Path, config: str
) -> None:
    (folder / "config.json").write_text(config)
    with pytest.raises(ModelError, match=r"config\.json"):
        load_predictor(spec(folder))


@pytest.mark.models
def test_a_file_that_is_no_graph_is_refused(folder: Path) -> None:
    (folder / "weights.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"weights\.onnx cannot be loaded"):
        load_predictor(spec(folder))


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_takes_only_options_that_settings_give_for_its_task(name: str) -> None:
    family = FAMILIES[name]
    assert family.options <= set(options_of(family.task))
