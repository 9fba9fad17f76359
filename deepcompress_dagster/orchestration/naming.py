"""What this pipeline's parts are called in Dagster, so that several can live in one project.

What belongs here: names and nothing else. Without a key prefix they are the plain ones of a
project of its own; with one, job, sensor, op and partitions carry it too: names must differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg

from deepcompress_dagster.asset_graph import ASSETS

SOURCE_ASSET = "source_pdfs"
"""The asset that stands for the registered PDFs."""

EXPORTS_ASSET = "exports"
"""The asset that keeps a folder of Parquet files in step, where the settings name one."""


@dataclass(frozen=True)
class Naming:
    """Names of one pipeline. ``gpu`` and ``warehouse`` are the keys of its resources."""

    key_prefix: tuple[str, ...] = ()
    group: str = "documents"
    owners: tuple[str, ...] = ("team:documents",)
    tags: Mapping[str, str] = field(default_factory=dict)
    gpu: str = "gpu"
    warehouse: str = "warehouse"

    def key(self, asset: str) -> dg.AssetKey:
        """The key of an asset that is called ``asset`` here."""
        return dg.AssetKey([*self.key_prefix, asset])

    def asset_keys(self, assets: tuple[str, ...] = ASSETS) -> list[dg.AssetKey]:
        """The keys of several assets."""
        return [self.key(asset) for asset in assets]

    @property
    def partitions(self) -> str:
        """Name of the dynamic partitions, which an instance knows by name."""
        return self._name("documents")

    @property
    def partitions_def(self) -> dg.DynamicPartitionsDefinition:
        return dg.DynamicPartitionsDefinition(name=self.partitions)

    @property
    def op(self) -> str:
        return self._name("parse_documents")

    @property
    def job(self) -> str:
        return self._name("parse_documents_job")

    @property
    def sensor(self) -> str:
        return self._name("new_pdfs")

    @property
    def exports_job(self) -> str:
        return self._name("exports_job")

    @property
    def exports_sensor(self) -> str:
        return self._name("exports_in_step")

    @property
    def failure_sensor(self) -> str:
        return self._name("failed_runs")

    def _name(self, plain: str) -> str:
        return "__".join([*self.key_prefix, plain])


PLAIN = Naming()
"""The names in a project of its own."""
