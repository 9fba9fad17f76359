from pathlib import Path

import pytest

from deepcompress_dagster.orchestration.defs.resources import GpuResource
from deepcompress_dagster.settings import (
    DType,
    Settings,
    SettingsError,
    launchpad_fields,
    load_settings,
    markdown_table,
    options_of,
)


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"DEEPCOMPRESS_{name.upper()}", raising=False)


def test_the_environment_wins_over_the_env_file(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("DEEPCOMPRESS_DPI=200\nDEEPCOMPRESS_OCR_BATCH_SIZE=8\n")
    monkeypatch.setenv("DEEPCOMPRESS_DPI", "300")
    settings = load_settings()
    assert (settings.dpi, settings.ocr_batch_size) == (300, 8)


@pytest.mark.parametrize(
    ("name", "value", "hint"),
    [
        ("dpi", "20", "72 to 600"),
        ("ocr_batch_size", "65", "0 to 64"),
        ("gpu_memory_fraction", "1.5", "0.1 to 1.0"),
        ("device", "tpu", "auto, cpu, mps, cuda or cuda:N"),
        ("dtype", "int8", "bfloat16"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(monkeypatch, name, value, hint):
    monkeypatch.setenv(f"DEEPCOMPRESS_{name.upper()}", value)
    with pytest.raises(SettingsError, match=f"DEEPCOMPRESS_{name.upper()}") as refused:
        load_settings()
    assert hint in str(refused.value)
    assert value in str(refused.value)


def test_folders_are_absolute_wherever_the_command_is_called(tmp_path):
    assert load_settings().inbox == (tmp_path / "inbox",)


def test_several_inboxes_stand_side_by_side_as_folders_do_in_path(monkeypatch, tmp_path):
    monkeypatch.setenv("DEEPCOMPRESS_INBOX", "scans:s3://mail/in/:/srv/post")
    assert load_settings().inbox == (tmp_path / "scans", "s3://mail/in", Path("/srv/post"))
    assert load_settings(inbox=["gs://a", "b"]).inbox == ("gs://a", tmp_path / "b")
    for told, hint in (
        ("ftp://host/in", "addresses begin with s3://"),
        ("s3:///in", "s3://BUCKET"),
        ("a:a", "several different ones"),
    ):
        monkeypatch.setenv("DEEPCOMPRESS_INBOX", told)
        with pytest.raises(SettingsError, match=hint):
            load_settings()


def test_an_auto_batch_size_may_be_written_out(monkeypatch):
    monkeypatch.setenv("DEEPCOMPRESS_TABLE_BATCH_SIZE", "auto")
    assert load_settings().table_batch_size == 0


def test_the_table_of_the_settings_has_a_line_for_each_with_its_range_and_meaning():
    lines = markdown_table().splitlines()
    assert len(lines) == 2 + len(Settings.model_fields)
    for line, (name, field) in zip(lines[2:], Settings.model_fields.items(), strict=True):
        assert line.startswith(f"| `DEEPCOMPRESS_{name.upper()}` |")
        assert field.description
        assert line.endswith(f"| {field.description} |")
    assert "| `144` | 72 to 600 dots per inch |" in markdown_table()


def test_what_a_run_may_set_is_what_the_settings_say_and_holds_for_it() -> None:
    fields = GpuResource.model_fields
    assert set(fields) == set(launchpad_fields())
    assert {"profile", "device", "ocr_batch_size", "temperature"} <= set(fields)
    assert "tokens" in str(fields["max_new_tokens"].description)
    settings = Settings(_env_file=None, dpi=100)
    applied = GpuResource(ocr_batch_size=3, dtype="float32").applied_to(settings)
    assert (applied.ocr_batch_size, applied.dtype, applied.dpi) == (3, DType.FLOAT32, 100)
    with pytest.raises(SettingsError, match="DEEPCOMPRESS_OCR_BATCH_SIZE=65"):
        GpuResource(ocr_batch_size=65).applied_to(settings)


def test_models_are_loaded_with_the_options_of_their_task() -> None:
    assert options_of("layout") == {
        "attention": "attention",
        "threads": "model_threads",
        "threshold": "layout_threshold",
        "overlap": "layout_overlap",
    }
    assert options_of("figure")["time_limit_s"] == "model_timeout_s"
    assert "ocr_mode" in options_of("text")
    assert "ocr_mode" not in options_of("figure")
