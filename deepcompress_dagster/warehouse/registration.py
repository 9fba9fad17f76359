"""From files to documents: identities, sources, and which document takes whose place.

Files are read before the database is asked; what needs the database is done for all files at once.

Not here: which files are looked at, which the floors above decide.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from deepcompress_dagster.records import DocumentStatus
from deepcompress_dagster.warehouse.arrow import bound, insert
from deepcompress_dagster.warehouse.pdf_store import StoredPdf
from deepcompress_dagster.warehouse.types import FileStat, Place

_SLUG_CHARACTERS = 40
_ID_DIGITS = (12, 16, 64)
"""Hexadecimal digits of the hash in an id: the first count at which the id is free."""

_STATS = {"path": "string", "bytes": "int64", "mtime_ns": "int64", "inode": "uint64"}
_PATHS = {"path": "string"}
_IDS = {"document_id": "string", "sha256": "string"}
_PLACES = {"old": "string", "new": "string"}

_IS_SAME_FILE = (
    "s.path = f.path AND s.bytes = f.bytes AND s.inode = f.inode "
    "AND (s.mtime_ns = f.mtime_ns OR contains(f.path, '://'))"
)


@dataclass(frozen=True, slots=True)
class Identity:
    """The document that a file is; ``is_new`` where this file made it known."""

    document_id: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class KnownFile:
    """A file that ``sources`` has with the same stat; ``is_present`` is False where it was gone."""

    file: StoredPdf
    document_id: str
    is_present: bool


def path_text(place: Place) -> str:
    """An address, or the absolute path as UTF-8 text, where a backslash escapes other bytes."""
    return place if isinstance(place, str) else _text(str(place.absolute()))


def slug(file_name: str) -> str:
    """The part of a document's id that people read: letters, marks and digits of any script."""
    stem = unicodedata.normalize("NFC", Path(file_name).stem).lower()
    kept = "".join(c if unicodedata.category(c)[0] in "LMN" else "-" for c in stem)
    return re.sub("-+", "-", kept).strip("-")[:_SLUG_CHARACTERS].strip("-") or "document"


def known_files(
    conn: duckdb.DuckDBPyConnection, files: Sequence[FileStat]
) -> dict[Place, KnownFile]:
    """Those of ``files`` that were seen just so before."""
    with bound(conn, _STATS, [_stat_row(file) for file in files]) as source:
        rows = conn.execute(
            f"""
            SELECT f.path, d.sha256, d.document_id, s.present FROM {source} f
            JOIN sources s ON {_IS_SAME_FILE}
            JOIN documents d ON d.document_id = s.document_id
            """
        ).fetchall()
    found = {path: rest for path, *rest in rows}
    known: dict[Place, KnownFile] = {}
    for file in files:
        if (text := path_text(file.path)) in found:
            sha256, document_id, is_present = found[text]
            known[file.path] = KnownFile(StoredPdf(file, sha256), document_id, is_present)
    return known


def unseen(conn: duckdb.DuckDBPyConnection, files: Sequence[FileStat]) -> list[Place]:
    """The files that ``sources`` has not, has with another stat, or has as gone."""
    known = known_files(conn, files)
    return [f.path for f in files if f.path not in known or not known[f.path].is_present]


def missing(conn: duckdb.DuckDBPyConnection, folder: Place, files: Sequence[FileStat]) -> list[str]:
    """Paths of present sources below ``folder`` that are not among ``files``."""
    with bound(conn, _STATS, [_stat_row(file) for file in files]) as source:
        rows = conn.execute(
            "SELECT s.path FROM sources s WHERE s.present AND starts_with(s.path, ?) "
            f"AND NOT EXISTS (FROM {source} f WHERE f.path = s.path)",
            [path_text(folder).rstrip("/") + "/"],
        ).fetchall()
    return [path for (path,) in rows]


def mark_missing(conn: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> None:
    """Say of these sources that they are gone."""
    with bound(conn, _PATHS, [{"path": path} for path in paths]) as source:
        conn.execute(
            f"UPDATE sources SET present = false WHERE path IN (SELECT path FROM {source})"
        )


def record(
    conn: duckdb.DuckDBPyConnection, files: Sequence[StoredPdf], now: datetime
) -> dict[Place, Identity]:
    """Make the kept files known: documents, sources, and who is current. One per path."""
    identities = _identify(conn, files, now)
    rows = [
        {
            **_stat_row(file.stat),
            "document_id": identities[file.stat.path].document_id,
            "seen_at": now,
            "present": True,
        }
        for file in files
    ]
    displaced = _displaced(conn, rows)
    _write_sources(conn, rows)
    _supersede(conn, displaced)
    _make_current(conn, [row["document_id"] for row in rows])
    return identities


def _identify(
    conn: duckdb.DuckDBPyConnection, files: Sequence[StoredPdf], now: datetime
) -> dict[Place, Identity]:
    ids = _known_ids(conn, [file.sha256 for file in files])
    first = {file.sha256: file for file in reversed(files) if file.sha256 not in ids}
    new = _free_ids(conn, [file for file in files if first.get(file.sha256) is file])
    insert(
        conn,
        "documents",
        [
            {
                "document_id": document_id,
                "sha256": file.sha256,
                "file_name": _text(file.stat.name),
                "bytes": file.stat.bytes,
                "status": DocumentStatus.REGISTERED.value,
                "is_current": True,
                "attachments": [],
                "attempts": 0,
                "first_seen_at": now,
            }
            for document_id, file in new.items()
        ],
    )
    ids |= {file.sha256: document_id for document_id, file in new.items()}
    return {
        file.stat.path: Identity(ids[file.sha256], first.get(file.sha256) is file) for file in files
    }


def _known_ids(conn: duckdb.DuckDBPyConnection, hashes: Iterable[str]) -> dict[str, str]:
    with bound(conn, _IDS, [{"sha256": sha256} for sha256 in hashes]) as source:
        rows = conn.execute(
            "SELECT sha256, document_id FROM documents "
            f"WHERE sha256 IN (SELECT sha256 FROM {source})"
        ).fetchall()
    return dict(rows)


def _free_ids(conn: duckdb.DuckDBPyConnection, files: Sequence[StoredPdf]) -> dict[str, StoredPdf]:
    """An id for each file, in order: the shortest that no other document has."""
    candidates = {
        file.sha256: [f"{slug(file.stat.name)}-{file.sha256[:n]}" for n in _ID_DIGITS]
        for file in files
    }
    rows = [{"document_id": name} for names in candidates.values() for name in names]
    with bound(conn, _IDS, rows) as source:
        taken = {
            document_id
            for (document_id,) in conn.execute(
                "SELECT document_id FROM documents "
                f"WHERE document_id IN (SELECT document_id FROM {source})"
            ).fetchall()
        }
    chosen: dict[str, StoredPdf] = {}
    for file in files:
        names = candidates[file.sha256]
        chosen[next(name for name in names if name not in taken | chosen.keys())] = file
    return chosen


def _displaced(
    conn: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, str]]:
    """Documents that other bytes take the place of at a path, with what takes it."""
    with bound(conn, _PATHS, rows) as source:
        before = dict(
            conn.execute(
                f"SELECT path, document_id FROM sources WHERE path IN (SELECT path FROM {source})"
            ).fetchall()
        )
    return [
        {"old": before[row["path"]], "new": row["document_id"]}
        for row in rows
        if row["path"] in before and before[row["path"]] != row["document_id"]
    ]


def _write_sources(conn: duckdb.DuckDBPyConnection, rows: Sequence[Mapping[str, Any]]) -> None:
    schema = conn.table("sources").limit(0).to_arrow_table().schema
    with bound(conn, schema, rows) as source:
        conn.execute(
            f"""
            UPDATE sources SET document_id = f.document_id, bytes = f.bytes,
                mtime_ns = f.mtime_ns, inode = f.inode, seen_at = f.seen_at, present = true
            FROM {source} f WHERE f.path = sources.path
            """
        )
        conn.execute(
            f"INSERT INTO sources BY NAME SELECT * FROM {source} "
            "WHERE path NOT IN (SELECT path FROM sources)"
        )


def _supersede(conn: duckdb.DuckDBPyConnection, displaced: Sequence[Mapping[str, str]]) -> None:
    """Documents that no present path leads to any more give way to those that took their place."""
    with bound(conn, _PLACES, displaced) as source:
        conn.execute(
            f"""
            UPDATE documents SET is_current = false, superseded_by = f.new
            FROM (SELECT old, max(new) AS new FROM {source} GROUP BY old) f
            WHERE f.old = documents.document_id AND NOT EXISTS (
                FROM sources s WHERE s.document_id = documents.document_id AND s.present
            )
            """
        )


def _make_current(conn: duckdb.DuckDBPyConnection, document_ids: Sequence[str]) -> None:
    with bound(conn, _IDS, [{"document_id": name} for name in document_ids]) as source:
        conn.execute(
            "UPDATE documents SET is_current = true, superseded_by = NULL WHERE NOT is_current "
            f"AND document_id IN (SELECT document_id FROM {source})"
        )


def _stat_row(file: FileStat) -> dict[str, Any]:
    return {
        "path": path_text(file.path),
        "bytes": file.bytes,
        "mtime_ns": file.mtime_ns,
        "inode": file.inode,
    }


def _text(name: str) -> str:
    return os.fsencode(name).decode("utf-8", "backslashreplace")
