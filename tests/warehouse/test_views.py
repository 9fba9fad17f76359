from dataclasses import replace
from pathlib import Path

import pytest

from deepcompress_dagster.records import (
    BlockUpdate,
    DocumentResult,
    Join,
    Label,
    PageStatus,
    TableCell,
    TextBlock,
)
from deepcompress_dagster.warehouse import StalePartition, Warehouse
from tests.builders import (
    block,
    figure,
    page_of,
    region,
    table,
)
from tests.warehouse.helpers import (
    VERSIONS,
    commit,
    register,
    rows,
    stage,
    versions,
)

MARKDOWN = "SELECT markdown FROM document_markdown"


@pytest.fixture
def document(warehouse: Warehouse, inbox: Path) -> str:
    return register(warehouse, inbox, "a.pdf")


def _markdown(warehouse: Warehouse, document_id: str, *blocks: TextBlock) -> str:
    """Markdown of one page with these blocks, from the committed rows."""
    page = page_of(document_id, 1, text=blocks, tables=(), figures=())
    commit(warehouse, document_id, [page])
    return warehouse.figures([document_id], markdown_characters=10_000)[document_id][0].markdown


def test_blocks_are_text_tables_and_figures_in_reading_order(
    warehouse: Warehouse, document: str
) -> None:
    pages = [page_of(document, n) for n in (2, 1)]
    pages[0] = replace(pages[0], text=(block(2, 0, "first"), block(2, 1.5, "found between")))
    commit(warehouse, document, pages)
    assert rows(warehouse, "SELECT page_number, kind, content, is_stale FROM blocks") == [
        (1, "text", "page 1", False),
        (1, "table", "| 1 |\n| --- |", False),
        (1, "figure", "inside", False),
        (2, "text", "first", False),
        (2, "table", "| 2 |\n| --- |", False),
        (2, "text", "found between", False),
        (2, "figure", "inside", False),
    ]


def test_blocks_are_of_current_documents(warehouse: Warehouse, inbox: Path, document: str) -> None:
    commit(warehouse, document, [page_of(document, 1)])
    other = register(warehouse, inbox, "a.pdf", "changed")
    commit(warehouse, other, [page_of(other, 1)])
    for view in ("blocks", "document_markdown", "table_cells", "page_status", "live_blocks"):
        assert rows(warehouse, f"SELECT DISTINCT document_id FROM {view}") == [(other,)], view


def test_a_caption_is_shown_once(warehouse: Warehouse, document: str) -> None:
    page = page_of(
        document,
        1,
        text=[
            block(1, 0, "Table  1:\nSums", Label.CAPTION),
            block(1, 2, "Figure 1: Growth", Label.CAPTION),
            block(1, 4, "Photo: somebody", Label.CAPTION),
        ],
        tables=[table(1, 1, caption="Table 1: Sums")],
        figures=[figure(1, 3, caption="Figure 1: Growth")],
    )
    commit(warehouse, document, [page])
    assert rows(warehouse, "SELECT count(*) FROM blocks WHERE content LIKE '%Growth%'") == [(1,)]
    assert rows(warehouse, MARKDOWN) == [
        (
            "Table 1: Sums\n\n| 1 |\n| --- |\n\n"
            "![chart: Figure 1: Growth](images/f.jpg)\n\nPhoto: somebody",
        )
    ]


def test_headings_take_their_level_or_that_of_their_label(
    warehouse: Warehouse, document: str
) -> None:
    found = _markdown(
        warehouse,
        document,
        block(1, 0, "The\nTitle", Label.TITLE),
        block(1, 1, "Section", Label.SECTION_HEADER),
        block(1, 2, "Deep", Label.SECTION_HEADER, 4),
        block(1, 3, "Deepest", Label.SECTION_HEADER, 9),
        block(1, 4, "Flat", Label.SECTION_HEADER, 1),
    )
    assert found == "# The Title\n\n## Section\n\n#### Deep\n\n###### Deepest\n\n# Flat"


def test_running_headers_and_footers_are_left_out(warehouse: Warehouse, document: str) -> None:
    found = _markdown(
        warehouse,
        document,
        block(1, 0, "header", Label.PAGE_HEADER),
        block(1, 1, "body"),
        block(1, 2, " ", Label.TEXT),
        block(1, 3, "7", Label.PAGE_FOOTER),
        block(1, 4, "1 note", Label.FOOTNOTE),
    )
    assert found == "body\n\n1 note"


def test_list_items_keep_numbers_and_lose_bullets(warehouse: Warehouse, document: str) -> None:
    found = _markdown(
        warehouse,
        document,
        block(1, 0, "before"),
        block(1, 1, "• one\nmore", Label.LIST_ITEM),
        block(1, 2, "- two", Label.LIST_ITEM),
        block(1, 3, "3. three", Label.LIST_ITEM),
        block(1, 4, "plain", Label.LIST_ITEM),
        block(1, 5, "after"),
    )
    assert found == "before\n\n- one\n  more\n- two\n3. three\n- plain\n\nafter"


def test_formulas_are_display_math(warehouse: Warehouse, document: str) -> None:
    assert _markdown(warehouse, document, block(1, 0, "E=mc^2", Label.FORMULA)) == (
        "$$\nE=mc^2\n$$"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("# no heading", "\\# no heading"),
        ("first\n  ## second", "first\n\\## second"),
        ("- no item", "\\- no item"),
        ("-5 degrees", "-5 degrees"),
        ("text\n---", "text\n\\---"),
        ("> no quote", "\\> no quote"),
        ("```\ncode", "\\```\ncode"),
        ("a <b>tag</b> and 1 < 2", "a \\<b>tag\\</b> and 1 < 2"),
        ("C# and #5", "C# and #5"),
    ],
)
def test_text_does_not_become_markup(
    warehouse: Warehouse, document: str, content: str, expected: str
) -> None:
    assert _markdown(warehouse, document, block(1, 0, content)) == expected


def test_code_is_fenced_and_keeps_its_lines(warehouse: Warehouse, document: str) -> None:
    code = replace(block(1, 1, "if x:\n    # y"), monospace=True)
    found = _markdown(warehouse, document, block(1, 0, "What one writes:"), code)
    assert found == "What one writes:\n\n```\nif x:\n    # y\n```"


def test_a_typescript_is_no_code(warehouse: Warehouse, document: str) -> None:
    typed = replace(block(1, 1, "- All of it\nis typed."), monospace=True)
    assert _markdown(warehouse, document, typed, block(1, 2, "3")) == (
        "\\- All of it\nis typed.\n\n3"
    )


def test_footnotes_stand_at_the_end(warehouse: Warehouse, document: str) -> None:
    found = _markdown(
        warehouse, document, block(1, 0, "1 note", Label.FOOTNOTE), block(1, 1, "body")
    )
    assert found == "body\n\n1 note"


def test_footnotes_stand_at_the_end_of_their_chapter(warehouse: Warehouse, document: str) -> None:
    def heading(order: int, content: str, level: int) -> TextBlock:
        return replace(block(1, order, content, Label.SECTION_HEADER), heading_level=level)

    found = _markdown(
        warehouse,
        document,
        heading(0, "1 Gates", 1),
        block(1, 1, "a note", Label.FOOTNOTE),
        heading(2, "1.1 Hinges", 2),
        block(1, 3, "oil"),
        heading(4, "2 Wheels", 1),
        block(1, 5, "wood"),
    )
    assert found.split("\n\n") == [
        "# 1 Gates",
        "## 1.1 Hinges",
        "oil",
        "a note",
        "# 2 Wheels",
        "wood",
    ]


def test_a_table_of_contents_is_a_list(warehouse: Warehouse, document: str) -> None:
    contents = block(1, 0, "1 Gates ... 1\n2 Wheels ... 9", Label.DOCUMENT_INDEX)
    assert _markdown(warehouse, document, contents) == "- 1 Gates ... 1\n- 2 Wheels ... 9"


def test_tables_with_spans_are_html_and_others_markdown(
    warehouse: Warehouse, document: str
) -> None:
    plain = TableCell(0, 0, 1, 1, True, "a")
    wide = TableCell(0, 0, 1, 2, True, "a")
    grids = [table(1, 0, plain), table(1, 1, wide), table(1, 2)]
    commit(warehouse, document, [page_of(document, 1, text=(), tables=grids, figures=())])
    assert rows(warehouse, MARKDOWN) == [
        ("| 1 |\n| --- |\n\n<table><tr><td>1</td></tr></table>\n\n| 1 |\n| --- |",)
    ]


def test_figures_are_images_without_their_inner_text(warehouse: Warehouse, document: str) -> None:
    pictures = [figure(1, 0, caption="a [b]\nc"), figure(1, 1), figure(1, 2, image_path=None)]
    commit(warehouse, document, [page_of(document, 1, text=(), tables=(), figures=pictures)])
    assert rows(warehouse, MARKDOWN) == [
        ("![chart: a \\[b\\] c](images/f.jpg)\n\n![chart](images/f.jpg)\n\n![chart]()",)
    ]


def test_a_paragraph_goes_on_over_pages_and_what_stands_between(
    warehouse: Warehouse, document: str
) -> None:
    first = [
        block(1, 0, "Item that goes", Label.LIST_ITEM),
        block(1, 1, "on", Label.TEXT),
        block(1, 2, "Para-"),
        block(1, 3, "7", Label.PAGE_FOOTER),
    ]
    second = [
        block(2, 0, "header", Label.PAGE_HEADER),
        block(2, 1, "graph one"),
        block(2, 2, "and on."),
        block(2, 3, "Next"),
    ]
    stage(
        warehouse,
        document,
        [
            page_of(document, 1, text=first, tables=(), figures=[figure(1, 2.5)]),
            page_of(document, 2, text=second, tables=(), figures=()),
        ],
    )
    joins = {first[1]: Join.SPACE, second[1]: Join.HYPHEN, second[2]: Join.SPACE}
    warehouse.commit(
        DocumentResult(document, 2),
        run_id="run",
        versions=VERSIONS,
        updates=[
            BlockUpdate(b.page_number, b.region_id, b.label, None, join, b.monospace)
            for b, join in joins.items()
        ],
    )
    assert rows(warehouse, MARKDOWN) == [
        ("- Item that goes on\n\nParagraph one and on.\n\n![chart](images/f.jpg)\n\nNext",)
    ]


def test_table_cells_are_the_cells_by_row_and_column(warehouse: Warehouse, document: str) -> None:
    cells = [
        TableCell(1, 0, 1, 1, False, "b"),
        TableCell(0, 0, 1, 2, True, "a", region(1, 0).bbox),
    ]
    commit(warehouse, document, [page_of(document, 1, tables=[table(1, 0, *cells)])])
    assert rows(
        warehouse,
        "SELECT row_index, column_index, row_span, column_span, is_header, text, x0 "
        "FROM table_cells",
    ) == [(0, 0, 1, 2, True, "a", 50.0), (1, 0, 1, 1, False, "b", None)]


def test_cells_of_numbers_are_numbers(warehouse: Warehouse, document: str) -> None:
    numbers = {
        "931 \u00b2": 931,
        "$1,234.50": 1234.5,
        "(320)": -320,
        "\u22122.7": -2.7,
        "1 402 900,50": 1402900.5,
        "1.402.900,50": 1402900.5,
        "50 %": 50,
        "$ 12 ^{a,b}": 12,
        "0,5": 0.5,
        ".5": 0.5,
    }
    others = ["10\u2076", "3,288 4,384", "4 8", "1998-2003", "n/a", "", "12 May", "1,23,4"]
    cells = [TableCell(i, 0, 1, 1, False, t) for i, t in enumerate([*numbers, *others])]
    commit(warehouse, document, [page_of(document, 1, tables=[table(1, 0, *cells)])])
    found = rows(warehouse, "SELECT text, number FROM table_cells ORDER BY row_index")
    assert found == [*numbers.items(), *((text, None) for text in others)]


def test_page_status_counts_what_a_page_has(warehouse: Warehouse, document: str) -> None:
    pages = [
        page_of(document, 1),
        page_of(document, 2, text=(), errors={"text": "t", "tables": "u"}),
        page_of(document, 3, errors={"render": "r"}, status=PageStatus.FAILED),
    ]
    commit(warehouse, document, pages)
    assert rows(
        warehouse,
        "SELECT page_number, status, regions, text_blocks, tables, figures, errors, seconds "
        "FROM page_status",
    ) == [
        (1, "complete", 3, 1, 1, 1, 0, 2.5),
        (2, "partial", 3, 0, 1, 1, 2, 2.5),
        (3, "failed", 3, 1, 1, 1, 1, 2.5),
    ]


def test_live_views_show_finished_pages_of_documents_in_work(
    warehouse: Warehouse, inbox: Path, document: str
) -> None:
    other = register(warehouse, inbox, "b.pdf")
    commit(warehouse, other, [page_of(other, 1)])
    stage(warehouse, document, [page_of(document, 2)], assets=versions(version="v0"))
    stage(warehouse, document, [page_of(document, 1)])
    stage(warehouse, other, [page_of(other, 1), page_of(other, 2)], assets=versions(version="v2"))
    assert rows(warehouse, "SELECT file_name, page_number, is_committed FROM live_pages") == [
        ("a.pdf", 1, False),
        ("b.pdf", 1, True),
    ]
    assert rows(
        warehouse, "SELECT file_name, page_number, kind, is_committed FROM live_blocks"
    ) == [
        (name, 1, kind, committed)
        for name, committed in (("a.pdf", False), ("b.pdf", True))
        for kind in ("text", "table", "figure")
    ]
    assert rows(warehouse, "SELECT DISTINCT file_name FROM blocks") == [("b.pdf",)]


def test_nothing_is_stale_before_versions_are_known_and_while_they_are_current(
    warehouse: Warehouse, document: str
) -> None:
    commit(warehouse, document, [page_of(document, 1)])
    assert warehouse.stale_partitions() == []
    assert warehouse.set_current_versions(VERSIONS)
    assert not warehouse.set_current_versions(VERSIONS)
    assert warehouse.stale_partitions() == []


def test_a_new_code_version_makes_its_asset_and_what_follows_stale(
    warehouse: Warehouse, document: str
) -> None:
    commit(warehouse, document, [page_of(document, 1)])
    warehouse.set_current_versions({**VERSIONS, "layouts": "v2"})
    assert warehouse.stale_partitions() == [
        StalePartition(document, "a.pdf", "layouts", "code version changed"),
        StalePartition(document, "a.pdf", "text", "layouts is stale"),
        StalePartition(document, "a.pdf", "tables", "layouts is stale"),
        StalePartition(document, "a.pdf", "figures", "layouts is stale"),
    ]
    assert rows(warehouse, "SELECT DISTINCT is_stale FROM blocks") == [(True,)]
    warehouse.set_current_versions({**VERSIONS, "pages": "v2"})
    assert [(s.asset, s.reason) for s in warehouse.stale_partitions()] == [
        ("pages", "code version changed"),
        ("layouts", "pages is stale"),
        ("text", "layouts is stale"),
        ("tables", "layouts is stale"),
        ("figures", "layouts is stale"),
    ]


def test_changed_upstream_rows_make_what_was_made_from_them_stale(
    warehouse: Warehouse, document: str
) -> None:
    commit(warehouse, document, [page_of(document, 1)])
    changed = replace(page_of(document, 1), layouts=(region(1, 0),))
    commit(warehouse, document, [changed], assets=versions("layouts"))
    assert [(s.asset, s.reason) for s in warehouse.stale_partitions()] == [
        ("text", "layouts changed"),
        ("tables", "layouts changed"),
        ("figures", "layouts changed"),
    ]
    commit(warehouse, document, [changed], assets=versions("text"))
    assert [s.asset for s in warehouse.stale_partitions()] == ["tables", "figures"]
    assert rows(warehouse, "SELECT kind, is_stale FROM blocks") == [
        ("text", False),
        ("table", True),
        ("figure", True),
    ]


def test_superseded_documents_are_not_stale(
    warehouse: Warehouse, inbox: Path, document: str
) -> None:
    commit(warehouse, document, [page_of(document, 1)])
    warehouse.set_current_versions(versions(version="v2"))
    assert len(warehouse.stale_partitions()) == 5
    register(warehouse, inbox, "a.pdf", "changed")
    assert warehouse.stale_partitions() == []
