"""The stages, which asset needs which, and what makes an asset's code version."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from deepcompress_dagster.models import catalog
from deepcompress_dagster.models.catalog import Task
from deepcompress_dagster.records import ASSETS
from deepcompress_dagster.settings import Settings

OPEN = "open"
RENDER = "render"
ORIENTATION = "orientation"
LAYOUT = "layout"
TEXT = "text"
RULED_TABLES = "ruled_tables"
TABLES = "tables"
FIGURES = "figures"
DOCUMENT_PASS = "document_pass"

STAGE_ASSET: Mapping[str, str] = {
    OPEN: "pages",
    RENDER: "pages",
    ORIENTATION: "layouts",
    LAYOUT: "layouts",
    TEXT: "text",
    DOCUMENT_PASS: "text",
    RULED_TABLES: "tables",
    TABLES: "tables",
    FIGURES: "figures",
}
"""The asset whose rows a stage's failure spoils."""

PDF_STAGES = frozenset({OPEN, RENDER, RULED_TABLES})
"""Stages that run in the PDF worker processes, on the CPU whatever the device."""

RECORDED_STAGE: Mapping[str, str] = {RULED_TABLES: TABLES}
"""Stages of the stream that the record knows under another name."""

_UPSTREAM: Mapping[str, tuple[str, ...]] = {
    "pages": (),
    "layouts": ("pages",),
    "text": ("layouts",),
    "tables": ("layouts",),
    "figures": ("layouts",),
}

_REVISIONS: Mapping[str, int] = {"pages": 2, "layouts": 3, "text": 5, "tables": 4, "figures": 3}
"""Raised by hand when a change of code changes an asset's rows."""

_MODELS: Mapping[str, tuple[Task, ...]] = {
    "pages": (),
    "layouts": (Task.ORIENTATION, Task.LAYOUT),
    "text": (Task.ORIENTATION, Task.TEXT),
    "tables": (Task.ORIENTATION, Task.TEXT, Task.TABLE),
    "figures": (Task.ORIENTATION, Task.TEXT, Task.FIGURE),
}

_DECODING = ("max_new_tokens", "repetition_penalty", "temperature", "ocr_mode")
_KNOBS: Mapping[str, tuple[str, ...]] = {
    "pages": ("dpi", "max_page_pixels", "jpeg_quality"),
    "layouts": ("layout_threshold", "layout_overlap"),
    "text": _DECODING,
    "tables": _DECODING,
    "figures": _DECODING,
}
"""The settings that change an asset's rows; batch size, device, workers and linger do not."""


@dataclass(frozen=True)
class Plan:
    """What a selection of assets runs.

    ``stored_regions`` says that the regions come from the warehouse, since ``layouts`` is needed
    and not selected.
    """

    assets: tuple[str, ...]
    stored_regions: bool

    def selects(self, asset: str) -> bool:
        return asset in self.assets

    @property
    def finds_regions(self) -> bool:
        """Whether more is asked of a page than its image."""
        return self.selects("layouts") or self.reads_text

    @property
    def reads_text(self) -> bool:
        """Whether words are read from pixels where the text layer does not serve."""
        return any(self.selects(asset) for asset in ("text", "tables", "figures"))

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The models that this plan may call, in the order of the stream."""
        needed = {task for asset in self.assets for task in _MODELS[asset]}
        return tuple(task for task in Task if task in needed)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that this plan may run, upstream first."""
        served = {stage for stage, asset in STAGE_ASSET.items() if asset in self.assets}
        served |= {OPEN, RENDER, ORIENTATION} | ({TEXT} if self.reads_text else set())
        return tuple(stage for stage in STAGE_ASSET if stage in served)


def upstream(asset: str) -> tuple[str, ...]:
    """The assets that ``asset`` is computed from."""
    return _UPSTREAM[asset]


def plan(selection: Collection[str] = ASSETS) -> Plan:
    """The plan for a selection of assets. Raises ValueError for an unknown or empty selection."""
    unknown = sorted(set(selection) - set(ASSETS))
    if unknown or not selection:
        raise ValueError(f"select one or more of {', '.join(ASSETS)}; got {unknown or 'nothing'}")
    assets = tuple(asset for asset in ASSETS if asset in selection)
    needs_regions = any(asset in selection for asset in ("text", "tables", "figures"))
    return Plan(assets, stored_regions=needs_regions and "layouts" not in selection)


def code_versions(settings: Settings) -> dict[str, str]:
    """The code version of each asset: a hash of its revision, models and settings."""
    return {asset: _code_version(asset, settings) for asset in ASSETS}


def _code_version(asset: str, settings: Settings) -> str:
    ingredients = {
        "asset": asset,
        "revision": _REVISIONS[asset],
        "models": {task: catalog.identity(settings, task) for task in _MODELS[asset]},
        "settings": {name: str(getattr(settings, name)) for name in _KNOBS[asset]},
    }
    canonical = json.dumps(ingredients, sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
