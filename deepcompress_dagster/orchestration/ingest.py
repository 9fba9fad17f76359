"""What the command line asks for: documents registered, materialised and tried again.

Everything here runs on Dagster's persistent instance, in the calling process, through the same job
and the same asset as the sensor's runs; tables and UI agree whoever did the work.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.orchestration import run_records
from deepcompress_dagster.orchestration.defs import jobs
from deepcompress_dagster.orchestration.defs.assets import FAILED_DOCUMENTS, progress_listener
from deepcompress_dagster.orchestration.execution import events
from deepcompress_dagster.orchestration.execution.executor import RunProgress
from deepcompress_dagster.orchestration.execution.reporting import report_unreported
from deepcompress_dagster.orchestration.naming import PLAIN
from deepcompress_dagster.orchestration.partitions import batches, missing_partitions
from deepcompress_dagster.records import (
    DocumentStatus,
)

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse import Warehouse


_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Events of a run in this process go to Dagster's storage, not to the terminal as well."""


@dataclass(frozen=True)
class RunOutcome:
    """What runs in this process came to. ``failures`` are the reasons by document.

    ``is_interrupted`` says that the user stopped it; finished pages are kept.
    """

    run_ids: tuple[str, ...] = ()
    success: bool = True
    is_interrupted: bool = False
    failures: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    """Why a run failed as a whole, when it was no document's fault."""


@dataclass(frozen=True)
class Reconciled:
    """What a Dagster home was told of a warehouse that it did not know."""

    partitions: int
    materializations: int


def materialize_documents(
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    document_ids: Sequence[str],
    selection: Collection[str] = ASSETS,
    *,
    pages: Collection[int] | None = None,
    documents_per_run: int = 100,
    skip_unchanged: bool = True,
    run_tags: Mapping[str, str] | None = None,
    listen: Callable[[RunProgress], None] | None = None,
) -> RunOutcome:
    """Materialise ``selection`` of the documents now, in this process, in runs of some documents.

    ``listen`` is told of the progress of each run. Ctrl-C ends the present run in good order; the
    outcome says so and no further run starts.
    """
    outcome = RunOutcome()
    instance.add_dynamic_partitions(PLAIN.partitions, missing_partitions(instance, document_ids))
    partitions = instance.get_dynamic_partitions(PLAIN.partitions)
    place = {name: position for position, name in enumerate(partitions)}
    for batch in batches(sorted(document_ids, key=place.__getitem__), documents_per_run):
        token = progress_listener.set(listen) if listen else None
        try:
            result = definitions.resolve_job_def(PLAIN.job).execute_in_process(
                run_config={
                    **jobs.run_config(batch, pages=pages, skip_unchanged=skip_unchanged),
                    **_QUIET,
                },
                instance=instance,
                asset_selection=[PLAIN.key(asset) for asset in ASSETS if asset in selection],
                tags={**(run_tags or {}), **jobs.run_tags(batch, partitions)},
                raise_on_error=False,
            )
        finally:
            if token:
                progress_listener.reset(token)
        outcome = _with_run(outcome, instance, result)
        if outcome.is_interrupted:
            break
    return outcome


def materialize_with_attachments(
    instance: dg.DagsterInstance,
    warehouse: "Warehouse",
    definitions: dg.Definitions,
    document_ids: Sequence[str],
    selection: Collection[str] = ASSETS,
    **options: Any,
) -> tuple[RunOutcome, list[str]]:
    """``materialize_documents``, then the documents found inside those, and inside those again.

    Gives all documents that were taken up, those asked for first. Documents are found inside others
    only where the settings make documents of attachments.
    """
    outcome = materialize_documents(instance, definitions, document_ids, selection, **options)
    taken = list(document_ids)
    found = warehouse.unparsed_attachments(taken)
    while found and not outcome.is_interrupted:
        inner = materialize_documents(
            instance, definitions, found, selection, **{**options, "pages": None}
        )
        outcome = _together(outcome, inner)
        taken += found
        found = [name for name in warehouse.unparsed_attachments(found) if name not in taken]
    return outcome, taken


def _together(first: RunOutcome, second: RunOutcome) -> RunOutcome:
    return RunOutcome(
        run_ids=(*first.run_ids, *second.run_ids),
        success=first.success and second.success,
        is_interrupted=first.is_interrupted or second.is_interrupted,
        failures={**first.failures, **second.failures},
        error=second.error or first.error,
    )


def _with_run(
    outcome: RunOutcome, instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult
) -> RunOutcome:
    failures: dict[str, str] = {}
    error = None
    for event in result.filter_events(lambda event: event.is_step_failure):
        data = event.step_failure_data
        named = data.user_failure_data and data.user_failure_data.metadata.get(FAILED_DOCUMENTS)
        if isinstance(named, dg.JsonMetadataValue) and isinstance(named.data, dict):
            failures |= named.data
        elif data.user_failure_data and data.user_failure_data.description:
            error = data.user_failure_data.description
        elif cause := data.error:
            while cause.cause:
                cause = cause.cause
            error = cause.message.strip()
    run = instance.get_run_by_id(result.run_id)
    return _together(
        outcome,
        RunOutcome(
            run_ids=(result.run_id,),
            success=result.success,
            is_interrupted=run is not None
            and run.tags.get(run_records.INTERRUPTED_TAG) == run_records.BY_SIGNAL,
            failures=failures,
            error=error,
        ),
    )


def retry_failed(
    instance: dg.DagsterInstance,
    warehouse: "Warehouse",
    definitions: dg.Definitions,
    document_ids: Collection[str] | None = None,
    *,
    documents_per_run: int = 100,
    listen: Callable[[RunProgress], None] | None = None,
) -> RunOutcome:
    """Try documents again that did not come out complete: all of them, or those named.

    Among them are those whose run was cancelled, which nobody takes up otherwise.
    They are taken in batches wherever they stand, and however often they were tried before.
    """
    ids = [
        name for name in retryable(instance, warehouse) if not document_ids or name in document_ids
    ]
    busy = run_records.documents_in(instance, run_records.unfinished_runs(instance))
    return materialize_documents(
        instance,
        definitions,
        [name for name in ids if name not in busy],
        documents_per_run=documents_per_run,
        listen=listen,
    )


def retryable(instance: dg.DagsterInstance, warehouse: "Warehouse") -> list[str]:
    """Documents that did not come out complete, and those that were cancelled before they began."""
    tried = [row.document_id for row in warehouse.retryable()]
    cancelled = warehouse.documents(run_records.cancelled_documents(instance) - set(tried))
    return tried + [row.document_id for row in cancelled if row.status is DocumentStatus.REGISTERED]


def reconcile_home(
    instance: dg.DagsterInstance,
    warehouse: "Warehouse",
    listen: Callable[[int, int], None] | None = None,
) -> Reconciled:
    """Tell Dagster of everything that is in the warehouse and that it does not know.

    A warehouse under a new Dagster home is registered this way, and not parsed again.
    """
    rows = warehouse.documents()
    new = set(missing_partitions(instance, [row.document_id for row in rows]))
    instance.add_dynamic_partitions(
        PLAIN.partitions, [row.document_id for row in rows if row.document_id in new]
    )
    for row in rows:
        if row.document_id in new:
            instance.report_runless_asset_event(events.source_materialization(row, row.file_name))
    return Reconciled(len(new), report_unreported(instance, warehouse, None, listen))
