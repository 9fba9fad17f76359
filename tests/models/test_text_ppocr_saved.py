"""PP-OCR checkpoints as transformers saves them: a detector in ``det``, a recogniser in ``rec``."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from transformers import (
    PPOCRV5MobileDetConfig,
    PPOCRV5MobileDetForObjectDetection,
    PPOCRV5ServerRecConfig,
    PPOCRV5ServerRecForTextRecognition,
    PPOCRV6TinyRecConfig,
    PPOCRV6TinyRecForTextRecognition,
)

from deepcompress_dagster.models import onnx_graph, registry
from deepcompress_dagster.models.catalog import ModelSpec, Task
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.settings import load_settings

CHARACTERS = ["blank", *"abcdefghijklmnopqrstuvwxyz", " "]

RECOGNISERS: dict[str, tuple[Callable[[], Any], str]] = {
    "server v5": (
        lambda: PPOCRV5ServerRecForTextRecognition(
            PPOCRV5ServerRecConfig(head_out_channels=len(CHARACTERS))
        ),
        "PPOCRV5ServerRecImageProcessor",
    ),
    "tiny v6": (
        lambda: PPOCRV6TinyRecForTextRecognition(
            PPOCRV6TinyRecConfig(head_out_channels=len(CHARACTERS))
        ),
        "PPOCRV6SmallRecImageProcessor",
    ),
}


def describe(folder: Path, characters: list[str], processor: str) -> None:
    """The preprocessor_config.json that transformers writes, with torchvision, beside weights."""
    content = {"character_list": characters, "image_processor_type": processor}
    (folder / "preprocessor_config.json").write_text(json.dumps(content), encoding="utf-8")


def loaded(folder: Path) -> Any:
    return registry.load_predictor(
        ModelSpec(Task.TEXT, str(folder), None, "cpu", "float32", models_dir=folder.parent)
    )


@pytest.fixture(scope="module", params=RECOGNISERS)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    build, processor = RECOGNISERS[request.param]
    folder: Path = tmp_path_factory.mktemp("pair") / "reader"
    torch.manual_seed(7)
    detector, recogniser = PPOCRV5MobileDetForObjectDetection(PPOCRV5MobileDetConfig()), build()
    excite(recogniser)
    detector.save_pretrained(folder / "det")
    recogniser.save_pretrained(folder / "rec")
    describe(folder / "rec", CHARACTERS, processor)
    return folder


def excite(network: torch.nn.Module) -> None:
    """Weights so large that what is said depends on what is seen."""
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, torch.nn.Linear):
            torch.nn.init.xavier_normal_(module.weight, gain=3)


@pytest.fixture(scope="module")
def reader(saved: Path) -> Any:
    return loaded(saved)


@pytest.fixture(scope="module")
def alone(reader: Any) -> list[Any]:
    return reader.first.lines.read(lines(8))


def lines(count: int) -> list[Any]:
    made = []
    for number in range(count):
        image = np.full((40, 150 + 60 * number, 3), 255, np.uint8)
        cv2.putText(image, f"line {number}", (5, 30), cv2.FONT_HERSHEY_SIMPLEX, 1, (200, 30, 0), 2)
        made.append(image)
    return made


def test_lines_are_read_as_transformers_reads_them(saved: Path, reader: Any) -> None:
    (image,) = lines(1)
    wide = cv2.resize(image, (192, 48), interpolation=cv2.INTER_LINEAR)
    blue_first = "PPOCRV6" in (saved / "rec" / "preprocessor_config.json").read_text()
    pixels = (wide[..., ::-1] if blue_first else wide) / np.float32(127.5) - 1
    with torch.inference_mode():
        said = reader._modules[1](
            torch.from_numpy(np.ascontiguousarray(pixels, np.float32)).permute(2, 0, 1)[None]
        ).last_hidden_state[0]
    best, classes = said.max(-1)
    new = torch.ones(len(classes), dtype=torch.bool)
    new[1:] = classes[1:] != classes[:-1]
    new &= classes != 0
    (line,) = reader.first.lines.read([wide])
    assert line.text.replace(" ", "") == "".join(
        CHARACTERS[number] for number in classes[new]
    ).replace(" ", "")
    assert line.confidence == pytest.approx(best[new].mean().item(), abs=1e-3)


@pytest.mark.parametrize("size", range(2, 9))
def test_lines_read_the_same_in_batches(
    reader: Any, alone: list[Any], size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader.first.lines._recogniser, "lines_per_batch", size)
    together = reader.first.lines.read(lines(8))
    assert [line.text for line in together] == [line.text for line in alone]
    assert len({line.text for line in alone}) > 1
    for one, other in zip(alone, together, strict=True):
        assert one.confidence == pytest.approx(other.confidence, abs=1e-5)


@pytest.mark.models
def test_trained_weights_read_on_torch_what_they_read_on_onnx_runtime(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(onnx_graph, "multiplies_eight_bits", lambda: False)
    page = np.full((200, 640, 3), 255, np.uint8)
    lines = ["Minutes of the meeting", "held on 3 May, 9:30"]
    for number, text in enumerate(lines):
        where = (20, 60 + 80 * number)
        cv2.putText(page, text, where, cv2.FONT_HERSHEY_SIMPLEX, 1.2, (0, 0, 0), 2)
    models = load_settings(_env_file=None).models_dir
    on_torch = registry.load_predictor(
        ModelSpec(Task.TEXT, "ppocrv6-small", None, "cpu", "float32", models_dir=models)
    )
    (found,) = on_torch.predict([page])
    assert [line.text for line in found.lines] == lines
    options = (("effort", "best"),)
    graphs = registry.load_predictor(
        ModelSpec(Task.TEXT, "ppocrv6", None, "cpu", "float32", options, models_dir=models)
    )
    (same,) = graphs.predict([page])
    for line, other in zip(found.lines, same.lines, strict=True):
        assert (line.text, line.bbox) == (other.text, pytest.approx(other.bbox, abs=0.5))
        assert line.confidence == pytest.approx(other.confidence, abs=2e-3)


def test_a_recogniser_that_lists_no_characters_is_refused(saved: Path, tmp_path: Path) -> None:
    broken = tmp_path / "reader"
    shutil.copytree(saved, broken)
    (broken / "rec" / "preprocessor_config.json").write_text("{}")
    with pytest.raises(ModelError, match="which characters are read: it has no character_list"):
        loaded(broken)
