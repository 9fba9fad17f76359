"""The project of ``examples/analytics``, run as a person would: a drawn invoice, and its total."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import pymupdf
import pytest

from deepcompress_dagster.orchestration.defs import jobs
from deepcompress_dagster.orchestration.execution.registration import register_documents
from deepcompress_dagster.orchestration.naming import Naming
from deepcompress_dagster.warehouse import Warehouse

pytestmark = pytest.mark.models

EXAMPLE = Path(__file__).parents[1] / "examples" / "analytics"
NAMES = Naming(key_prefix=("invoices",), gpu="invoices__gpu", warehouse="invoices__warehouse")
TOTALS = dg.AssetKey("invoice_totals")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the example; its modules are forgotten afterwards."""
    folder = tmp_path / "analytics"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "inbox", "*.egg-info"))
    monkeypatch.syspath_prepend(folder / "src")
    yield folder
    for name in [name for name in sys.modules if name.split(".")[0] == "analytics"]:
        del sys.modules[name]


def write_invoice(path: Path, *lines: tuple[str, str]) -> Path:
    """One page with a ruled table of positions; the total is the last line."""
    path.parent.mkdir(exist_ok=True)
    document = pymupdf.open()
    page = document.new_page()
    page.insert_text((72, 90), "Invoice", fontsize=22, fontname="hebo")
    rows = [("Position", "Amount"), *lines]
    for row in range(len(rows) + 1):
        page.draw_line((72, 130 + 24 * row), (432, 130 + 24 * row))
    for x in (72, 332, 432):
        page.draw_line((x, 130), (x, 130 + 24 * len(rows)))
    for row, (label, amount) in enumerate(rows):
        page.insert_text((80, 147 + 24 * row), label, fontsize=11)
        page.insert_text((345, 147 + 24 * row), amount, fontsize=11)
    document.save(path)
    return path


def test_totals_are_made_from_the_cells_and_again_when_tables_change(project: Path) -> None:
    from analytics.definitions import defs  # type: ignore[import-not-found]

    definitions = defs()
    warehouse = Warehouse(project / "data" / "invoices")

    def totals() -> dict[str, float]:
        with duckdb.connect(project / "data" / "analytics.duckdb", read_only=True) as conn:
            return dict(conn.sql("SELECT file_name, total FROM invoice_totals").fetchall())

    def arrive(path: Path) -> None:
        found = register_documents(instance, warehouse, [path], names=NAMES)
        documents = [item.document_id for item in found if item.document_id]
        assert (
            definitions.resolve_job_def(NAMES.job)
            .execute_in_process(
                instance=instance,
                run_config=jobs.run_config(documents, skip_unchanged=True, names=NAMES),
                tags=jobs.run_tags(documents, instance.get_dynamic_partitions(NAMES.partitions)),
            )
            .success
        )

    def refresh() -> bool:
        """What the daemon does with the asset's condition: whether it was made anew."""
        nonlocal cursor
        result = dg.evaluate_automation_conditions(definitions, instance, cursor=cursor)
        cursor = result.cursor
        if not result.get_num_requested(TOTALS):
            return False
        job = definitions.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(instance=instance, asset_selection=[TOTALS]).success

    with dg.DagsterInstance.ephemeral() as instance:
        cursor = dg.evaluate_automation_conditions(definitions, instance).cursor
        arrive(write_invoice(project / "inbox" / "a.pdf", ("Flour", "30.00"), ("Total", "30.00")))
        assert refresh()
        assert totals() == {"a.pdf": 30}
        assert not refresh()
        two = ("Bran", "8.50"), ("Sacks", "2.00"), ("Total", "10.50")
        arrive(write_invoice(project / "inbox" / "b.pdf", *two))
        assert refresh()
        assert totals() == {"a.pdf": 30, "b.pdf": 10.5}
