"""Dagster's own staleness of each partition, as the UI shows it."""

from collections.abc import Callable

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.orchestration import ingest
from deepcompress_dagster.orchestration.execution.registration import register_documents
from deepcompress_dagster.settings import Settings
from deepcompress_dagster.warehouse import Warehouse
from tests.orchestration.bench import FakeGpu, inbox_of, write_pdf

Statuses = Callable[[dg.Definitions], dict[str, str]]
FRESH = dict.fromkeys(ASSETS, "FRESH")


@pytest.fixture
def document_id(instance: dg.DagsterInstance, warehouse: Warehouse, settings: Settings) -> str:
    path = write_pdf(inbox_of(settings) / "report.pdf", pages=2)
    found = register_documents(instance, warehouse, [path])[0].document_id
    assert found
    return found


@pytest.fixture
def statuses(instance: dg.DagsterInstance, document_id: str) -> Statuses:
    return lambda definitions: statuses_in(instance, definitions, document_id)


def statuses_in(
    instance: dg.DagsterInstance, definitions: dg.Definitions, name: str
) -> dict[str, str]:
    resolver = CachingStaleStatusResolver(
        instance, definitions.get_repository_def().asset_graph, LoadingContextForTest(instance)
    )
    return {asset: resolver.get_status(dg.AssetKey(asset), name).value for asset in ASSETS}


def changed(settings: Settings, **knobs: object) -> dg.Definitions:
    other = settings.model_copy(update=knobs)
    return build_definitions(other, {"gpu": FakeGpu()})


def materialize(
    instance: dg.DagsterInstance, definitions: dg.Definitions, name: str, *assets: str
) -> None:
    outcome = ingest.materialize_documents(
        instance, definitions, [name], assets or ASSETS, skip_unchanged=False
    )
    assert outcome.success, outcome


def test_everything_is_missing_before_the_first_run(
    definitions: dg.Definitions, statuses: Statuses
) -> None:
    assert statuses(definitions) == dict.fromkeys(ASSETS, "MISSING")


def test_everything_is_fresh_after_a_full_run(
    instance: dg.DagsterInstance, definitions: dg.Definitions, document_id: str, statuses: Statuses
) -> None:
    materialize(instance, definitions, document_id)
    assert statuses(definitions) == FRESH


def test_a_new_code_version_of_layouts_makes_layouts_stale(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    settings: Settings,
    document_id: str,
    statuses: Statuses,
) -> None:
    materialize(instance, definitions, document_id)
    assert statuses(changed(settings, layout_overlap=0.9)) == {**FRESH, "layouts": "STALE"}


def test_layouts_that_came_out_the_same_leave_what_is_made_from_them_fresh(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    settings: Settings,
    document_id: str,
    statuses: Statuses,
) -> None:
    materialize(instance, definitions, document_id)
    other = changed(settings, layout_overlap=0.9)
    materialize(instance, other, document_id, "layouts")
    assert statuses(other) == FRESH


def test_layouts_that_came_out_differently_make_what_is_made_from_them_stale(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    document_id: str,
    statuses: Statuses,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    materialize(instance, definitions, document_id)
    monkeypatch.setattr("tests.builders.LAYOUT_SCORE", 0.5)
    materialize(instance, definitions, document_id, "layouts")
    stale = {"text": "STALE", "tables": "STALE", "figures": "STALE"}
    assert statuses(definitions) == {**FRESH, **stale}

    materialize(instance, definitions, document_id, "text")
    assert statuses(definitions) == {**FRESH, **stale, "text": "FRESH"}


def test_text_alone_leaves_everything_fresh(
    instance: dg.DagsterInstance, definitions: dg.Definitions, document_id: str, statuses: Statuses
) -> None:
    materialize(instance, definitions, document_id)
    materialize(instance, definitions, document_id, "text")
    assert statuses(definitions) == FRESH


def test_a_document_of_another_home_is_fresh_after_reconciliation(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    warehouse: Warehouse,
    document_id: str,
) -> None:
    materialize(instance, definitions, document_id)
    with dg.DagsterInstance.ephemeral() as other:
        told = ingest.reconcile_home(other, warehouse)
        assert told == ingest.Reconciled(partitions=1, materializations=5)
        assert statuses_in(other, definitions, document_id) == FRESH
        assert ingest.reconcile_home(other, warehouse) == ingest.Reconciled(0, 0)


def test_what_is_stale_in_one_home_is_stale_in_another(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    warehouse: Warehouse,
    document_id: str,
    statuses: Statuses,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    materialize(instance, definitions, document_id)
    monkeypatch.setattr("tests.builders.LAYOUT_SCORE", 0.5)
    materialize(instance, definitions, document_id, "layouts")
    materialize(instance, definitions, document_id, "figures")
    with dg.DagsterInstance.ephemeral() as other:
        ingest.reconcile_home(other, warehouse)
        there = statuses_in(other, definitions, document_id)
    assert there == statuses(definitions) == {**FRESH, "text": "STALE", "tables": "STALE"}
