"""The sensor on a folder, tick by tick, with what Dagster's daemon does in between."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.test_utils import create_run_for_test

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.orchestration import ingest, run_records
from deepcompress_dagster.orchestration.defs import jobs, sensors
from deepcompress_dagster.orchestration.defs.sensors import Cursor, Tick
from deepcompress_dagster.orchestration.execution import executor, reporting
from deepcompress_dagster.orchestration.inbox import Backoff
from deepcompress_dagster.orchestration.naming import PLAIN
from deepcompress_dagster.pdf.errors import transient_error_types
from deepcompress_dagster.records import (
    DocumentStatus,
)
from deepcompress_dagster.settings import Settings
from deepcompress_dagster.warehouse import DocumentRow
from tests.orchestration.bench import Bench, FakeParser, inbox_of, leave_lock, write_pdf


class Daemon:
    """Ticks the sensor and does what the daemon does with its answers."""

    def __init__(self, bench: Bench, settings: Settings) -> None:
        self.bench = bench
        self.settings = settings
        self.cursor = Cursor()
        self.backoff = Backoff()
        self.warnings: list[str] = []
        self.run_keys: set[str] = set()
        self.later = 0.0

    def tick(self, **options: Any) -> list[dg.RunRequest]:
        """One tick; returns the runs that are to be launched."""
        tick = Tick(
            self.bench.instance,
            self.bench.warehouse,
            self.settings,
            **{
                "backoff": self.backoff,
                "warn": self.warnings.append,
                "missing_prerequisite": lambda settings: None,
                "now": lambda: time.time() + self.later,
                **options,
            },
        )
        result = tick.result(self.cursor)
        self.result = result
        self.cursor = Cursor.parse(result.cursor)
        requests = [r for r in result.run_requests or () if r.run_key not in self.run_keys]
        self.run_keys |= {r.run_key or "" for r in requests}
        return requests

    def queue(self, requests: list[dg.RunRequest]) -> list[dg.DagsterRun]:
        """The runs of these requests, as they lie in the queue."""
        return [
            create_run_for_test(
                self.bench.instance,
                job_name=PLAIN.job,
                status=dg.DagsterRunStatus.NOT_STARTED,
                tags={**request.tags, "dagster/run_key": request.run_key},
                run_config=request.run_config,
            )
            for request in requests
        ]

    def execute(self, requests: list[dg.RunRequest]) -> list[bool]:
        """Run what was requested; whether each run succeeded."""
        job = self.bench.definitions.resolve_job_def(PLAIN.job)
        return [
            job.execute_in_process(
                instance=self.bench.instance,
                run_config=dict(request.run_config),
                tags=dict(request.tags),
                raise_on_error=False,
            ).success
            for request in requests
        ]


def documents_of(requests: list[dg.RunRequest]) -> list[list[str]]:
    return [
        [
            "-".join(name.split("-")[:-1])
            for name in r.run_config["ops"][PLAIN.op]["config"]["documents"]
        ]
        for r in requests
    ]


@pytest.fixture
def daemon(bench: Bench, settings: Settings) -> Daemon:
    return Daemon(bench, settings)


def test_a_missing_inbox_is_a_reason_to_skip(daemon: Daemon) -> None:
    daemon.bench.inbox.rmdir()
    assert daemon.tick() == []
    assert "inbox" in (daemon.result.skip_reason.skip_message or "")


def test_an_empty_inbox_is_a_reason_to_skip(daemon: Daemon) -> None:
    assert daemon.tick() == []
    assert daemon.result.skip_reason


def test_a_new_pdf_becomes_a_partition_an_event_and_a_run(daemon: Daemon) -> None:
    write_pdf(daemon.bench.inbox / "report.pdf")
    requests = daemon.tick()
    assert documents_of(requests) == [["report"]]
    (name,) = daemon.bench.instance.get_dynamic_partitions("documents")
    event = daemon.bench.instance.get_latest_materialization_event(dg.AssetKey("source_pdfs"))
    assert event
    assert event.asset_materialization
    row = daemon.bench.warehouse.documents([name])[0]
    assert event.asset_materialization.partition == name
    assert (event.asset_materialization.tags or {})["dagster/data_version"] == row.sha256
    assert daemon.execute(requests) == [True]
    assert daemon.bench.warehouse.documents([name])[0].status == "complete"
    assert daemon.tick() == []


def test_a_folder_with_old_times_that_is_moved_in_is_seen(daemon: Daemon, tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "away" / "old.pdf")
    os.utime(path, (1, 1))
    write_pdf(daemon.bench.inbox / "first.pdf", other=1)
    daemon.queue(daemon.tick())
    shutil.move(path.parent, daemon.bench.inbox / "moved")
    assert documents_of(daemon.tick()) == [["old"]]


def test_the_same_bytes_at_two_paths_are_one_document(daemon: Daemon) -> None:
    write_pdf(daemon.bench.inbox / "a.pdf", same=1)
    write_pdf(daemon.bench.inbox / "b" / "copy.pdf", same=1)
    assert documents_of(daemon.tick()) == [["a"]]


def test_changed_bytes_at_a_path_are_a_new_document(daemon: Daemon) -> None:
    path = write_pdf(daemon.bench.inbox / "a.pdf", version=1)
    daemon.execute(daemon.tick())
    write_pdf(path, version=2)
    requests = daemon.tick()
    assert documents_of(requests) == [["a"]]
    daemon.execute(requests)
    rows = daemon.bench.warehouse.documents()
    assert sorted(row.is_current for row in rows) == [False, True]


def test_a_file_that_still_changes_waits(daemon: Daemon) -> None:
    daemon.settings = daemon.settings.model_copy(update={"settle_s": 60.0})
    write_pdf(daemon.bench.inbox / "a.pdf")
    assert daemon.tick() == []
    assert daemon.bench.warehouse.documents() == []


def test_documents_go_in_batches_and_no_more_than_there_is_room(daemon: Daemon) -> None:
    knobs = {"documents_per_run": 2, "max_queued_runs": 2}
    daemon.settings = daemon.settings.model_copy(update=knobs)
    for number in range(7):
        write_pdf(daemon.bench.inbox / f"d{number}.pdf", n=number)
    requests = daemon.tick()
    assert documents_of(requests) == [["d0", "d1"], ["d2", "d3"]]
    daemon.queue(requests)
    assert daemon.tick() == []
    assert "2 runs are queued" in (daemon.result.skip_reason.skip_message or "")


def test_documents_in_flight_are_not_requested_again(daemon: Daemon) -> None:
    write_pdf(daemon.bench.inbox / "a.pdf")
    daemon.queue(daemon.tick())
    write_pdf(daemon.bench.inbox / "b.pdf", other=1)
    assert documents_of(daemon.tick()) == [["b"]]


def test_documents_that_the_ui_is_running_are_not_requested(daemon: Daemon) -> None:
    (name,) = daemon.bench.register(a={})
    create_run_for_test(
        daemon.bench.instance,
        job_name=run_records.ASSET_JOB_NAME,
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": name},
    )
    assert daemon.tick() == []


def test_the_same_batch_is_requested_anew_after_its_run_is_gone(daemon: Daemon) -> None:
    write_pdf(daemon.bench.inbox / "a.pdf")
    (first,) = daemon.tick()
    (run,) = daemon.queue([first])
    daemon.bench.instance.report_run_failed(run, "could not start")
    (second,) = daemon.tick()
    assert first.run_key != second.run_key
    assert first.tags[jobs.BATCH_TAG] == second.tags[jobs.BATCH_TAG]


def test_a_tick_that_died_after_registering_is_made_good(daemon: Daemon) -> None:
    path = write_pdf(daemon.bench.inbox / "a.pdf")
    daemon.bench.warehouse.register([path])
    assert documents_of(daemon.tick()) == [["a"]]
    assert len(daemon.bench.instance.get_dynamic_partitions("documents")) == 1
    reported = daemon.bench.instance.get_materialized_partitions(dg.AssetKey("source_pdfs"))
    assert reported == set(daemon.bench.instance.get_dynamic_partitions("documents"))


@pytest.mark.parametrize(("kind", "tries"), [("encrypted", 1), ("unreadable", 3)])
def test_only_failures_that_may_pass_are_tried_again_and_not_for_ever(
    daemon: Daemon, kind: str, tries: int
) -> None:
    assert (kind in transient_error_types()) == (tries > 1)
    write_pdf(daemon.bench.inbox / "bad.pdf", fatal=kind)
    runs_made = 0
    for _ in range(6):
        runs_made += len(daemon.execute(daemon.tick()))
        daemon.later += sensors.RETRY_LONGEST_WAIT_S
    assert runs_made == tries


def test_a_batch_whose_runs_keep_failing_waits_longer_each_time(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pdf(daemon.bench.inbox / "a.pdf")

    def broken(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(executor.RunExecutor, "run", broken)
        asked = []
        for _ in range(12):
            asked.append(len(daemon.execute(daemon.tick())))
            daemon.later += 16.0
    assert asked == [1, 1, 1, 0, 1, 0, 0, 0, 1, 0, 0, 0], "at 0, 16, 32, 64 and 128 s"
    daemon.later += sensors.RETRY_LONGEST_WAIT_S
    assert daemon.execute(daemon.tick()) == [True]


def test_missing_models_are_a_reason_to_wait_and_not_to_fail(daemon: Daemon) -> None:
    write_pdf(daemon.bench.inbox / "a.pdf")
    assert daemon.tick(missing_prerequisite=sensors.missing_models) == []
    assert "deepcompress models pull" in (daemon.result.skip_reason.skip_message or "")
    assert len(daemon.bench.instance.get_dynamic_partitions("documents")) == 1
    assert len(daemon.tick()) == 1


def test_runs_stopped_from_outside_are_no_attempts(daemon: Daemon) -> None:
    write_pdf(daemon.bench.inbox / "a.pdf", pages=2)

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    FakeParser.before_page = interrupt
    for _ in range(5):
        assert daemon.execute(daemon.tick()) == [False]
    FakeParser.before_page = None
    assert daemon.execute(daemon.tick()) == [True]


def test_an_unreadable_file_is_put_off_and_not_in_the_way(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = write_pdf(daemon.bench.inbox / "a-bad.pdf", bad=1)
    write_pdf(daemon.bench.inbox / "good.pdf")
    opened: list[str] = []
    register = daemon.bench.warehouse.register

    def refuse(paths: list[Path], **options: Any) -> list[Any]:
        opened.extend(path.name for path in paths)
        found = register([path for path in paths if path != bad], **options)
        if bad in paths:
            found.append(sensors_registration(bad))
        return found

    monkeypatch.setattr(daemon.bench.warehouse, "register", refuse)
    now = 0.0
    daemon.backoff = Backoff(clock=lambda: now)
    assert documents_of(daemon.tick()) == [["good"]]
    assert "a-bad.pdf" in daemon.warnings[0]
    daemon.tick()
    assert opened.count("a-bad.pdf") == 1
    now = 31.0
    daemon.tick()
    assert opened.count("a-bad.pdf") == 2


def sensors_registration(path: Path) -> Any:
    from deepcompress_dagster.warehouse import Registration

    return Registration(path, None, error="permission denied")


def test_a_tick_that_runs_out_of_time_goes_on_where_it_stopped(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "FILES_REGISTERED", 2)
    daemon.settings = daemon.settings.model_copy(update={"max_queued_runs": 100})
    for number in range(5):
        write_pdf(daemon.bench.inbox / f"d{number}.pdf", n=number)
    registered = []
    for _ in range(3):
        times: Iterator[float] = iter([0.0, sensors.TICK_SECONDS, sensors.TICK_SECONDS])
        daemon.queue(daemon.tick(clock=lambda times=times: next(times)))
        registered.append((len(daemon.bench.warehouse.documents()), daemon.cursor.after))
    assert registered == [(2, "d1.pdf"), (4, "d3.pdf"), (5, "d4.pdf")]
    daemon.tick()
    assert daemon.cursor.after == ""


def test_a_tick_takes_up_so_many_files_and_no_more(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sensors, "FILES_REGISTERED", 1)
    monkeypatch.setattr(sensors, "FILES_PER_TICK", 2)
    for number in range(3):
        write_pdf(daemon.bench.inbox / f"d{number}.pdf", n=number)
    daemon.tick()
    assert [len(daemon.bench.warehouse.documents()), daemon.cursor.after] == [2, "d1.pdf"]


def test_a_file_that_is_gone_is_marked_as_gone(daemon: Daemon) -> None:
    path = write_pdf(daemon.bench.inbox / "a.pdf")
    daemon.execute(daemon.tick())
    path.unlink()
    daemon.tick()
    daemon.bench.warehouse.publish(force=True)
    with daemon.bench.warehouse.reader() as conn:
        assert conn.execute("SELECT present FROM sources").fetchall() == [(False,)]


def test_what_a_dead_run_committed_without_a_word_is_reported_by_the_next_tick(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_pdf(daemon.bench.inbox / "a.pdf")

    def die(*args: object) -> None:
        raise RuntimeError("killed between commit and event")

    with monkeypatch.context() as patch:
        patch.setattr(reporting.Reporter, "report", die)
        assert daemon.execute(daemon.tick()) == [False]
    assert daemon.tick() == []
    for asset in ASSETS:
        assert daemon.bench.partitions(asset)["failed"] == set()
        assert len(daemon.bench.partitions(asset)["materialized"]) == 1
    looked_until = daemon.cursor.ended_until
    daemon.tick()
    assert daemon.cursor.ended_until == looked_until > 0


def test_a_dead_run_is_reported_and_its_documents_are_taken_up_again(daemon: Daemon) -> None:
    write_pdf(daemon.bench.inbox / "a.pdf")
    request = daemon.tick()[0]
    run = create_run_for_test(
        daemon.bench.instance,
        job_name=PLAIN.job,
        status=dg.DagsterRunStatus.STARTED,
        tags=dict(request.tags),
        run_config=dict(request.run_config),
    )
    leave_lock(daemon.settings.data_dir, run.run_id)
    assert documents_of(daemon.tick()) == [["a"]]
    assert "died without a word" in daemon.warnings[0]


def row(name: str, attempts: int) -> DocumentRow:
    blank = DocumentRow.__new__(DocumentRow)
    for field in DocumentRow.__slots__:
        object.__setattr__(blank, field, None)
    return replace(blank, document_id=name, attempts=attempts, status=DocumentStatus.REGISTERED)


@pytest.fixture
def rows() -> Callable[[list[int]], list[DocumentRow]]:
    return lambda attempts: [row(f"d{n:03d}", tried) for n, tried in enumerate(attempts)]


def test_documents_that_were_tried_share_their_run_with_fewer_others(
    rows: Callable[[list[int]], list[DocumentRow]],
) -> None:
    found = rows([0] * 150 + [1] * 25 + [2] * 2)
    partitions = [item.document_id for item in found]
    sizes = [len(batch) for batch in sensors.run_batches(found, partitions, 100)]
    assert sizes == [100, 50, 10, 10, 5, 1, 1]


def test_a_batch_stands_in_the_order_of_the_partitions(
    rows: Callable[[list[int]], list[DocumentRow]],
) -> None:
    found = rows([0, 0, 0])
    assert list(sensors.run_batches(found, ["d002", "x", "d000", "d001"], 100)) == [
        ["d002", "d000", "d001"]
    ]


@pytest.mark.parametrize("text", [None, "", "nonsense", "[1]", '{"other": 1}'])
def test_a_cursor_that_cannot_be_read_starts_afresh(text: str | None) -> None:
    assert Cursor.parse(text) == Cursor()


def test_a_cursor_survives_its_text() -> None:
    cursor = Cursor("ü/a b.pdf", 1.5)
    assert Cursor.parse(str(cursor)) == cursor


def test_the_sensor_runs_from_the_start_and_asks_through_dagster(
    bench: Bench, settings: Settings
) -> None:
    write_pdf(inbox_of(settings) / "a.pdf")
    without_models = settings.model_copy(update={"allow_download": True})
    repository = build_definitions(without_models).get_repository_def()
    sensor = repository.get_sensor_def(PLAIN.sensor)
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.minimum_interval_seconds == settings.sensor_interval_s
    with dg.build_sensor_context(
        instance=bench.instance, repository_def=repository, sensor_name=PLAIN.sensor
    ) as context:
        data = sensor.evaluate_tick(context)
    assert len(data.run_requests or ()) == 1
    assert bench.instance.get_dynamic_partitions("documents")


def cancel(daemon: Daemon, requests: list[dg.RunRequest]) -> None:
    """What the UI's Terminate does to runs that wait in the queue."""
    for run in daemon.queue(requests):
        daemon.bench.instance.report_run_canceling(run)
        daemon.bench.instance.report_run_canceled(run)


def test_a_cancelled_document_waits_until_somebody_asks_for_it(daemon: Daemon) -> None:
    write_pdf(daemon.bench.inbox / "a.pdf")
    cancel(daemon, daemon.tick())
    daemon.later = 4000
    assert daemon.tick() == []
    assert "`deepcompress retry`" in daemon.result.skip_reason.skip_message
    write_pdf(daemon.bench.inbox / "b.pdf", other=1)
    assert documents_of(daemon.tick()) == [["b"]]

    outcome = ingest.retry_failed(
        daemon.bench.instance, daemon.bench.warehouse, daemon.bench.definitions
    )
    assert outcome.success
    rows = {row.file_name: row.status for row in daemon.bench.warehouse.documents()}
    assert rows["a.pdf"] == DocumentStatus.COMPLETE


def test_a_changed_file_of_a_cancelled_document_is_taken_up(daemon: Daemon) -> None:
    path = write_pdf(daemon.bench.inbox / "a.pdf")
    cancel(daemon, daemon.tick())
    write_pdf(path, text="changed")
    os.utime(path, (1, 1))
    assert documents_of(daemon.tick()) == [["a"]]


def test_a_cancelled_document_that_was_asked_for_and_died_is_taken_up_again(
    daemon: Daemon,
) -> None:
    write_pdf(daemon.bench.inbox / "a.pdf")
    cancel(daemon, daemon.tick())
    (name,) = (row.document_id for row in daemon.bench.warehouse.documents())

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    FakeParser.before_page = interrupt
    assert not daemon.bench.run([name]).success
    FakeParser.before_page = None
    daemon.later = 4000
    assert daemon.execute(daemon.tick()) == [True]


def test_staged_pages_of_a_superseded_document_are_cleared_once_nobody_is_at_it(
    daemon: Daemon,
) -> None:
    path = write_pdf(daemon.bench.inbox / "a.pdf", pages=3)
    first = daemon.tick()

    def interrupt(document_id: str, page: int) -> None:
        if page == 3:
            raise KeyboardInterrupt

    FakeParser.before_page = interrupt
    daemon.execute(first)
    FakeParser.before_page = None
    (old,) = (row.document_id for row in daemon.bench.warehouse.documents())
    assert staged(daemon) == [old]
    write_pdf(path, pages=1, text="changed")
    os.utime(path, (1, 1))
    assert daemon.execute(daemon.tick()) == [True]
    assert staged(daemon) == []


def staged(daemon: Daemon) -> list[str]:
    with daemon.bench.warehouse._database.read() as conn:
        rows = conn.execute("SELECT DISTINCT document_id FROM staging.finished").fetchall()
    return [name for (name,) in rows]


def test_a_second_pipeline_on_the_data_folder_is_told_whose_it_is_and_asks_for_nothing(
    bench: Bench, settings: Settings
) -> None:
    write_pdf(bench.inbox / "a.pdf")
    settings = settings.model_copy(update={"allow_download": True})
    first, second = (
        build_definitions(settings, key_prefix=[prefix]).get_repository_def() for prefix in "ab"
    )

    def tick(repository: dg.RepositoryDefinition, prefix: str) -> Any:
        sensor = repository.get_sensor_def(f"{prefix}__new_pdfs")
        with dg.build_sensor_context(
            instance=bench.instance, repository_def=repository, sensor_name=sensor.name
        ) as context:
            return sensor.evaluate_tick(context)

    assert len(tick(first, "a").run_requests) == 1
    refused = tick(second, "b")
    assert not refused.run_requests
    assert len(bench.instance.get_dynamic_partitions("b__documents")) == 0
    assert f"process {os.getpid()} looks after {settings.data_dir} already" in refused.skip_message
    assert len(tick(first, "a").run_requests or ()) <= 1


def test_an_office_file_is_refused_with_the_way_to_a_pdf_and_images_are_taken_up(
    daemon: Daemon,
) -> None:
    write_pdf(daemon.bench.inbox / "sheet.xlsx")
    write_pdf(daemon.bench.inbox / "scan.TIFF", n=1)
    assert documents_of(daemon.tick()) == [["scan"]]
    daemon.tick()
    (warning,) = daemon.warnings
    assert "soffice --headless --convert-to pdf 'sheet.xlsx'" in warning
