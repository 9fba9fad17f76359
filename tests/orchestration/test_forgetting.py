"""Documents that are forgotten: what is left of them, and what does not bring them back."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.orchestration import forgetting, run_records
from deepcompress_dagster.orchestration.execution.registration import register_documents
from deepcompress_dagster.settings import Settings
from deepcompress_dagster.warehouse import UnknownDocumentError, Warehouse
from tests.orchestration.bench import Bench, FakeGpu, FakeParser, inbox_of, write_pdf
from tests.orchestration.test_sensors import Daemon

TRACE = "Zwetschgenknoedel"
"""Stands in the text of the document that is to be forgotten, and nowhere else."""


@pytest.fixture
def kept_bench(tmp_path: Path, settings: Settings) -> Iterator[Bench]:
    """On an instance with files of its own, as it is used."""
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        definitions = build_definitions(settings, {"gpu": FakeGpu()})
        yield Bench(instance, Warehouse(settings.data_dir), definitions, inbox_of(settings))


def files_with(folder: Path, *words: str) -> list[str]:
    """Files whose bytes hold one of the words."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and any(word.encode() in path.read_bytes() for word in words)
    ]


def test_nothing_of_a_forgotten_document_is_left(kept_bench: Bench, settings: Settings) -> None:
    bench, warehouse = kept_bench, kept_bench.warehouse
    gone, stays = bench.register(gone={"text": TRACE}, stays={"text": "remains"})
    assert bench.run([gone, stays]).success
    image = warehouse.image_dir(gone) / "page-00001.jpg"
    image.parent.mkdir(parents=True)
    image.write_bytes(b"pixels")
    home = Path(bench.instance.root_directory)
    assert files_with(settings.data_dir, TRACE)
    assert files_with(home, TRACE)

    forgetting.forget_documents(bench.instance, warehouse, [gone])

    assert files_with(settings.data_dir, TRACE, gone) == []
    assert files_with(home, TRACE) == []
    assert not image.exists()
    assert [row.document_id for row in warehouse.documents()] == [stays]
    assert warehouse.query("SELECT DISTINCT document_id AS d FROM blocks").to_pylist() == [
        {"d": stays}
    ]
    assert bench.instance.get_dynamic_partitions("documents") == [stays]
    for asset in (*ASSETS, "source_pdfs"):
        key = dg.AssetKey(asset)
        assert bench.instance.get_materialized_partitions(key) == {stays}
    storage = bench.instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    with storage.index_connection() as conn:
        partitions = {row.partition for row in conn.execute(SqlEventLogStorageTable.select())}
    assert gone not in partitions
    assert bench.run([stays]).success


def test_a_forgotten_file_in_the_inbox_comes_back_only_when_it_is_named(bench: Bench) -> None:
    (gone,) = bench.register(gone={})
    path = bench.inbox / "gone.pdf"
    forgetting.forget_documents(bench.instance, bench.warehouse, [gone])
    copy = shutil.copy(path, bench.inbox / "copy.pdf")
    for refused in register_documents(bench.instance, bench.warehouse, [path, Path(copy)]):
        assert refused.document_id is None
        assert "was forgotten on" in (refused.error or "")
        assert f"deepcompress process {refused.path}" in (refused.error or "")
    assert list((bench.warehouse.data_dir / "pdfs").rglob("*.pdf")) == []
    assert bench.warehouse.documents() == []
    (back,) = register_documents(bench.instance, bench.warehouse, [path], recall=[path])
    assert back.document_id == gone
    (again,) = register_documents(bench.instance, bench.warehouse, [Path(copy)])
    assert again.document_id == gone


def test_the_sensor_says_that_a_forgotten_file_is_not_taken_up(
    bench: Bench, settings: Settings
) -> None:
    daemon = Daemon(bench, settings)
    write_pdf(bench.inbox / "gone.pdf")
    daemon.execute(daemon.tick())
    (row,) = bench.warehouse.documents()
    forgetting.forget_documents(bench.instance, bench.warehouse, [row.document_id])
    assert daemon.tick() == []
    assert [warning for warning in daemon.warnings if "gone.pdf: was forgotten" in warning]
    assert bench.warehouse.documents() == []
    assert bench.instance.get_dynamic_partitions("documents") == []


def test_a_document_that_a_run_has_is_not_forgotten(bench: Bench, settings: Settings) -> None:
    daemon = Daemon(bench, settings)
    write_pdf(bench.inbox / "busy.pdf")
    daemon.queue(daemon.tick())
    (row,) = bench.warehouse.documents()
    with pytest.raises(forgetting.InWorkError, match=r"busy-.*a run is queued or at work"):
        forgetting.forget_documents(bench.instance, bench.warehouse, [row.document_id])
    assert bench.warehouse.documents() == [row]
    assert bench.instance.get_dynamic_partitions("documents") == [row.document_id]


def test_a_run_that_loses_a_document_goes_on_with_the_others(bench: Bench) -> None:
    lost, stays = bench.register(lost={"pages": 2}, stays={})

    def forget(document_id: str, page_number: int) -> None:
        if (document_id, page_number) == (lost, 2):
            bench.warehouse.forget([lost])

    FakeParser.before_page = forget
    outcome = bench.run([lost, stays])
    assert outcome.failures == {lost: "it was forgotten while this run was at it"}
    assert [row.document_id for row in bench.warehouse.documents()] == [stays]
    assert bench.warehouse.documents()[0].status == "complete"
    with bench.warehouse._database.read() as conn:
        assert conn.execute("SELECT count(*) FROM staging.finished").fetchall() == [(0,)]
    assert not run_records.unfinished_runs(bench.instance)


def test_an_unknown_document_stops_it_before_anything_is_deleted(bench: Bench) -> None:
    (name,) = bench.register(a={})
    with pytest.raises(UnknownDocumentError, match="no document nobody-1"):
        bench.warehouse.forget([name, "nobody-1"])
    assert [row.document_id for row in bench.warehouse.documents()] == [name]
    assert bench.warehouse.kept_pdf(name).exists()
