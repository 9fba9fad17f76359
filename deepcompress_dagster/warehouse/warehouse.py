"""The facade: everything that the floors above ask of DuckDB goes through ``Warehouse``.

Here belongs which parts work together for a call, under which lock. What they do is theirs.
"""

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import duckdb

from deepcompress_dagster.asset_graph import ASSETS, in_order
from deepcompress_dagster.records import (
    BlockUpdate,
    BrokenText,
    DocumentOpened,
    DocumentResult,
    DocumentStatus,
    OutlineBlock,
    OutlineTable,
    PageResult,
    Region,
    TableUpdate,
)
from deepcompress_dagster.warehouse import (
    commit,
    export,
    forgetting,
    full_text,
    quality,
    queries,
    registration,
    staging,
    table_outline,
)
from deepcompress_dagster.warehouse.database import Database, free_blocks
from deepcompress_dagster.warehouse.errors import QueryError, UnknownDocumentError, WarehouseError
from deepcompress_dagster.warehouse.full_text import Hit
from deepcompress_dagster.warehouse.pdf_store import PdfStore, StoredPdf, UnreadableFileError
from deepcompress_dagster.warehouse.quality import DocumentQuality
from deepcompress_dagster.warehouse.snapshots import Snapshots
from deepcompress_dagster.warehouse.sql import Parameters, only_row
from deepcompress_dagster.warehouse.types import (
    AssetState,
    CommittedDocument,
    DocumentRow,
    DocumentSummary,
    Failure,
    FileStat,
    Format,
    Health,
    Place,
    Registration,
    RemoteFile,
    StalePartition,
)

if TYPE_CHECKING:
    import pyarrow as pa

_READERS = 4
"""Files read at the same time: hashing and waiting for the disk both leave Python free."""


class Warehouse:
    """One data folder. Cheap to make, opens nothing until asked, safe to share over threads.

    What is asked of it is read from what is committed now, under the lock; ``reader``, ``query``
    and ``export`` read the newest snapshot and wait for nobody. Every method raises
    WarehouseBusyError when the lock is held for longer than ``lock_timeout_s``.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        lock_timeout_s: float = 600.0,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._database = Database(self.data_dir, lock_timeout_s=lock_timeout_s)
        self._snapshots = Snapshots(
            self.data_dir, self._database, clock=lambda: clock().timestamp()
        )
        self._pdfs = PdfStore(self.data_dir, lock_timeout_s=lock_timeout_s)
        self._clock = clock

    @property
    def snapshot_path(self) -> Path:
        """The link to the newest snapshot, for any DuckDB client."""
        return self._snapshots.link

    @property
    def generation(self) -> int | None:
        """The number of the newest snapshot, None without one; it grows when there is news."""
        return self._snapshots.generation

    @property
    def exists(self) -> bool:
        """Whether anything was ever written here; most methods make the file where it is not."""
        return self._database.path.exists()

    @property
    def published_at(self) -> float | None:
        """When the newest snapshot was published, in seconds since 1970; None before the first."""
        return self._snapshots.published_at

    def health(self) -> Health:
        """The state of the file and of the newest snapshot. Nothing is published."""
        with self._database.read() as conn:
            (version,) = only_row(conn, "SELECT max(version) FROM schema_version")
            free_share = free_blocks(conn)
        return Health(
            schema_version=version,
            bytes=self._database.path.stat().st_size,
            free_share=free_share,
            published_at=self._snapshots.published_at,
            is_snapshot_sound=self._snapshots.is_sound,
            is_snapshot_current=self._snapshots.is_current,
        )

    # Registration

    def register(
        self,
        files: Sequence[Path | RemoteFile],
        *,
        publish: bool = False,
        recall: Collection[Place] = (),
    ) -> list[Registration]:
        """Make files known, of this machine or of object stores; one answer each, in order.

        Never raises for a bad file: its answer carries the error. A file that ``sources`` knows
        with the same stat is not read again. ``publish`` publishes what came of it, if it is due.
        A document that was forgotten is refused, but for the paths to ``recall``.
        """
        recalled = {_key(place) for place in recall}
        unique = {_key(file): file for file in files}
        known = self._known(unique)
        unknown = [place for place in unique if place not in known]
        with self._pdfs.receiving(), ThreadPoolExecutor(_READERS) as readers:
            stored = readers.map(self._take, [unique[place] for place in unknown])
            taken = dict(zip(unknown, stored, strict=True))
        kept = [file for file in taken.values() if isinstance(file, StoredPdf)]
        kept += [k.file for k in known.values() if not k.is_present]
        identities = {
            place: registration.Identity(k.document_id, is_new=False) for place, k in known.items()
        }
        if kept:
            with self._database.write() as conn:
                forgetting.recall(
                    conn, [file.sha256 for file in kept if file.stat.path in recalled]
                )
                refused = forgetting.refusals(conn, kept)
                kept = [file for file in kept if file.stat.path not in refused]
                identities |= registration.record(conn, kept, self._now())
            for path, (file, reason) in refused.items():
                self._pdfs.remove(file.sha256)
                taken[path] = UnreadableFileError(reason)
            if publish:
                self.publish()
        return [_registration(file, identities, taken) for file in files]

    def sources(self, document_ids: Collection[str]) -> list[Place]:
        """Paths and addresses at which these documents were seen, in order."""
        with self._database.read() as conn:
            return queries.sources(conn, document_ids)

    def forget(self, document_ids: Collection[str]) -> None:
        """Delete documents: files, rows, what is staged, and every published file with them in it.

        Their hashes are remembered, so that a copy left in the inbox does not bring them back.
        Files go first: where this is interrupted, calling it again completes it. Raises
        UnknownDocumentError before anything is deleted.
        """
        rows = self.documents(document_ids)
        if unknown := sorted(set(document_ids) - {row.document_id for row in rows}):
            raise UnknownDocumentError(f"no document {', '.join(unknown)} is registered")
        for row in rows:
            self._pdfs.remove(row.sha256)
            self.remove_files(row.document_id)
        hashes = {row.document_id: row.sha256 for row in rows}
        with self._database.write() as conn:
            forgetting.forget(conn, hashes, self._now())
        self._snapshots.publish_alone()

    def unseen(self, files: Sequence[FileStat]) -> list[Place]:
        """Those of ``files`` that ``sources`` does not know as present with this stat."""
        with self._database.read() as conn:
            return registration.unseen(conn, files)

    def mark_missing(self, folder: Place, files: Sequence[FileStat]) -> int:
        """Mark sources below a folder or address that are not among ``files`` as gone: how many."""
        with self._database.read() as conn:
            gone = registration.missing(conn, folder, files)
        if gone:
            with self._database.write() as conn:
                registration.mark_missing(conn, gone)
        return len(gone)

    def kept_pdf(self, document_id: str) -> Path:
        """The kept bytes of a document.

        Raises UnknownDocumentError, and WarehouseError when the file is lost.
        """
        with self._database.read() as conn:
            row = queries.document(conn, document_id)
        if not self._pdfs.has(row.sha256, row.bytes):
            raise WarehouseError(
                f"the kept PDF of {row.file_name} ({document_id}) is lost: "
                f"{self._pdfs.path(row.sha256)}; register the file again"
            )
        return self._pdfs.path(row.sha256)

    def image_dir(self, document_id: str) -> Path:
        """Folder for page images and figure crops. The ``image_path`` columns are relative to the
        data folder."""
        return self.data_dir / "images" / document_id

    def attachment_dir(self, document_id: str) -> Path:
        """Folder for the PDFs inside a document that become documents of their own."""
        return self.data_dir / "attachments" / document_id

    def remove_files(self, document_id: str) -> None:
        """Delete what was written for a document beside its rows: images, files taken out of it."""
        for folder in (self.image_dir(document_id), self.attachment_dir(document_id)):
            if folder.exists():
                shutil.rmtree(folder)

    # Work

    @contextmanager
    def together(self) -> Iterator[None]:
        """What this thread asks for within the block is one transaction, committed at its end.

        One transaction for several documents costs little more than one for each of them. Others
        wait for the lock meanwhile, so nothing slow belongs in the block. ``publish`` is not asked
        for within it.
        """
        with self._database.write():
            yield

    def set_current_versions(self, versions: Mapping[str, str]) -> bool:
        """Record the code versions of today, which staleness is measured against.

        True when they differ from those recorded; nothing is written otherwise.
        """
        in_order(versions)
        with self._database.read() as conn:
            recorded = queries.current_versions(conn)
        changed = {**recorded, **versions} != recorded
        if changed:
            with self._database.write() as conn:
                queries.set_current_versions(conn, versions)
        return changed

    def documents(self, ids: Collection[str] | None = None) -> list[DocumentRow]:
        """Documents by id, or all, in order of id. Unknown ids are left out."""
        with self._database.read() as conn:
            return queries.documents(conn, ids)

    def pending(self, *, transient: Collection[str], max_attempts: int) -> list[DocumentRow]:
        """Current documents that want automatic work, oldest first.

        Those not parsed yet, those lacking an asset, and those with a standing error whose
        ``error_type`` is among ``transient``, as long as runs took them up less than
        ``max_attempts`` times since they were complete. Stale documents are not among them.
        """
        with self._database.read() as conn:
            return queries.pending(conn, transient, max_attempts)

    def retryable(self) -> list[DocumentRow]:
        """Current documents that were taken up and did not come out complete, oldest first,
        whatever the reason and however often."""
        with self._database.read() as conn:
            return queries.retryable(conn)

    def unparsed_attachments(self, document_ids: Collection[str]) -> list[str]:
        """Documents that are files inside these and that no run took up yet, oldest first."""
        with self._database.read() as conn:
            return queries.unparsed_attachments(conn, document_ids)

    def begin(self, document_ids: Collection[str], *, run_id: str) -> None:
        """Count this run as an attempt at each document, before it can die of one.

        ``commit`` and ``fail`` count it too where this was not called; a run counts once.
        """
        with self._database.write() as conn:
            commit.count_attempt(conn, document_ids, run_id)

    def finished_pages(self, document_id: str, versions: Mapping[str, str]) -> frozenset[int]:
        """Pages staged for all of these assets at these code versions and from today's inputs.

        Raises NotMaterializedError when an upstream asset is neither selected nor committed.
        """
        with self._database.read() as conn:
            staged = staging.staged_versions(conn, document_id, versions)
            return staging.finished_pages(conn, document_id, staged)

    def stage(
        self,
        run_id: str,
        versions: Mapping[str, str],
        opened: Sequence[DocumentOpened],
        pages: Sequence[PageResult],
    ) -> None:
        """Store finished pages, of one or several documents, in one transaction.

        ``versions`` maps the selected assets to their code versions. A page that is staged already
        at the same versions is replaced. Raises NotMaterializedError as ``finished_pages``.
        """
        with self._database.write() as conn:
            staging.stage(conn, run_id, versions, opened, pages, self._now())

    def clear_superseded(self, in_work: Collection[str]) -> list[str]:
        """Forget the staged pages of documents that are not current any more: which they were.

        Those ``in_work`` keep theirs: their run is about to commit them.
        """
        with self._database.read() as conn:
            gone = staging.superseded(conn, in_work)
        if gone:
            with self._database.write() as conn:
                for document_id in gone:
                    staging.clear(conn, document_id, ASSETS)
        return gone

    def outline(self, document_id: str, versions: Mapping[str, str]) -> list[OutlineBlock]:
        """The staged text of a document in reading order, for the document pass.

        Empty where text is not among ``versions``. Labels are those before the document pass.
        """
        if "text" not in versions:
            return []
        with self._database.read() as conn:
            staged = staging.staged_versions(conn, document_id, versions)
            return staging.outline(conn, document_id, staged["text"])

    def broken_texts(self, document_id: str, versions: Mapping[str, str]) -> list[BrokenText]:
        """The staged text blocks with lines that end in a hyphen; as for ``outline``."""
        if "text" not in versions:
            return []
        with self._database.read() as conn:
            staged = staging.staged_versions(conn, document_id, versions)
            return staging.broken_texts(conn, document_id, staged["text"])

    def word_counts(
        self, document_id: str, versions: Mapping[str, str], words: Collection[str]
    ) -> dict[str, int]:
        """How often each of ``words`` (lower case) stands within a line of the staged text."""
        with self._database.read() as conn:
            staged = staging.staged_versions(conn, document_id, versions)
            return staging.word_counts(conn, document_id, staged["text"], words)

    def outline_tables(self, document_id: str, versions: Mapping[str, str]) -> list[OutlineTable]:
        """The staged tables of a document that begin or end the text of a page, by page.

        Empty where tables are not among ``versions``.
        """
        if "tables" not in versions:
            return []
        with self._database.read() as conn:
            staged = staging.staged_versions(conn, document_id, versions)
            return table_outline.outline_tables(conn, document_id, staged)

    def regions(
        self, document_id: str, page_numbers: Collection[int]
    ) -> dict[int, tuple[Region, ...]]:
        """Committed layouts of these pages in reading order, with an entry for each page.

        Raises NotMaterializedError for a page that no committed layout covers.
        """
        with self._database.read() as conn:
            return queries.regions(conn, document_id, page_numbers)

    def commit(
        self,
        result: DocumentResult,
        *,
        run_id: str,
        versions: Mapping[str, str],
        updates: Sequence[BlockUpdate | TableUpdate] = (),
    ) -> CommittedDocument:
        """Replace the rows of the selected assets by what is staged, in one transaction.

        ``versions`` maps the selected assets to their code versions, as for ``stage``; ``updates``
        are what the document pass says of text and tables. Raises NothingStagedError,
        NotMaterializedError, UnknownDocumentError; ValueError for a result that is fatal.
        """
        if result.fatal is not None:
            raise ValueError(f"{result.document_id} failed: record it with fail, not with commit")
        with self._database.write() as conn:
            return commit.commit(conn, result, run_id, versions, updates, self._now())

    def fail(self, result: DocumentResult, *, run_id: str) -> None:
        """Record that a document could not be parsed (``result.fatal``).

        Its committed rows stay, and so do its staged pages. Raises UnknownDocumentError;
        ValueError for a result that is not fatal.
        """
        if result.fatal is None:
            raise ValueError(f"{result.document_id} did not fail: commit it")
        with self._database.write() as conn:
            commit.fail(conn, result, result.fatal, run_id, self._now())

    # Answers

    def asset_states(self, document_ids: Collection[str] | None = None) -> list[AssetState]:
        """Committed states, by document and asset, upstream first."""
        with self._database.read() as conn:
            return queries.asset_states(conn, document_ids)

    def counts(self) -> dict[DocumentStatus, int]:
        """Current documents by status, with an entry for every status."""
        with self._database.read() as conn:
            return queries.counts(conn)

    def failures(self, document_ids: Collection[str] | None = None) -> list[Failure]:
        """Standing errors of these documents, or of the current ones."""
        with self._database.read() as conn:
            return queries.failures(conn, document_ids)

    def stale_partitions(self) -> list[StalePartition]:
        """Committed assets of current documents that are out of date, and why."""
        with self._database.read() as conn:
            return queries.stale_partitions(conn)

    def figures(
        self, document_ids: Collection[str], *, markdown_characters: int = 2000
    ) -> dict[str, tuple[DocumentSummary, DocumentQuality]]:
        """Figures about committed documents by id: for metadata and previews, and for checks.

        Raises UnknownDocumentError.
        """
        with self._database.read() as conn:
            return {
                name: (
                    queries.summary(conn, name, markdown_characters),
                    quality.quality(conn, name),
                )
                for name in document_ids
            }

    # Readers

    def publish(self, *, force: bool = False) -> bool:
        """Publish a snapshot of what is committed; True when it did.

        Nothing happens where it is published already, nor, without ``force``, sooner after the
        last time than 3 s and twenty times what that took.
        """
        return self._snapshots.publish(force=force)

    @contextmanager
    def reader(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection to the newest snapshot, closed after the block.

        Locked down: it reads no other files and its settings cannot be changed. A snapshot that
        is missing or damaged is published anew. Raises WarehouseError when that does not help.
        """
        conn = self._snapshots.open()
        try:
            yield conn
        finally:
            conn.close()

    def query(self, sql: str, parameters: Parameters = ()) -> "pa.Table":
        """The result of one query on the newest snapshot, ``?`` or ``$name`` bound.

        Raises QueryError.
        """
        with self.snapshot() as ask:
            return ask(sql, parameters)

    @contextmanager
    def snapshot(self) -> "Iterator[Callable[[str, Parameters], pa.Table]]":
        """What asks queries, as ``query``, of one and the same snapshot while the block runs."""
        with self.reader() as conn:

            def ask(sql: str, parameters: Parameters = ()) -> "pa.Table":
                with _user_errors():
                    return _relation(conn, sql, parameters).to_arrow_table()

            yield ask

    def search(
        self,
        words: str,
        *,
        documents: Collection[str] = (),
        since: datetime | None = None,
        limit: int = 10,
    ) -> list[Hit]:
        """The best rows of the newest snapshot for ``words``; see full_text.py."""
        with self.reader() as conn:
            return full_text.search(conn, words, documents=documents, since=since, limit=limit)

    def export(self, sql: str, form: Format, target: Path | BinaryIO) -> None:
        """Write the result of one query on the newest snapshot to a file or a binary stream.

        It is not held in memory, but for the table format. Raises QueryError, OSError.
        """
        with self.reader() as conn, _user_errors():
            export.write(_relation(conn, sql), form, target)

    def _known(
        self, files: Mapping[Place, Path | RemoteFile]
    ) -> dict[Place, registration.KnownFile]:
        """Those of ``files`` that need no reading: seen just so before, and kept."""
        stats = [stat for file in files.values() if (stat := _stat(file)) is not None]
        with self._database.read() as conn:
            known = registration.known_files(conn, stats)
        return {
            path: k for path, k in known.items() if self._pdfs.has(k.file.sha256, k.file.stat.bytes)
        }

    def _take(self, file: Path | RemoteFile) -> StoredPdf | UnreadableFileError:
        try:
            if isinstance(file, RemoteFile):
                return self._pdfs.fetch(file)
            return self._pdfs.take(file.absolute())
        except UnreadableFileError as error:
            return error

    def _now(self) -> datetime:
        return self._clock().astimezone(UTC).replace(tzinfo=None)


@contextmanager
def _user_errors() -> Iterator[None]:
    """What DuckDB says of a user's query, as an error of ours: the floors above know no DuckDB."""
    try:
        yield
    except duckdb.Error as error:
        raise QueryError(str(error)) from error


def _relation(
    conn: duckdb.DuckDBPyConnection, sql: str, parameters: Parameters = ()
) -> duckdb.DuckDBPyRelation:
    relation: duckdb.DuckDBPyRelation | None = conn.sql(sql, params=parameters or None)
    if relation is None:
        raise QueryError(f"there is no statement in {sql!r}")
    return relation


def _key(file: Place | RemoteFile) -> Place:
    """What a file is known by while it is registered."""
    if isinstance(file, RemoteFile):
        return file.stat.path
    return file.absolute() if isinstance(file, Path) else file


def _stat(file: Path | RemoteFile) -> FileStat | None:
    if isinstance(file, RemoteFile):
        return file.stat
    try:
        return FileStat.of(file)
    except OSError:
        return None


def _registration(
    file: Path | RemoteFile,
    identities: Mapping[Place, registration.Identity],
    taken: Mapping[Place, StoredPdf | UnreadableFileError],
) -> Registration:
    key = _key(file)
    place = file if isinstance(file, Path) else key
    if key in identities:
        return Registration(place, identities[key].document_id, identities[key].is_new)
    return Registration(place, None, error=str(taken[key]))
