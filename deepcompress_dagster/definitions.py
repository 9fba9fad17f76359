"""What Dagster loads. Importing this loads neither torch nor DuckDB nor PyMuPDF."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from deepcompress_dagster.orchestration.defs import alerts, exports
from deepcompress_dagster.orchestration.defs.assets import parse_documents_asset, source_pdfs
from deepcompress_dagster.orchestration.defs.jobs import parse_documents_job
from deepcompress_dagster.orchestration.defs.resources import GpuResource, WarehouseResource
from deepcompress_dagster.orchestration.defs.sensors import new_pdfs
from deepcompress_dagster.orchestration.naming import PLAIN, Naming
from deepcompress_dagster.settings import Settings, load_settings

RESOURCES = ("gpu", "warehouse")


def build_definitions(
    settings: Settings | None = None,
    resource_overrides: Mapping[str, Any] | None = None,
    *,
    key_prefix: Sequence[str] = (),
    group_name: str = PLAIN.group,
    owners: Sequence[str] = PLAIN.owners,
    tags: Mapping[str, str] | None = None,
    executor: dg.ExecutorDefinition | None = dg.in_process_executor,
    resource_names: Mapping[str, str] | None = None,
) -> dg.Definitions:
    """Assets, checks, job, sensor and resources for ``settings``, by default the environment's.

    ``resource_overrides`` replaces ``gpu`` or ``warehouse``. The others are for a project that
    holds more than this: ``key_prefix`` stands before every asset key, and in the names of job,
    sensor, op and partitions; ``executor`` None leaves the choice to the project; with
    ``resource_names`` the resources have other keys there. The result can be merged with the
    project's own by ``dg.Definitions.merge``.

    Raises SettingsError, and ValueError for a resource that there is not.
    """
    chosen = load_settings() if settings is None else settings
    keys = {name: name for name in RESOURCES} | dict(resource_names or {})
    if unknown := sorted(set(keys) - set(RESOURCES)):
        raise ValueError(
            f"resource_names: {', '.join(unknown)}: choose from {', '.join(RESOURCES)}"
        )
    names = Naming(
        key_prefix=tuple(key_prefix),
        group=group_name,
        owners=tuple(owners),
        tags=dict(tags or {}),
        **keys,
    )
    resources: dict[str, Any] = {
        "gpu": GpuResource(),
        "warehouse": WarehouseResource(data_dir=str(chosen.data_dir)).named(names),
        **(resource_overrides or {}),
    }
    with _without_notices():
        job = parse_documents_job(names)
        beside = exports.parts(chosen, names) if chosen.exports else exports.NO_PARTS
        return dg.Definitions(
            assets=[source_pdfs(names), parse_documents_asset(chosen, names), *beside.assets],
            jobs=[job, *beside.jobs],
            sensors=[new_pdfs(chosen, job, names), *beside.sensors, *_alerts(chosen, names)],
            resources={keys[name]: resource for name, resource in resources.items()},
            executor=executor,
        )


def _alerts(settings: Settings, names: Naming) -> list[dg.SensorDefinition]:
    if not settings.failure_webhook:
        return []
    return [alerts.failure_sensor(alerts.webhook(settings.failure_webhook), names)]


@contextmanager
def _without_notices() -> Iterator[None]:
    """Dagster's notices that a part may change are for us: its version is pinned."""
    with warnings.catch_warnings():
        for category in (dg.BetaWarning, dg.PreviewWarning):
            warnings.simplefilter("ignore", category)
        yield


@dg.definitions
def defs() -> dg.Definitions:
    """The definitions for the settings of the environment; made when Dagster asks, not before."""
    return build_definitions()
