"""A data folder with a document of two pages, one that failed, and what may not be shown raw."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from PIL import Image

from deepcompress_dagster.records import (
    BBox,
    DocumentResult,
    PageError,
    PageResult,
    TableCell,
)
from deepcompress_dagster.warehouse import Warehouse
from tests.builders import (
    block,
    box,
    figure,
    page_of,
    table,
)
from tests.warehouse.helpers import (
    commit,
    register,
)

SCRIPT = "<script>document.title = 'broken into'</script>"


@dataclass(frozen=True)
class Shown:
    """The warehouse and its two documents."""

    warehouse: Warehouse
    report: str
    failed: str


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    folder = tmp_path_factory.mktemp("viewer")
    warehouse = Warehouse(folder / "data")
    report = register(warehouse, folder, "report.pdf")
    failed = register(warehouse, folder, "broken.pdf")
    images = warehouse.image_dir(report)
    images.mkdir(parents=True)
    for number in (1, 2):
        Image.new("RGB", (1190, 1684), "white").save(images / f"{number}.jpg")
    commit(warehouse, report, [_first(report), page_of(report, 2)])
    fatal = PageError(failed, None, "open", "not_a_pdf", "broken.pdf is not a PDF; convert it")
    warehouse.fail(DocumentResult(failed, 0, fatal=fatal), run_id="run")
    warehouse.publish(force=True)
    return Shown(warehouse, report, failed)


def _first(document_id: str) -> PageResult:
    cells = (
        TableCell(0, 0, 1, 2, True, SCRIPT, BBox(50, 60, 400, 66)),
        TableCell(1, 0, 1, 1, False, "oats", BBox(50, 66, 200, 72)),
        TableCell(1, 1, 1, 1, False, "12", BBox(200, 66, 400, 72)),
    )
    return page_of(
        document_id,
        1,
        text=[block(1, 0, SCRIPT)],
        tables=[replace(table(1, 1, *cells), bbox=box(1))],
        figures=[figure(1, 4, image_path="../../../etc/passwd")],
        errors={"tables": "a cell could not be read"},
    )


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path; the tests that need it are skipped where there is none."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("no Chromium on this machine: install the package chromium")
    return path


@pytest.fixture
def data_dir(parsed: Shown) -> Path:
    return parsed.warehouse.data_dir
