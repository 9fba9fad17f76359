"""What a parse yields on its way into the warehouse: pages are staged, whole documents committed.

A run of Dagster and the library both take this way. Failed documents are left to the caller.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from deepcompress_dagster.pipeline.document_pass import finish_document, rejoined
from deepcompress_dagster.pipeline.table_chains import continued_tables
from deepcompress_dagster.records import DocumentOpened, DocumentResult, PageResult

if TYPE_CHECKING:
    from deepcompress_dagster.pipeline.parse import ParseEvent
    from deepcompress_dagster.warehouse import CommittedDocument, Warehouse, WarehouseError

GROUP_SECONDS = 1.0
"""What finishes within about a second is put away together, the first of a run at once: of 100
one-page documents each takes a third of the time in DuckDB that it takes alone."""


@dataclass(frozen=True)
class FinishedDocument:
    """What became of a document whose pages are all through."""

    result: DocumentResult
    committed: "CommittedDocument | None" = None
    """None where the result is fatal, or of which there is a ``refusal``."""
    refusal: "WarehouseError | None" = None
    """NothingStagedError where nothing came of it, UnknownDocumentError where it was forgotten."""


class Committer:
    """Stages finished pages in groups and commits documents when their last page is through.

    What waits is put away by the event that comes after ``GROUP_SECONDS``, and by ``flush``.
    Not thread-safe.
    """

    def __init__(
        self,
        warehouse: "Warehouse",
        run_id: str,
        versions: Mapping[str, str],
        *,
        require_room: Callable[[], None] = lambda: None,
        publishes: bool = True,
    ) -> None:
        """``versions`` are those of the assets that are made; ``require_room`` may raise.

        With ``publishes`` readers see pages of unfinished documents, too.
        """
        self._warehouse = warehouse
        self._run_id = run_id
        self._versions = versions
        self._require_room = require_room
        self._publishes = publishes
        self._opened: list[DocumentOpened] = []
        self._pages: list[PageResult] = []
        self._results: list[DocumentResult] = []
        self._flushed_at = float("-inf")

    def take(self, event: "ParseEvent") -> list[FinishedDocument]:
        """Put an event away, now or with those that follow; what became of documents by that.

        Raises what ``require_room`` and the warehouse raise.
        """
        if isinstance(event, DocumentOpened):
            self._opened.append(event)
            return []
        if isinstance(event, PageResult):
            self._pages.append(event)
        else:
            self._results.append(event)
        if time.monotonic() - self._flushed_at < GROUP_SECONDS:
            return []
        finished = self.flush()
        if isinstance(event, PageResult):
            self._require_room()
        return finished

    def flush(self) -> list[FinishedDocument]:
        """Put away what waits: what became of the documents among it."""
        self.close()
        results, self._results = self._results, []
        finished: list[FinishedDocument] = []
        if any(result.fatal is None for result in results):
            with self._warehouse.together():
                finished = [self._finished(result) for result in results]
        else:
            finished = [FinishedDocument(result) for result in results]
        self._flushed_at = time.monotonic()
        return finished

    def close(self) -> None:
        """Stage the pages that wait, and publish when a publication is due; commit nothing."""
        opened, pages = self._opened, self._pages
        if opened or pages:
            self._opened, self._pages = [], []
            self._warehouse.stage(self._run_id, self._versions, opened, pages)
            if self._publishes:
                self._warehouse.publish(force=False)

    def _finished(self, result: DocumentResult) -> FinishedDocument:
        from deepcompress_dagster.warehouse import NothingStagedError, UnknownDocumentError

        if result.fatal is not None:
            return FinishedDocument(result)
        try:
            return FinishedDocument(result, self._commit(result))
        except (NothingStagedError, UnknownDocumentError) as refusal:
            return FinishedDocument(result, refusal=refusal)

    def _commit(self, result: DocumentResult) -> "CommittedDocument":
        document_id, versions = result.document_id, self._versions
        outline = self._warehouse.outline(document_id, versions)
        contents = rejoined(
            self._warehouse.broken_texts(document_id, versions),
            partial(self._warehouse.word_counts, document_id, versions),
        )
        tables = self._warehouse.outline_tables(document_id, versions)
        return self._warehouse.commit(
            result,
            run_id=self._run_id,
            versions=self._versions,
            updates=[
                *finish_document(outline, result.outline, contents),
                *continued_tables(tables),
            ],
        )
