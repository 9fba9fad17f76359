"""What tests do to a warehouse: register, stage, commit, look."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.records import DocumentOpened, DocumentResult, PageResult
from deepcompress_dagster.warehouse import CommittedDocument, Warehouse

VERSIONS = dict.fromkeys(ASSETS, "v1")


def versions(*assets: str, version: str = "v1") -> dict[str, str]:
    return dict.fromkeys(assets or ASSETS, version)


def write_pdf(folder: Path, name: str, content: str = "") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"%PDF-1.7 {content or name}".encode())
    return path


def register(warehouse: Warehouse, folder: Path, name: str, content: str = "") -> str:
    (answer,) = warehouse.register([write_pdf(folder, name, content)])
    assert answer.document_id is not None, answer.error
    return answer.document_id


def stage(
    warehouse: Warehouse,
    document_id: str,
    pages: Iterable[PageResult],
    *,
    assets: Mapping[str, str] = VERSIONS,
    page_count: int | None = None,
    run_id: str = "run",
) -> int:
    """Stage the pages with their document's header; the page count."""
    pages = list(pages)
    count = page_count if page_count is not None else len(pages)
    warehouse.stage(run_id, assets, [DocumentOpened(document_id, count, "Title")], pages)
    return count


def commit(
    warehouse: Warehouse,
    document_id: str,
    pages: Iterable[PageResult],
    *,
    assets: Mapping[str, str] = VERSIONS,
    page_count: int | None = None,
    run_id: str = "run",
) -> CommittedDocument:
    """Stage the pages and commit the document."""
    count = stage(
        warehouse, document_id, pages, assets=assets, page_count=page_count, run_id=run_id
    )
    return warehouse.commit(DocumentResult(document_id, count), run_id=run_id, versions=assets)


def rows(warehouse: Warehouse, sql: str) -> list[tuple[object, ...]]:
    """Rows of a query on a snapshot of now."""
    warehouse.publish(force=True)
    return [tuple(row.values()) for row in warehouse.query(sql).to_pylist()]
