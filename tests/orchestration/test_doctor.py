"""What ``deepcompress doctor`` finds, on data folders in which things are amiss."""

import os
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from dagster._core.test_utils import create_run_for_test

from deepcompress_dagster.orchestration import doctor, run_records, server
from deepcompress_dagster.orchestration.doctor import Finding
from deepcompress_dagster.orchestration.naming import PLAIN
from deepcompress_dagster.settings import Settings
from deepcompress_dagster.warehouse import Warehouse
from deepcompress_dagster.warehouse.lock import WarehouseLock
from deepcompress_dagster.warehouse.schema import SCHEMA_VERSION
from tests.orchestration.bench import Bench, inbox_of, leave_lock


def look(settings: Settings) -> dict[str, Finding]:
    return {finding.subject: finding for finding in doctor.findings(settings)}


def test_looking_at_a_folder_that_is_not_there_makes_nothing(
    tmp_path: Path, settings: Settings
) -> None:
    before = sorted(tmp_path.rglob("*"))
    found = look(settings)
    assert sorted(tmp_path.rglob("*")) == before
    assert "none yet" in found["warehouse"].state
    assert found["inbox"].advice is None
    assert "torch 2." in found["versions"].state


def test_all_is_well_after_a_good_run(bench: Bench, settings: Settings) -> None:
    bench.run(bench.register(a={}, b={}))
    found = look(settings)
    assert "2 complete, 0 partial, 0 failed" in found["documents"].state
    assert f"schema {SCHEMA_VERSION}" in found["warehouse"].state
    assert found["snapshot"].state.endswith("current")
    assert found["lock warehouse.lock"].state == "free"
    amiss = {name for name, finding in found.items() if finding.advice}
    assert all(name.startswith("model ") for name in amiss), amiss


def test_missing_models_and_folders_come_with_what_to_do(settings: Settings) -> None:
    inbox_of(settings).rmdir()
    found = look(settings)
    assert found["model ppocrv6"].advice == "deepcompress models pull"
    assert "DEEPCOMPRESS_INBOX" in (found["inbox"].advice or "")
    full = look(settings.model_copy(update={"min_free_mb": 1_000_000}))
    assert "make room" in (full["data folder"].advice or "")


def test_failed_documents_and_stale_ones_are_counted(bench: Bench, settings: Settings) -> None:
    bench.run(bench.register(a={}, b={"fatal": "damaged"}, c={"errors": [1]}))
    bench.warehouse.set_current_versions({"layouts": "another"})
    found = look(settings)
    assert "1 complete, 1 partial, 1 failed" in found["documents"].state
    assert "deepcompress retry" in (found["documents"].advice or "")
    assert found["stale"].state == "2 documents"
    assert found["stale"].advice


def test_a_damaged_snapshot_is_seen_and_published_anew_by_the_next_reader(
    bench: Bench, settings: Settings
) -> None:
    bench.run(bench.register(a={}))
    newest = Warehouse(settings.data_dir).snapshot_path.resolve()
    newest.chmod(0o644)
    newest.write_bytes(b"not a database" * 1000)
    assert "damaged" in look(settings)["snapshot"].state
    assert look(settings)["snapshot"].advice
    answer = Warehouse(settings.data_dir).query("SELECT count(*) AS n FROM documents")
    assert answer.to_pylist() == [{"n": 1}]
    assert look(settings)["snapshot"].advice is None


def test_a_warehouse_of_a_newer_release_is_a_finding_and_not_a_crash(
    bench: Bench, settings: Settings
) -> None:
    bench.register(a={})
    with duckdb.connect(settings.data_dir / "warehouse.duckdb") as conn:
        conn.execute("UPDATE schema_version SET version = 99")
    found = look(settings)
    assert "install the release that wrote it" in (found["warehouse"].advice or "")
    assert found["running now"].state == "nothing"


def test_held_locks_name_their_process(bench: Bench, settings: Settings) -> None:
    bench.register(a={})
    with (
        WarehouseLock(settings.data_dir / "warehouse.lock", timeout_s=1).hold(),
        run_records.hold_run(settings.data_dir, "a-run"),
    ):
        held = {finding.subject: finding for finding in doctor._locks(settings)}
    assert held["lock warehouse.lock"].state == f"held by process {os.getpid()}"
    assert held["running now"].state == "a-run"


def test_a_run_whose_process_is_gone_is_seen_and_left_to_who_reports_it(
    settings: Settings,
) -> None:
    with server.open_instance(settings) as instance:
        create_run_for_test(
            instance,
            job_name=PLAIN.job,
            status=dg.DagsterRunStatus.STARTED,
            run_id="0" * 32,
        )
    leave_lock(settings.data_dir, "0" * 32)
    for _ in range(2):
        finding = look(settings)["runs"]
        assert finding.state == "0 queued or running, 1 dead"
        assert finding.advice


def test_a_file_of_passwords_that_others_may_read_is_pointed_out(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "passwords.txt"
    path.write_text("*=secret")
    path.chmod(0o644)
    changed = settings.model_copy(update={"passwords_file": path})
    finding = look(changed)["passwords"]
    assert finding.state == "1 known"
    assert "chmod 600" in (finding.advice or "")
    path.chmod(0o600)
    assert look(changed)["passwords"].advice is None
    path.write_text("secret")
    assert "line 1" in (look(changed)["passwords"].advice or "")


@pytest.mark.parametrize(
    ("kind", "remote"),
    [("ext4", False), ("nfs4", True), ("fuse.sshfs", True), ("fuse.ntfs", False), ("", False)],
)
def test_file_systems_behind_a_network_are_known(kind: str, remote: bool) -> None:
    assert doctor.is_remote(kind) is remote


def test_the_file_system_of_a_folder_is_that_of_its_mount(tmp_path: Path) -> None:
    assert doctor.file_system(tmp_path / "not" / "there")
    if Path("/proc/self").exists():
        assert doctor.file_system(Path("/proc/self")) == "proc"
