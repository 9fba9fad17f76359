from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.records import (
    DRAWINGS_LEFT_OUT,
    WORDS_LEFT_OUT,
    DocumentResult,
    DocumentStatus,
    PageError,
    PageStatus,
    TextStyle,
)
from deepcompress_dagster.warehouse import (
    NotMaterializedError,
    UnknownDocumentError,
    Warehouse,
)
from tests.builders import (
    block,
    page_of,
    region,
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


def _status(warehouse: Warehouse, document_id: str) -> tuple[DocumentStatus, str | None]:
    (row,) = warehouse.documents([document_id])
    return row.status, row.error


def _fatal(document_id: str, error_type: str = "Damaged", stage: str = "open") -> DocumentResult:
    error = PageError(document_id, None, stage, error_type, "no way in")
    return DocumentResult(document_id, 0, fatal=error)


def test_a_whole_document_without_errors_is_complete(warehouse: Warehouse, document: str) -> None:
    committed = commit(warehouse, document, [page_of(document, n) for n in (1, 2, 3)])
    assert committed.status is DocumentStatus.COMPLETE
    assert {asset: state.rows for asset, state in committed.states.items()} == {
        "pages": 3,
        "layouts": 9,
        "text": 3,
        "tables": 3,
        "figures": 3,
    }
    (row,) = warehouse.documents()
    assert (row.status, row.error, row.page_count, row.title) == (
        DocumentStatus.COMPLETE,
        None,
        3,
        "Title",
    )
    assert row.processed_at is not None


def test_a_line_of_text_keeps_its_style(warehouse: Warehouse, document: str) -> None:
    style = TextStyle("Mono", 9.5, False, True, True, 0x000080)
    plain = block(1, 0, "drawn")
    styled = replace(plain, lines=(replace(plain.lines[0], style=style), *plain.lines))
    commit(warehouse, document, [page_of(document, 1, text=[styled])])
    (row,) = warehouse.query(
        "SELECT [line.style for line in lines] AS styles FROM text"
    ).to_pylist()
    assert row["styles"] == [asdict(style), None]


def test_the_states_returned_are_the_states_stored(warehouse: Warehouse, document: str) -> None:
    committed = commit(warehouse, document, [page_of(document, 1)])
    assert warehouse.asset_states() == list(committed.states.values())
    assert [state.asset for state in warehouse.asset_states([document])] == list(ASSETS)
    assert warehouse.asset_states(["nobody"]) == []


def test_input_versions_are_the_data_versions_of_what_was_read(
    warehouse: Warehouse, document: str
) -> None:
    states = commit(warehouse, document, [page_of(document, 1)]).states
    (row,) = warehouse.documents()
    assert states["pages"].input_versions == {"source": row.sha256}
    assert states["layouts"].input_versions == {"pages": states["pages"].data_version}
    for asset in ("text", "tables", "figures"):
        assert states[asset].input_versions == {"layouts": states["layouts"].data_version}


def test_a_subset_run_names_the_committed_upstream_as_its_input(
    warehouse: Warehouse, document: str
) -> None:
    before = commit(warehouse, document, [page_of(document, 1)]).states
    after = commit(
        warehouse, document, [page_of(document, 1)], assets=versions("text", version="v2")
    ).states
    assert list(after) == ["text"]
    assert after["text"].version == "v2"
    assert after["text"].input_versions == {"layouts": before["layouts"].data_version}
    assert after["text"].data_version == before["text"].data_version


def test_data_versions_tell_content_and_nothing_else(warehouse: Warehouse, document: str) -> None:
    first = commit(warehouse, document, [page_of(document, 1), page_of(document, 2)])
    again = commit(
        warehouse, document, [page_of(document, 2), page_of(document, 1)], run_id="another"
    )
    other = commit(
        warehouse,
        document,
        [page_of(document, 1), page_of(document, 2, text=[block(2, 0, "page two")])],
    )
    for asset in ASSETS:
        same = first.states[asset].data_version == again.states[asset].data_version
        assert same, asset
    changed = {a for a in ASSETS if first.states[a].data_version != other.states[a].data_version}
    assert changed == {"text"}


def test_a_failure_in_a_later_stage_leaves_the_data_version_of_pages(
    warehouse: Warehouse, document: str
) -> None:
    clean = commit(warehouse, document, [page_of(document, 1)])
    partial = replace(
        page_of(document, 1, errors={"text": "unreadable"}),
        page=replace(page_of(document, 1).page, status=PageStatus.PARTIAL, error="unreadable"),
    )
    failed = commit(warehouse, document, [partial])
    assert clean.states["pages"].data_version == failed.states["pages"].data_version
    lost = page_of(document, 1, errors={"render": "no"}, status=PageStatus.FAILED)
    assert (
        commit(warehouse, document, [lost]).states["pages"].data_version
        != clean.states["pages"].data_version
    )


def test_a_commit_replaces_all_rows_of_the_document_and_no_others(
    warehouse: Warehouse, inbox: Path, document: str
) -> None:
    other = register(warehouse, inbox, "b.pdf")
    commit(warehouse, other, [page_of(other, 1)])
    commit(warehouse, document, [page_of(document, n) for n in (1, 2, 3)])
    commit(warehouse, document, [page_of(document, 1)])
    for table in (*ASSETS, "page_timings"):
        counted = dict(
            rows(
                warehouse,
                f"SELECT document_id, count(DISTINCT page_number) FROM {table} GROUP BY 1",
            )
        )
        assert counted == {document: 1, other: 1}, table


def test_a_page_error_makes_the_document_partial(warehouse: Warehouse, document: str) -> None:
    pages = [page_of(document, 1), page_of(document, 2, errors={"text": "unreadable"})]
    committed = commit(warehouse, document, pages)
    assert committed.status is DocumentStatus.PARTIAL
    assert _status(warehouse, document) == (DocumentStatus.PARTIAL, "errors on 1 of 2 pages")
    (failure,) = warehouse.failures()
    assert (failure.page_number, failure.stage, failure.message) == (2, "text", "unreadable")
    assert (failure.file_name, failure.run_id, failure.is_fatal) == ("a.pdf", "run", False)
    assert rows(warehouse, "SELECT status, error FROM pages ORDER BY page_number") == [
        ("complete", None),
        ("partial", "unreadable"),
    ]


def test_a_subset_run_clears_only_the_errors_of_its_own_stages(
    warehouse: Warehouse, document: str
) -> None:
    commit(warehouse, document, [page_of(document, 1, errors={"text": "t", "figures": "f"})])
    commit(warehouse, document, [page_of(document, 1)], assets=versions("text"))
    assert [failure.stage for failure in warehouse.failures()] == ["figures"]
    assert _status(warehouse, document)[0] is DocumentStatus.PARTIAL
    assert rows(warehouse, "SELECT status, error FROM pages") == [("partial", "f")]

    committed = commit(warehouse, document, [page_of(document, 1)], assets=versions("figures"))
    assert warehouse.failures() == []
    assert committed.status is DocumentStatus.COMPLETE
    assert rows(warehouse, "SELECT status, error FROM pages") == [("complete", None)]


def test_a_page_that_cannot_be_rendered_for_its_text_counts_against_the_text(
    warehouse: Warehouse, document: str
) -> None:
    commit(warehouse, document, [page_of(document, 1)])
    selection = versions("text", "tables")
    failed = page_of(document, 1, text=(), tables=(), errors={"render": "timed out"})
    commit(warehouse, document, [failed], assets=selection)
    assert len(warehouse.failures()) == 1
    commit(warehouse, document, [page_of(document, 1)], assets=versions("text"))
    assert len(warehouse.failures()) == 1, "tables still lack the page"
    committed = commit(warehouse, document, [page_of(document, 1)], assets=versions("tables"))
    assert warehouse.failures() == []
    assert committed.status is DocumentStatus.COMPLETE


def test_a_document_error_that_cost_no_page_leaves_the_document_complete(
    warehouse: Warehouse, document: str
) -> None:
    stage(warehouse, document, [page_of(document, 1)])
    repaired = PageError(document, None, "open", "Repaired", "its xref was rebuilt")
    committed = warehouse.commit(
        DocumentResult(document, 1, errors=(repaired,)), run_id="run", versions=VERSIONS
    )
    assert committed.status is DocumentStatus.COMPLETE
    assert [(f.page_number, f.error_type) for f in warehouse.failures()] == [(None, "Repaired")]


@pytest.mark.parametrize(
    ("error_type", "status"),
    [(DRAWINGS_LEFT_OUT, DocumentStatus.COMPLETE), (WORDS_LEFT_OUT, DocumentStatus.PARTIAL)],
)
def test_what_was_left_out_of_a_page_makes_it_partial_when_content_was_lost(
    warehouse: Warehouse, document: str, error_type: str, status: DocumentStatus
) -> None:
    left_out = PageError(document, 1, "render", error_type, "there is too much of it")
    page = replace(page_of(document, 1), errors=(left_out,))
    assert commit(warehouse, document, [page]).status is status
    assert [failure.error_type for failure in warehouse.failures()] == [error_type]
    assert warehouse.figures([document])[document][1].page_errors == (
        status is DocumentStatus.PARTIAL
    )


def test_a_range_of_pages_is_partial_and_keeps_the_page_count_of_the_pdf(
    warehouse: Warehouse, document: str
) -> None:
    pages = [page_of(document, n) for n in (1, 2, 3, 7)]
    committed = commit(warehouse, document, pages, page_count=10)
    assert committed.states["text"].pages == "1-3,7"
    assert _status(warehouse, document) == (
        DocumentStatus.PARTIAL,
        "pages cover pages 1-3,7 of 10",
    )
    assert warehouse.documents()[0].page_count == 10
    whole = commit(warehouse, document, [page_of(document, n) for n in range(1, 11)])
    assert whole.status is DocumentStatus.COMPLETE


def test_a_document_without_all_assets_is_partial(warehouse: Warehouse, document: str) -> None:
    commit(warehouse, document, [page_of(document, 1)], assets=versions("pages", "layouts"))
    assert _status(warehouse, document) == (
        DocumentStatus.PARTIAL,
        "not made yet: text, tables, figures",
    )


def test_a_failed_document_keeps_its_old_rows_and_staged_pages(
    warehouse: Warehouse, document: str
) -> None:
    commit(warehouse, document, [page_of(document, 1)])
    stage(warehouse, document, [page_of(document, 1)], assets=versions(version="v2"))
    warehouse.fail(_fatal(document), run_id="run2")
    assert _status(warehouse, document) == (DocumentStatus.FAILED, "no way in")
    assert rows(warehouse, "SELECT count(*) FROM text") == [(1,)]
    assert warehouse.finished_pages(document, versions(version="v2")) == {1}
    (failure,) = warehouse.failures([document])
    assert (failure.is_fatal, failure.page_number, failure.run_id) == (True, None, "run2")


def test_a_success_of_any_asset_ends_a_failure(warehouse: Warehouse, document: str) -> None:
    commit(warehouse, document, [page_of(document, 1)])
    warehouse.fail(_fatal(document), run_id="run")
    warehouse.fail(_fatal(document, "WorkerDied"), run_id="run2")
    assert [failure.error_type for failure in warehouse.failures()] == ["WorkerDied"]
    committed = commit(warehouse, document, [page_of(document, 1)], assets=versions("figures"))
    assert committed.status is DocumentStatus.COMPLETE
    assert warehouse.failures() == []


def test_commit_and_fail_refuse_each_other_s_results(warehouse: Warehouse, document: str) -> None:
    with pytest.raises(ValueError, match="record it with fail"):
        warehouse.commit(_fatal(document), run_id="run", versions=VERSIONS)
    with pytest.raises(ValueError, match="did not fail"):
        warehouse.fail(DocumentResult(document, 1), run_id="run")


def test_unknown_documents_are_refused(warehouse: Warehouse) -> None:
    with pytest.raises(UnknownDocumentError, match="nobody"):
        commit(warehouse, "nobody", [page_of("nobody", 1)])
    with pytest.raises(UnknownDocumentError, match="nobody"):
        warehouse.fail(_fatal("nobody"), run_id="run")
    with pytest.raises(UnknownDocumentError, match="nobody"):
        warehouse.figures(["nobody"])


def test_an_error_inside_a_commit_leaves_everything_as_it_was(
    warehouse: Warehouse, document: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = commit(warehouse, document, [page_of(document, 1)])
    stage(warehouse, document, [page_of(document, 1, text=[block(1, 0, "new")])])
    with monkeypatch.context() as patch:
        patch.setattr(
            "deepcompress_dagster.warehouse.commit._refresh_document",
            lambda *_: pytest.fail("interrupted"),
        )
        with pytest.raises(pytest.fail.Exception, match="interrupted"):
            warehouse.commit(DocumentResult(document, 1), run_id="run2", versions=VERSIONS)
    assert warehouse.asset_states() == list(before.states.values())
    assert rows(warehouse, "SELECT content FROM text") == [("page 1",)]
    assert warehouse.finished_pages(document, VERSIONS) == {1}


def test_attempts_count_runs_until_the_document_is_complete(
    warehouse: Warehouse, document: str
) -> None:
    def attempts() -> int:
        return warehouse.documents([document])[0].attempts

    warehouse.begin([document], run_id="1")
    warehouse.begin([document], run_id="1")
    assert attempts() == 1
    warehouse.fail(_fatal(document), run_id="1")
    assert attempts() == 1
    warehouse.fail(_fatal(document), run_id="2")
    assert attempts() == 2
    commit(warehouse, document, [page_of(document, 1, errors={"text": "t"})], run_id="3")
    assert attempts() == 3
    commit(warehouse, document, [page_of(document, 1)], run_id="4")
    assert attempts() == 0


def test_pending_are_documents_that_want_automatic_work(warehouse: Warehouse, inbox: Path) -> None:
    names = ("new", "done", "partial", "unlucky", "hopeless", "short", "ranged", "old")
    ids = {name: register(warehouse, inbox, f"{name}.pdf") for name in names}
    commit(warehouse, ids["done"], [page_of(ids["done"], 1)])
    commit(warehouse, ids["partial"], [page_of(ids["partial"], 1, errors={"text": "t"})])
    warehouse.fail(_fatal(ids["unlucky"], "WorkerDied"), run_id="run")
    warehouse.fail(_fatal(ids["hopeless"], "Encrypted"), run_id="run")
    commit(warehouse, ids["short"], [page_of(ids["short"], 1)], assets=versions("pages"))
    commit(warehouse, ids["ranged"], [page_of(ids["ranged"], 1)], page_count=9)
    register(warehouse, inbox, "old.pdf", "changed")

    def pending(*transient: str, max_attempts: int = 3) -> set[str]:
        found = warehouse.pending(transient=transient, max_attempts=max_attempts)
        return {row.file_name.removesuffix(".pdf") for row in found}

    assert pending() == {"new", "short", "old"}
    assert pending("WorkerDied") == {"new", "short", "old", "unlucky"}
    assert pending("BadThing") == {"new", "short", "old", "partial"}
    assert pending("WorkerDied", max_attempts=1) == {"new", "old"}
    assert [row.file_name for row in warehouse.pending(transient=(), max_attempts=3)][-1] == (
        "old.pdf"
    ), "oldest first"
    assert {row.file_name.removesuffix(".pdf") for row in warehouse.retryable()} == {
        "partial",
        "unlucky",
        "hopeless",
        "short",
        "ranged",
    }


def test_a_document_that_kills_its_run_stops_being_pending(
    warehouse: Warehouse, document: str
) -> None:
    for run_id in ("1", "2", "3"):
        assert warehouse.pending(transient=(), max_attempts=3)
        warehouse.begin([document], run_id=run_id)
    assert warehouse.pending(transient=(), max_attempts=3) == []
    assert [row.document_id for row in warehouse.retryable()] == [document]


def test_counts_are_of_current_documents_by_status(warehouse: Warehouse, inbox: Path) -> None:
    first = register(warehouse, inbox, "a.pdf", "one")
    commit(warehouse, first, [page_of(first, 1)])
    register(warehouse, inbox, "a.pdf", "two")
    failed = register(warehouse, inbox, "b.pdf")
    warehouse.fail(_fatal(failed), run_id="run")
    assert warehouse.counts() == {
        DocumentStatus.REGISTERED: 1,
        DocumentStatus.COMPLETE: 0,
        DocumentStatus.PARTIAL: 0,
        DocumentStatus.FAILED: 1,
    }


def test_regions_are_the_committed_layouts(warehouse: Warehouse, document: str) -> None:
    page = replace(page_of(document, 1), layouts=(region(1, 0.0), region(1, 1.0)))
    empty = replace(page_of(document, 2), layouts=())
    commit(warehouse, document, [page, empty], page_count=3)
    assert warehouse.regions(document, [1, 2]) == {1: page.layouts, 2: ()}
    with pytest.raises(NotMaterializedError, match="cover pages 1-2, not 3"):
        warehouse.regions(document, [1, 3])


def test_regions_that_are_not_committed_are_an_error(warehouse: Warehouse, document: str) -> None:
    with pytest.raises(NotMaterializedError, match="cover pages none, not 1"):
        warehouse.regions(document, [1])


def test_a_summary_counts_what_is_committed(warehouse: Warehouse, document: str) -> None:
    pages = [
        page_of(document, 1),
        page_of(document, 2, errors={"render": "no"}, status=PageStatus.FAILED, text=()),
    ]
    commit(warehouse, document, pages)
    summary, _ = warehouse.figures([document], markdown_characters=6)[document]
    assert (summary.pages, summary.failed_pages, summary.page_errors) == (2, 1, 1)
    assert summary.rows["layouts"] == 6
    assert summary.mean_confidence == 1.0
    assert summary.seconds["render"] == 1.0
    assert summary.markdown == "page 1"
    assert summary.status is DocumentStatus.PARTIAL


def test_times_are_utc(data_dir: Path, inbox: Path) -> None:
    moment = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
    warehouse = Warehouse(data_dir, clock=lambda: moment)
    register(warehouse, inbox, "a.pdf")
    assert warehouse.documents()[0].first_seen_at == moment.replace(tzinfo=None)


def test_two_failures_that_say_the_same_are_one_row_that_names_each_asset_once(
    warehouse: Warehouse, document: str
) -> None:
    page = page_of(document, 1, errors={"text": "unreadable"})
    commit(warehouse, document, [replace(page, errors=page.errors * 2)])
    with warehouse._database.read() as conn:
        assert conn.execute("SELECT assets FROM errors").fetchall() == [(["text"],)]


@pytest.mark.parametrize(
    ("confidences", "grade"),
    [
        ((1.0, 0.95), "A"),
        ((1.0, 0.8), "B"),
        ((0.8, 0.7), "C"),
        ((0.9, 0.4), "D"),
        ((1.0,) * 40 + (0.0,), "B"),
        ((), None),
    ],
    ids=["right", "mostly", "doubtful", "wrong", "one page unread", "no text"],
)
def test_a_document_is_graded_by_how_far_its_pages_can_be_trusted(
    warehouse: Warehouse, document: str, confidences: tuple[float, ...], grade: str | None
) -> None:
    pages = [
        page_of(
            document,
            number,
            text=[replace(block(number, 0, "words"), confidence=confidence)],
            tables=(),
        )
        for number, confidence in enumerate(confidences, start=1)
    ]
    silent = replace(page_of(document, 1, text=(), tables=()), layouts=())
    commit(warehouse, document, pages or [silent])
    assert rows(warehouse, "SELECT grade FROM documents") == [(grade,)]


def test_the_quality_of_a_page_falls_with_what_failed_and_what_was_not_read(
    warehouse: Warehouse, document: str
) -> None:
    text = [replace(block(1, 0, "words \ufffd\ufffd\ufffd\ufffd"), confidence=0.9)]
    commit(
        warehouse,
        document,
        [
            page_of(document, 1, text=text, tables=()),
            page_of(document, 2, tables=(), errors={"tables": "out of order"}),
            page_of(document, 3, text=(), tables=()),
        ],
    )
    found = rows(warehouse, "SELECT page_number, quality FROM page_quality ORDER BY ALL")
    assert found == [(1, 0.5), (2, 0.5), (3, 0.0)]
