"""Passages: where they begin and end, what stands above them, how tables are cut."""

from dataclasses import replace
from itertools import pairwise

import pytest

from deepcompress_dagster.records import Label, TableCell
from deepcompress_dagster.warehouse import Warehouse
from tests.builders import block, box, page_of, table
from tests.warehouse.helpers import commit, register

SENTENCE = "Seven words make one sentence of text. "


def chunks(warehouse: Warehouse, size: int = 400, overlap: int = 0) -> list[dict]:
    warehouse.publish(force=True)
    sql = "SELECT * FROM chunks_of($size, $overlap) ORDER BY document_id, chunk"
    return warehouse.query(sql, {"size": size, "overlap": overlap}).to_pylist()


@pytest.fixture
def document(warehouse: Warehouse, inbox) -> str:
    return register(warehouse, inbox, "report.pdf")


def with_text(warehouse: Warehouse, document: str, *blocks, tables=()) -> None:
    page = page_of(document, 1, text=blocks, tables=tables, figures=[])
    commit(warehouse, document, [page])


def test_a_passage_stops_at_a_heading_of_level_one_or_two_and_knows_those_above(
    warehouse, document
):
    with_text(
        warehouse,
        document,
        block(1, 0, "Report", Label.TITLE, 1),
        block(1, 1, "Preface."),
        block(1, 2, "Locks", Label.SECTION_HEADER, 2),
        block(1, 3, "Gates", Label.SECTION_HEADER, 3),
        block(1, 4, "They open."),
        block(1, 5, "Weirs", Label.SECTION_HEADER, 2),
        block(1, 6, "They do not."),
    )

    passages = chunks(warehouse)

    assert [passage["content"] for passage in passages] == [
        "# Report\n\nPreface.",
        "## Locks\n\n### Gates\n\nThey open.",
        "## Weirs\n\nThey do not.",
    ]
    assert [passage["heading_path"] for passage in passages] == [
        ["Report"],
        ["Report", "Locks"],
        ["Report", "Weirs"],
    ]


def test_passages_have_about_the_size_and_overlap_that_is_asked_for(warehouse, document):
    with_text(warehouse, document, *(block(1, row, SENTENCE.strip()) for row in range(20)))

    passages = chunks(warehouse, size=40, overlap=10)

    assert len(passages) > 3
    assert all(passage["tokens"] <= 40 + 10 + 10 for passage in passages)
    regions = [{box["region_id"] for box in passage["boxes"]} for passage in passages]
    assert all(one & two for one, two in pairwise(regions))
    assert len(set.union(*regions)) == 20


def test_a_block_larger_than_a_passage_is_cut_between_sentences_and_loses_nothing(
    warehouse, document
):
    text = (SENTENCE * 30).strip()
    with_text(warehouse, document, block(1, 0, text))

    passages = chunks(warehouse, size=50)

    assert len(passages) > 3
    assert all(passage["content"].endswith(".") for passage in passages)
    assert " ".join(passage["content"] for passage in passages) == text


def test_a_large_table_is_cut_by_row_and_each_piece_has_its_header(warehouse, document):
    head = "| name | output |\n| --- | --- |"
    body = [f"| wheel {number} | {number} kW |" for number in range(40)]
    cells = (TableCell(0, 0, 1, 1, True, "name", box(1)),)
    grid = table(1, 1, *cells, caption="Table 1: Output")
    grid = replace(grid, markdown="\n".join([head, *body]))
    with_text(warehouse, document, tables=[grid])

    passages = chunks(warehouse, size=80)

    assert len(passages) >= 3
    assert all(p["content"].startswith(f"Table 1: Output\n\n{head}\n") for p in passages)
    lines = [line for p in passages for line in p["content"].split("\n")[4:]]
    assert lines == body


def test_characters_without_blanks_count_as_a_token_each(warehouse, document):
    with_text(warehouse, document, block(1, 0, "日本語の文書"))

    assert chunks(warehouse)[0]["tokens"] == 6


def test_the_view_has_the_passages_of_the_usual_size(warehouse, document):
    with_text(warehouse, document, block(1, 0, SENTENCE * 10))
    warehouse.publish(force=True)

    view = warehouse.query("SELECT * FROM chunks").to_pylist()

    assert view == chunks(warehouse, size=400, overlap=50)
