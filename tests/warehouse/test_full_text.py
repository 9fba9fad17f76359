"""Search over the rows: which words find what, and how results are ranked."""

import pytest

from deepcompress_dagster.records import TableCell
from deepcompress_dagster.warehouse import Warehouse
from tests.builders import block, box, page_of, table
from tests.warehouse.helpers import commit, register, rows, versions


@pytest.fixture
def library(warehouse: Warehouse, inbox) -> dict[str, str]:
    """Two documents by name: prose about weirs, and a table in Japanese and French."""
    weirs, menu = (register(warehouse, inbox, name) for name in ("weirs.pdf", "menu.pdf"))
    prose = [
        block(1, 0, "The old weir was mended."),
        block(1, 1, "A weir is a low dam; a weir raises water, and every weir needs care."),
        block(1, 2, "Nothing about dams here, only 1,250.50 crowns."),
    ]
    commit(warehouse, weirs, [page_of(weirs, 1, text=prose, tables=[], figures=[])])
    cell = TableCell(0, 0, 1, 1, False, "Café crème 日本語の表", box(1))
    commit(warehouse, menu, [page_of(menu, 1, text=[], tables=[table(1, 1, cell)], figures=[])])
    warehouse.publish(force=True)
    return {"weirs": weirs, "menu": menu}


def found(warehouse: Warehouse, words: str, **narrowed) -> list[str]:
    return [hit.snippet for hit in warehouse.search(words, **narrowed)]


def test_more_of_the_words_come_first_then_the_denser_row(warehouse, library):
    assert found(warehouse, "weir dam")[0].startswith("A weir is a low dam")
    assert found(warehouse, "weir")[0].startswith("A weir is a low dam")


@pytest.mark.parametrize("words", ["cafe CREME", "Cafe\u0301", "日本", "語の"])
def test_case_accents_and_the_run_of_cjk_text_do_not_hide_a_word(warehouse, library, words):
    (hit,) = warehouse.search(words)

    assert hit.document_id == library["menu"]
    assert hit.kind == "table"


@pytest.mark.parametrize(("words", "count"), [("1,250.50", 1), ("250", 0), ("日語", 0), ("", 0)])
def test_numbers_and_pairs_are_found_whole_or_not_at_all(warehouse, library, words, count):
    assert len(found(warehouse, words)) == count


def test_a_search_is_narrowed_to_documents(warehouse, library):
    assert found(warehouse, "weir", documents=[library["menu"]]) == []


def test_a_hit_tells_its_place(warehouse, library):
    hit = warehouse.search("mended")[0]

    assert (hit.file_name, hit.page_number, hit.label) == ("weirs.pdf", 1, "text")
    assert (hit.x0, hit.y0, hit.x1, hit.y1) == box(0)


def test_the_snippet_begins_near_the_word(warehouse, inbox):
    document = register(warehouse, inbox, "long.pdf")
    text = "Many words before. " * 40 + "The needle is here." + " Many words after." * 40
    commit(warehouse, document, [page_of(document, 1, text=[block(1, 0, text)])])
    warehouse.publish(force=True)

    assert "The needle is here." in found(warehouse, "needle")[0]


def test_words_of_rows_that_were_replaced_are_not_found(warehouse, library, inbox):
    weirs = library["weirs"]
    new = [page_of(weirs, 1, text=[block(1, 0, "Only locks now.")], tables=[], figures=[])]
    commit(warehouse, weirs, new, assets=versions(version="v2"))
    warehouse.publish(force=True)

    assert found(warehouse, "weir") == []
    assert found(warehouse, "locks") == ["Only locks now."]


def test_the_macro_gives_any_client_what_the_method_gives(warehouse, library):
    by_sql = rows(warehouse, "SELECT region_id FROM search('weir dam') LIMIT 1")

    assert by_sql == [(warehouse.search("weir dam")[0].region_id,)]
