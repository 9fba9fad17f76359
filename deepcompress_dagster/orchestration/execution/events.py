"""What Dagster is told of a document: materializations with their tags and data versions.

Dagster's staleness of a partition compares five kinds of tags. Without any one of them every
downstream partition is stale for ever, so they are written in one place, here.

Not here: what the UI shows of a row or a document (metadata.py).
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData as CheckTarget,
)
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.events import AssetMaterializationPlannedData

from deepcompress_dagster import asset_graph
from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.orchestration.checks import Verdict
from deepcompress_dagster.orchestration.execution.event_transactions import one_transaction
from deepcompress_dagster.orchestration.naming import PLAIN, SOURCE_ASSET, Naming
from deepcompress_dagster.orchestration.partitions import batches

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse.types import AssetState, DocumentRow

QUERY_PARTITIONS = 500
"""Partitions in one query; SQLite allows a limited number of parameters."""


def upstream(asset: str) -> tuple[str, ...]:
    """The assets that ``asset`` is computed from, in Dagster's names."""
    return asset_graph.upstream(asset) or (SOURCE_ASSET,)


def source_materialization(
    document: "DocumentRow", path: str, names: Naming = PLAIN
) -> dg.AssetMaterialization:
    """Says that a PDF was registered; its data version is the sha256 of its bytes."""
    return dg.AssetMaterialization(
        names.key(SOURCE_ASSET),
        partition=document.document_id,
        metadata={"path": dg.MetadataValue.path(path), "bytes": document.bytes},
        tags={DATA_VERSION_TAG: document.sha256, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"},
    )


def materialization(
    state: "AssetState",
    newest_inputs: Mapping[str, dg.EventLogRecord | None],
    metadata: Mapping[str, dg.MetadataValue],
    names: Naming = PLAIN,
) -> dg.AssetMaterialization:
    """Says that an asset of a document is committed.

    ``newest_inputs`` gives the newest materialization of each upstream asset.
    """
    pointers = {
        get_input_event_pointer_tag(names.key(parent)): _pointer(
            newest_inputs.get(parent), _input_version(state, parent)
        )
        for parent in upstream(state.asset)
    }
    return dg.AssetMaterialization(
        names.key(state.asset),
        partition=state.document_id,
        metadata=metadata,
        tags={**version_tags(state, names), **pointers},
    )


def _pointer(newest_input: dg.EventLogRecord | None, version: str) -> str:
    """Points to the newest event of an input if that is what was read, else to before it.

    Dagster takes a partition for stale when its input's version changed after this event.
    """
    if newest_input is None:
        return NULL_EVENT_POINTER
    event = newest_input.asset_materialization
    was_read = event is not None and (event.tags or {}).get(DATA_VERSION_TAG) == version
    return str(newest_input.storage_id - (0 if was_read else 1))


def _input_version(state: "AssetState", parent: str) -> str:
    return state.input_versions[asset_graph.SOURCE if parent == SOURCE_ASSET else parent]


def version_tags(state: "AssetState", names: Naming = PLAIN) -> dict[str, str]:
    """The tags that follow from what is committed, all but the event pointers."""
    inputs = {
        get_input_data_version_tag(names.key(parent)): _input_version(state, parent)
        for parent in upstream(state.asset)
    }
    return {
        CODE_VERSION_TAG: state.version,
        DATA_VERSION_TAG: state.data_version,
        DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
        **inputs,
    }


def newest_by_document(
    instance: dg.DagsterInstance, asset: str, document_ids: Sequence[str], names: Naming = PLAIN
) -> dict[str, dg.EventLogRecord]:
    """The newest materialization of an asset, for each document that has one."""
    key = names.key(asset)
    found: dict[str, dg.EventLogRecord] = {}
    for batch in batches(document_ids, QUERY_PARTITIONS):
        storage_ids = instance.get_latest_storage_id_by_partition(
            key, dg.DagsterEventType.ASSET_MATERIALIZATION, set(batch)
        )
        if storage_ids:
            wanted = dg.AssetRecordsFilter(key, storage_ids=list(storage_ids.values()))
            records = instance.fetch_materializations(wanted, limit=len(storage_ids)).records
            found |= {record.partition_key or "": record for record in records}
    return found


def evaluation(
    verdict: Verdict, document_id: str, judged: dg.EventLogRecord, names: Naming = PLAIN
) -> dg.AssetCheckEvaluation:
    """Says how a check came out for the materialization that it ``judged``."""
    return dg.AssetCheckEvaluation(
        asset_key=names.key(verdict.check.asset),
        check_name=verdict.check.name,
        passed=verdict.passed,
        severity=verdict.check.severity,
        metadata=verdict.metadata,
        partition=document_id,
        target_materialization_data=CheckTarget(
            storage_id=judged.storage_id, run_id=judged.run_id, timestamp=judged.timestamp
        ),
    )


def plan_materializations(
    context: dg.AssetExecutionContext,
    document_id: str,
    assets: Collection[str],
    names: Naming = PLAIN,
) -> None:
    """Tell Dagster that this run is about to materialise ``assets`` of a document.

    That is what shows a partition as in progress, and as failed when the run fails without it.
    Dagster does it itself for the partitions that it knows a run to have.
    """
    with one_transaction(context.instance):
        for asset in assets:
            context.instance.report_dagster_event(
                dg.DagsterEvent.build_asset_materialization_planned_event(
                    context.job_name,
                    names.op,
                    AssetMaterializationPlannedData(names.key(asset), partition=document_id),
                ),
                context.run.run_id,
            )


def unreported(
    instance: dg.DagsterInstance, states: Sequence["AssetState"], names: Naming = PLAIN
) -> list["AssetState"]:
    """Those of ``states`` that are committed and that Dagster does not know, upstream first.

    A run that dies between a commit and its events leaves such states behind.
    """
    missing = []
    for asset in ASSETS:
        of_asset = [state for state in states if state.asset == asset]
        known = newest_by_document(
            instance, asset, [state.document_id for state in of_asset], names
        )
        missing += [
            state
            for state in of_asset
            if not _tells(known.get(state.document_id), version_tags(state, names))
        ]
    return missing


def _tells(record: dg.EventLogRecord | None, tags: Mapping[str, str]) -> bool:
    event = record and record.asset_materialization
    return event is not None and tags.items() <= (event.tags or {}).items()


def by_document(states: Sequence["AssetState"]) -> Iterator[tuple[str, list["AssetState"]]]:
    """States grouped by document, each group upstream first."""
    order = {asset: position for position, asset in enumerate(ASSETS)}
    grouped: dict[str, list[AssetState]] = {}
    for state in states:
        grouped.setdefault(state.document_id, []).append(state)
    for document_id, group in grouped.items():
        yield document_id, sorted(group, key=lambda state: order[state.asset])
