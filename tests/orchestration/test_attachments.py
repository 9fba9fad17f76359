"""PDFs that hold PDFs, through real worker processes and as far as their pages."""

from pathlib import Path

import dagster as dg
import pytest

from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.orchestration import ingest
from deepcompress_dagster.orchestration.execution.registration import register_documents
from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.settings import Attachments, Settings
from deepcompress_dagster.warehouse import Warehouse


def holder(path: Path, **inside: bytes) -> Path:
    """A portfolio with a cover page and these files in it."""
    document = pymupdf.open()
    document.new_page().insert_text((50, 50), f"cover of {path.stem}")
    for name, content in inside.items():
        document.embfile_add(name, content, filename=name.replace("_", "."))
    document.xref_set_key(document.pdf_catalog(), "Collection", "<< /View /T >>")
    path.parent.mkdir(exist_ok=True)
    document.save(path)
    return path


@pytest.fixture
def portfolio(tmp_path: Path) -> Path:
    """A PDF with a table and a PDF in it, which has another PDF in it."""
    innermost = holder(tmp_path / "parts" / "annex.pdf")
    inner = holder(tmp_path / "parts" / "deal.pdf", annex_pdf=innermost.read_bytes())
    return holder(tmp_path / "folder.pdf", deal_pdf=inner.read_bytes(), prices_csv=b"x;1\n")


def _pages(
    instance: dg.DagsterInstance, settings: Settings, path: Path
) -> tuple[Warehouse, list[str]]:
    """Parse one file as far as its pages: the documents that were taken up."""
    warehouse = Warehouse(settings.data_dir)
    (found,) = register_documents(instance, warehouse, [path])
    assert found.document_id is not None
    outcome, taken = ingest.materialize_with_attachments(
        instance, warehouse, build_definitions(settings), [found.document_id], ["pages"]
    )
    assert outcome.success, outcome
    return warehouse, taken


def test_a_portfolio_says_what_it_holds(
    instance: dg.DagsterInstance, settings: Settings, portfolio: Path
) -> None:
    warehouse, taken = _pages(instance, settings, portfolio)
    (row,) = warehouse.documents(taken)
    assert row.status == "partial"
    assert "not read: deal.pdf, prices.csv; DEEPCOMPRESS_ATTACHMENTS=parse" in (row.error or "")
    (failure,) = warehouse.failures()
    assert failure.error_type == "portfolio"
    assert row.document_id not in failure.message
    held = warehouse.query("SELECT name, is_pdf, attached_document_id FROM attachments")
    assert [tuple(entry.values()) for entry in held.to_pylist()] == [
        ("deal.pdf", True, None),
        ("prices.csv", False, None),
    ]


def test_pdfs_inside_pdfs_become_documents_of_their_own(
    instance: dg.DagsterInstance, settings: Settings, portfolio: Path
) -> None:
    parsing = settings.model_copy(update={"attachments": Attachments.PARSE})
    warehouse, taken = _pages(instance, parsing, portfolio)
    rows = {row.file_name: row for row in warehouse.documents()}
    assert list(rows) == ["annex.pdf", "deal.pdf", "folder.pdf"]
    assert taken == [rows[n].document_id for n in ("folder.pdf", "deal.pdf", "annex.pdf")]
    assert set(instance.get_dynamic_partitions("documents")) == set(taken)
    assert "prices.csv" in (rows["folder.pdf"].error or "")
    assert "not made yet" in (rows["deal.pdf"].error or "")
    held = warehouse.query("SELECT file_name, attached_document_id FROM attachments WHERE is_pdf")
    assert {tuple(entry.values()) for entry in held.to_pylist()} == {
        ("folder.pdf", rows["deal.pdf"].document_id),
        ("deal.pdf", rows["annex.pdf"].document_id),
    }
    assert warehouse.query("SELECT count(*) AS n FROM pages").to_pylist() == [{"n": 3}]
