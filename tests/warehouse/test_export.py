import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from deepcompress_dagster.warehouse import Format, QueryError, Warehouse
from tests.builders import (
    page_of,
)
from tests.warehouse.helpers import (
    commit,
    register,
)

SQL = "SELECT page_number, content, lines FROM text ORDER BY page_number"


@pytest.fixture
def filled(warehouse: Warehouse, inbox: Path) -> Warehouse:
    document_id = register(warehouse, inbox, "a.pdf")
    commit(warehouse, document_id, [page_of(document_id, n) for n in (1, 2)])
    warehouse.publish(force=True)
    return warehouse


def _export(warehouse: Warehouse, form: Format, sql: str = SQL) -> bytes:
    out = io.BytesIO()
    warehouse.export(sql, form, out)
    return out.getvalue()


def test_csv_has_a_header_and_json_in_nested_columns(filled: Warehouse) -> None:
    lines = list(csv.DictReader(_export(filled, Format.CSV).decode().splitlines()))
    assert [line["content"] for line in lines] == ["page 1", "page 2"]
    assert json.loads(lines[0]["lines"])[0]["text"] == "page 1"


def test_json_is_one_array_of_objects(filled: Warehouse) -> None:
    found = json.loads(_export(filled, Format.JSON))
    assert [row["page_number"] for row in found] == [1, 2]
    assert found[1]["lines"][0]["text"] == "page 2"
    assert json.loads(_export(filled, Format.JSON, "FROM figures WHERE false")) == []


def test_parquet_keeps_types(filled: Warehouse) -> None:
    found = pq.read_table(io.BytesIO(_export(filled, Format.PARQUET)))
    assert found.schema.names == ["page_number", "content", "lines"]
    assert found.to_pylist()[0]["lines"][0]["confidence"] == 1.0


def test_a_table_is_drawn_for_people(filled: Warehouse) -> None:
    drawn = _export(filled, Format.TABLE).decode()
    assert "page_number" in drawn
    assert "page 2" in drawn


def test_a_file_is_replaced_only_by_a_whole_one(filled: Warehouse, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("before")
    with pytest.raises(QueryError):
        filled.export("SELECT error('broken') FROM text", Format.CSV, target)
    assert target.read_text() == "before"
    filled.export(SQL, Format.CSV, target)
    assert target.read_text().startswith("page_number,content,lines")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "inbox", "out.csv"]


def test_a_query_answers_with_an_arrow_table(filled: Warehouse) -> None:
    assert filled.query("SELECT count(*) AS n FROM pages").to_pydict() == {"n": [2]}
    with pytest.raises(QueryError, match="nothing"):
        filled.query("FROM nothing")


@pytest.mark.parametrize("sql", ["", ";", "-- nothing"])
def test_a_query_without_a_statement_is_refused(warehouse: Warehouse, sql: str) -> None:
    with pytest.raises(QueryError, match="no statement"):
        warehouse.query(sql)
