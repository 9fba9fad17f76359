"""What these tests work with: a parser that does what its files say, and runs over it."""

import json
import os
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.hosts.host import HostUsage
from deepcompress_dagster.orchestration import ingest, run_records
from deepcompress_dagster.orchestration.defs.resources import GpuResource
from deepcompress_dagster.orchestration.execution.registration import register_documents
from deepcompress_dagster.orchestration.naming import PLAIN
from deepcompress_dagster.records import (
    DocumentOpened,
    DocumentResult,
    DocumentTask,
    OutlineEntry,
    PageError,
    PageResult,
    PageStatus,
    Region,
    StageTiming,
    TableCell,
)
from deepcompress_dagster.settings import Settings
from deepcompress_dagster.warehouse import AssetState, Warehouse
from tests.builders import block, figure, page_of, table


class FakeParser:
    """Yields what the task's file says: ``{"pages": 3, "fatal": "...", "errors": [2], ...}``."""

    log: ClassVar[list[tuple[str, tuple[str, ...], int]]] = []
    open_parsers = 0
    before_page: Callable[[str, int], None] | None = None

    def __init__(self) -> None:
        FakeParser.open_parsers += 1
        self._parsed_before = bool(FakeParser.log)

    def close(self) -> None:
        FakeParser.open_parsers -= 1

    def usage(self) -> HostUsage:
        """One load of one model in a process."""
        first = FakeParser.log and not self._parsed_before
        return HostUsage("here", {"fake": 1} if first else {}, {"fake": len(FakeParser.log)})

    def parse(
        self,
        tasks: Iterable[DocumentTask],
        selection: Collection[str],
        regions: Callable[[str, int], tuple[Region, ...]] | None = None,
    ) -> Generator[DocumentOpened | PageResult | DocumentResult, None, None]:
        for task in tasks:
            spec = json.loads(task.path.read_bytes().removeprefix(b"%PDF-fake "))
            yield from self._document(task, spec, tuple(selection), regions)

    def _document(
        self,
        task: DocumentTask,
        spec: Mapping[str, Any],
        selection: tuple[str, ...],
        regions: Callable[[str, int], tuple[Region, ...]] | None,
    ) -> Iterator[DocumentOpened | PageResult | DocumentResult]:
        name = task.document_id
        if "fatal" in spec:
            fatal = PageError(name, None, "open", spec["fatal"], f"{spec['fatal']}: cannot open")
            yield DocumentResult(name, 0, fatal=fatal)
            return
        count = spec.get("pages", 1)
        yield DocumentOpened(name, count, title=spec.get("title"))
        for number in task.pages or range(1, count + 1):
            if number > count or number in task.finished_pages:
                continue
            if FakeParser.before_page:
                FakeParser.before_page(name, number)
            FakeParser.log.append((name, selection, number))
            if "layouts" not in selection and set(selection) - {"pages"}:
                assert regions is not None
                assert regions(name, number), "regions come from the warehouse"
            yield page_result(name, number, spec, selection)
        yield DocumentResult(name, count, outline=(OutlineEntry(1, "Start", 1),))


def page_result(
    name: str, number: int, spec: Mapping[str, Any], selection: Collection[str]
) -> PageResult:
    """The rows of one page; ``spec`` may set its text, its table's cells, and a failed page."""
    failed = number in spec.get("errors", ())
    cells = spec.get("cells") or [(0, 0, 1, 1, "Year"), (0, 1, 1, 1, "Sum")]
    page = page_of(
        name,
        number,
        text=() if failed else [block(number, 0, spec.get("text", f"Text of page {number}."))],
        tables=[table(number, 1, *(TableCell(*place, False, text) for *place, text in cells))],
        figures=[figure(number, 2, image_path=None)],
        status=PageStatus.PARTIAL if failed else PageStatus.COMPLETE,
    )
    lacking = [asset for asset in ASSETS if asset not in ("pages", *selection)]
    return replace(
        page,
        page=replace(page.page, image_path=None),
        errors=(PageError(name, number, "text", "ModelFailed", "could not be read"),) * failed,
        timings=(StageTiming(number, "layout", 0.25, 1, "cpu"),) * ("layouts" in selection),
        **dict.fromkeys(lacking),
    )


class FakeGpu(GpuResource):
    """Has runs parsed by the fake parser."""

    def host(self, settings: Settings) -> Any:
        return FakeParser()


def write_pdf(path: Path, **spec: Any) -> Path:
    """A file that the fake parser understands; equal arguments give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"%PDF-fake " + json.dumps(spec).encode())
    return path


def inbox_of(settings: Settings) -> Path:
    """The folder that is the only inbox."""
    (folder,) = settings.inbox
    assert isinstance(folder, Path)
    return folder


@dataclass
class Bench:
    """Files in, runs on them, and what Dagster and the warehouse say of it afterwards."""

    instance: dg.DagsterInstance
    warehouse: Warehouse
    definitions: dg.Definitions
    inbox: Path

    def register(self, **specs: dict[str, Any]) -> list[str]:
        """Write and register a file for each name; their document ids, in order."""
        paths = [write_pdf(self.inbox / f"{name}.pdf", name=name, **s) for name, s in specs.items()]
        found = register_documents(self.instance, self.warehouse, paths)
        return [item.document_id or "" for item in found]

    def run(self, documents: list[str], *assets: str, **options: Any) -> ingest.RunOutcome:
        """Materialise documents as the command line does, without skipping anything."""
        options = {"skip_unchanged": False, **options}
        return ingest.materialize_documents(
            self.instance, self.definitions, documents, assets or ASSETS, **options
        )

    def launch(
        self, *, assets: Collection[str] = ASSETS, config: dict[str, Any] | None = None, **tags: str
    ) -> dg.ExecuteInProcessResult:
        """Run the job as the UI does: with tags, and mostly without configuration."""
        return self.definitions.resolve_job_def(PLAIN.job).execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(asset) for asset in assets],
            tags={name.replace("__", "/"): value for name, value in tags.items()},
            run_config={"ops": {PLAIN.op: {"config": config}}} if config else None,
            raise_on_error=False,
        )

    def partitions(self, asset: str) -> dict[str, set[str]]:
        """The partitions of an asset by what the UI shows of them."""
        with dg.partition_loading_context(dynamic_partitions_store=self.instance):
            value = get_and_update_asset_status_cache_value(
                self.instance, dg.AssetKey(asset), PLAIN.partitions_def
            )
            assert value
            return {
                "materialized": keys(
                    value.deserialize_materialized_partition_subsets(PLAIN.partitions_def)
                ),
                "failed": keys(value.deserialize_failed_partition_subsets(PLAIN.partitions_def)),
                "in progress": keys(
                    value.deserialize_in_progress_partition_subsets(PLAIN.partitions_def)
                ),
            }

    def materializations(self, run_id: str) -> list[tuple[str, str]]:
        """Asset and document of each materialization of a run, in order."""
        records = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        events = [entry.get_dagster_event() for entry in records]
        return [
            (event.asset_key.to_user_string(), event.partition or "")
            for event in events
            if event.asset_key
        ]

    def state(self, document_id: str) -> dict[str, AssetState]:
        """What is committed of a document."""
        return {state.asset: state for state in self.warehouse.asset_states([document_id])}


def leave_lock(data_dir: Path, run_id: str) -> None:
    """The lock of a run as its process leaves it that died a minute ago."""
    path = run_records.lock_path(data_dir, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    long_ago = time.time() - 60
    os.utime(path, (long_ago, long_ago))


def keys(subset: Any) -> set[str]:
    return set(subset.get_partition_keys())
