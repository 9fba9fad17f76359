"""What the warehouse answers with: plain frozen dataclasses, no database handles.

Times are UTC without a time zone, as they are stored.
"""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from deepcompress_dagster.records import DocumentStatus


class Format(StrEnum):
    """How a result is written; nested values are JSON in csv, and themselves in the others."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


Place: TypeAlias = Path | str
"""Where a file is: a path, or the address of an object in a store."""


@dataclass(frozen=True, slots=True)
class FileStat:
    """What tells whether a file is the one seen before, without reading it.

    ``inode`` of an object is a hash of its version, and when it was written does not count.
    """

    path: Place
    bytes: int
    mtime_ns: int
    inode: int

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.path.name if isinstance(self.path, Path) else PurePosixPath(self.path).name

    @classmethod
    def of(cls, path: Path, stat: os.stat_result | None = None) -> "FileStat":
        """The file's stat, following links. Raises OSError where it cannot be had."""
        found = stat if stat is not None else path.stat()
        return cls(path.absolute(), found.st_size, found.st_mtime_ns, found.st_ino)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """An object of a store that is to become a document; ``fetch`` writes its bytes to a path.

    ``fetch`` raises OSError, and RuntimeError with what the store says.
    """

    stat: FileStat
    fetch: Callable[[Path], object]

    @classmethod
    def of(
        cls, address: str, size: int, mtime_ns: int, version: str, fetch: Callable[[Path], object]
    ) -> "RemoteFile":
        """The object at ``address``; ``version`` is its version or etag, empty without one."""
        said = version or str(mtime_ns)
        inode = int.from_bytes(hashlib.sha256(said.encode()).digest()[:8], "big")
        return cls(FileStat(address, size, mtime_ns, inode), fetch)


@dataclass(frozen=True, slots=True)
class Registration:
    """What became of one path: a document, or the reason why not.

    ``is_new`` is True for the path that made the document known, and for no other.
    """

    path: Place
    document_id: str | None
    is_new: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """One row of ``documents``; ``attempts`` are runs since the document was last complete."""

    document_id: str
    sha256: str
    file_name: str
    bytes: int
    page_count: int | None
    title: str | None
    author: str | None
    producer: str | None
    status: DocumentStatus
    error: str | None
    is_current: bool
    superseded_by: str | None
    attempts: int
    first_seen_at: datetime
    processed_at: datetime | None
    has_attached_pdfs: bool


@dataclass(frozen=True, slots=True)
class AssetState:
    """What is committed of one asset of one document.

    ``version`` is the code version, ``data_version`` a hash of the rows' content,
    ``input_versions`` the data versions of what the rows were made from (``pages`` from
    ``source``, the PDF's sha256), ``pages`` the page numbers covered (``1-5,8``).
    """

    document_id: str
    asset: str
    version: str
    input_versions: Mapping[str, str]
    data_version: str
    rows: int
    pages: str
    run_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class CommittedDocument:
    """A document after a commit: its status, and the state of each asset committed."""

    document_id: str
    status: DocumentStatus
    states: Mapping[str, AssetState]


@dataclass(frozen=True, slots=True)
class Failure:
    """One standing row of ``errors``; no page means the document as a whole.

    ``attempts`` are the tries within the run; ``is_fatal`` where it made the document fail.
    """

    document_id: str
    file_name: str
    page_number: int | None
    stage: str
    error_type: str
    message: str
    attempts: int
    is_fatal: bool
    run_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StalePartition:
    """A committed asset of a current document that would come out differently today."""

    document_id: str
    file_name: str
    asset: str
    reason: str


@dataclass(frozen=True, slots=True)
class Health:
    """The state of the file and of the newest snapshot.

    ``free_share`` is that of the file's blocks. ``published_at`` is in seconds since 1970, None
    without a snapshot; a snapshot is sound as long as nobody touched it, and current while it holds
    all that is committed.
    """

    schema_version: int
    bytes: int
    free_share: float
    published_at: float | None
    is_snapshot_sound: bool
    is_snapshot_current: bool


@dataclass(frozen=True, slots=True)
class DocumentSummary:
    """Figures about one committed document for checks, metadata and previews.

    ``seconds`` is the time spent by stage over all pages; ``mean_confidence`` is over its text
    blocks, None without any; ``markdown`` is the beginning of the document.
    """

    document_id: str
    file_name: str
    status: DocumentStatus
    page_count: int | None
    rows: Mapping[str, int]
    pages: int
    failed_pages: int
    page_errors: int
    mean_confidence: float | None
    seconds: Mapping[str, float]
    markdown: str
