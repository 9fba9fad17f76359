"""What a parse yields on its way into the warehouse: pages are staged, whole documents committed.

A run of Dagster and the library both take this way. Failed documents are left to the caller.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from deepcompress_dagster.pipeline.document_pass import finish_document, rejoined
from deepcompress_dagster.pipeline.table_chains import continued_tables
from deepcompress_dagster.records import DocumentOpened, DocumentResult, PageResult

if TYPE_CHECKING:
    from deepcompress_dagster.pipeline.parse import ParseEvent
    from deepcompress_dagster.warehouse import CommittedDocument, Warehouse

STAGE_SECONDS = 1.0
"""Finished pages are put away in groups of about a second, the first of a run at once."""


class Committer:
    """Stages finished pages in groups and commits each document when its last page is through.

    ``close`` puts away what still waits. Not thread-safe.
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
        self._flushed_at = float("-inf")

    def take(self, event: "ParseEvent") -> "CommittedDocument | None":
        """Put an event away; for the result of a document that was parsed, what was committed.

        Raises NothingStagedError for a document of which nothing came, and what ``require_room``
        and the warehouse raise.
        """
        if isinstance(event, DocumentOpened):
            self._opened.append(event)
        elif isinstance(event, PageResult):
            self._pages.append(event)
            if time.monotonic() - self._flushed_at >= STAGE_SECONDS:
                self.close()
                self._require_room()
        else:
            self.close()
            return None if event.fatal is not None else self._commit(event)
        return None

    def close(self) -> None:
        """Stage what waits, and publish it when a publication is due."""
        opened, pages = self._opened, self._pages
        if opened or pages:
            self._opened, self._pages = [], []
            self._warehouse.stage(self._run_id, self._versions, opened, pages)
            if self._publishes:
                self._warehouse.publish(force=False)
        self._flushed_at = time.monotonic()

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
