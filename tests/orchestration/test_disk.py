"""A disk without room: the sensor waits, a run stops with what it has, and both go on later."""

import errno
import sqlite3
from pathlib import Path

import pytest

from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.orchestration import disk
from deepcompress_dagster.records import DocumentStatus
from deepcompress_dagster.settings import Settings
from tests.orchestration.bench import Bench, FakeGpu, FakeParser, inbox_of, write_pdf
from tests.orchestration.test_sensors import Daemon

MORE_THAN_THERE_IS = 1_000_000


def short_of_room(settings: Settings) -> Settings:
    """Settings that keep more room free than any disk here has."""
    free = disk.free_mb(settings.data_dir)
    assert free < MORE_THAN_THERE_IS
    return settings.model_copy(update={"min_free_mb": MORE_THAN_THERE_IS})


def test_the_sensor_waits_for_room_and_then_takes_up_what_came(
    bench: Bench, settings: Settings
) -> None:
    write_pdf(inbox_of(settings) / "a.pdf")
    waiting = Daemon(bench, short_of_room(settings))
    assert waiting.tick() == []
    assert "DEEPCOMPRESS_MIN_FREE_MB" in waiting.result.skip_reason.skip_message
    assert bench.warehouse.documents() == []
    daemon = Daemon(bench, settings)
    assert daemon.execute(daemon.tick()) == [True]


def test_a_run_that_runs_out_of_room_keeps_its_pages_and_is_no_attempt(
    bench: Bench, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepcompress_dagster.pipeline.commit.GROUP_SECONDS", 0)
    (name,) = bench.register(report={"pages": 6})
    free = disk.free_mb

    def fill(document_id: str, page: int) -> None:
        monkeypatch.setattr(disk, "free_mb", lambda folder: 0)

    FakeParser.before_page = fill
    daemon = Daemon(bench, settings)
    for _ in range(settings.max_attempts + 1):
        monkeypatch.setattr(disk, "free_mb", free)
        daemon.later += 4000
        requests = daemon.tick()
        assert requests, "a full disk uses up no attempts"
        assert daemon.execute(requests) == [False]
    (run,) = bench.instance.get_runs(limit=1)
    said = bench.instance.all_logs(run.run_id)
    assert any("make room; nothing is lost" in str(entry.dagster_event) for entry in said)

    monkeypatch.setattr(disk, "free_mb", free)
    FakeParser.before_page = None
    FakeParser.log.clear()
    assert bench.run([name]).success
    assert [page for _, _, page in FakeParser.log] == [5, 6]
    assert bench.warehouse.documents()[0].status is DocumentStatus.COMPLETE


def test_a_command_without_room_computes_nothing_and_says_why(
    bench: Bench, settings: Settings
) -> None:
    (name,) = bench.register(a={})
    bench.definitions = build_definitions(short_of_room(settings), {"gpu": FakeGpu()})
    outcome = bench.run([name])
    assert "make room" in (outcome.error or "")
    assert FakeParser.log == []


def test_a_folder_that_is_not_there_yet_has_the_room_of_the_one_above(tmp_path: Path) -> None:
    assert disk.free_mb(tmp_path / "not" / "there") == pytest.approx(disk.free_mb(tmp_path), rel=1)
    settings = Settings(_env_file=None, data_dir=tmp_path / "not" / "there", min_free_mb=0)
    assert disk.blocked_reason(settings) is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x.jpg"), "No space left on device"),
        (OSError(errno.EROFS, "Read-only file system"), "make room or mend the disk"),
        (OSError(errno.EACCES, "Permission denied", "x.jpg"), None),
        (sqlite3.OperationalError("database or disk is full"), "Dagster's storage"),
        (OSError(errno.ENOENT, "No such file"), None),
        (sqlite3.OperationalError("no such table"), None),
        (ValueError("full"), None),
    ],
)
def test_an_error_of_the_disk_is_told_from_others_however_deep(
    error: Exception, said: str | None
) -> None:
    outer = RuntimeError("something went wrong")
    outer.__cause__ = error
    found = disk.disk_reason(outer)
    assert found is None if said is None else said in (found or "")


def test_a_missing_permission_is_told_and_is_an_attempt(bench: Bench, settings: Settings) -> None:
    bench.register(report={"pages": 2})

    def refuse(document_id: str, page: int) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "kept.pdf")

    FakeParser.before_page = refuse
    daemon = Daemon(bench, settings)
    for _ in range(settings.max_attempts):
        daemon.later += 4000
        assert daemon.execute(daemon.tick()) == [False]
    daemon.later += 4000
    assert daemon.tick() == []
    (run,) = bench.instance.get_runs(limit=1)
    said = bench.instance.all_logs(run.run_id)
    told = "Permission denied (kept.pdf); mend its permissions"
    assert any(told in str(entry.dagster_event) for entry in said)


def test_a_missing_permission_is_told_from_other_errors() -> None:
    missing = PermissionError(errno.EPERM, "Operation not permitted", "x.jpg")
    assert "(x.jpg); mend its permissions" in (disk.permission_reason(missing) or "")
    assert disk.permission_reason(OSError(errno.ENOSPC, "No space left on device")) is None
