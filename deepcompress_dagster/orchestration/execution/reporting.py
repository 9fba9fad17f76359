"""Dagster told of what is committed: by a run as it commits, or afterwards by whoever notices.

What the events carry is put together in events.py and metadata.py.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import dagster as dg

from deepcompress_dagster.orchestration import checks
from deepcompress_dagster.orchestration.execution import events
from deepcompress_dagster.orchestration.execution.metadata import LONGEST_PREVIEW, document_metadata
from deepcompress_dagster.orchestration.naming import PLAIN, Naming

if TYPE_CHECKING:
    from deepcompress_dagster.hosts.host import HostUsage
    from deepcompress_dagster.warehouse import AssetState, Warehouse

Event: TypeAlias = dg.AssetMaterialization | dg.AssetCheckEvaluation


class Reporter:
    """Tells Dagster what is committed of a document, with metadata and checks."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        warehouse: "Warehouse",
        usage: Callable[[], "HostUsage | None"] = lambda: None,
        viewer: str = "",
        names: Naming = PLAIN,
    ) -> None:
        """``viewer`` is the address that links lead to; empty for none."""
        self._instance = instance
        self._viewer = viewer
        self._names = names
        self._warehouse = warehouse
        self._usage = usage

    def report(self, states: Sequence["AssetState"]) -> Iterator[Event]:
        """Events about one document's committed ``states``, which come upstream first.

        Each event has to be stored before the next one is asked for: a materialization points to
        those of its upstream, a check to the one that it judged.
        """
        document_id = states[0].document_id
        quality = self._warehouse.quality(document_id)
        summary = self._warehouse.summary(document_id, markdown_characters=LONGEST_PREVIEW)
        usage = self._usage()
        records: dict[str, dg.EventLogRecord | None] = {}

        def newest(asset: str) -> dg.EventLogRecord | None:
            if asset not in records:
                records[asset] = events.newest(self._instance, asset, document_id, self._names)
            return records[asset]

        for state in states:
            inputs = {parent: newest(parent) for parent in events.upstream(state.asset)}
            metadata = document_metadata(state, summary, quality.first_table, usage, self._viewer)
            yield events.materialization(state, inputs, metadata, self._names)
            records.pop(state.asset, None)
        for verdict in checks.judge(quality, frozenset(state.asset for state in states)):
            if record := newest(verdict.check.asset):
                yield events.evaluation(verdict, document_id, record, self._names)


def report_unreported(
    instance: dg.DagsterInstance,
    warehouse: "Warehouse",
    document_ids: Collection[str] | None,
    listen: Callable[[int, int], None] | None = None,
    names: Naming = PLAIN,
) -> int:
    """Report what is committed of these documents, or of all, and that Dagster does not know.

    Returns the number of materializations; ``listen`` is told documents done and in all.
    """
    missing = events.unreported(instance, warehouse.asset_states(document_ids), names)
    grouped = list(events.by_document(missing))
    reporter = Reporter(instance, warehouse, names=names)
    for done, (_, states) in enumerate(grouped, start=1):
        for event in reporter.report(states):
            instance.report_runless_asset_event(event)
        if listen:
            listen(done, len(grouped))
    return len(missing)
