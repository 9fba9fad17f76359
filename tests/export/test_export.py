"""Documents as files: what is written, what is left alone, what is removed, and what goes wrong."""

import csv
import json
import resource
import shutil
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from deepcompress_dagster import cli
from deepcompress_dagster.export.export import Exported, Request, export
from deepcompress_dagster.export.forms import TABLES, ExportError, Form
from deepcompress_dagster.records import ChartData, Label, TableCell
from deepcompress_dagster.warehouse import Warehouse
from tests.builders import block, box, figure, page_of, table
from tests.s3_server import S3Server
from tests.warehouse.helpers import commit, register

CELLS = (
    TableCell(0, 0, 1, 2, True, "Sold", box(1)),
    TableCell(1, 0, 1, 1, False, "12", box(2)),
    TableCell(1, 1, 1, 1, False, "34", None),
)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """Two documents of two pages, ``a`` and ``b``, with a list, a captioned table and a chart."""
    folder = tmp_path_factory.mktemp("filled")
    warehouse = Warehouse(folder / "data")
    for name in "ab":
        document_id = register(warehouse, folder / "inbox", f"{name}.pdf")
        picture = warehouse.image_dir(document_id) / "f.jpg"
        picture.parent.mkdir(parents=True)
        picture.write_bytes(b"pixels")
        commit(warehouse, document_id, pages(document_id))
    warehouse.publish(force=True)
    return warehouse


@pytest.fixture
def own(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    """The same, for a test that changes it."""
    return Warehouse(shutil.copytree(warehouse.data_dir, tmp_path / "own", symlinks=True))


def pages(document_id: str) -> list:
    chart = figure(1, 7, "Figure 1: crop", f"images/{document_id}/f.jpg")
    data = ChartData(("year", "kg"), (("2024", "7"),), 0.9)
    text = [
        block(1, 0, "Harvest", Label.TITLE, 1),
        block(1, 1, "Yields", Label.SECTION_HEADER, 2),
        block(1, 2, "apples", Label.LIST_ITEM),
        block(1, 3, "pears", Label.LIST_ITEM),
        block(1, 4, "Table 1: sold", Label.CAPTION),
        block(1, 6, "page 1 of 2", Label.PAGE_FOOTER),
    ]
    grid = table(1, 5, *CELLS, caption="Table 1: sold")
    first = page_of(document_id, 1, text=text, tables=[grid], figures=[replace(chart, data=data)])
    return [first, page_of(document_id, 2, tables=(), figures=())]


def ids(warehouse: Warehouse) -> list[str]:
    return [row.document_id for row in warehouse.documents()]


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())


def files_of(folder: Path) -> set[str]:
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in found if not path.name.startswith(".")}


def listed(folder: Path) -> set[str]:
    entries = manifest(folder)["documents"].values()
    return {file["path"] for entry in entries for file in entry["files"]}


def test_parquet_is_read_as_tables_of_all_documents_and_its_manifest_tells_every_file(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    done = export(warehouse, str(tmp_path / "out"), Request())

    text = pl.read_parquet(tmp_path / "out" / "text")
    assert text["document_id"].unique().sort().to_list() == ids(warehouse)
    tables = pl.read_parquet(tmp_path / "out" / "tables")
    assert tables["cells"][0][0]["text"] == "Sold"
    assert done == Exported(2, 0, 0, 2 * len(TABLES), done.bytes)
    said = manifest(tmp_path / "out")["documents"][ids(warehouse)[0]]
    assert [file["rows"] for file in said["files"]] == [1, 2, 6, 7, 1, 1, 0]
    assert said["versions"]["text"]["version"] == "v1"
    for file in said["files"]:
        content = (tmp_path / "out" / file["path"]).read_bytes()
        assert (len(content), sha256(content).hexdigest()) == (file["bytes"], file["sha256"])
    assert files_of(tmp_path / "out") == listed(tmp_path / "out") | {"manifest.json"}


def test_csv_and_json_lines_name_the_document_in_each_row(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    first = ids(warehouse)[0]
    for form in (Form.CSV, Form.JSONL):
        export(warehouse, str(tmp_path / form), Request(form, ("tables", "table_cells")))

    (row,) = csv.DictReader((tmp_path / "csv" / "tables" / f"{first}.csv").open())
    assert row["document_id"] == first
    assert json.loads(row["cells"])[0]["text"] == "Sold"
    lines = (tmp_path / "jsonl" / "table_cells" / f"{first}.jsonl").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [None, 12.0, 34.0]


def test_markdown_brings_the_pictures_that_it_shows(warehouse: Warehouse, tmp_path: Path) -> None:
    export(warehouse, str(tmp_path / "out"), Request(Form.MARKDOWN))

    first = ids(warehouse)[0]
    assert f"](images/{first}/f.jpg)" in (tmp_path / "out" / f"{first}.md").read_text()
    assert (tmp_path / "out" / "images" / first / "f.jpg").read_bytes() == b"pixels"


def test_docling_json_holds_the_blocks_in_order_with_their_places(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    export(warehouse, str(tmp_path / "out"), Request(Form.DOCLING))
    said = json.loads((tmp_path / "out" / f"{ids(warehouse)[0]}.json").read_text())

    assert [child["$ref"] for child in said["body"]["children"]] == [
        *("#/texts/0", "#/texts/1", "#/groups/0", "#/texts/4"),
        *("#/tables/0", "#/texts/5", "#/pictures/0", "#/texts/7"),
    ]
    title, heading, item, _, caption, footer, *_ = said["texts"]
    assert (title["label"], heading["label"], heading["level"]) == ("title", "section_header", 1)
    assert item["parent"] == {"$ref": "#/groups/0"}
    assert footer["content_layer"] == "furniture"
    (place,) = heading["prov"]
    assert place["page_no"] == 1
    assert place["bbox"] == {"l": 50, "t": 60, "r": 400, "b": 75, "coord_origin": "TOPLEFT"}
    (grid,) = said["tables"]
    assert grid["captions"] == [{"$ref": caption["self_ref"]}]
    assert grid["data"]["table_cells"][0]["end_col_offset_idx"] == 2
    (chart,) = said["pictures"]
    assert chart["annotations"][0]["chart_data"]["num_rows"] == 2
    assert said["origin"]["binary_hash"] < 2**64
    assert set(said["pages"]) == {"1", "2"}


def test_what_did_not_change_is_left_alone_and_what_was_forgotten_disappears(
    own: Warehouse, tmp_path: Path
) -> None:
    out, changed = tmp_path / "out", Request(only_changed=True)
    export(own, str(out), changed)
    before = (out / "manifest.json").read_bytes()
    assert export(own, str(out), changed) == Exported(0, 2, 0, 0, 0)
    assert (out / "manifest.json").read_bytes() == before

    first, second = ids(own)
    commit(own, first, [page_of(first, 1)], run_id="again")
    own.forget([second])
    done = export(own, str(out), changed)

    assert (done.written, done.unchanged, done.removed) == (1, 0, 1)
    assert not [name for name in files_of(out) if second in name]
    assert files_of(out) == listed(out) | {"manifest.json"}
    assert not list(out.glob(f"*/document_id={second}"))


def test_other_tables_take_the_place_of_those_before(warehouse: Warehouse, tmp_path: Path) -> None:
    export(warehouse, str(tmp_path / "out"), Request(only_changed=True))
    export(warehouse, str(tmp_path / "out"), Request(tables=("chunks",), only_changed=True))
    assert {path.name for path in (tmp_path / "out").glob("[!.]*")} == {"chunks", "manifest.json"}


def test_some_documents_join_those_that_are_there(warehouse: Warehouse, tmp_path: Path) -> None:
    for name in ids(warehouse):
        assert export(warehouse, str(tmp_path / "out"), Request(documents=(name,))).written == 1
    assert sorted(manifest(tmp_path / "out")["documents"]) == ids(warehouse)


def test_documents_are_chosen_by_when_they_were_processed(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    first, second = (row.processed_at for row in warehouse.documents())
    assert first is not None
    assert second is not None
    done = export(warehouse, str(tmp_path / "out"), Request(since=second))
    assert done.written == (2 if first == second else 1)


def test_what_stands_in_the_way_is_said_and_nothing_half_is_left(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export(warehouse, str(out), Request(documents=(ids(warehouse)[0],)))
    before = {name: (out / name).read_bytes() for name in files_of(out)}
    for request, hint in (
        (Request(documents=("nobody-000000000000",)), "no such document: nobody-000000000000"),
        (Request(tables=("tabels",)), "no table of documents is named tabels"),
        (Request(form=Form.CSV), "holds an export as parquet: give another target for csv"),
    ):
        with pytest.raises(ExportError, match=hint):
            export(warehouse, str(out), request)
    (tmp_path / "plain.txt").touch()
    with pytest.raises(ExportError, match=r"plain\.txt.*the export stopped"):
        export(warehouse, str(tmp_path / "plain.txt"), Request())
    assert {name: (out / name).read_bytes() for name in files_of(out)} == before


def test_a_manifest_leads_to_nothing_outside_of_the_target(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    said = {"format": "parquet", "documents": {"x": {"files": [{"path": "../precious"}]}}}
    (tmp_path / "precious").touch()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(said))
    with pytest.raises(ExportError, match="is no place below the target"):
        export(warehouse, str(tmp_path / "out"), Request())
    assert (tmp_path / "precious").exists()


def test_a_target_without_room_is_named_and_keeps_no_half_file(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, before[1]))
    try:
        with pytest.raises(ExportError, match=r"there is no room; make some and export again"):
            export(warehouse, str(out), Request())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    left = files_of(out)
    assert "manifest.json" not in left
    assert all(pl.read_parquet(out / name).width for name in left)
    assert not list((out / ".partial").iterdir())
    assert export(warehouse, str(out), Request()).written == 2


def test_an_object_store_is_a_target(
    own: Warehouse, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.client.create_bucket(Bucket="results")
    place, changed = "s3://results/pdf/tables", Request(only_changed=True)
    assert export(own, place, changed).written == 2
    assert export(own, place, changed).unchanged == 2
    first, second = ids(own)
    own.forget([first])
    assert export(own, place, changed).removed == 1

    found = s3.client.list_objects_v2(Bucket="results")["Contents"]
    keys = {entry["Key"].removeprefix("pdf/tables/") for entry in found}
    assert keys == {f"{t}/document_id={second}/{t}.parquet" for t in TABLES} | {"manifest.json"}
    with pytest.raises(ExportError, match=r"s3://nobody: there is no such bucket"):
        export(own, "s3://nobody", changed)
    with pytest.raises(ExportError, match=r"ftp://x: addresses begin with s3://, gs://, az://"):
        export(own, "ftp://x", changed)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(ExportError, match=r"pip install 'deepcompress-dagster\[s3\]'"):
        export(own, place, changed)


def test_the_command_exports_what_is_published(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEEPCOMPRESS_DATA_DIR", str(warehouse.data_dir))
    call = ["export", "--to", str(tmp_path / "out"), "--format", "jsonl", "--table", "text"]
    done = CliRunner().invoke(cli.app, [*call, ids(warehouse)[1]])
    assert (done.exit_code, "1 documents written (1 files" in done.output) == (0, True), done.output
    refused = CliRunner().invoke(cli.app, ["export", "--to", str(tmp_path / "out")])
    assert refused.exit_code == 2
    assert "holds an export as jsonl" in refused.output
