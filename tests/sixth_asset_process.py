"""What the package does when it has one more asset, ``notes``, that is made from ``text``.

A process of its own, on a copy of the package; see test_asset_graph.py.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.orchestration.defs.resources import GpuResource
from deepcompress_dagster.records import PageResult
from deepcompress_dagster.settings import Settings, load_settings
from deepcompress_dagster.warehouse import Warehouse
from tests.orchestration.bench import Bench, FakeParser, inbox_of


class NotingParser(FakeParser):
    """Adds the rows of ``notes`` to those of the other five."""

    def _document(self, task: Any, spec: Any, selection: Any, regions: Any) -> Iterator[Any]:
        for event in super()._document(task, spec, selection, regions):
            if isinstance(event, PageResult) and "notes" in selection:
                number = event.page.page_number
                words = ((number, word) for word in spec.get("words", ("odd", "rare")))
                yield replace(event, notes=tuple(words))
            else:
                yield event


class NotingGpu(GpuResource):
    def host(self, settings: Settings) -> Any:
        return NotingParser()


def stale(warehouse: Warehouse) -> dict[str, str]:
    return {item.asset: item.reason for item in warehouse.stale_partitions()}


def main(folder: Path) -> None:
    settings = load_settings(inbox=folder / "inbox", data_dir=folder / "data")
    warehouse = Warehouse(settings.data_dir)
    definitions = build_definitions(settings, {"gpu": NotingGpu()})
    with dg.DagsterInstance.ephemeral() as instance:
        bench = Bench(instance, warehouse, definitions, inbox_of(settings))
        (name,) = bench.register(report={"pages": 2})

        failed = bench.run([name], "notes")
        assert "materialise text of these pages first" in failed.failures[name], failed
        assert bench.run([name]).success
        assert [asset for _, assets, _ in FakeParser.log for asset in assets[-1:]] == ["notes"] * 2
        FakeParser.log.clear()
        assert bench.run([name], "notes").success
        assert {assets for _, assets, _ in FakeParser.log} == {("notes",)}
        print("planned")

        assert len(warehouse.query("FROM notes")) == 4
        state = bench.state(name)["notes"]
        assert state.input_versions == {"text": bench.state(name)["text"].data_version}
        assert warehouse.documents([name])[0].status == "complete"
        print("stored")

        assert stale(warehouse) == {}
        current = {asset: state.version for asset, state in bench.state(name).items()}
        warehouse.set_current_versions({**current, "pages": "another"})
        assert stale(warehouse)["pages"] == "code version changed"
        assert stale(warehouse)["text"] == "layouts is stale"
        assert stale(warehouse)["notes"] == "text is stale"
        print("staled")

        spec = next(s for s in definitions.resolve_all_asset_specs() if s.key.path == ["notes"])
        assert [dep.asset_key.path for dep in spec.deps] == [["text"]]
        assert "look up" in (spec.description or "")
        columns = spec.metadata["dagster/column_schema"].columns
        assert [column.name for column in columns] == ["document_id", "page_number", "word"]
        assert bench.partitions("notes")["materialized"] == {name}
        print("shown")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
