"""The asset ``exports``: a folder or bucket of Parquet files that follows the tables.

It is there where the settings name a place, with a sensor that asks for a run when the published
snapshot says something new. What an export is stands in export/.
"""

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

import dagster as dg

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.export.forms import ExportError
from deepcompress_dagster.orchestration import run_records
from deepcompress_dagster.orchestration.defs.resources import WarehouseResource
from deepcompress_dagster.orchestration.defs.sensors import wait_after
from deepcompress_dagster.orchestration.naming import EXPORTS_ASSET, PLAIN, Naming
from deepcompress_dagster.settings import Settings

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse import Warehouse

INTERVAL_S = 60
"""Between two looks for news: a run takes some seconds of CPU to start, whatever it writes."""

SNAPSHOT = "snapshot"
"""Metadata of a materialization: the number of the snapshot that the files are as new as."""

_RUNS_LOOKED_AT = 20
"""Failed runs in a row that count; by then the wait is the longest."""


@dataclass(frozen=True)
class Parts:
    """What the definitions have more of."""

    assets: tuple[dg.AssetsDefinition, ...] = ()
    jobs: tuple[Any, ...] = ()
    sensors: tuple[dg.SensorDefinition, ...] = ()


NO_PARTS = Parts()


def parts(settings: Settings, names: Naming = PLAIN) -> Parts:
    """The asset, its job and its sensor, for the place that ``settings`` name."""
    asset = exports_asset(settings, names)
    job = dg.define_asset_job(
        names.exports_job,
        selection=dg.AssetSelection.assets(names.key(EXPORTS_ASSET)),
        executor_def=dg.in_process_executor,
        description="Write what changed to the export, remove what was forgotten.",
    )
    return Parts((asset,), (job,), (exports_in_step(settings, job, names),))


def exports_asset(settings: Settings, names: Naming = PLAIN) -> dg.AssetsDefinition:
    """Parquet files of all current documents, one for each document and table."""

    @dg.asset(
        key=names.key(EXPORTS_ASSET),
        deps=[names.key(asset) for asset in ASSETS],
        group_name=names.group,
        owners=list(names.owners),
        tags=dict(names.tags),
        kinds={"parquet"},
        required_resource_keys={names.warehouse},
        description=f"The tables as Parquet files in {settings.exports}, for programs that do not"
        " know DuckDB; see manifest.json there.",
    )
    def exports(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        from deepcompress_dagster.export import export as exporting

        resource: WarehouseResource = getattr(context.resources, names.warehouse)
        warehouse = resource.open()
        generation = warehouse.generation
        request = exporting.Request(only_changed=True)
        try:
            done = exporting.export(warehouse, settings.exports, request)
        except ExportError as error:
            raise dg.Failure(str(error)) from None
        return dg.MaterializeResult(
            metadata={
                SNAPSHOT: generation,
                "target": settings.exports,
                "documents written": done.written,
                "documents removed": done.removed,
                "files": done.files,
                "bytes": done.bytes,
            }
        )

    return exports


def exports_in_step(settings: Settings, job: Any, names: Naming = PLAIN) -> dg.SensorDefinition:
    """The sensor that asks for a run of ``job`` when a snapshot was published; it runs at once."""

    @dg.sensor(
        name=names.exports_sensor,
        job=job,
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Requests a run that brings the export in step with the newest snapshot.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        from deepcompress_dagster.warehouse import Warehouse

        return next_run(context.instance, Warehouse(settings.data_dir), names)

    return sensor


def next_run(
    instance: dg.DagsterInstance, warehouse: "Warehouse", names: Naming = PLAIN
) -> dg.RunRequest | dg.SkipReason:
    """A run when there is news, or why there is none: a run that failed is tried again later."""
    generation = warehouse.generation
    if generation is None:
        return dg.SkipReason("nothing is published yet")
    if _exported(instance, names) == generation:
        return dg.SkipReason(f"the export is in step with snapshot {generation}")
    runs = run_records.export_runs(instance, names, limit=_RUNS_LOOKED_AT)
    if any(record.dagster_run.status in run_records.UNFINISHED for record in runs):
        return dg.SkipReason("a run is queued or at work")
    ended_badly = run_records.BADLY_ENDED
    failed = list(takewhile(lambda run: run.dagster_run.status in ended_badly, runs))
    if failed and run_records.seconds_since(failed[0]) < wait_after(len(failed) + 1):
        return dg.SkipReason(f"the last {len(failed)} runs failed; the next one waits")
    return dg.RunRequest(tags={"deepcompress/snapshot": str(generation)})


def _exported(instance: dg.DagsterInstance, names: Naming) -> int | None:
    """The number of the snapshot that the newest export was made from."""
    event = instance.get_latest_materialization_event(names.key(EXPORTS_ASSET))
    made = event.asset_materialization if event else None
    value = made.metadata.get(SNAPSHOT) if made else None
    return value.value if isinstance(value, dg.IntMetadataValue) else None
