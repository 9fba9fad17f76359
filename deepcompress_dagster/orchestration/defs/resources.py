"""The two resources of a run: ``gpu``, which says where and how to parse, and ``warehouse``.

Both can be configured from the launchpad. What is set there holds for that run only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field, PrivateAttr, create_model

from deepcompress_dagster.orchestration.naming import PLAIN, Naming
from deepcompress_dagster.orchestration.run_records import await_dead_runs, hold_run
from deepcompress_dagster.settings import Settings, launchpad_fields, load_settings

if TYPE_CHECKING:
    from deepcompress_dagster.hosts.host import ParseHost
    from deepcompress_dagster.warehouse.warehouse import Warehouse


_FORM: dict[str, Any] = {
    name: (kind | None, Field(default=None, description=meaning))
    for name, (kind, meaning) in launchpad_fields().items()
}
"""A field for each setting that a run may set for itself; settings.py says which."""

_Form: Any = create_model("_Form", __base__=dg.ConfigurableResource, **_FORM)


class GpuResource(_Form):  # type: ignore[misc]
    """The accelerator: which models run on what, in batches of what size.

    What is left empty is as the settings say.
    """

    def applied_to(self, settings: Settings) -> Settings:
        """``settings`` with what the launchpad says on top. Raises SettingsError."""
        chosen = {
            name: value
            for name in type(self).model_fields
            if (value := getattr(self, name)) is not None
        }
        return load_settings(**{**settings.model_dump(), **chosen})

    def host(self, settings: Settings) -> "ParseHost":
        """Where ``settings`` have a run parsed; the caller closes it. Raises HostError."""
        from deepcompress_dagster.hosts.choice import open_host

        return open_host(settings)


class WarehouseResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The data folder. While a run has it, the run's lock is held: it is known to be alive."""

    data_dir: str = Field(description="Folder of the warehouse; on a local disk.")
    _names: Naming = PrivateAttr(default=PLAIN)

    def named(self, names: Naming) -> "WarehouseResource":
        """The same, for the pipeline that has these names."""
        self._names = names
        return self

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["WarehouseResource"]:
        """The resource, with the run's lock held from the run's first step to its last."""
        if context.run is None:
            yield self
        else:
            with hold_run(Path(self.data_dir), context.run.run_id):
                if context.instance is not None:
                    await_dead_runs(context.instance, Path(self.data_dir), self._names)
                yield self

    def open(self) -> "Warehouse":
        """The warehouse; nothing is opened until it is asked for something."""
        from deepcompress_dagster.warehouse.warehouse import Warehouse

        return Warehouse(Path(self.data_dir))
