"""The assets: ``source_pdfs``, and the five that one function materialises together or apart.

Here belongs what Dagster has to know of them. What a run does is execution/'s, what an asset is
made from stands in asset_graph.py.
"""

from collections.abc import Callable, Collection, Iterator
from contextvars import ContextVar
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import dagster as dg
from pydantic import Field

from deepcompress_dagster.asset_graph import ASSETS, GRAPH
from deepcompress_dagster.hosts.errors import HostError
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.orchestration import checks, disk, run_records
from deepcompress_dagster.orchestration.defs.resources import GpuResource, WarehouseResource
from deepcompress_dagster.orchestration.execution import events, metadata
from deepcompress_dagster.orchestration.execution.executor import (
    DocumentOutcomes,
    RunExecutor,
    RunProgress,
)
from deepcompress_dagster.orchestration.execution.planning import RunSpec
from deepcompress_dagster.orchestration.execution.reporting import Event
from deepcompress_dagster.orchestration.naming import PLAIN, SOURCE_ASSET, Naming
from deepcompress_dagster.passwords import load_passwords
from deepcompress_dagster.pipeline import stages
from deepcompress_dagster.process_hooks import forwarded_logs
from deepcompress_dagster.settings import ParseOn, Settings, SettingsError
from deepcompress_dagster.warehouse import WarehouseBusyError, WarehouseError

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse import Warehouse

POOL = "gpu"
"""Limited to one op at a time, where each loads models of its own. Elsewhere runs share them."""

FAILED_DOCUMENTS = "failed documents"
"""Metadata of a failed run: its failed documents with the reasons."""

LONGEST_LISTING = 20
"""Failed documents that a run's error names; all of them are in its metadata."""


OpEvent: TypeAlias = Event | dg.Output[None]


def _ignore(progress: RunProgress) -> None:
    pass


progress_listener: ContextVar[Callable[[RunProgress], None]] = ContextVar(
    "progress_listener", default=_ignore
)
"""Who is told how far a run in this process is: the progress bar of the command line."""


class ParseConfig(dg.Config):
    """What a run works on; without any of it, all pages of its partitions."""

    documents: list[str] = Field(
        default=[],
        description="Documents of this run, within its partitions if it has any. Empty: all.",
    )
    pages: list[int] = Field(
        default=[], description="Pages to parse of each document, from 1. Empty: all."
    )
    skip_unchanged: bool = Field(
        default=False,
        description="Leave alone what is committed, current and without errors.",
    )


def source_pdfs(names: Naming = PLAIN) -> dg.AssetSpec:
    """The PDFs themselves: materialised by whoever registers them, never by a run."""
    return dg.AssetSpec(
        names.key(SOURCE_ASSET),
        partitions_def=names.partitions_def,
        group_name=names.group,
        owners=list(names.owners),
        tags=dict(names.tags),
        kinds={"file"},
        description="The registered PDFs, one partition a document, known by their sha256.",
    )


def asset_specs(settings: Settings, names: Naming = PLAIN) -> list[dg.AssetSpec]:
    """The five assets, with the code versions that ``settings`` give them."""
    versions = stages.code_versions(settings)
    return [
        dg.AssetSpec(
            names.key(asset),
            deps=[names.key(parent) for parent in events.upstream(asset)],
            skippable=True,
            group_name=names.group,
            owners=list(names.owners),
            tags=dict(names.tags),
            kinds=set(GRAPH[asset].kinds),
            code_version=versions[asset],
            description=metadata.description(asset),
            metadata=metadata.asset_metadata(asset, parse_documents_asset),
            freshness_policy=_freshness(settings),
        )
        for asset in ASSETS
    ]


def _freshness(settings: Settings) -> dg.FreshnessPolicy | None:
    if not settings.freshness_hours:
        return None
    window = timedelta(hours=settings.freshness_hours)
    return dg.FreshnessPolicy.time_window(fail_window=window)


def parse_documents_asset(settings: Settings, names: Naming = PLAIN) -> dg.AssetsDefinition:
    """The five assets as one function that materialises any of them for any documents."""

    @dg.multi_asset(
        name=names.op,
        specs=asset_specs(settings, names),
        check_specs=checks.specs(names),
        partitions_def=names.partitions_def,
        required_resource_keys={names.gpu, names.warehouse},
        can_subset=True,
        pool=POOL if settings.parse_on is ParseOn.PROCESS else None,
        backfill_policy=dg.BackfillPolicy.multi_run(settings.documents_per_run),
    )
    def parse_documents(
        context: dg.AssetExecutionContext, config: ParseConfig
    ) -> Iterator[OpEvent]:
        gpu: GpuResource = getattr(context.resources, names.gpu)
        warehouse: WarehouseResource = getattr(context.resources, names.warehouse)
        with forwarded_logs(context.log.log):
            yield from _parse(context, config, gpu, warehouse.open(), settings, names)

    return parse_documents


def _parse(
    context: dg.AssetExecutionContext,
    config: ParseConfig,
    gpu: GpuResource,
    warehouse: "Warehouse",
    defined: Settings,
    names: Naming,
) -> Iterator[OpEvent]:
    settings = gpu.applied_to(defined)
    warehouse.set_current_versions(stages.code_versions(defined))
    selected = {key.path[-1] for key in context.selected_asset_keys}
    spec = RunSpec(
        run_id=context.run.run_id,
        document_ids=_document_ids(context, config),
        assets=[asset for asset in ASSETS if asset in selected],
        versions=stages.code_versions(settings),
        pages=tuple(sorted(config.pages)) or None,
        skip_unchanged=config.skip_unchanged,
    )
    try:
        passwords = load_passwords(settings)
    except SettingsError as error:
        raise _stopped(error, str(error)) from None
    executor = RunExecutor(
        spec,
        context.instance,
        warehouse,
        settings,
        passwords,
        open_host=partial(gpu.host, settings),
        announce=_announcer(context, names),
        listen=progress_listener.get(),
        names=names,
    )
    try:
        yield from executor.run()
    except (HostError, ModelError, WarehouseError, OSError, disk.NoRoomError) as error:
        if reason := disk.disk_reason(error):
            _note_interruption(context, run_records.BY_DISK)
            raise _stopped(error, reason) from None
        if reason := disk.permission_reason(error):
            raise _stopped(error, reason) from None
        if isinstance(error, OSError):
            raise
        raise _stopped(error, str(error)) from None
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        _note_interruption(context, run_records.BY_SIGNAL)
        raise
    yield from _check_outputs(context)
    context.log.info(_summary(executor))
    if executor.outcome.failures:
        raise _failure(executor.outcome, len(spec.document_ids))


def _document_ids(context: dg.AssetExecutionContext, config: ParseConfig) -> list[str]:
    """The documents that a run names, within its partition or range; see ``jobs.run_tags``."""
    if run_records.SCATTERED_TAG in context.run.tags:
        return config.documents
    named = frozenset(config.documents or context.partition_keys)
    return [key for key in context.partition_keys if key in named]


def _announcer(
    context: dg.AssetExecutionContext, names: Naming
) -> Callable[[str, Collection[str]], None]:
    """Announces what is about to be computed, where Dagster did not when it made the run."""
    known = frozenset(context.partition_keys)

    def announce(document_id: str, assets: Collection[str]) -> None:
        if document_id not in known:
            events.plan_materializations(context, document_id, assets, names)

    return announce


def _check_outputs(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
    """What Dagster expects of each check at the end; the evaluations themselves came before."""
    for key in context.selected_asset_check_keys:
        name = dg.AssetCheckSpec(key.name, asset=key.asset_key).get_python_identifier()
        yield dg.Output(None, output_name=name)


def _summary(executor: RunExecutor) -> str:
    outcome = executor.outcome
    usage = executor.usage()
    loads = ", ".join(f"{name} {count}x" for name, count in (usage.loads if usage else {}).items())
    return (
        f"documents: {len(outcome.committed)} committed, {len(outcome.reported)} committed before"
        f" and reported now, {len(outcome.unchanged)} unchanged, {len(outcome.failures)} failed;"
        f" pages: {outcome.pages}; parsed on: {usage.place if usage else 'nothing to parse'};"
        f" models loaded: {loads or 'none'}"
    )


def _note_interruption(context: dg.AssetExecutionContext, why: str) -> None:
    context.instance.add_run_tags(context.run.run_id, {run_records.INTERRUPTED_TAG: why})


def _stopped(error: Exception, reason: str) -> dg.Failure:
    """What a user can mend, as its message alone: a traceback would hide what to do."""
    return dg.Failure(
        reason,
        metadata={"error": type(error).__name__},
        allow_retries=isinstance(error, WarehouseBusyError),
    )


def _failure(outcome: DocumentOutcomes, total: int) -> dg.Failure:
    reasons = [f"{name}: {reason}" for name, reason in outcome.failures.items()]
    listed = reasons[:LONGEST_LISTING]
    if len(reasons) > len(listed):
        listed.append(f"and {len(reasons) - len(listed)} more")
    return dg.Failure(
        f"{len(reasons)} of {total} documents failed:\n" + "\n".join(listed),
        metadata={FAILED_DOCUMENTS: dg.MetadataValue.json(dict(outcome.failures))},
        allow_retries=outcome.may_pass_later,
    )
