"""The full profile in the parser: tiny checkpoints, some of them broken, on a scanned page."""

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from benchmarks.checkpoints import build
from deepcompress_dagster.pipeline import stages
from deepcompress_dagster.pipeline.parse import Parser
from deepcompress_dagster.records import DocumentTask, PageResult, PageStatus
from deepcompress_dagster.settings import load_settings


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    families = {
        "layout": "detr",
        "text": "got_ocr2",
        "table": "table-transformer",
        "figure": "pix2struct",
    }
    return {task: str(build(family, folder / task)) for task, family in families.items()}


def spoiled(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    head = next(name for name in tensors if "lm_head" in name)
    tensors[head][0] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.models
def test_a_broken_model_costs_what_it_would_have_added_and_is_named(tmp_path, samples, checkpoints):
    text = build("got_ocr2", tmp_path / "broken-reader")
    spoiled(text)
    settings = load_settings(
        _env_file=None,
        data_dir=tmp_path / "data",
        profile="full",
        device="cpu",
        max_new_tokens=8,
        **{**checkpoints, "layout": "yolov8n-doclaynet", "text": str(text)},
    )
    sample = samples / "scanned-letter.pdf"
    task = DocumentTask("letter", sample, tmp_path / "images" / "letter")
    with Parser(settings, buffer_dir=tmp_path / "pixels") as parser:
        (page,) = [event for event in parser.parse([task]) if isinstance(event, PageResult)]
    assert page.page.status is PageStatus.PARTIAL
    assert {error.stage for error in page.errors} == {stages.TEXT}
    assert all("broken-reader@" in error.message for error in page.errors)
    assert all("not numbers" in error.message for error in page.errors)
    assert {error.attempts for error in page.errors} == {1}
    assert page.layouts
