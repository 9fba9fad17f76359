"""The facade: everything that the floors above ask of DuckDB goes through ``Warehouse``."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from deepcompress_dagster.records import (
    BlockUpdate,
    DocumentOpened,
    DocumentResult,
    DocumentStatus,
    OutlineBlock,
    PageResult,
    Region,
)
from deepcompress_dagster.warehouse.types import (
    AssetState,
    CommittedDocument,
    DocumentRow,
    DocumentSummary,
    Failure,
    FileStat,
    Registration,
    StalePartition,
)


class Warehouse:
    """One data folder. Cheap to make; opens nothing until asked; safe to share over threads."""

    def __init__(self, data_dir: Path, *, lock_timeout_s: float = 600.0) -> None:
        raise NotImplementedError

    # Registration

    def register(self, paths: Sequence[Path], *, publish: bool = False) -> list[Registration]:
        """Make the files at ``paths`` known; one answer per path, in order. Never raises for a
        bad file: its answer carries the error."""
        raise NotImplementedError

    def unseen(self, files: Sequence[FileStat]) -> list[Path]:
        """Those of ``files`` that ``sources`` does not know, or knows with another stat."""
        raise NotImplementedError

    def mark_missing(self, folder: Path, files: Sequence[FileStat]) -> int:
        """Say of every source under ``folder`` that is not among ``files`` that it is gone.
        Returns how many were newly gone."""
        raise NotImplementedError

    def kept_pdf(self, document_id: str) -> Path:
        """The kept bytes. Raises UnknownDocumentError, or WarehouseError when they are lost."""
        raise NotImplementedError

    def image_dir(self, document_id: str) -> Path:
        """Folder for page images and figure crops. ``image_path`` columns are relative to the data
        folder; absolute paths handed in below it are stored so."""
        raise NotImplementedError

    # Work

    def set_current_versions(self, versions: Mapping[str, str]) -> bool:
        """Record the code versions that are current; True when they changed."""
        raise NotImplementedError

    def documents(self, ids: Collection[str] | None = None) -> list[DocumentRow]:
        """Documents by id, or all, in order of id. Unknown ids are left out."""
        raise NotImplementedError

    def pending(self, *, transient: Collection[str], max_attempts: int) -> list[DocumentRow]:
        """Current documents that want automatic work, oldest first: not parsed yet, lacking an
        asset, or standing errors of a type in ``transient``; with attempts left."""
        raise NotImplementedError

    def retryable(self) -> list[DocumentRow]:
        """Current documents that did not come out complete, whatever the reason and attempts."""
        raise NotImplementedError

    def begin(self, document_ids: Collection[str], *, run_id: str) -> None:
        """Count one attempt of this run at each document (once per run and document; commit and
        fail count it too where begin was not called)."""
        raise NotImplementedError

    def finished_pages(self, document_id: str, versions: Mapping[str, str]) -> frozenset[int]:
        """Pages staged for all of these assets at these code versions and from today's inputs."""
        raise NotImplementedError

    def stage(
        self,
        run_id: str,
        versions: Mapping[str, str],
        opened: Sequence[DocumentOpened],
        pages: Sequence[PageResult],
    ) -> None:
        """Store finished pages in one transaction; ``versions`` names the selected assets."""
        raise NotImplementedError

    def outline(self, document_id: str, versions: Mapping[str, str]) -> list[OutlineBlock]:
        """The staged text of a document in reading order, for the document pass."""
        raise NotImplementedError

    def regions(
        self, document_id: str, page_numbers: Collection[int]
    ) -> dict[int, tuple[Region, ...]]:
        """Committed layouts of these pages. Raises NotMaterializedError."""
        raise NotImplementedError

    def commit(
        self,
        result: DocumentResult,
        *,
        run_id: str,
        versions: Mapping[str, str],
        updates: Sequence[BlockUpdate] = (),
    ) -> CommittedDocument:
        """Swap the staged rows of the selected assets in, in one transaction.
        Raises NothingStagedError, UnknownDocumentError."""
        raise NotImplementedError

    def fail(self, result: DocumentResult, *, run_id: str) -> None:
        """Record that a document could not be parsed (``result.fatal``); old rows stay."""
        raise NotImplementedError

    # Answers

    def asset_states(self, document_ids: Collection[str] | None = None) -> list[AssetState]:
        """Committed states, by document and asset upstream first."""
        raise NotImplementedError

    def counts(self) -> dict[DocumentStatus, int]:
        """Current documents by status; every status has an entry."""
        raise NotImplementedError

    def failures(self, document_ids: Collection[str] | None = None) -> list[Failure]:
        """Standing errors of current documents, or of these documents."""
        raise NotImplementedError

    def stale_partitions(self) -> list[StalePartition]:
        """Committed assets that are out of date, and why."""
        raise NotImplementedError

    def summary(self, document_id: str, *, markdown_characters: int = 2000) -> DocumentSummary:
        """Committed figures of one document, read from the warehouse and not from a snapshot."""
        raise NotImplementedError

    # Readers

    def publish(self, *, force: bool = False) -> bool:
        """Publish a snapshot if something changed and the throttle (or ``force``) allows it."""
        raise NotImplementedError

    @contextmanager
    def reader(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection to the newest snapshot, locked down."""
        raise NotImplementedError
        yield

    def query(self, sql: str) -> pa.Table:
        """Result of one query on the newest snapshot. Raises duckdb.Error."""
        raise NotImplementedError
