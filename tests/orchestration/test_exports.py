"""The asset ``exports`` and its sensor."""

from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from dagster._core.test_utils import create_run_for_test

from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.orchestration.defs.exports import next_run
from deepcompress_dagster.orchestration.forgetting import forget_documents
from deepcompress_dagster.orchestration.naming import PLAIN
from deepcompress_dagster.settings import Settings, SettingsError, load_settings
from tests.orchestration.bench import Bench, FakeGpu


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "exports"


def run_export(bench: Bench, target: Path) -> dg.ExecuteInProcessResult:
    settings = Settings(
        _env_file=None, data_dir=bench.warehouse.data_dir, inbox=bench.inbox, exports=str(target)
    )
    definitions = build_definitions(settings, {"gpu": FakeGpu()})
    return definitions.resolve_job_def(PLAIN.exports_job).execute_in_process(
        instance=bench.instance, raise_on_error=False
    )


def test_the_export_follows_what_is_published_and_forgets_what_was_forgotten(
    bench: Bench, target: Path
) -> None:
    assert isinstance(next_run(bench.instance, bench.warehouse), dg.SkipReason)
    documents = bench.register(a={}, b={"pages": 2})
    bench.run(documents)
    assert isinstance(next_run(bench.instance, bench.warehouse), dg.RunRequest)

    assert run_export(bench, target).success
    assert pl.read_parquet(target / "pages").height == 3
    assert "in step" in str(next_run(bench.instance, bench.warehouse))

    forget_documents(bench.instance, bench.warehouse, [documents[0]])
    assert isinstance(next_run(bench.instance, bench.warehouse), dg.RunRequest)
    (done,) = run_export(bench, target).asset_materializations_for_node("exports")
    assert done.metadata["documents removed"].value == 1
    assert set(pl.read_parquet(target / "pages")["document_id"]) == {documents[1]}


def test_a_run_that_failed_says_why_and_is_tried_again_later(bench: Bench, target: Path) -> None:
    bench.run(bench.register(a={}))
    target.write_text("a file is in the way")
    failed = run_export(bench, target)
    (failure,) = [event for event in failed.all_events if event.is_step_failure]
    assert f"{target}: the export stopped" in str(failure.step_failure_data.user_failure_data)
    assert "the next one waits" in str(next_run(bench.instance, bench.warehouse))


def test_one_run_at_a_time_is_asked_for(bench: Bench) -> None:
    bench.run(bench.register(a={}))
    create_run_for_test(
        bench.instance, job_name=PLAIN.exports_job, status=dg.DagsterRunStatus.NOT_STARTED
    )
    assert "queued or at work" in str(next_run(bench.instance, bench.warehouse))


def test_without_a_target_there_is_no_such_asset_and_a_bad_one_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {key.path[-1] for key in build_definitions(settings).resolve_all_asset_keys()}
    assert "exports" not in keys
    monkeypatch.setenv("DEEPCOMPRESS_EXPORTS", "ftp://host/folder")
    with pytest.raises(SettingsError, match=r"DEEPCOMPRESS_EXPORTS.*addresses begin with s3://"):
        load_settings()
