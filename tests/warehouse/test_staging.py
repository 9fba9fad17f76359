from dataclasses import replace
from pathlib import Path

import pytest

from deepcompress_dagster.records import (
    BlockUpdate,
    DocumentResult,
    Join,
    Label,
    TextBlock,
    TextLine,
    TextStyle,
)
from deepcompress_dagster.warehouse import (
    NothingStagedError,
    NotMaterializedError,
    Warehouse,
)
from tests.builders import (
    block,
    page_of,
)
from tests.warehouse.helpers import (
    VERSIONS,
    commit,
    register,
    rows,
    stage,
    versions,
)


@pytest.fixture
def document(warehouse: Warehouse, inbox: Path) -> str:
    return register(warehouse, inbox, "a.pdf")


def test_finished_pages_are_those_staged_for_every_selected_asset(
    warehouse: Warehouse, document: str
) -> None:
    stage(warehouse, document, [page_of(document, n) for n in (1, 2)])
    stage(warehouse, document, [page_of(document, 5)])
    assert warehouse.finished_pages(document, VERSIONS) == {1, 2, 5}
    assert warehouse.finished_pages(document, versions("pages")) == {1, 2, 5}


def test_pages_of_another_code_version_are_not_finished(
    warehouse: Warehouse, document: str
) -> None:
    stage(warehouse, document, [page_of(document, 1)])
    assert warehouse.finished_pages(document, versions(version="v2")) == frozenset()
    assert warehouse.finished_pages(document, {**VERSIONS, "text": "v2"}) == frozenset()


def test_pages_made_from_another_upstream_are_not_finished(
    warehouse: Warehouse, document: str
) -> None:
    commit(warehouse, document, [page_of(document, 1)])
    text = versions("text", version="v2")
    stage(warehouse, document, [page_of(document, 1)], assets=text)
    assert warehouse.finished_pages(document, text) == {1}
    assert warehouse.finished_pages(document, {**text, "layouts": "v1"}) == frozenset()

    commit(warehouse, document, [page_of(document, 1, width=600.0)], assets=versions("pages"))
    assert warehouse.finished_pages(document, text) == {1}, "layouts are still the same"
    changed = page_of(document, 1)
    changed = type(changed)(document, changed.page, layouts=(changed.layouts or ())[:1])
    commit(warehouse, document, [changed], assets=versions("layouts"))
    assert warehouse.finished_pages(document, text) == frozenset()


def test_a_page_without_rows_is_finished_too(warehouse: Warehouse, document: str) -> None:
    stage(warehouse, document, [page_of(document, 1, text=(), tables=(), figures=())])
    assert warehouse.finished_pages(document, VERSIONS) == {1}


def test_a_page_staged_again_replaces_its_rows(warehouse: Warehouse, document: str) -> None:
    stage(warehouse, document, [page_of(document, 1, text=[block(1, 0, "old")])])
    commit(warehouse, document, [page_of(document, 1, text=[block(1, 0, "new")])])
    assert rows(warehouse, "SELECT content FROM text") == [("new",)]
    assert rows(warehouse, "SELECT count(*) FROM page_timings") == [(5,)]


def test_text_needs_layouts_selected_or_committed(warehouse: Warehouse, document: str) -> None:
    with pytest.raises(NotMaterializedError, match="materialise layouts first"):
        warehouse.finished_pages(document, versions("text"))
    with pytest.raises(NotMaterializedError, match="materialise pages first"):
        stage(warehouse, document, [page_of(document, 1)], assets=versions("layouts"))


@pytest.mark.parametrize("assets", [{}, {"pages": "v1", "sources": "v1"}])
def test_a_selection_names_assets(
    warehouse: Warehouse, document: str, assets: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="one or more of pages, layouts"):
        warehouse.finished_pages(document, assets)


def test_committing_what_nobody_staged_is_refused(warehouse: Warehouse, document: str) -> None:
    stage(warehouse, document, [page_of(document, 1)])
    with pytest.raises(NothingStagedError, match="no finished page of pages"):
        warehouse.commit(DocumentResult(document, 1), run_id="run", versions=versions(version="v2"))
    assert warehouse.asset_states() == []


def test_a_commit_forgets_the_staged_pages_of_its_assets_at_every_version(
    warehouse: Warehouse, document: str
) -> None:
    stage(warehouse, document, [page_of(document, 1)], assets=versions(version="v0"))
    commit(warehouse, document, [page_of(document, 1)])
    tables = rows(
        warehouse,
        "SELECT table_name, estimated_size FROM duckdb_tables() WHERE schema_name = 'staging'",
    )
    assert len(tables) == 9
    warehouse.publish(force=True)
    with warehouse.reader() as conn:
        for name, _ in tables:
            found = conn.execute(f"SELECT count(*) FROM staging.{name}").fetchall()
            assert found == [(0,)], name


def test_staged_pages_of_other_documents_and_assets_stay(
    warehouse: Warehouse, inbox: Path, document: str
) -> None:
    other = register(warehouse, inbox, "b.pdf")
    stage(warehouse, other, [page_of(other, 1)])
    commit(warehouse, document, [page_of(document, 1)])
    text = versions("text", version="v2")
    stage(warehouse, document, [page_of(document, 1)], assets=text)
    commit(warehouse, document, [page_of(document, 1)], assets=versions("tables", version="v2"))
    assert warehouse.finished_pages(other, VERSIONS) == {1}
    assert warehouse.finished_pages(document, text) == {1}


def test_pages_of_several_documents_are_staged_at_once(
    warehouse: Warehouse, inbox: Path, document: str
) -> None:
    other = register(warehouse, inbox, "b.pdf")
    warehouse.stage(
        "run", VERSIONS, [], [page_of(document, 1), page_of(other, 1), page_of(document, 2)]
    )
    assert warehouse.finished_pages(document, VERSIONS) == {1, 2}
    assert warehouse.finished_pages(other, VERSIONS) == {1}


def test_the_outline_is_the_staged_text_in_reading_order(
    warehouse: Warehouse, document: str
) -> None:
    long = "start " + "middle " * 200 + "end"
    stage(
        warehouse,
        document,
        [
            page_of(document, 2, text=[block(2, 1, "b"), block(2, 0.5, "a")], width=300.0),
            page_of(document, 1, text=[block(1, 0, long, Label.TITLE, 1)]),
        ],
    )
    first, *rest = warehouse.outline(document, VERSIONS)
    assert (first.label, first.page_width, first.page_height) == (Label.TITLE, 595.0, 842.0)
    assert first.head.startswith("start middle")
    assert first.tail.endswith("middle end")
    assert len(first.head) == len(first.tail) < len(long)
    assert [(b.page_number, b.head, b.tail) for b in rest] == [(2, "a", "a"), (2, "b", "b")]
    assert rest[0].page_width == 300.0
    assert (rest[0].font_size, rest[0].bold) == (11.0, False)


def test_the_outline_tells_the_style_of_most_lines_of_a_block(
    warehouse: Warehouse, document: str
) -> None:
    plain = TextStyle("Serif", 10.0, False, False, False, 0)
    styles = (replace(plain, bold=True), plain, plain, None)
    drawn = block(1, 0, "drawn")
    lines = tuple(replace(drawn.lines[0], style=style) for style in styles)
    text = [replace(drawn, lines=lines), block(1, 1, "read")]
    stage(warehouse, document, [page_of(document, 1, text=text)])
    found = warehouse.outline(document, VERSIONS)
    assert [(b.style, b.n_lines) for b in found] == [(plain, 4), (None, 1)]


def test_the_outline_of_a_text_run_knows_the_frame_of_its_pages(
    warehouse: Warehouse, document: str
) -> None:
    commit(warehouse, document, [page_of(document, 1)])
    text = versions("text", version="v2")
    stage(warehouse, document, [page_of(document, 1, width=321.0)], assets=text)
    assert [b.page_width for b in warehouse.outline(document, text)] == [321.0]
    assert warehouse.outline(document, versions("tables")) == []


def test_updates_of_the_document_pass_reach_the_text(warehouse: Warehouse, document: str) -> None:
    blocks = [block(1, 0, "Title"), block(1, 1, "para-"), block(1, 2, "graph"), block(1, 3, "4")]
    stage(warehouse, document, [page_of(document, 1, text=blocks, tables=(), figures=())])
    ids = [b.region_id for b in blocks]
    warehouse.commit(
        DocumentResult(document, 1),
        run_id="run",
        versions=VERSIONS,
        updates=[
            BlockUpdate(1, ids[0], Label.SECTION_HEADER, 3, None, False),
            BlockUpdate(1, ids[2], Label.TEXT, None, Join.HYPHEN, True),
            BlockUpdate(1, ids[3], Label.PAGE_FOOTER, None, None, False),
            BlockUpdate(9, ids[3], Label.TITLE, 1, None, False),
        ],
    )
    assert rows(
        warehouse,
        "SELECT label, heading_level, join_previous, monospace FROM text ORDER BY reading_order",
    ) == [
        ("section_header", 3, None, False),
        ("text", None, None, False),
        ("text", None, "hyphen", True),
        ("page_footer", None, None, False),
    ]


def test_text_with_broken_unicode_is_stored_with_the_rest(
    warehouse: Warehouse, document: str
) -> None:
    commit(warehouse, document, [page_of(document, 1, text=[block(1, 0, "a\ud800b\0c")])])
    assert rows(warehouse, "SELECT content, lines[1].text FROM text") == [("a?b\0c", "a?b\0c")]


def test_a_region_found_twice_is_stored_once(warehouse: Warehouse, document: str) -> None:
    one, two = block(1, 0, "first"), block(1, 0, "second")
    commit(warehouse, document, [page_of(document, 1, text=[one, two])])
    assert rows(warehouse, "SELECT content FROM text") == [("first",)]


def test_lines_that_end_in_a_hyphen_are_told_with_what_the_document_says_of_them(
    warehouse: Warehouse, document: str
) -> None:
    def lines(n: int, region: int, *texts: str, monospace: bool = False) -> TextBlock:
        made = block(n, region, " ".join(texts))
        read = tuple(TextLine(made.bbox, text) for text in texts)
        return replace(made, lines=read, monospace=monospace)

    broken = lines(1, 0, "the land-", "use plan")
    pages = [
        page_of(document, 1, text=[broken, lines(1, 1, "so far -"), lines(1, 2, "plain", "text")]),
        page_of(document, 2, text=[lines(2, 0, "a-", "b", monospace=True)]),
        page_of(document, 3, text=[lines(3, 0, "Land-use, land‐use and landuse")]),
    ]
    stage(warehouse, document, pages)
    found = warehouse.broken_texts(document, VERSIONS)
    assert [(text.page_number, text.region_id) for text in found] == [(1, broken.region_id)]
    assert found[0].lines == ("the land-", "use plan")
    words = {"land-use", "landuse", "use"}
    assert warehouse.word_counts(document, VERSIONS, words) == {
        "land-use": 2,
        "landuse": 1,
        "use": 1,
    }
    assert warehouse.broken_texts(document, versions("tables")) == []
    update = BlockUpdate(1, broken.region_id, Label.TEXT, None, None, False, "the land-use plan")
    warehouse.commit(DocumentResult(document, 3), run_id="r", versions=VERSIONS, updates=[update])
    assert ("the land-use plan",) in rows(warehouse, "SELECT content FROM text")
