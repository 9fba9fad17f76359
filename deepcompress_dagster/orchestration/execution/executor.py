"""What a run does: streams its documents, puts finished pages away, commits, and tells Dagster.

Each document ends in one of four ways. It is *unchanged*. It was committed before and Dagster was
not told: that is reported now, and nothing is computed. It is computed and *committed*. Or it
*fails*, and the run goes on with the others.

What is to be done is decided in planning.py, how a page is read in pipeline/.
"""

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from deepcompress_dagster.asset_graph import ASSETS, OPEN, STAGE_ASSET
from deepcompress_dagster.orchestration import run_metrics
from deepcompress_dagster.orchestration.disk import require_room
from deepcompress_dagster.orchestration.execution import events, planning
from deepcompress_dagster.orchestration.execution.planning import DocumentPlan, RunSpec
from deepcompress_dagster.orchestration.execution.registration import register_documents
from deepcompress_dagster.orchestration.execution.reporting import Event, Reporter
from deepcompress_dagster.orchestration.naming import PLAIN, Naming
from deepcompress_dagster.orchestration.partitions import batches
from deepcompress_dagster.orchestration.run_metrics import RunMetrics
from deepcompress_dagster.passwords import Passwords
from deepcompress_dagster.pdf.errors import transient_error_types
from deepcompress_dagster.pipeline.attachments import extract_attached_pdfs
from deepcompress_dagster.pipeline.commit import Committer, FinishedDocument
from deepcompress_dagster.records import (
    DocumentOpened,
    DocumentResult,
    DocumentTask,
    PageError,
    PageResult,
    Region,
)
from deepcompress_dagster.settings import Attachments, Settings

if TYPE_CHECKING:
    from deepcompress_dagster.hosts.host import HostUsage, ParseHost
    from deepcompress_dagster.warehouse import AssetState, Warehouse

ADMITTED_TOGETHER = 10
"""Documents whose attempt is counted in one transaction, shortly before they are opened."""

PAGES_LOOKED_UP = 50
BLOCKS_HELD = 16
"""Committed regions are looked up for 50 pages at a time, of which 16 batches are held."""


@dataclass
class DocumentOutcomes:
    """What became of a run's documents, by id; failures with their reasons."""

    committed: list[str] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    may_pass_later: bool = False
    """Whether a failure is of a kind that another attempt may not meet."""
    pages: int = 0


@dataclass(frozen=True)
class RunProgress:
    """How far a run is. ``pages`` grows as documents are opened."""

    documents: int
    documents_done: int = 0
    pages: int = 0
    pages_done: int = 0


class StoredRegions:
    """Looks up committed regions, some pages at a time; called from the threads of the stream."""

    def __init__(self, warehouse: "Warehouse", covered: Mapping[str, frozenset[int]]) -> None:
        self._warehouse = warehouse
        self._covered = covered
        self._blocks: OrderedDict[tuple[str, int], Mapping[int, tuple[Region, ...]]] = OrderedDict()
        self._lock = threading.Lock()

    def __call__(self, document_id: str, page_number: int) -> tuple[Region, ...]:
        block = page_number // PAGES_LOOKED_UP
        with self._lock:
            if (document_id, block) not in self._blocks:
                self._blocks[document_id, block] = self._look_up(document_id, block)
                if len(self._blocks) > BLOCKS_HELD:
                    self._blocks.popitem(last=False)
            return self._blocks[document_id, block].get(page_number, ())

    def _look_up(self, document_id: str, block: int) -> Mapping[int, tuple[Region, ...]]:
        first = block * PAGES_LOOKED_UP
        pages = self._covered[document_id] & set(range(first, first + PAGES_LOOKED_UP))
        return self._warehouse.regions(document_id, pages)


class RunExecutor:
    """Carries a run out. ``run`` yields Dagster's events; ``outcome`` says how it went.

    ``open_host`` is called once, when there is something to compute. ``announce`` is told which
    assets of a document are about to be computed, ``listen`` of progress.
    """

    def __init__(
        self,
        spec: RunSpec,
        instance: dg.DagsterInstance,
        warehouse: "Warehouse",
        settings: Settings,
        passwords: Passwords,
        open_host: Callable[[], "ParseHost"],
        announce: Callable[[str, Collection[str]], None],
        listen: Callable[[RunProgress], None],
        names: Naming = PLAIN,
    ) -> None:
        self._spec = spec
        self._instance = instance
        self._warehouse = warehouse
        self._open_host = open_host
        self._host: ParseHost | None = None
        self._settings = settings
        self._announce = announce
        self._listen = listen
        self._reporter = Reporter(instance, warehouse, self.usage, settings.viewer_address, names)
        self._names = names
        self._progress = RunProgress(documents=len(spec.document_ids))
        self._lost: dict[str, str] = {}
        self._file_names: Mapping[str, str] = {}
        self._passwords = passwords
        self.outcome = DocumentOutcomes()

    def usage(self) -> "HostUsage | None":
        """Where this run is parsed, with loads and hits; None when nothing was to be computed."""
        return None if self._host is None else self._host.usage()

    def run(self) -> Iterator[Event]:
        """Report what was committed before, compute the rest, commit it and report that.

        Raises what the stream and the warehouse raise, and NoRoomError where the disk is full. The
        failure of a document is not raised but put on record in ``outcome``.
        """
        groups: defaultdict[tuple[str, ...], dict[str, DocumentPlan]] = defaultdict(dict)
        try:
            for document_id, plan in self._plans():
                if plan.report:
                    yield from self._reporter.report([plan.report])
                if plan.compute:
                    groups[plan.compute][document_id] = plan
                else:
                    self._done_before(document_id, plan)
            if groups:
                require_room(self._settings)
                with (
                    closing(self._open_host()) as self._host,
                    run_metrics.published(self._warehouse.data_dir, self._metrics),
                ):
                    for assets, chosen in groups.items():
                        yield from self._compute(self._host, assets, chosen)
            if self.outcome.failures:
                yield from self._report_unchanged()
        finally:
            self._warehouse.publish(force=True)

    def _metrics(self) -> RunMetrics:
        """What this run has done so far, for whoever watches it."""
        usage, progress, outcome = self.usage(), self._progress, self.outcome
        assert usage is not None
        return RunMetrics(
            self._spec.run_id,
            progress.documents,
            {
                "committed": len(outcome.committed),
                "reported": len(outcome.reported),
                "unchanged": len(outcome.unchanged),
                "failed": len(outcome.failures),
            },
            progress.pages,
            progress.pages_done,
            usage.stages,
            usage.loads,
            usage.hits,
        )

    def _plans(self) -> Iterator[tuple[str, DocumentPlan]]:
        ids = self._spec.document_ids
        rows = {row.document_id: row for row in self._warehouse.documents(ids)}
        self._file_names = {name: row.file_name for name, row in rows.items()}
        held = self._warehouse.asset_states(ids)
        states: defaultdict[str, dict[str, AssetState]] = defaultdict(dict)
        for state in held:
            states[state.document_id][state.asset] = state
        unreported: defaultdict[str, set[str]] = defaultdict(set)
        for state in events.unreported(self._instance, held, self._names):
            unreported[state.document_id].add(state.asset)
        flawed: defaultdict[str, set[str]] = defaultdict(set)
        for failure in self._warehouse.failures(ids):
            flawed[failure.document_id].add(STAGE_ASSET.get(failure.stage, "pages"))
        for name in ids:
            if row := rows.get(name):
                yield (
                    name,
                    planning.plan_document(
                        self._spec, row, states[name], flawed[name], unreported[name]
                    ),
                )
            else:
                yield name, DocumentPlan(refusal="the warehouse does not know it: process its file")

    def _report_unchanged(self) -> Iterator[Event]:
        """Report unchanged documents again: a failed run shows what it did not report as failed."""
        for _, states in events.by_document(self._warehouse.asset_states(self.outcome.unchanged)):
            yield from self._reporter.report(
                [[state for state in states if state.asset in self._spec.assets]]
            )

    def _done_before(self, document_id: str, plan: DocumentPlan) -> None:
        if plan.refusal:
            self._announce(document_id, self._spec.assets)
            self.outcome.failures[document_id] = plan.refusal
        elif plan.report:
            self.outcome.reported.append(document_id)
        else:
            self.outcome.unchanged.append(document_id)
        self._tell(documents_done=1)

    def _compute(
        self, host: "ParseHost", assets: tuple[str, ...], chosen: Mapping[str, DocumentPlan]
    ) -> Iterator[Event]:
        versions = {asset: self._spec.versions[asset] for asset in assets}
        committer = Committer(
            self._warehouse,
            self._spec.run_id,
            versions,
            require_room=partial(require_room, self._settings),
        )
        tasks = self._tasks(versions, chosen)
        regions = self._stored_regions(chosen)
        with (
            closing(committer),
            closing(host.parse(tasks, assets, regions)) as stream,
        ):
            for event in stream:
                if isinstance(event, DocumentOpened):
                    self._announce(event.document_id, assets)
                    pages = chosen[event.document_id].pages
                    self._tell(pages=event.page_count if pages is None else len(pages))
                elif isinstance(event, PageResult):
                    self.outcome.pages += 1
                    self._tell(pages_done=1)
                yield from self._finish(committer.take(event), assets)
            yield from self._finish(committer.flush(), assets)
        while self._lost:
            name, reason = self._lost.popitem()
            self._fail(PageError(name, None, OPEN, "kept_pdf_lost", reason), assets)
            self._tell(documents_done=1)

    def _stored_regions(self, chosen: Mapping[str, DocumentPlan]) -> StoredRegions:
        covered = {name: frozenset(plan.pages or ()) for name, plan in chosen.items()}
        return StoredRegions(self._warehouse, covered)

    def _tasks(
        self, versions: Mapping[str, str], chosen: Mapping[str, DocumentPlan]
    ) -> Iterator[DocumentTask]:
        """What the stream takes in, on a thread of the stream."""
        for batch in batches(list(chosen), ADMITTED_TOGETHER):
            with self._warehouse.together():
                self._warehouse.begin(batch, run_id=self._spec.run_id)
                tasks = [self._task(name, versions, chosen[name]) for name in batch]
            yield from (task for task in tasks if task is not None)

    def _task(
        self, document_id: str, versions: Mapping[str, str], plan: DocumentPlan
    ) -> DocumentTask | None:
        """None where the kept PDF is lost, which is put on record."""
        from deepcompress_dagster.warehouse import WarehouseError

        try:
            path = self._warehouse.kept_pdf(document_id)
        except WarehouseError as error:
            self._lost[document_id] = str(error)
            return None
        return DocumentTask(
            document_id,
            path,
            self._warehouse.image_dir(document_id),
            plan.pages,
            self._warehouse.finished_pages(document_id, versions),
            self._passwords.for_name(self._file_names[document_id]),
            self._file_names[document_id],
        )

    def _finish(
        self, finished: Sequence[FinishedDocument], assets: Collection[str]
    ) -> Iterator[Event]:
        """Put on record what became of documents that finished together, and report it."""
        states = [self._finished(document, assets) for document in finished]
        if any(states):
            self._warehouse.publish(force=False)
            yield from self._reporter.report([found for found in states if found])
        for document in finished:
            self._register_attachments(document.result.document_id)
            self._tell(documents_done=1)

    def _finished(self, document: FinishedDocument, assets: Collection[str]) -> list["AssetState"]:
        from deepcompress_dagster.warehouse import UnknownDocumentError

        name, committed = document.result.document_id, document.committed
        if committed is not None:
            self.outcome.committed.append(name)
            return [committed.states[asset] for asset in ASSETS if asset in committed.states]
        if isinstance(document.refusal, UnknownDocumentError):
            self._was_forgotten(name)
        elif document.refusal is not None:
            self.outcome.failures[name] = str(document.refusal)
        elif document.result.fatal is not None:
            self._fail(document.result.fatal, assets)
        return []

    def _register_attachments(self, document_id: str) -> None:
        """Make documents of the PDFs inside a document that was just committed, if asked to.

        Whoever asked for this run, or the sensor, has them parsed.
        """
        if self._settings.attachments is not Attachments.PARSE:
            return
        rows = self._warehouse.documents([document_id])
        if document_id in self.outcome.failures or not any(r.has_attached_pdfs for r in rows):
            return
        task = DocumentTask(
            document_id,
            self._warehouse.kept_pdf(document_id),
            self._warehouse.image_dir(document_id),
            passwords=self._passwords.for_name(self._file_names[document_id]),
        )
        folder = self._warehouse.attachment_dir(document_id)
        paths = extract_attached_pdfs(task, folder, self._settings)
        register_documents(self._instance, self._warehouse, paths, names=self._names)

    def _was_forgotten(self, document_id: str) -> None:
        """Leave nothing of a document that was forgotten while this run was at it."""
        self._warehouse.remove_files(document_id)
        self.outcome.failures[document_id] = "it was forgotten while this run was at it"

    def _fail(self, fatal: PageError, assets: Collection[str]) -> None:
        from deepcompress_dagster.warehouse import UnknownDocumentError

        name = fatal.document_id
        self._announce(name, assets)
        result = DocumentResult(name, 0, fatal=fatal)
        try:
            self._warehouse.fail(result, run_id=self._spec.run_id)
        except UnknownDocumentError:
            self._was_forgotten(name)
            return
        self.outcome.failures[name] = fatal.message
        self.outcome.may_pass_later |= fatal.error_type in transient_error_types()

    def _tell(self, **added: int) -> None:
        """Add to what is known of the progress and pass it on."""
        now = self._progress
        self._progress = replace(
            now, **{name: getattr(now, name) + count for name, count in added.items()}
        )
        self._listen(self._progress)
