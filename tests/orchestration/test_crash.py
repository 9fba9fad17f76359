"""SIGKILL at two instants, in a process of its own, and what the next look and run do."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.orchestration import ingest
from deepcompress_dagster.orchestration.defs import sensors
from deepcompress_dagster.orchestration.execution.registration import register_documents
from deepcompress_dagster.orchestration.inbox import Backoff
from deepcompress_dagster.orchestration.naming import PLAIN
from deepcompress_dagster.settings import Settings
from deepcompress_dagster.warehouse import Warehouse
from tests.orchestration.bench import FakeGpu, FakeParser, inbox_of, leave_lock, write_pdf

CHILD = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import dagster as dg
from tests.orchestration.bench import FakeGpu, FakeParser
from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.orchestration import ingest
from deepcompress_dagster.orchestration.execution import reporting
from deepcompress_dagster.settings import load_settings

home, data_dir, inbox, name, instant = sys.argv[2:]
settings = load_settings(inbox=inbox, data_dir=data_dir)

def die(*args):
    os.kill(os.getpid(), signal.SIGKILL)

if instant == "between commit and event":
    reporting.Reporter.report = die
else:
    FakeParser.before_page = lambda document, page: page == 3 and die()
with dg.DagsterInstance.local_temp(home) as instance:
    definitions = build_definitions(settings, {"gpu": FakeGpu()})
    ingest.materialize_documents(instance, definitions, [name])
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    folder = tmp_path / "home"
    folder.mkdir()
    with dg.DagsterInstance.local_temp(str(folder)) as instance:
        yield instance


def kill_a_run(home: dg.DagsterInstance, settings: Settings, name: str, instant: str) -> None:
    folders = [
        Path(__file__).parents[2],
        home.root_directory,
        settings.data_dir,
        inbox_of(settings),
    ]
    arguments = [*map(str, folders), name, instant]
    child = subprocess.run(
        [sys.executable, "-c", CHILD, *arguments], capture_output=True, check=False, timeout=110
    )
    assert child.returncode == -signal.SIGKILL, child.stderr.decode()
    leave_lock(settings.data_dir, home.get_runs()[0].run_id)


def look(home: dg.DagsterInstance, settings: Settings, warehouse: Warehouse) -> dg.SensorResult:
    tick = sensors.Tick(
        home,
        warehouse,
        settings,
        backoff=Backoff(),
        warn=print,
        missing_prerequisite=lambda settings: None,
    )
    return tick.result(sensors.Cursor())


def reported(home: dg.DagsterInstance) -> list[str]:
    return [asset for asset in ASSETS if home.get_latest_materialization_event(dg.AssetKey(asset))]


@pytest.fixture
def document_id(home: dg.DagsterInstance, settings: Settings, warehouse: Warehouse) -> str:
    path = write_pdf(inbox_of(settings) / "report.pdf", pages=5)
    return register_documents(home, warehouse, [path])[0].document_id or ""


def test_a_run_killed_between_commit_and_event_is_reported_by_the_next_look(
    home: dg.DagsterInstance,
    settings: Settings,
    warehouse: Warehouse,
    document_id: str,
) -> None:
    kill_a_run(home, settings, document_id, "between commit and event")
    assert warehouse.documents([document_id])[0].status == "complete"
    assert reported(home) == []

    assert not look(home, settings, warehouse).run_requests
    assert reported(home) == list(ASSETS)
    (run,) = home.get_runs()
    assert run.status is dg.DagsterRunStatus.FAILURE


def test_a_run_killed_within_a_document_is_taken_up_where_it_stopped(
    home: dg.DagsterInstance,
    settings: Settings,
    warehouse: Warehouse,
    document_id: str,
) -> None:
    kill_a_run(home, settings, document_id, "within a document")
    assert warehouse.asset_states([document_id]) == []

    (request,) = look(home, settings, warehouse).run_requests or ()
    job = build_definitions(settings, {"gpu": FakeGpu()}).resolve_job_def(PLAIN.job)
    result = job.execute_in_process(
        instance=home, run_config=dict(request.run_config), tags=dict(request.tags)
    )
    assert result.success
    assert FakeParser.log[0][2] > 1, "the first page was put away before the kill"
    assert warehouse.documents([document_id])[0].status == "complete"
    assert reported(home) == list(ASSETS)


def test_the_next_command_does_not_wait_for_ever_behind_a_killed_one(
    home: dg.DagsterInstance,
    settings: Settings,
    warehouse: Warehouse,
    document_id: str,
) -> None:
    home.event_log_storage.set_concurrency_slots("gpu", 1)
    kill_a_run(home, settings, document_id, "within a document")
    assert home.event_log_storage.get_concurrency_info("gpu").claimed_slots

    definitions = build_definitions(settings, {"gpu": FakeGpu()})
    assert ingest.materialize_documents(home, definitions, [document_id]).success
