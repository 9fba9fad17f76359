"""The full profile under Dagster: tiny checkpoints of every family, on a scanned sample page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pymupdf
import pytest

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.orchestration.execution.registration import register_documents
from deepcompress_dagster.settings import Settings, load_settings
from deepcompress_dagster.warehouse import Warehouse
from tests import taught_checkpoints as taught
from tests.orchestration.bench import Bench, inbox_of
from tests.taught_checkpoints import Box

pytestmark = pytest.mark.models

SAMPLE = "scanned-letter.pdf"

TITLE = Box("Title", 0.1, 0.1, 0.9, 0.2)
TABLE = Box("Table", 0.1, 0.22, 0.9, 0.42)
TEXT = Box("Text", 0.1, 0.42, 0.9, 0.5)
PICTURE = Box("Picture", 0.1, 0.7, 0.6, 0.95)

CELLS = tuple(
    Box("cell", 0.1 + 0.4 * column, 0.22 + 0.1 * row, 0.5 + 0.4 * column, 0.32 + 0.1 * row)
    for row in range(2)
    for column in range(2)
)

GRID = (
    Box("table row", 0, 0, 1, 0.5),
    Box("table row", 0, 0.5, 1, 1),
    Box("table column", 0, 0, 0.5, 1),
    Box("table column", 0.5, 0, 1, 1),
    Box("table column header", 0, 0, 1, 0.5),
)

LINES = ("line 1", "line 2")
"""What the reader says to each region and cell: it learns one answer to all of them."""

CHART = "TITLE | Sales <0x0A> Year | Boats <0x0A> 2001 | 5 <0x0A> 2002 | 8"


@pytest.fixture(scope="module")
def full(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench with the sample registered and checkpoints that know it by heart."""
    folder = tmp_path_factory.mktemp("full")
    models = checkpoints(folder / "models", rendered(samples / SAMPLE))
    settings = load_settings(
        _env_file=None,
        inbox=folder / "inbox",
        data_dir=folder / "data",
        profile="full",
        device="cpu",
        **models,
    )
    inbox_of(settings).mkdir()
    (inbox_of(settings) / SAMPLE).write_bytes((samples / SAMPLE).read_bytes())
    warehouse, definitions = Warehouse(settings.data_dir), build_definitions(settings)
    with dg.DagsterInstance.ephemeral() as instance:
        register_documents(instance, warehouse, sorted(inbox_of(settings).iterdir()))
        yield Bench(instance, warehouse, definitions, inbox_of(settings))


def rendered(path: Path) -> Image:
    with pymupdf.open(path) as document:
        picture = document[0].get_pixmap(dpi=Settings.model_fields["dpi"].default)
    return np.frombuffer(picture.samples, np.uint8).reshape(picture.h, picture.w, 3)


def checkpoints(folder: Path, page: Image) -> dict[str, Any]:
    regions = (TITLE, TABLE, TEXT, PICTURE)
    asked = [crops(page, box)[0] for box in (TITLE, TEXT, PICTURE, *CELLS)]
    made = {
        "layout": taught.detector(folder / "layout", "detr", [page], regions),
        "text": taught.reader(folder / "text", asked, ["\n".join(LINES)] * len(asked)),
        "table": taught.detector(folder / "table", "table-transformer", crops(page, TABLE), GRID),
        "figure": taught.chart_reader(folder / "figure", crops(page, PICTURE), CHART),
    }
    return {task: str(path) for task, path in made.items()}


def crops(page: Image, box: Box) -> list[Image]:
    """The box's pixels, a little too narrow and too wide: the layout model's box is not exact."""
    height, width = page.shape[:2]
    return [
        page[
            int((box.y0 - margin) * height) : int((box.y1 + margin) * height),
            int((box.x0 - margin) * width) : int((box.x1 + margin) * width),
        ]
        for margin in (-0.01, 0.01)
    ]


def rows(bench: Bench, query: str) -> list[tuple[Any, ...]]:
    with bench.warehouse.reader() as connection:
        found: list[tuple[Any, ...]] = connection.execute(query).fetchall()
    return found


def test_a_run_fills_the_five_tables_with_what_the_models_answer(full: Bench) -> None:
    (document,) = full.instance.get_dynamic_partitions("documents")
    outcome = full.run([document])
    assert outcome.success
    assert full.materializations(outcome.run_ids[0]) == [(asset, document) for asset in ASSETS]
    full.warehouse.publish(force=True)
    assert rows(full, "SELECT * FROM errors") == []

    assert rows(full, "SELECT page_number, status FROM pages") == [(1, "complete")]
    regions = rows(full, "SELECT label, model FROM layouts ORDER BY reading_order")
    assert [label for label, _ in regions] == ["title", "table", "text", "picture"]
    assert all(model.startswith("layout@") for _, model in regions)

    text = rows(full, "SELECT content, source, model FROM text ORDER BY reading_order")
    assert {content for content, *_ in text} == {"line 1 line 2"}
    assert {source for _, source, _ in text} == {"ocr"}
    assert all(model.startswith("text@") for *_, model in text)

    ((n_rows, n_columns, cells, model),) = rows(
        full, "SELECT n_rows, n_columns, cells, model FROM tables"
    )
    assert model.startswith("table@")
    assert (n_rows, n_columns) in {(2, 1), (2, 2)}
    assert {cell["text"] for cell in cells} <= {"line 1 line 2", ""}
    assert [cell["is_header"] for cell in cells if cell["row"] == 0] == [True] * n_columns

    ((kind, data, model),) = rows(full, "SELECT kind, data, model FROM figures")
    assert model.startswith("figure@")
    assert data["columns"] == ["Year", "Boats"]
    assert data["rows"] == [["2001", "5"], ["2002", "8"]]
    assert kind in {"chart", "photo"}


def test_each_model_was_loaded_once(full: Bench) -> None:
    event = full.instance.get_latest_materialization_event(dg.AssetKey("figures"))
    assert event
    assert event.asset_materialization
    loads = event.asset_materialization.metadata["model loads"].value
    assert isinstance(loads, dict)
    assert len(loads) >= 4
    assert set(loads.values()) == {1}
