"""Runs over the five assets, with a parser that does what its files say."""

import os
import signal
from typing import Any

import dagster as dg
import pytest

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.file_lock import is_held
from deepcompress_dagster.orchestration import run_records
from deepcompress_dagster.orchestration.execution import executor, reporting
from deepcompress_dagster.orchestration.execution.planning import RunSpec
from deepcompress_dagster.orchestration.naming import PLAIN
from deepcompress_dagster.passwords import Passwords
from deepcompress_dagster.pdf.errors import transient_error_types
from deepcompress_dagster.pipeline import stages
from deepcompress_dagster.settings import Settings
from tests.orchestration.bench import Bench, FakeParser


def parsed(assets: tuple[str, ...] = ASSETS) -> list[tuple[str, int]]:
    """Documents and pages that the parser was asked for, all of them for ``assets``."""
    assert all(selection == assets for _, selection, _ in FakeParser.log), FakeParser.log
    return [(name, page) for name, _, page in FakeParser.log]


def test_a_document_is_materialised_in_the_order_of_its_assets(bench: Bench) -> None:
    (name,) = bench.register(report={"pages": 2})
    outcome = bench.run([name])
    assert outcome.success
    assert bench.materializations(outcome.run_ids[0]) == [(asset, name) for asset in ASSETS]
    assert bench.warehouse.documents([name])[0].status == "complete"


def test_a_materialization_carries_all_that_staleness_compares(bench: Bench) -> None:
    (name,) = bench.register(report={})
    bench.run([name])
    state = bench.state(name)["text"]
    upstream = bench.instance.get_latest_materialization_event(dg.AssetKey("layouts"))
    record = bench.instance.get_latest_data_version_record(dg.AssetKey("layouts"))
    event = bench.instance.get_latest_materialization_event(dg.AssetKey("text"))
    assert event
    assert event.asset_materialization
    assert upstream
    assert record
    tags = event.asset_materialization.tags or {}
    assert {
        "dagster/code_version": state.version,
        "dagster/data_version": state.data_version,
        "dagster/data_version_is_user_provided": "true",
        "dagster/input_data_version/layouts": bench.state(name)["layouts"].data_version,
        "dagster/input_event_pointer/layouts": str(record.storage_id),
    }.items() <= tags.items()


def test_pages_point_to_the_registered_pdf(bench: Bench) -> None:
    (name,) = bench.register(report={})
    bench.run([name])
    event = bench.instance.get_latest_materialization_event(dg.AssetKey("pages"))
    assert event
    assert event.asset_materialization
    tags = event.asset_materialization.tags or {}
    sha256 = bench.warehouse.documents([name])[0].sha256
    assert tags["dagster/input_data_version/source_pdfs"] == sha256
    assert tags["dagster/input_event_pointer/source_pdfs"] != "NULL"


def test_a_materialization_shows_rows_pages_seconds_models_and_a_preview(bench: Bench) -> None:
    (name,) = bench.register(report={"pages": 2, "text": "Hello there"})
    bench.run([name])
    shown = {
        asset: bench.instance.get_latest_materialization_event(
            dg.AssetKey(asset)
        ).asset_materialization.metadata
        for asset in ("layouts", "text", "tables")
    }
    assert shown["layouts"]["rows"].value == 6
    assert shown["layouts"]["dagster/partition_row_count"].value == 6
    assert shown["layouts"]["pages"].value == 2
    assert shown["layouts"]["seconds by stage"].value == {"layout": 0.5}
    assert shown["layouts"]["seconds per page"].value == 0.25
    assert shown["layouts"]["model loads"].value == {"fake": 1}
    assert shown["text"]["mean confidence"].value == 1.0
    assert "Hello there" in shown["text"]["preview"].value
    assert shown["tables"]["first table"].value == "| Year | Sum |\n| --- | --- |"


def test_one_bad_document_fails_alone_and_the_run_names_it(bench: Bench) -> None:
    good, bad, other = bench.register(a={}, b={"fatal": "encrypted"}, c={})
    outcome = bench.run([good, bad, other])
    assert not outcome.success
    assert outcome.failures == {bad: "encrypted: cannot open"}
    for asset in ASSETS:
        shown = bench.partitions(asset)
        assert shown == {"materialized": {good, other}, "failed": {bad}, "in progress": set()}
    assert bench.warehouse.documents([bad])[0].status == "failed"
    assert bench.warehouse.failures([bad])[0].message == "encrypted: cannot open"


@pytest.mark.parametrize(("kind", "may_pass"), [("file_vanished", True), ("encrypted", False)])
def test_only_a_failure_that_may_pass_allows_dagster_to_retry(
    bench: Bench, kind: str, may_pass: bool
) -> None:
    (bad,) = bench.register(b={"fatal": kind})
    result = bench.launch(dagster__partition=bad)
    failure = next(event for event in result.all_events if event.is_step_failure)
    data = failure.step_failure_data.user_failure_data
    assert data
    assert (kind in transient_error_types()) == may_pass
    assert bad in (data.description or "")


def test_a_page_error_costs_the_page_and_warns(bench: Bench) -> None:
    (name,) = bench.register(report={"pages": 3, "errors": [2]})
    outcome = bench.run([name])
    assert outcome.success
    assert bench.warehouse.documents([name])[0].status == "partial"
    checks = evaluations(bench, outcome.run_ids[0])
    warned = checks["page_errors"]
    assert (warned.passed, warned.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert warned.metadata["value"].value == 1
    assert checks["every_page_accounted_for"].passed


def evaluations(bench: Bench, run_id: str) -> dict[str, dg.AssetCheckEvaluation]:
    entries = bench.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    found = [entry.get_dagster_event().asset_check_evaluation_data for entry in entries]
    return {evaluation.check_name: evaluation for evaluation in found}


def test_checks_judge_the_document_and_point_to_its_materialization(bench: Bench) -> None:
    overlapping = [(0, 0, 1, 2, "a"), (0, 1, 1, 1, "b")]
    (name,) = bench.register(report={"text": "ok " + "\ufffd" * 9, "cells": overlapping})
    outcome = bench.run([name])
    checks = evaluations(bench, outcome.run_ids[0])
    assert {check for check, found in checks.items() if not found.passed} == {
        "garbled_text",
        "doubtful_text",
        "overlapping_cells",
    }
    record = bench.instance.get_latest_data_version_record(dg.AssetKey("text"))
    target = checks["garbled_text"].target_materialization_data
    assert checks["garbled_text"].partition == name
    assert record
    assert target
    assert target.storage_id == record.storage_id


def test_a_partition_from_the_ui_needs_no_configuration(bench: Bench) -> None:
    first, second = bench.register(a={}, b={})
    result = bench.launch(dagster__partition=second)
    assert result.success
    assert bench.partitions("text")["materialized"] == {second}
    assert first not in {name for name, *_ in FakeParser.log}


def test_a_range_from_the_ui_takes_all_between(bench: Bench) -> None:
    names = bench.register(a={}, b={}, c={}, d={})
    bench.launch(
        dagster__asset_partition_range_start=names[0], dagster__asset_partition_range_end=names[2]
    )
    assert bench.partitions("pages")["materialized"] == set(names[:3])


def test_named_documents_are_taken_within_the_range_only(bench: Bench) -> None:
    names = bench.register(a={}, b={}, c={}, d={})
    bench.launch(
        config={"documents": [names[0], names[3]]},
        dagster__asset_partition_range_start=names[0],
        dagster__asset_partition_range_end=names[1],
    )
    assert bench.partitions("pages")["materialized"] == {names[0]}


def test_documents_that_stand_apart_run_together_and_leave_others_alone(bench: Bench) -> None:
    names = bench.register(a={}, b={}, c={"fatal": "encrypted"}, d={}, e={"fatal": "damaged"})
    assert bench.run([names[1], names[3]]).success
    outcome = bench.run([names[0], names[2], names[4]])
    assert len(outcome.run_ids) == 1
    assert set(outcome.failures) == {names[2], names[4]}
    assert bench.partitions("figures") == {
        "materialized": {names[0], names[1], names[3]},
        "failed": {names[2], names[4]},
        "in progress": set(),
    }


def test_a_document_is_shown_in_progress_while_it_is_parsed(bench: Bench) -> None:
    names = bench.register(a={}, b={}, c={})
    seen: list[set[str]] = []
    FakeParser.before_page = lambda name, page: seen.append(bench.partitions("text")["in progress"])
    bench.run([names[0], names[2]])
    assert names[2] in seen[-1]
    assert names[1] not in seen[-1]


def test_unchanged_documents_of_a_failing_run_are_not_shown_as_failed(bench: Bench) -> None:
    names = bench.register(a={}, b={"fatal": "encrypted"}, c={})
    bench.run([names[0]])
    bench.run(names, skip_unchanged=True)
    assert bench.partitions("text") == {
        "materialized": {names[0], names[2]},
        "failed": {names[1]},
        "in progress": set(),
    }


def test_text_alone_is_computed_and_replaced_alone(bench: Bench) -> None:
    (name,) = bench.register(report={"pages": 2})
    bench.run([name])
    before = bench.state(name)
    FakeParser.log.clear()
    outcome = bench.run([name], "text")
    assert parsed(("text",)) == [(name, 1), (name, 2)]
    assert bench.materializations(outcome.run_ids[0]) == [("text", name)]
    after = bench.state(name)
    assert after["text"].run_id == outcome.run_ids[0]
    assert {a: s for a, s in after.items() if a != "text"} == {
        a: s for a, s in before.items() if a != "text"
    }


def test_text_without_layouts_says_what_to_materialise_first(bench: Bench) -> None:
    (name,) = bench.register(report={})
    outcome = bench.run([name], "text")
    assert not outcome.success
    assert "materialise layouts" in outcome.failures[name]
    assert FakeParser.log == []
    assert bench.warehouse.documents([name])[0].status == "registered"


def test_a_document_without_layouts_does_not_stop_the_others(bench: Bench) -> None:
    ready, bare = bench.register(a={}, b={})
    bench.run([ready])
    outcome = bench.run([ready, bare], "text")
    assert set(outcome.failures) == {bare}
    assert ("text", ready) in bench.materializations(outcome.run_ids[0])


def test_an_explicit_run_computes_again_what_is_unchanged(bench: Bench) -> None:
    (name,) = bench.register(report={})
    bench.run([name])
    FakeParser.log.clear()
    assert bench.launch(dagster__partition=name).success
    assert parsed() == [(name, 1)]


def test_a_run_that_skips_the_unchanged_computes_and_reports_nothing(bench: Bench) -> None:
    (name,) = bench.register(report={})
    bench.run([name])
    FakeParser.log.clear()
    outcome = bench.run([name], skip_unchanged=True)
    assert outcome.success
    assert FakeParser.log == []
    assert bench.materializations(outcome.run_ids[0]) == []


def test_a_run_that_skips_the_unchanged_computes_what_has_errors(bench: Bench) -> None:
    (name,) = bench.register(report={"pages": 2, "errors": [1]})
    bench.run([name])
    FakeParser.log.clear()
    bench.run([name], skip_unchanged=True)
    assert parsed(("text",)) == [(name, 1), (name, 2)]


def test_committed_and_unreported_documents_are_reported_and_not_computed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = bench.register(report={})

    def die(*args: Any) -> None:
        raise RuntimeError("between commit and event")

    with monkeypatch.context() as patch:
        patch.setattr(reporting.Reporter, "report", die)
        outcome = bench.run([name])
    assert outcome.error
    assert "between commit and event" in outcome.error
    assert bench.warehouse.documents([name])[0].status == "complete"
    FakeParser.log.clear()

    outcome = bench.run([name])
    assert outcome.success
    assert FakeParser.log == []
    assert bench.materializations(outcome.run_ids[0]) == [(asset, name) for asset in ASSETS]
    assert len(evaluations(bench, outcome.run_ids[0])) == 6


def test_a_run_goes_on_where_an_earlier_one_died(bench: Bench) -> None:
    (name,) = bench.register(report={"pages": 5})

    def die_at_four(document_id: str, page: int) -> None:
        if page == 4:
            raise RuntimeError("power cut")

    FakeParser.before_page = die_at_four
    assert not bench.run([name]).success
    FakeParser.before_page = None
    FakeParser.log.clear()
    assert bench.run([name]).success
    assert parsed() == [(name, 4), (name, 5)]
    assert bench.state(name)["pages"].pages == "1-5"


def test_the_first_page_of_a_run_can_be_read_at_once(bench: Bench) -> None:
    (name,) = bench.register(report={"pages": 9})
    live: list[int] = []

    def look(document_id: str, page: int) -> None:
        if page == 2:
            with bench.warehouse.reader() as conn:
                row = conn.execute("SELECT count(*) FROM live_pages").fetchone()
            live.extend(row or ())

    FakeParser.before_page = look
    bench.run([name])
    assert live == [1]


def test_a_failed_run_publishes_what_it_committed(bench: Bench) -> None:
    good, bad = bench.register(a={}, b={"fatal": "encrypted"})
    bench.run([good, bad])
    with bench.warehouse.reader() as conn:
        found = conn.execute("SELECT document_id FROM pages").fetchall()
    assert found == [(good,)]


def test_ctrl_c_stops_a_run_in_good_order(bench: Bench) -> None:
    name, later = bench.register(report={"pages": 4}, later={})

    def interrupt(document_id: str, page: int) -> None:
        if page == 3:
            os.kill(os.getpid(), signal.SIGINT)

    FakeParser.before_page = interrupt
    outcome = bench.run([name, later], documents_per_run=1)
    assert outcome.is_interrupted
    assert not outcome.success
    assert len(outcome.run_ids) == 1
    assert FakeParser.open_parsers == 0
    path = run_records.lock_path(bench.warehouse.data_dir, outcome.run_ids[0])
    assert not is_held(path)
    assert bench.state(name) == {}

    FakeParser.before_page = None
    FakeParser.log.clear()
    assert bench.run([name]).success
    assert parsed() == [(name, 3), (name, 4)]


def test_a_run_that_is_abandoned_between_events_leaves_nothing_open(
    bench: Bench, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepcompress_dagster.pipeline.commit.GROUP_SECONDS", 0)
    name, later = bench.register(a={}, b={})
    spec = RunSpec("run", [name, later], ASSETS, stages.code_versions(settings))
    run = executor.RunExecutor(
        spec,
        bench.instance,
        bench.warehouse,
        settings,
        Passwords(),
        open_host=FakeParser,
        announce=lambda *_: None,
        listen=lambda _: None,
    )
    events = run.run()
    next(events)
    assert FakeParser.open_parsers == 1
    events.close()
    assert FakeParser.open_parsers == 0
    assert set(bench.state(name)) == set(ASSETS)
    assert bench.state(later) == {}


def test_pages_of_a_run_are_the_only_ones_parsed(bench: Bench) -> None:
    (name,) = bench.register(report={"pages": 5})
    assert bench.run([name], pages=[2, 3]).success
    assert parsed() == [(name, 2), (name, 3)]
    assert bench.state(name)["pages"].pages == "2-3"


def test_text_follows_the_pages_that_layouts_cover(bench: Bench) -> None:
    (name,) = bench.register(report={"pages": 5})
    bench.run([name], pages=[2, 3])
    FakeParser.log.clear()
    assert bench.run([name], "text").success
    assert parsed(("text",)) == [(name, 2), (name, 3)]
    outcome = bench.run([name], "text", pages=[5])
    assert "layouts" in outcome.failures[name]


def test_a_document_whose_bytes_are_lost_fails_alone(bench: Bench) -> None:
    lost, sound = bench.register(a={}, b={})
    path = bench.warehouse.kept_pdf(lost)
    path.chmod(0o644)
    path.unlink()
    outcome = bench.run([lost, sound])
    assert set(outcome.failures) == {lost}
    assert bench.warehouse.documents([lost])[0].status == "failed"
    assert bench.partitions("text")["materialized"] == {sound}


def test_a_partition_that_the_warehouse_does_not_know_fails_alone(bench: Bench) -> None:
    (name,) = bench.register(a={})
    bench.instance.add_dynamic_partitions("documents", ["ghost"])
    outcome = bench.run([name, "ghost"])
    assert set(outcome.failures) == {"ghost"}


def test_progress_is_told_page_by_page(bench: Bench) -> None:
    names = bench.register(a={"pages": 2}, b={"fatal": "encrypted"}, c={"pages": 3})
    told: list[executor.RunProgress] = []
    bench.run(names, listen=told.append)
    assert told[-1] == executor.RunProgress(documents=3, documents_done=3, pages=5, pages_done=5)
    assert [p.pages_done for p in told] == sorted(p.pages_done for p in told)


def test_the_launchpad_changes_settings_for_one_run(bench: Bench) -> None:
    (name,) = bench.register(report={})
    bench.run([name])
    before = bench.state(name)["text"].version
    result = bench.definitions.resolve_job_def(PLAIN.job).execute_in_process(
        instance=bench.instance,
        tags={"dagster/partition": name},
        run_config={"resources": {"gpu": {"config": {"profile": "full"}}}},
        raise_on_error=False,
    )
    assert result.success
    assert bench.state(name)["text"].version != before


def test_progress_of_the_lower_floors_is_in_the_log_of_the_run(bench: Bench) -> None:
    import logging

    (name,) = bench.register(report={})
    logger = logging.getLogger("deepcompress_dagster.streaming.metrics")
    FakeParser.before_page = lambda *_: logger.info("layout: 1 page in 0.25 s")
    outcome = bench.run([name])
    messages = [entry.user_message for entry in bench.instance.all_logs(outcome.run_ids[0])]
    assert any("layout: 1 page in 0.25 s" in message for message in messages)
    assert any("documents: 1 committed" in message for message in messages)
