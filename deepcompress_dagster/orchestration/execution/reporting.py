"""Dagster told of what is committed: by a run as it commits, or afterwards by whoever notices.

What the events carry is put together in events.py and metadata.py.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import dagster as dg

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.orchestration import checks
from deepcompress_dagster.orchestration.execution import events
from deepcompress_dagster.orchestration.execution.event_transactions import one_transaction
from deepcompress_dagster.orchestration.execution.metadata import LONGEST_PREVIEW, document_metadata
from deepcompress_dagster.orchestration.naming import PLAIN, Naming

if TYPE_CHECKING:
    from deepcompress_dagster.hosts.host import HostUsage
    from deepcompress_dagster.warehouse import AssetState, Warehouse
    from deepcompress_dagster.warehouse.quality import DocumentQuality
    from deepcompress_dagster.warehouse.types import DocumentSummary

Event: TypeAlias = dg.AssetMaterialization | dg.AssetCheckEvaluation
_States: TypeAlias = "Mapping[str, Sequence[AssetState]]"
_Figures: TypeAlias = "Mapping[str, tuple[DocumentSummary, DocumentQuality]]"


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

    def report(self, documents: Sequence[Sequence["AssetState"]]) -> Iterator[Event]:
        """Events about the committed states of documents, asset by asset, upstream first.

        Each event has to be stored before the next one is asked for: a materialization points to
        those of its upstream, a check to the one that it judged.
        """
        reported = {states[0].document_id: states for states in documents if states}
        figures = self._warehouse.figures(reported, markdown_characters=LONGEST_PREVIEW)
        newest = _Newest(self._instance, list(reported), self._names)
        with one_transaction(self._instance):
            yield from self._materializations(reported, figures, newest)
            yield from self._evaluations(reported, figures, newest)

    def _materializations(
        self, reported: _States, figures: _Figures, newest: "_Newest"
    ) -> Iterator[Event]:
        usage = self._usage()
        for asset in ASSETS:
            inputs = {parent: newest(parent) for parent in events.upstream(asset)}
            for state in (s for states in reported.values() for s in states if s.asset == asset):
                name = state.document_id
                summary, quality = figures[name]
                yield events.materialization(
                    state,
                    {parent: records.get(name) for parent, records in inputs.items()},
                    document_metadata(state, summary, quality.first_table, usage, self._viewer),
                    self._names,
                )

    def _evaluations(
        self, reported: _States, figures: _Figures, newest: "_Newest"
    ) -> Iterator[Event]:
        for name, states in reported.items():
            _, quality = figures[name]
            for verdict in checks.judge(quality, frozenset(state.asset for state in states)):
                if record := newest(verdict.check.asset).get(name):
                    yield events.evaluation(verdict, name, record, self._names)


class _Newest:
    """The newest materialization of an asset, by document: asked for once all are stored."""

    def __init__(
        self, instance: dg.DagsterInstance, document_ids: Sequence[str], names: Naming
    ) -> None:
        self._instance = instance
        self._ids = document_ids
        self._names = names
        self._found: dict[str, Mapping[str, dg.EventLogRecord]] = {}

    def __call__(self, asset: str) -> Mapping[str, dg.EventLogRecord]:
        if asset not in self._found:
            self._found[asset] = events.newest_by_document(
                self._instance, asset, self._ids, self._names
            )
        return self._found[asset]


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
        for event in reporter.report([states]):
            instance.report_runless_asset_event(event)
        if listen:
            listen(done, len(grouped))
    return len(missing)
