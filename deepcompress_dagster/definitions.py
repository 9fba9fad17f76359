"""What Dagster loads. Importing this loads neither torch nor DuckDB nor PyMuPDF."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from deepcompress_dagster.orchestration.defs.assets import parse_documents_asset, source_pdfs
from deepcompress_dagster.orchestration.defs.jobs import parse_documents_job
from deepcompress_dagster.orchestration.defs.resources import GpuResource, WarehouseResource
from deepcompress_dagster.orchestration.defs.sensors import new_pdfs
from deepcompress_dagster.settings import Settings, load_settings


def build_definitions(
    settings: Settings | None = None, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """Assets, checks, job, sensor and resources for ``settings``, by default the environment's.

    ``resource_overrides`` replaces ``gpu`` or ``warehouse``. Raises SettingsError.
    """
    chosen = load_settings() if settings is None else settings
    resources = {
        "gpu": GpuResource(),
        "warehouse": WarehouseResource(data_dir=str(chosen.data_dir)),
    }
    with _without_notices():
        job = parse_documents_job()
        return dg.Definitions(
            assets=[source_pdfs(), parse_documents_asset(chosen)],
            jobs=[job],
            sensors=[new_pdfs(chosen, job)],
            resources={**resources, **(resource_overrides or {})},
            executor=dg.in_process_executor,
        )


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
