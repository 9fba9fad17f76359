"""What Dagster loads, and how light it is."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.orchestration import run_records
from deepcompress_dagster.orchestration.naming import PLAIN
from deepcompress_dagster.orchestration.server import TEMPLATE
from deepcompress_dagster.pipeline import stages
from deepcompress_dagster.settings import ParseOn, Settings
from tests.orchestration.bench import Bench

ROOT = TEMPLATE.parents[2]

HEAVY = ("torch", "transformers", "duckdb", "pymupdf", "fitz", "polars", "cv2", "onnx", "pyarrow")


def python(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "DAGSTER_HOME": str(cwd), "DEEPCOMPRESS_DATA_DIR": str(cwd)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


def test_importing_the_definitions_loads_nothing_heavy(tmp_path: Path) -> None:
    code = f"""
import sys
import deepcompress_dagster.definitions
print([name for name in {HEAVY} if name in sys.modules])
"""
    result = python("-W", "error::UserWarning", "-c", code, cwd=tmp_path)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_importing_the_definitions_makes_none_and_reads_no_settings(tmp_path: Path) -> None:
    code = """
import os
os.environ["DEEPCOMPRESS_DPI"] = "1"
from deepcompress_dagster.definitions import defs
try:
    defs()
except ValueError as error:
    print(error)
"""
    result = python("-c", code, cwd=tmp_path)
    assert "DEEPCOMPRESS_DPI='1'" in result.stdout, result.stdout + result.stderr


def test_dagster_validates_the_definitions_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(TEMPLATE.read_text())
    command = ["-m", "dagster", "definitions", "validate", "-w", str(ROOT / "workspace.yaml")]
    result = python(*command, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    warnings = [line for line in result.stderr.splitlines() if "Warning" in line]
    assert all("definitions_validate_command" in line for line in warnings), warnings


def test_the_graph_goes_from_the_pdf_to_the_five_assets(settings: Settings) -> None:
    graph = build_definitions(settings).get_repository_def().asset_graph
    parents = {
        asset: {key.to_user_string() for key in graph.get(dg.AssetKey(asset)).parent_keys}
        for asset in ASSETS
    }
    assert parents == {
        "pages": {"source_pdfs"},
        "layouts": {"pages"},
        "text": {"layouts"},
        "tables": {"layouts"},
        "figures": {"layouts"},
    }


@pytest.mark.parametrize("asset", ASSETS)
def test_an_asset_says_what_it_is(settings: Settings, asset: str) -> None:
    spec = build_definitions(settings).get_repository_def().asset_graph.get(dg.AssetKey(asset))
    assert spec.code_version == stages.code_versions(settings)[asset]
    assert spec.partitions_def
    assert spec.partitions_def.name == "documents"
    assert "duckdb" in spec.kinds
    assert spec.owners
    assert spec.metadata["dagster/table_name"] == f"main.{asset}"
    assert spec.metadata["dagster/column_schema"].columns
    assert spec.metadata["dagster/code_references"].code_references
    assert "AGPL-3.0" in (spec.description or "")


def test_any_subset_runs_in_the_pool_of_the_accelerator(settings: Settings) -> None:
    graph = build_definitions(settings).get_repository_def().asset_graph
    definition = graph.get(dg.AssetKey("text")).assets_def
    assert definition.can_subset
    assert definition.op.pool == "gpu"
    shared = build_definitions(settings.model_copy(update={"parse_on": ParseOn.WARM}))
    definition = shared.resolve_assets_def(dg.AssetKey("text"))
    assert definition.op.pool is None, "runs that share models do not wait for each other"
    assert definition.backfill_policy
    assert definition.backfill_policy.max_partitions_per_run == settings.documents_per_run
    assert len(list(definition.check_keys)) >= 4


def test_runs_of_the_ui_execute_in_one_process_too(settings: Settings) -> None:
    repository = build_definitions(settings).get_repository_def()
    for name in (PLAIN.job, run_records.ASSET_JOB_NAME):
        assert repository.get_job(name).executor_def is dg.in_process_executor


def test_resources_can_be_replaced(settings: Settings, bench: Bench) -> None:
    job = bench.definitions.resolve_job_def(PLAIN.job)
    assert set(job.resource_defs) >= {"gpu", "warehouse"}


def test_the_instance_of_the_template_keeps_one_op_on_the_accelerator(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text(TEMPLATE.read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        pools = instance.get_concurrency_config().pool_config
        assert pools.default_pool_limit == 1
        assert pools.pool_granularity
        assert pools.pool_granularity.value == "op"
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled
        assert instance.run_monitoring_enabled
        assert instance.run_monitoring_start_timeout_seconds == run_records.START_GRACE_S
        assert instance.run_monitoring_settings["free_slots_after_run_end_seconds"] > 0
        assert type(instance.run_coordinator).__name__ == "QueuedRunCoordinator"


def test_the_repository_shows_the_template_that_is_installed() -> None:
    assert yaml.safe_load((ROOT / "dagster.yaml").read_text()) == yaml.safe_load(
        TEMPLATE.read_text()
    )
