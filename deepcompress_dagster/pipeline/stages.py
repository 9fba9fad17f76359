"""What a selection of assets runs, and what makes an asset's code version.

What the assets are stands in asset_graph.py; what a stage does in stage_runs.py.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from deepcompress_dagster.asset_graph import (
    ASSETS,
    DOCUMENT_PASS,
    FIGURES,
    GRAPH,
    LAYOUT,
    OPEN,
    ORIENTATION,
    RENDER,
    RULED_TABLES,
    STAGE_ASSET,
    TABLES,
    TEXT,
    in_order,
    read_from_store,
)
from deepcompress_dagster.models import catalog
from deepcompress_dagster.models.catalog import Task
from deepcompress_dagster.settings import Settings, settings_that_change

T = TypeVar("T")

__all__ = [
    "DOCUMENT_PASS",
    "FIGURES",
    "LAYOUT",
    "OPEN",
    "ORIENTATION",
    "PDF_STAGES",
    "RECORDED_STAGE",
    "RENDER",
    "RULED_TABLES",
    "TABLES",
    "TEXT",
    "Plan",
    "code_versions",
    "plan",
]

PDF_STAGES = frozenset({OPEN, RENDER, RULED_TABLES})
"""Stages that run in the PDF worker processes, on the CPU whatever the device."""

RECORDED_STAGE: Mapping[str, str] = {RULED_TABLES: TABLES}
"""Stages of the stream that the record knows under another name."""


@dataclass(frozen=True)
class Plan:
    """What a selection of assets runs.

    ``stored`` are the assets that are needed and not selected: what the warehouse holds of them is
    read.
    """

    assets: tuple[str, ...]
    stored: tuple[str, ...]

    def selects(self, asset: str) -> bool:
        return asset in self.assets

    @property
    def finds_regions(self) -> bool:
        """Whether more is asked of a page than its image."""
        return self.selects("layouts") or self.reads_text

    @property
    def stored_regions(self) -> bool:
        """Whether the regions come from the warehouse."""
        return "layouts" in self.stored

    def regions_from(self, lookup: T | None) -> T | None:
        """``lookup`` where the regions come from the warehouse, else None.

        Raises ValueError where they do and there is none.
        """
        if not self.stored_regions:
            return None
        if lookup is None:
            raise ValueError(f"{', '.join(self.assets)} need the regions of layouts")
        return lookup

    @property
    def reads_text(self) -> bool:
        """Whether words are read from pixels where the text layer does not serve."""
        return Task.TEXT in self.tasks

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The models that this plan may call, in the order of the stream."""
        needed = {task for asset in self.assets for task in GRAPH[asset].models}
        return tuple(task for task in Task if task in needed)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that this plan may run, upstream first."""
        served = {stage for stage, asset in STAGE_ASSET.items() if asset in self.assets}
        served |= {OPEN, RENDER, ORIENTATION} | ({TEXT} if self.reads_text else set())
        return tuple(stage for stage in STAGE_ASSET if stage in served)


def plan(selection: Collection[str] = ASSETS) -> Plan:
    """The plan for a selection of assets. Raises ValueError for an unknown or empty selection."""
    return Plan(in_order(selection), read_from_store(selection))


def code_versions(settings: Settings) -> dict[str, str]:
    """The code version of each asset: a hash of its revision, models and settings."""
    return {asset: _code_version(asset, settings) for asset in ASSETS}


def _code_version(asset: str, settings: Settings) -> str:
    described = GRAPH[asset]
    ingredients = {
        "asset": asset,
        "revision": described.revision,
        "models": {task: catalog.identity(settings, Task(task)) for task in described.models},
        "settings": {name: str(getattr(settings, name)) for name in settings_that_change(asset)},
    }
    canonical = json.dumps(ingredients, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
