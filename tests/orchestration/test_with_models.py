"""The real parser under Dagster: a small PDF that this test writes, on the embedded models."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pymupdf
import pytest

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.orchestration.execution.registration import register_documents
from deepcompress_dagster.settings import load_settings
from deepcompress_dagster.warehouse import Warehouse
from tests.orchestration.bench import Bench, inbox_of
from tests.other_documents import epub, tiff

pytestmark = pytest.mark.models

PARAGRAPH = (
    "The mill stands at the end of the valley, where the river bends to the south. It was built"
    " of grey stone, and its wheel has not turned for a hundred years. "
)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A bench with the real parser and two registered files, of which one is no PDF."""
    folder = tmp_path_factory.mktemp("real")
    settings = load_settings(inbox=folder / "inbox", data_dir=folder / "data", device="cpu")
    inbox_of(settings).mkdir()
    write_report(inbox_of(settings) / "a-mill.pdf")
    (inbox_of(settings) / "b-broken.pdf").write_bytes(b"this is no PDF at all\n" * 20)
    warehouse, definitions = Warehouse(settings.data_dir), build_definitions(settings)
    with dg.DagsterInstance.ephemeral() as instance:
        register_documents(instance, warehouse, sorted(inbox_of(settings).iterdir()))
        yield Bench(instance, warehouse, definitions, inbox_of(settings))


def write_report(path: Path) -> None:
    document = pymupdf.open()
    for title in ("The old mill", "Its accounts"):
        page = document.new_page()
        page.insert_text((72, 90), title, fontsize=22, fontname="hebo")
        page.insert_textbox((72, 120, 520, 330), PARAGRAPH * 3, fontsize=11)
    rows = [("Year", "Flour", "Bran"), ("1901", "410", "88"), ("1902", "377", "91")]
    for row in range(4):
        page.draw_line((72, 380 + 24 * row), (372, 380 + 24 * row))
        page.draw_line((72 + 100 * row, 380), (72 + 100 * row, 452))
    for row, texts in enumerate(rows):
        for column, text in enumerate(texts):
            page.insert_text((80 + 100 * column, 397 + 24 * row), text, fontsize=11)
    document.save(path)


def names(bench: Bench) -> tuple[str, str]:
    mill, broken = sorted(bench.instance.get_dynamic_partitions("documents"))
    return mill, broken


def test_a_batch_with_a_broken_file_fills_the_tables_and_names_the_broken_one(
    real: Bench,
) -> None:
    mill, broken = names(real)
    outcome = real.run([mill, broken])
    assert set(outcome.failures) == {broken}
    assert real.materializations(outcome.run_ids[0]) == [(asset, mill) for asset in ASSETS]
    state = real.state(mill)
    assert state["pages"].rows == 2
    assert state["text"].rows >= 4
    assert state["tables"].rows == 1
    content = real.warehouse.figures([mill])[mill][0].markdown
    assert "hundred years" in content

    event = real.instance.get_latest_materialization_event(dg.AssetKey("figures"))
    assert event
    assert event.asset_materialization
    loads = event.asset_materialization.metadata["model loads"].value
    assert isinstance(loads, dict)
    assert set(loads.values()) <= {1}


def test_text_alone_runs_on_the_stored_regions_and_changes_nothing_else(real: Bench) -> None:
    mill, _ = names(real)
    before = real.state(mill)
    outcome = real.run([mill], "text")
    assert outcome.success
    after = real.state(mill)
    assert after["text"].run_id == outcome.run_ids[0]
    assert after["text"].data_version == before["text"].data_version
    others = [asset for asset in ASSETS if asset != "text"]
    assert [after[asset] for asset in others] == [before[asset] for asset in others]


def test_models_stay_loaded_from_run_to_run(real: Bench) -> None:
    mill, _ = names(real)
    outcome = real.run([mill])
    assert outcome.success
    event = real.instance.get_latest_materialization_event(dg.AssetKey("text"))
    assert event
    assert event.asset_materialization
    assert event.asset_materialization.metadata["model loads"].value == {}


@pytest.mark.parametrize("lacking", ["models", "passwords"])
def test_a_run_that_cannot_start_fails_with_what_to_do_and_no_traceback(
    tmp_path: Path, lacking: str
) -> None:
    changed = {"models": {"models_dir": tmp_path / "none"}, "passwords": {}}
    changed["passwords"] = {"passwords_file": tmp_path / "none.txt"}
    settings = load_settings(data_dir=tmp_path / "data", inbox=tmp_path, **changed[lacking])
    write_report(tmp_path / "a.pdf")
    warehouse, definitions = Warehouse(settings.data_dir), build_definitions(settings)
    hint = {
        "models": "deepcompress models pull",
        "passwords": "DEEPCOMPRESS_PASSWORDS_FILE",  # pragma: allowlist secret
    }
    with dg.DagsterInstance.ephemeral() as instance:
        register_documents(instance, warehouse, [tmp_path / "a.pdf"])
        bench = Bench(instance, warehouse, definitions, tmp_path)
        outcome = bench.run([row.document_id for row in warehouse.documents()])
        assert hint[lacking] in (outcome.error or "")
        (failed,) = instance.all_logs(outcome.run_ids[0], of_type=dg.DagsterEventType.STEP_FAILURE)
        event = failed.dagster_event
        assert event
        failure = event.step_failure_data.user_failure_data
        assert failure
        assert hint[lacking] in (failure.description or "")
        assert event.step_failure_data.error
        assert event.step_failure_data.error.cause is None


PROCESS = """
import sys
from deepcompress_dagster.cli import main
sys.argv = ["deepcompress", "process", sys.argv[1]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("loaded:", *sorted({"torch", "transformers", "onnxruntime"} & set(sys.modules)))
"""


def test_a_scan_is_processed_without_torch_and_transformers(tmp_path: Path) -> None:
    write_report(tmp_path / "report.pdf")
    scan = pymupdf.open()
    with pymupdf.open(tmp_path / "report.pdf") as report:
        image = report[1].get_pixmap(dpi=120).tobytes("png")
    scan.new_page().insert_image((0, 0, 595, 842), stream=image)
    scan.save(tmp_path / "scan.pdf")
    data = {"DEEPCOMPRESS_DATA_DIR": str(tmp_path / "data"), "DEEPCOMPRESS_DEVICE": "auto"}
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, str(tmp_path / "scan.pdf")],
        env={**os.environ, **data},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: onnxruntime"
    with Warehouse(tmp_path / "data").reader() as reader:
        (text,) = reader.sql("select string_agg(content) from text").fetchall()[0]
        tables = reader.sql("select model from tables").fetchall()
    assert "the river bends to the south" in text
    assert len(tables) == 1


def test_scans_of_several_pages_and_e_books_become_rows_like_pdfs(tmp_path: Path) -> None:
    inbox, settings = tmp_path / "inbox", load_settings(data_dir=tmp_path / "data", device="cpu")
    inbox.mkdir()
    lines = "\n".join(textwrap.wrap(PARAGRAPH, 48))
    tiff(inbox / "scan.tiff", f"{lines}\n(one)", f"{lines}\n(two)")
    epub(inbox / "book.epub", f"<h1>The old mill</h1><p>{PARAGRAPH}</p>")
    warehouse, definitions = Warehouse(settings.data_dir), build_definitions(settings)
    with dg.DagsterInstance.ephemeral() as instance:
        found = register_documents(instance, warehouse, sorted(inbox.iterdir()))
        bench = Bench(instance, warehouse, definitions, inbox)
        assert bench.run([item.document_id or "" for item in found]).success
    sql = """SELECT file_name, page_number, content, source FROM text
        JOIN documents USING (document_id) ORDER BY file_name, page_number, reading_order"""
    rows = [tuple(row.values()) for row in warehouse.query(sql).to_pylist()]
    assert rows == [
        ("book.epub", 1, "The old mill", "text_layer"),
        ("book.epub", 1, PARAGRAPH.strip(), "text_layer"),
        ("scan.tiff", 1, f"{PARAGRAPH}(one)", "ocr"),
        ("scan.tiff", 2, f"{PARAGRAPH}(two)", "ocr"),
    ]
