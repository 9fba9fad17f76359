"""What the command line asks for."""

from pathlib import Path

import dagster as dg
from dagster._core.test_utils import create_run_for_test

from deepcompress_dagster.orchestration import ingest
from deepcompress_dagster.orchestration.execution.registration import register_documents
from deepcompress_dagster.orchestration.naming import PLAIN
from tests.orchestration.bench import Bench, FakeParser, write_pdf


def source_events(bench: Bench) -> list[str]:
    found = bench.instance.fetch_materializations(dg.AssetKey("source_pdfs"), limit=100).records
    return [record.partition_key or "" for record in found]


def test_registering_adds_partitions_and_says_so_once(bench: Bench) -> None:
    paths = [write_pdf(bench.inbox / f"{name}.pdf", name=name) for name in "ab"]
    first = register_documents(bench.instance, bench.warehouse, paths)
    again = register_documents(bench.instance, bench.warehouse, paths)
    names = [item.document_id for item in first]
    assert [item.document_id for item in again] == names
    assert bench.instance.get_dynamic_partitions("documents") == names
    assert sorted(source_events(bench)) == sorted(name or "" for name in names)


def test_a_file_that_cannot_be_registered_does_not_stop_the_others(bench: Bench) -> None:
    good = write_pdf(bench.inbox / "good.pdf")
    missing, found = register_documents(
        bench.instance, bench.warehouse, [Path("/nowhere/x.pdf"), good]
    )
    assert missing.error
    assert found.document_id


def test_documents_are_materialised_in_runs_of_some(bench: Bench) -> None:
    names = bench.register(a={}, b={}, c={})
    outcome = bench.run(names[::-1], documents_per_run=2, run_tags={"who": "me"})
    assert outcome.success
    assert len(outcome.run_ids) == 2
    assert bench.partitions("pages")["materialized"] == set(names)
    assert all(bench.instance.get_run_by_id(run).tags["who"] == "me" for run in outcome.run_ids)


def test_a_run_that_breaks_says_why(bench: Bench) -> None:
    (name,) = bench.register(a={})

    def burst(*args: object) -> None:
        raise OSError(28, "No space left on device")

    FakeParser.before_page = burst
    outcome = bench.run([name])
    assert not outcome.success
    assert outcome.failures == {}
    assert "No space left on device" in (outcome.error or "")


def test_retry_takes_up_only_what_failed_wherever_it_stands(bench: Bench) -> None:
    specs = {"a": {}, "b": {"fatal": "damaged"}, "c": {}, "d": {"errors": [1]}, "e": {}}
    names = bench.register(**specs)
    bench.run(names)
    FakeParser.log.clear()
    outcome = ingest.retry_failed(bench.instance, bench.warehouse, bench.definitions)
    assert set(outcome.failures) == {names[1]}
    assert {name for name, *_ in FakeParser.log} == {names[3]}
    assert len(outcome.run_ids) == 1


def test_retry_can_be_asked_for_named_documents(bench: Bench) -> None:
    names = bench.register(a={"fatal": "damaged"}, b={"fatal": "damaged"})
    bench.run(names)
    outcome = ingest.retry_failed(bench.instance, bench.warehouse, bench.definitions, [names[1]])
    assert set(outcome.failures) == {names[1]}


def test_retry_leaves_documents_alone_that_a_run_is_at(bench: Bench) -> None:
    (name,) = bench.register(a={"fatal": "damaged"})
    bench.run([name])
    create_run_for_test(
        bench.instance,
        job_name=PLAIN.job,
        status=dg.DagsterRunStatus.STARTED,
        tags={"dagster/partition": name},
    )
    outcome = ingest.retry_failed(bench.instance, bench.warehouse, bench.definitions)
    assert outcome == ingest.RunOutcome()


def test_a_new_home_learns_of_documents_that_are_not_parsed_again(bench: Bench) -> None:
    done, waiting = bench.register(a={}, b={})
    bench.run([done])
    FakeParser.log.clear()
    with dg.DagsterInstance.ephemeral() as other:
        told: list[tuple[int, int]] = []
        found = ingest.reconcile_home(other, bench.warehouse, lambda *now: told.append(now))
        assert found == ingest.Reconciled(partitions=2, materializations=5)
        assert set(other.get_dynamic_partitions("documents")) == {done, waiting}
        assert told == [(1, 1)]
        outcome = ingest.materialize_documents(other, bench.definitions, [done])
        assert outcome.success
    assert FakeParser.log == []
