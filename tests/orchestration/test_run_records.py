"""Run locks, the documents of a run, and runs that died."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from deepcompress_dagster.file_lock import is_held
from deepcompress_dagster.orchestration import run_records
from deepcompress_dagster.orchestration.defs import jobs
from deepcompress_dagster.orchestration.naming import PLAIN

HOLDER = """
import sys, time
from pathlib import Path
from deepcompress_dagster.orchestration.run_records import hold_run
with hold_run(Path(sys.argv[1]), sys.argv[2]):
    print("held", flush=True)
    time.sleep(600)
"""


@contextmanager
def held_elsewhere(data_dir: Path, run_id: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data_dir), run_id], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def run_in(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, **options: object
) -> dg.DagsterRun:
    return create_run_for_test(instance, job_name=PLAIN.job, status=status, **options)


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found
    return found.status


def test_a_lock_is_held_while_the_block_runs_and_free_afterwards(tmp_path: Path) -> None:
    path = run_records.lock_path(tmp_path, "run")
    assert not is_held(path)
    with run_records.hold_run(tmp_path, "run"):
        assert is_held(path)
    assert not is_held(path)


def test_a_run_cannot_execute_twice_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_records, "_LOCK_WAIT_S", 0.1)
    with (
        run_records.hold_run(tmp_path, "run"),
        pytest.raises(RuntimeError, match="already executing"),
        run_records.hold_run(tmp_path, "run"),
    ):
        pass


def test_a_killed_process_gives_its_lock_back(tmp_path: Path) -> None:
    path = run_records.lock_path(tmp_path, "run")
    with held_elsewhere(tmp_path, "run") as process:
        assert is_held(path)
        process.kill()
        process.wait()
        assert not is_held(path)


def test_a_run_whose_process_died_is_reported_as_failed_and_its_slot_freed(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    run = run_in(instance, dg.DagsterRunStatus.STARTED)
    instance.event_log_storage.set_concurrency_slots("gpu", 1)
    instance.event_log_storage.claim_concurrency_slot("gpu", run.run_id, "parse_documents")
    with held_elsewhere(tmp_path, run.run_id):
        assert run_records.reap_dead_runs(instance, tmp_path, grace_s=0) == []
    assert run_records.reap_dead_runs(instance, tmp_path, grace_s=0) == [run.run_id]
    assert status_of(instance, run) is dg.DagsterRunStatus.FAILURE
    slots = instance.event_log_storage.get_concurrency_info("gpu")
    assert slots.active_slot_count == 0
    assert run_records.reap_dead_runs(instance, tmp_path, grace_s=0) == []


def test_slots_of_a_run_that_others_found_dead_are_freed(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    run = run_in(instance, dg.DagsterRunStatus.FAILURE)
    instance.event_log_storage.set_concurrency_slots("gpu", 1)
    instance.event_log_storage.claim_concurrency_slot("gpu", run.run_id, "parse_documents")
    assert run_records.reap_dead_runs(instance, tmp_path) == []
    assert not instance.event_log_storage.get_concurrency_info("gpu").claimed_slots


def test_a_run_first_waits_for_what_may_be_dead(
    instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_records, "LOCK_GRACE_S", 0.3)
    monkeypatch.setattr(run_records, "_POLL_S", 0.05)
    run = run_in(instance, dg.DagsterRunStatus.STARTED)
    with held_elsewhere(tmp_path, run.run_id) as process:
        run_records.await_dead_runs(instance, tmp_path)
        assert status_of(instance, run) is dg.DagsterRunStatus.STARTED
        process.kill()
        process.wait()
        run_records.await_dead_runs(instance, tmp_path)
    assert status_of(instance, run) is dg.DagsterRunStatus.FAILURE


def test_a_run_that_has_just_begun_or_ended_is_left_alone(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    run = run_in(instance, dg.DagsterRunStatus.STARTED)
    assert run_records.reap_dead_runs(instance, tmp_path) == []
    with run_records.hold_run(tmp_path, run.run_id):
        pass
    assert run_records.reap_dead_runs(instance, tmp_path) == []
    assert status_of(instance, run) is dg.DagsterRunStatus.STARTED


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING])
def test_runs_that_start_or_stop_for_ever_are_reported_too(
    instance: dg.DagsterInstance, tmp_path: Path, status: dg.DagsterRunStatus
) -> None:
    run = run_in(instance, status)
    assert run_records.reap_dead_runs(instance, tmp_path, grace_s=60, start_grace_s=60) == []
    assert run_records.reap_dead_runs(instance, tmp_path, grace_s=0, start_grace_s=0) == [
        run.run_id
    ]


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.SUCCESS])
def test_queued_and_finished_runs_are_none_of_the_reapers_business(
    instance: dg.DagsterInstance, tmp_path: Path, status: dg.DagsterRunStatus
) -> None:
    run_in(instance, status)
    assert run_records.reap_dead_runs(instance, tmp_path, grace_s=0, start_grace_s=0) == []


def test_runs_of_other_jobs_are_left_alone(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    create_run_for_test(instance, job_name="other", status=dg.DagsterRunStatus.STARTED)
    assert run_records.reap_dead_runs(instance, tmp_path, grace_s=0) == []


def test_the_lock_is_looked_for_in_the_data_folder_that_the_run_was_given(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    config = {"resources": {"warehouse": {"config": {"data_dir": str(other)}}}}
    run = run_in(instance, dg.DagsterRunStatus.STARTED, run_config=config)
    with held_elsewhere(other, run.run_id):
        assert run_records.reap_dead_runs(instance, tmp_path, grace_s=0) == []


def test_lock_files_that_nobody_needs_are_removed(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with run_records.hold_run(tmp_path, "old"):
        pass
    with run_records.hold_run(tmp_path, "alive"):
        time.sleep(0.01)
        run_records.reap_dead_runs(instance, tmp_path, grace_s=0)
        assert [path.stem for path in (tmp_path / "runs").iterdir()] == ["alive"]


PARTITIONS = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(
    "documents", [["c"], ["b", "c", "d"], ["a", "c"], ["d", "b"], ["a", "b", "e"]]
)
def test_a_run_works_on_the_documents_it_was_requested_for(
    instance: dg.DagsterInstance, documents: list[str]
) -> None:
    run = run_in(
        instance,
        dg.DagsterRunStatus.NOT_STARTED,
        tags=jobs.run_tags(documents, PARTITIONS),
        run_config=jobs.run_config(documents, skip_unchanged=True),
    )
    assert run_records.documents_of(run, PARTITIONS) == set(documents)


def test_neighbours_run_as_their_range_and_others_do_not() -> None:
    assert jobs.run_tags(["b", "c"], PARTITIONS)[run_records.RANGE_END_TAG] == "c"
    assert run_records.RANGE_START_TAG not in jobs.run_tags(["b", "d"], PARTITIONS)
    assert jobs.run_tags(["b"], PARTITIONS)[run_records.PARTITION_TAG] == "b"


def test_a_run_from_the_ui_works_on_its_range(instance: dg.DagsterInstance) -> None:
    tags = {run_records.RANGE_START_TAG: "b", run_records.RANGE_END_TAG: "d"}
    run = run_in(instance, dg.DagsterRunStatus.NOT_STARTED, tags=tags)
    assert run_records.documents_of(run, PARTITIONS) == {"b", "c", "d"}
    assert run_records.documents_of(run, ["x", "y"]) == set()


def test_interruptions_are_counted_by_document(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions("documents", PARTITIONS)
    for tags in ({}, {run_records.INTERRUPTED_TAG: "true"}):
        run_in(
            instance,
            dg.DagsterRunStatus.FAILURE,
            tags={**jobs.run_tags(["a", "b"], PARTITIONS), **tags},
            run_config=jobs.run_config(["a", "b"], skip_unchanged=True),
        )
    assert run_records.interruptions(instance) == {"a": 1, "b": 1}
