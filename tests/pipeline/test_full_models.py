"""The full profile in the parser: tiny checkpoints, some of them broken, on a scanned page."""

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from benchmarks.checkpoints import build
from deepcompress_dagster.models import batching, device
from deepcompress_dagster.models.device import DeviceMemory
from deepcompress_dagster.pipeline import stages
from deepcompress_dagster.pipeline.parse import ACCELERATOR_BATCH, LARGEST_BATCH, Parser
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
    with Parser(settings, buffer_dir=tmp_path / "slots") as parser:
        (page,) = [event for event in parser.parse([task]) if isinstance(event, PageResult)]
    assert page.page.status is PageStatus.PARTIAL
    assert {error.stage for error in page.errors} == {stages.TEXT}
    assert all("broken-reader@" in error.message for error in page.errors)
    assert all("not numbers" in error.message for error in page.errors)
    assert {error.attempts for error in page.errors} == {1}
    assert page.layouts


@pytest.fixture
def parser(tmp_path):
    with Parser(
        load_settings(_env_file=None, data_dir=tmp_path, device="cpu"), buffer_dir=tmp_path
    ) as made:
        yield made


def on_a_gpu(parser: Parser, monkeypatch: pytest.MonkeyPatch, gib: float, **changes) -> None:
    """Make the parser believe in an accelerator with that much free memory."""
    memory = DeviceMemory(80 * batching.GIB, int(gib * batching.GIB))
    monkeypatch.setattr(device, "device_memory", lambda name: memory)
    monkeypatch.setattr(parser, "_device", "cuda:0")
    settings = replace_settings(parser, **changes)
    monkeypatch.setattr(parser, "_settings", settings)


def replace_settings(parser: Parser, **changes):
    return load_settings(**{**parser._settings.model_dump(), **changes})


@pytest.mark.parametrize(("gib", "size"), [(4, 2), (8, 4), (14, 8), (40, 16)])
def test_adaptive_sizes_follow_free_memory(parser, monkeypatch, gib, size):
    on_a_gpu(parser, monkeypatch, gib, adaptive=True)
    parser.metrics.expect(100)
    for stage in (stages.LAYOUT, stages.TEXT, stages.TABLES, stages.FIGURES):
        assert parser._sizer(stage).limit == size


def test_adaptive_sizes_follow_the_pages_that_are_announced(parser, monkeypatch):
    on_a_gpu(parser, monkeypatch, 4, adaptive=True)
    sizer = parser._sizer(stages.LAYOUT)
    parser.metrics.expect(5)
    assert sizer.limit == 5
    parser.metrics.expect(5)
    assert sizer.limit == 2


def test_a_size_that_is_asked_for_stands_whatever_the_memory(parser, monkeypatch):
    on_a_gpu(parser, monkeypatch, 4, adaptive=True, ocr_batch_size=32)
    assert parser._sizer(stages.TEXT).limit == 32


def test_without_adaptive_sizes_are_those_of_the_design(parser, monkeypatch):
    on_a_gpu(parser, monkeypatch, 4)
    for stage, size in ACCELERATOR_BATCH.items():
        assert parser._sizer(stage).limit == size <= LARGEST_BATCH
