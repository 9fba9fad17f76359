import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForObjectDetection

from benchmarks.checkpoints import FAMILIES, build
from deepcompress_dagster.models.cache import ModelCache
from deepcompress_dagster.models.catalog import ModelSpec, Task, checkpoint_for, spec_for
from deepcompress_dagster.models.device import weight_bytes
from deepcompress_dagster.models.predictor import MissingModelError, ModelError
from deepcompress_dagster.models.registry import FAMILIES as KNOWN
from deepcompress_dagster.models.registry import expected_bytes, load_predictor
from deepcompress_dagster.models.weights import pretrained
from deepcompress_dagster.settings import load_settings


def spec(folder: Path | str, task: Task, **options: object) -> ModelSpec:
    return ModelSpec(task, str(folder), None, "cpu", "float32", tuple(options.items()))


@pytest.fixture
def copy(tiny: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A checkpoint that the test may spoil."""

    def copied(model_type: str) -> Path:
        return Path(shutil.copytree(tiny(model_type), tmp_path / "mine"))

    return copied


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_truncated_weights_file_is_one_error_that_names_the_folder(model_type, copy, load):
    folder = copy(model_type)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"mine cannot be loaded"):
        load(folder)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_weights_without_a_tensor_are_refused(model_type, copy, load):
    folder = copy(model_type)
    tensors = load_file(folder / "model.safetensors")
    removed = next(name for name in sorted(tensors) if name.endswith("weight"))
    del tensors[removed]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"not those of its config\.json"):
        load(folder)


def test_weights_of_another_size_are_refused(copy, load):
    folder = copy("detr")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_queries": 99}))
    with pytest.raises(ModelError, match="mine"):
        load(folder)


def test_a_checkpoint_without_a_processor_is_refused(copy, load):
    folder = copy("rt_detr_v2")
    (folder / "preprocessor_config.json").unlink(missing_ok=True)
    (folder / "processor_config.json").unlink(missing_ok=True)
    with pytest.raises(ModelError, match="mine cannot be loaded"):
        load(folder)


def test_pickled_weights_are_never_read(copy, load):
    folder = copy("detr")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="pickled weights are not loaded"):
        load(folder)


def test_code_in_a_checkpoint_is_never_run(copy, load, tmp_path):
    folder = copy("detr")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForObjectDetection": "evil.Model", "AutoConfig": "evil.Config"}
    (folder / "config.json").write_text(json.dumps(config))
    load(folder)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_family_of_another_task_is_refused(model_type, tiny):
    task = next(task for task in Task if task not in (KNOWN[model_type].task, Task.ORIENTATION))
    with pytest.raises(ModelError, match=f"'{model_type}', which serves no {task}"):
        load_predictor(spec(tiny(model_type), task))


def test_a_missing_hub_checkpoint_is_one_error_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MissingModelError, match="models pull docling-layout-heron"):
        load_predictor(spec("docling-layout-heron", Task.LAYOUT))


def test_a_pinned_revision_reaches_the_spec():
    settings = load_settings(_env_file=None, layout="someone/theirs@abc123", device="cpu")
    chosen = spec_for(settings, Task.LAYOUT)
    assert chosen
    assert chosen.revision == "abc123"


@pytest.mark.parametrize(
    ("installed", "device", "dtype", "said"),
    [
        (None, "cuda:0", "bfloat16", "the package flash-attn, which is not installed"),
        (object(), "cpu", "bfloat16", "a CUDA device and a 16-bit dtype, not cpu"),
        (object(), "cuda:0", "float32", "not cuda:0 and float32"),
    ],
)
def test_flash_attention_that_cannot_run_is_an_error_that_says_why(
    installed, device, dtype, said, tiny, monkeypatch
):
    monkeypatch.setattr(pretrained, "find_spec", lambda name: installed)
    with pytest.raises(ModelError, match=said):
        pretrained.load_model(
            tiny("detr"),
            AutoModelForObjectDetection,
            pretrained.load_config(tiny("detr")),
            device=device,
            dtype=dtype,
            attention="flash_attention_2",
        )


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("model_type", ["detr", "rt_detr_v2", "pix2struct", "got_ocr2"])
def test_the_attention_that_is_asked_for_is_used_where_the_model_has_it(
    model_type, attention, load, pictures
):
    config = load(model_type, attention=attention)._module.config
    used = {getattr(config, "text_config", config)._attn_implementation}
    assert used == {attention}


@pytest.mark.parametrize("model_type", FAMILIES)
def test_weights_are_in_the_format_that_is_asked_for(model_type, load):
    predictor = load(model_type, dtype="bfloat16")
    assert predictor._module.dtype is torch.bfloat16
    full = load(model_type)
    assert weight_bytes(predictor) < 0.6 * weight_bytes(full)
    assert weight_bytes(full) > 0


@pytest.mark.parametrize(
    ("mode", "name"), [("small", "ppocrv6-small"), ("base", "got-ocr2"), ("large", "got-ocr2")]
)
def test_ocr_mode_names_the_text_model_of_the_full_profile_alone(mode, name):
    def chosen(**more):
        checkpoint = checkpoint_for(load_settings(_env_file=None, ocr_mode=mode, **more), Task.TEXT)
        assert checkpoint
        return checkpoint.name

    assert chosen(profile="full") == name
    assert chosen(profile="embedded") == "ppocrv6"
    assert chosen(profile="full", text="ppocrv6") == "ppocrv6"


def test_the_decoding_settings_reach_the_predictor():
    settings = load_settings(
        _env_file=None,
        profile="full",
        device="cpu",
        max_new_tokens=77,
        repetition_penalty=1.3,
        temperature=0.5,
        model_timeout_s=9,
        attention="eager",
    )
    expected = {
        "max_new_tokens": 77,
        "repetition_penalty": 1.3,
        "temperature": 0.5,
        "time_limit_s": 9.0,
        "attention": "eager",
    }
    for task in (Task.TEXT, Task.FIGURE):
        chosen = spec_for(settings, task)
        assert chosen
        assert expected.items() <= dict(chosen.options).items()


def test_the_cache_keeps_real_models_to_its_budget_and_drops_the_least_used(tiny):
    specs = [
        spec(tiny("detr"), Task.LAYOUT),
        spec(tiny("got_ocr2"), Task.TEXT),
        spec(tiny("table-transformer"), Task.TABLE),
    ]
    sizes = [expected_bytes(one) for one in specs]
    room = sum(sizes) - min(sizes) // 2
    cache = ModelCache(budget_bytes=lambda device: room)
    layout = cache.get(specs[0])
    cache.get(specs[1])
    assert cache.get(specs[0]) is layout
    cache.get(specs[2])
    assert specs[1] not in cache.loaded()
    assert specs[0] in cache.loaded()
    assert cache.stats().loads[str(tiny("detr"))] == 1


def test_two_profiles_share_what_they_have_in_common(tiny):
    cache = ModelCache()
    folder = str(tiny("detr"))
    specs = [
        spec_for(load_settings(_env_file=None, profile=p, layout=folder, device="cpu"), Task.LAYOUT)
        for p in ("embedded", "full")
    ]
    assert specs[0]
    assert specs[1]
    assert cache.get(specs[0]) is cache.get(specs[1])
    assert cache.stats().total_loads == 1


def test_building_twice_gives_the_same_weights(tmp_path):
    one, other = (build("pix2struct", tmp_path / name) for name in ("a", "b"))
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
