"""An export: documents of the published snapshot written to a target, and its manifest.

``manifest.json`` says of each document at the target which files it has, with rows, bytes and
sha256, and what they were made from. It is written last, and is what the next export compares with:
a document whose fingerprint is there already need not be written again, and one that is not current
any more, or was forgotten, is removed before a new manifest says so.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import deepcompress_dagster
from deepcompress_dagster.export import docling, tabular
from deepcompress_dagster.export.forms import TABLES, TABULAR, ExportError, File, Form
from deepcompress_dagster.export.tabular import Ask, Columns
from deepcompress_dagster.export.target import Target, open_target
from deepcompress_dagster.warehouse.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse import Warehouse

MANIFEST = "manifest.json"

REVISION = 1
"""Raised when the files of an export change without a change of the rows."""

_PAGES_TOGETHER = 500
_DOCUMENTS_TOGETHER = 50
"""Documents read by one query: 500 pages are some 20 MB of rows."""

_DOCUMENTS = """
SELECT d.document_id, d.file_name, d.sha256, d.status, coalesce(d.page_count, 1) AS page_count,
    d.is_current, d.superseded_by, d.processed_at,
    md5(to_json(d)::VARCHAR || coalesce(s.states, '')) AS fingerprint,
    coalesce(s.versions, []) AS versions
FROM documents d LEFT JOIN (
    SELECT document_id, string_agg(to_json(a)::VARCHAR, ',' ORDER BY asset) AS states,
        list({'asset': asset, 'version': version, 'data_version': data_version} ORDER BY asset)
            AS versions
    FROM asset_state a GROUP BY document_id
) s USING (document_id)
ORDER BY d.document_id
"""

_MARKDOWN = """
SELECT document_id, markdown FROM document_markdown WHERE list_contains($ids, document_id)
"""

_IMAGES = """
SELECT DISTINCT document_id, image_path FROM figures
WHERE list_contains($ids, document_id) AND image_path IS NOT NULL
ORDER BY document_id, image_path
"""


Entries: TypeAlias = dict[str, dict[str, Any]]
"""What a manifest says of documents, by id."""


@dataclass(frozen=True)
class Request:
    """What is exported: ``documents`` or all current ones; ``since`` (UTC, without a zone) those
    that were processed then or later; ``only_changed`` those that the target has not as they are.
    """

    form: Form = Form.PARQUET
    tables: tuple[str, ...] = TABLES
    documents: tuple[str, ...] = ()
    since: datetime | None = None
    only_changed: bool = False


@dataclass(frozen=True)
class Exported:
    """What an export came to: documents written, left alone, and removed; files and bytes."""

    written: int
    unchanged: int
    removed: int
    files: int
    bytes: int


def export(warehouse: "Warehouse", place: str, request: Request) -> Exported:
    """Write documents of the newest snapshot to a folder or address.

    Raises ExportError, and WarehouseError where there is no snapshot to be had.
    """
    with warehouse.snapshot() as ask, open_target(place) as target:
        return _Export(warehouse, ask, target, request, place).run()


class _Export:
    """One export, from what the target's manifest says to the new one."""

    def __init__(
        self, warehouse: "Warehouse", ask: Ask, target: Target, request: Request, place: str
    ) -> None:
        self._warehouse = warehouse
        self._ask = ask
        self._target = target
        self._request = request
        self._columns = Columns(ask)
        self._columns.check(request.tables)
        self._known = {row["document_id"]: row for row in ask(_DOCUMENTS, {}).to_pylist()}
        self._there = _documents_at(target, request.form, place)

    def run(self) -> Exported:
        wanted = self._wanted()
        chosen = [row for row in wanted if not self._is_there(row)]
        written: Entries = {}
        for batch in _batches(chosen):
            written |= self._write(batch)
        entries = self._there | written
        gone = [name for name in entries if not self._is_current(name)]
        for name in gone:
            self._remove(entries.pop(name))
        if chosen or gone or not self._there:
            self._target.write_last(MANIFEST, self._manifest(entries))
        files = [file for entry in written.values() for file in entry["files"]]
        return Exported(
            written=len(chosen),
            unchanged=len(wanted) - len(chosen),
            removed=len(gone),
            files=len(files),
            bytes=sum(file["bytes"] for file in files),
        )

    def _wanted(self) -> list[dict[str, Any]]:
        """The documents asked for, in order. Raises ExportError for one that is not current."""
        asked = self._request.documents or [
            name for name, row in self._known.items() if row["is_current"]
        ]
        for name in asked:
            if name not in self._known:
                raise ExportError(f"no such document: {name}; deepcompress status lists them")
            if not self._is_current(name):
                newer = self._known[name]["superseded_by"]
                raise ExportError(f"{name} is not current any more: export {newer} instead")
        since = self._request.since
        rows = [self._known[name] for name in dict.fromkeys(asked)]
        if since is None:
            return rows
        return [row for row in rows if row["processed_at"] and row["processed_at"] >= since]

    def _is_current(self, name: str) -> bool:
        return name in self._known and bool(self._known[name]["is_current"])

    def _is_there(self, row: Mapping[str, Any]) -> bool:
        entry = self._there.get(row["document_id"])
        return (
            self._request.only_changed
            and entry is not None
            and entry["fingerprint"] == self._fingerprint(row)
        )

    def _fingerprint(self, row: Mapping[str, Any]) -> str:
        """What the files of a document follow from."""
        tables = self._request.tables if self._request.form in TABULAR else ()
        parts = [row["fingerprint"], self._request.form, *tables, SCHEMA_VERSION, REVISION]
        return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:32]

    def _write(self, batch: Sequence[dict[str, Any]]) -> Entries:
        """Write the files of some documents, and remove what they had before and have no more."""
        files: dict[str, list[dict[str, Any]]] = {row["document_id"]: [] for row in batch}
        for document_id, file in self._files(batch):
            self._target.write(file.path, file.content)
            files[document_id].append(_described(file))
        for name, described in files.items():
            if before := self._there.get(name):
                self._remove(before, {file["path"] for file in described})
        return {row["document_id"]: self._entry(row, files[row["document_id"]]) for row in batch}

    def _files(self, batch: Sequence[dict[str, Any]]) -> Iterator[tuple[str, File]]:
        form, ids = self._request.form, [row["document_id"] for row in batch]
        if form in TABULAR:
            yield from tabular.files(self._ask, self._columns, form, self._request.tables, ids)
            return
        yield from self._images(ids)
        if form is Form.MARKDOWN:
            for row in self._ask(_MARKDOWN, {"ids": ids}).to_pylist():
                name, text = row["document_id"], row["markdown"]
                yield name, File(f"{name}.md", f"{text}\n".encode())
        else:
            yield from docling.files(self._ask, batch)

    def _images(self, document_ids: Sequence[str]) -> Iterator[tuple[str, File]]:
        """The figures that the text refers to, below the same names as in the data folder."""
        for row in self._ask(_IMAGES, {"ids": list(document_ids)}).to_pylist():
            with suppress(FileNotFoundError):
                content = (self._warehouse.data_dir / row["image_path"]).read_bytes()
                yield row["document_id"], File(row["image_path"], content)

    def _remove(self, entry: Mapping[str, Any], kept: Collection[str] = ()) -> None:
        for file in entry["files"]:
            if file["path"] not in kept:
                self._target.remove(file["path"])

    def _entry(self, row: Mapping[str, Any], files: Sequence[dict[str, Any]]) -> dict[str, Any]:
        return {
            "file_name": row["file_name"],
            "sha256": row["sha256"],
            "status": row["status"],
            "fingerprint": self._fingerprint(row),
            "versions": {
                v["asset"]: {"version": v["version"], "data_version": v["data_version"]}
                for v in row["versions"]
            },
            "files": files,
        }

    def _manifest(self, entries: Mapping[str, Any]) -> bytes:
        said = {
            "format": self._request.form.value,
            "deepcompress": deepcompress_dagster.__version__,
            "schema_version": SCHEMA_VERSION,
            "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "documents": dict(sorted(entries.items())),
        }
        return json.dumps(said, ensure_ascii=False, indent=1).encode()


def _described(file: File) -> dict[str, Any]:
    return {
        "path": file.path,
        "rows": file.rows,
        "bytes": len(file.content),
        "sha256": hashlib.sha256(file.content).hexdigest(),
    }


def _documents_at(target: Target, form: Form, place: str) -> Entries:
    """What the target's manifest lists. Raises ExportError for one of another form."""
    content = target.read(MANIFEST)
    if content is None:
        return {}
    try:
        said = json.loads(content)
        there: Entries = said["documents"]
        found = said["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(
            f"{place}/{MANIFEST} is no manifest of an export: move it away, or give another target"
        ) from error
    if found != form:
        raise ExportError(
            f"{place} holds an export as {found}: give another target for {form.value}"
        )
    return there


def _batches(rows: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Documents that are read together: few pages in all, or one document."""
    batch: list[dict[str, Any]] = []
    pages = 0
    for row in rows:
        is_full = len(batch) == _DOCUMENTS_TOGETHER or pages + row["page_count"] > _PAGES_TOGETHER
        if batch and is_full:
            yield batch
            batch, pages = [], 0
        batch.append(row)
        pages += row["page_count"]
    if batch:
        yield batch
