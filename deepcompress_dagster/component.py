"""The pipeline as a Dagster component: a few lines of YAML in somebody else's project.

    dg scaffold defs deepcompress_dagster.PdfTables pdfs

What belongs here: what the YAML may say, and how it becomes definitions. What does not: the
definitions themselves, which definitions.py makes.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import dagster as dg
from pydantic import Field

from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.object_store import is_address
from deepcompress_dagster.orchestration.naming import PLAIN
from deepcompress_dagster.settings import (
    Settings,
    SettingsError,
    load_settings,
    split_inboxes,
)


class PdfTables(dg.Component, dg.Model, dg.Resolvable):
    """PDFs of a folder as assets: pages, layouts, text, tables, figures, over a DuckDB file.

    Everything else that can be set stands under ``settings``, by the names of the settings. Several
    instances live side by side in one project; each needs a data folder and a key prefix of its
    own.
    """

    inbox: str | Sequence[str] = Field(
        description="Folder watched for PDFs, an address such as s3://BUCKET/PREFIX, or several.",
        examples=["inbox"],
    )
    data_dir: str = Field(
        description="Folder of the tables, on a local disk; one for each instance.",
        examples=["data/pdfs"],
    )
    profile: str = Field(default="embedded", description="embedded (CPU) or full (GPU).")
    key_prefix: Sequence[str] = Field(
        default=(), description="Stands before every asset key.", examples=[["pdfs"]]
    )
    group_name: str = Field(default=PLAIN.group, description="Group of the assets.")
    owners: Sequence[str] = Field(
        default=(), description="Owners of the assets.", examples=[["team:documents"]]
    )
    tags: Mapping[str, str] = Field(default={}, description="Tags of the assets.")
    executor: Literal["in_process"] | None = Field(
        default=None,
        description="in_process, or empty: the project's own. The job always runs in one process.",
    )
    resource_names: Mapping[str, str] = Field(
        default={},
        description="Other keys for the resources gpu and warehouse.",
        examples=[{"warehouse": "pdf_warehouse"}],
    )
    settings: Mapping[str, Any] = Field(
        default={}, description="Any other setting by its name.", examples=[{"dpi": 200}]
    )

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of this instance.

        Raises SettingsError for a setting that there is not, or that is out of its range, and for
        a data folder that another instance has as well.
        """
        unknown = sorted(set(self.settings) - set(Settings.model_fields))
        if unknown:
            raise SettingsError(
                f"{context.path}: settings: there is no {', '.join(unknown)}; the settings page of"
                " the documentation lists them"
            )
        self._require_own_folder(context)
        return build_definitions(
            self._chosen(context),
            key_prefix=self.key_prefix,
            group_name=self.group_name,
            owners=self.owners,
            tags=self.tags,
            executor=dg.in_process_executor if self.executor else None,
            resource_names=self._resource_names,
        )

    def _require_own_folder(self, context: dg.ComponentLoadContext) -> None:
        """Two pipelines on one folder would parse each document twice. Raises SettingsError."""
        mine = (context.project_root / self.data_dir).resolve()
        sharing = [
            instance
            for instance in context.component_tree.get_all_components(PdfTables)
            if (context.project_root / instance.data_dir).resolve() == mine
        ]
        if len(sharing) > 1:
            prefixes = " and ".join(str(list(other.key_prefix)) for other in sharing)
            raise SettingsError(
                f"{context.path}: data_dir: the instances with the key prefixes {prefixes} have"
                f" {mine} both; give each a folder of its own"
            )

    def _chosen(self, context: dg.ComponentLoadContext) -> Settings:
        """The settings; folders are relative to the project, wherever Dagster was started."""
        root = context.project_root
        return load_settings(
            **{
                **self.settings,
                "inbox": [
                    place if is_address(str(place)) else root / place
                    for place in split_inboxes(self.inbox)
                ],
                "data_dir": root / self.data_dir,
                "profile": self.profile,
            }
        )

    @property
    def _resource_names(self) -> dict[str, str]:
        """With a prefix the resources carry it as well, so that instances do not share one."""
        plain = {"gpu": PLAIN.gpu, "warehouse": PLAIN.warehouse}
        prefixed = {name: "__".join([*self.key_prefix, key]) for name, key in plain.items()}
        return prefixed | dict(self.resource_names)
