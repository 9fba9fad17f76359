from pathlib import Path

import pytest

from deepcompress_dagster.pipeline import commit
from deepcompress_dagster.pipeline.commit import Committer, FinishedDocument
from deepcompress_dagster.records import (
    DocumentOpened,
    DocumentResult,
    DocumentStatus,
    PageError,
)
from deepcompress_dagster.warehouse import NothingStagedError, UnknownDocumentError, Warehouse
from tests.builders import block, page_of
from tests.warehouse.helpers import VERSIONS, register


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "data")


@pytest.fixture
def committer(warehouse: Warehouse) -> Committer:
    return Committer(warehouse, "run", VERSIONS)


def documents(warehouse: Warehouse, tmp_path: Path, *names: str) -> list[str]:
    return [register(warehouse, tmp_path, f"{name}.pdf") for name in names]


def parsed(committer: Committer, document_id: str) -> list[FinishedDocument]:
    finished = committer.take(DocumentOpened(document_id, 1))
    finished += committer.take(page_of(document_id, 1, text=[block(1, 0, "words")]))
    return finished + committer.take(DocumentResult(document_id, 1))


def test_the_first_page_is_staged_at_once_and_what_follows_within_a_second_together(
    warehouse, committer, tmp_path
):
    first, second = documents(warehouse, tmp_path, "a", "b")
    assert parsed(committer, first) == []
    assert warehouse.finished_pages(first, VERSIONS) == {1}
    assert parsed(committer, second) == []
    assert warehouse.counts()[DocumentStatus.COMPLETE] == 0
    assert [found.result.document_id for found in committer.flush()] == [first, second]
    assert warehouse.counts()[DocumentStatus.COMPLETE] == 2
    assert committer.flush() == []


def test_a_document_that_ends_after_a_pause_waits_for_nothing(
    warehouse, committer, tmp_path, monkeypatch
):
    monkeypatch.setattr(commit, "GROUP_SECONDS", 0)
    (name,) = documents(warehouse, tmp_path, "a")
    (finished,) = parsed(committer, name)
    assert finished.committed is not None
    assert finished.committed.status is DocumentStatus.COMPLETE


def test_documents_that_cannot_be_committed_leave_the_others_of_their_group_alone(
    warehouse, committer, tmp_path
):
    good, empty, bad = documents(warehouse, tmp_path, "good", "empty", "bad")
    parsed(committer, good)
    committer.take(DocumentResult(empty, 1))
    committer.take(DocumentResult("nobody", 1))
    committer.take(DocumentResult(bad, 0, fatal=PageError(bad, None, "open", "damaged", "why")))
    of_good, of_empty, of_nobody, of_bad = committer.flush()
    assert of_good.committed is not None
    assert isinstance(of_empty.refusal, NothingStagedError)
    assert isinstance(of_nobody.refusal, UnknownDocumentError)
    assert of_bad == FinishedDocument(of_bad.result)
    assert {row.document_id: row.status for row in warehouse.documents()} == {
        good: DocumentStatus.COMPLETE,
        empty: DocumentStatus.REGISTERED,
        bad: DocumentStatus.REGISTERED,
    }


def test_closing_keeps_the_pages_and_commits_nothing(warehouse, committer, tmp_path):
    first, second = documents(warehouse, tmp_path, "a", "b")
    parsed(committer, first)
    parsed(committer, second)
    committer.close()
    assert warehouse.finished_pages(second, VERSIONS) == {1}
    assert warehouse.counts()[DocumentStatus.COMPLETE] == 0
