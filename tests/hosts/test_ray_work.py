"""What is handed out to actors, and what becomes of it when they are lost."""

from pathlib import Path

import pytest

from deepcompress_dagster.hosts.choice import open_host
from deepcompress_dagster.hosts.errors import HostError
from deepcompress_dagster.hosts.ray.work import (
    MOST_LOSSES,
    RANGE_PAGES,
    WHOLE_PAGES,
    Work,
)
from deepcompress_dagster.records import DocumentOpened, DocumentResult, DocumentTask, PageResult
from deepcompress_dagster.settings import load_settings
from tests.builders import page_of


def task(name: str, pages: tuple[int, ...] | None = None, finished: int = 0) -> DocumentTask:
    done = frozenset(range(1, finished + 1))
    return DocumentTask(name, Path(name), Path("images") / name, pages, done, file_name=name)


def page(name: str, number: int) -> PageResult:
    return page_of(name, number)


def do(work: Work, has: set[int], pages: int) -> list[object]:
    """Finish one job: what the run is told."""
    job = work.hand_out(has)
    assert job is not None
    name = job.task.document_id
    told = list(work.note(job.number, DocumentOpened(name, pages)))
    wanted = [n for n in job.task.pages or range(1, pages + 1) if n <= pages]
    for number in wanted:
        if number not in job.task.finished_pages:
            told += work.note(job.number, page(name, number))
    return [*told, *work.note(job.number, DocumentResult(name, pages))]


def kinds(told: list[object]) -> list[type]:
    return [type(event) for event in told if not isinstance(event, PageResult)]


@pytest.mark.parametrize("pages", [1, WHOLE_PAGES, WHOLE_PAGES + 1, 10 * WHOLE_PAGES + 3])
@pytest.mark.parametrize("finished", [0, 5, 40])
def test_every_page_is_handed_out_once_however_long_the_document(pages, finished):
    work = Work()
    work.add(task("a", finished=finished), None)
    told: list[object] = []
    jobs = 0
    while work.documents:
        told += do(work, set(), pages)
        jobs += 1
    numbers = [event.page.page_number for event in told if isinstance(event, PageResult)]
    assert sorted(numbers) == list(range(finished + 1, pages + 1))
    assert kinds(told) == [DocumentOpened, DocumentResult]
    assert jobs == 1 + -(-max(0, pages - finished - WHOLE_PAGES) // RANGE_PAGES)


def test_the_pages_that_are_asked_for_are_handed_out_as_far_as_they_exist():
    work = Work()
    work.add(task("a", pages=(7, 2, 99), finished=0), None)
    told = do(work, set(), 8)
    assert [event.page.page_number for event in told if isinstance(event, PageResult)] == [7, 2]
    assert kinds(told) == [DocumentOpened, DocumentResult]
    assert not work.documents


def test_somebody_with_a_document_gets_more_of_it_before_another():
    work = Work()
    for name in ("a", "b"):
        work.add(task(name), None)
    first, second = work.hand_out(set()), work.hand_out(set())
    assert first
    assert second
    list(work.note(first.number, DocumentOpened("a", 100)))
    list(work.note(second.number, DocumentOpened("b", 100)))
    again = work.hand_out({first.number})
    assert again
    assert again.task.document_id == "a"
    assert again.task.pages == tuple(range(WHOLE_PAGES + 1, WHOLE_PAGES + RANGE_PAGES + 1))


def test_a_lost_job_goes_on_where_it_was_and_alone():
    work = Work()
    work.add(task("a"), None)
    work.add(task("b"), None)
    job = work.hand_out(set())
    assert job
    told = list(work.note(job.number, DocumentOpened("a", 3)))
    told += work.note(job.number, page("a", 2))
    assert not list(work.lose([job.number]))
    other = work.hand_out({99_999})
    assert other
    assert other.task.document_id == "b", "what was lost waits for somebody who has nothing else"
    again = work.hand_out(set())
    assert again
    assert (again.number, again.task.finished_pages) == (job.number, frozenset({2}))
    assert work.hand_out({again.number}) is None
    assert list(work.note(again.number, DocumentOpened("a", 3))) == []
    assert list(work.note(again.number, page("a", 2))) == []
    for number in (1, 3):
        told += work.note(again.number, page("a", number))
    told += work.note(again.number, DocumentResult("a", 3))
    assert kinds(told) == [DocumentOpened, DocumentResult]
    assert work.documents == 1


def test_what_loses_every_actor_fails_and_costs_no_other_document():
    work = Work()
    work.add(task("killer"), None)
    told: list[object] = []
    for _ in range(MOST_LOSSES):
        job = work.hand_out(set())
        assert job
        told += work.note(job.number, DocumentOpened("killer", 4))
        told += work.lose([job.number])
    result = told[-1]
    assert isinstance(result, DocumentResult)
    assert result.fatal
    assert "killer: 3 Ray actors were lost while they had pages 1 to" in result.fatal.message
    assert not work.documents
    work.add(task("b"), None)
    assert kinds(do(work, set(), 2)) == [DocumentOpened, DocumentResult]


def test_a_machine_without_ray_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("deepcompress_dagster.hosts.choice.find_spec", lambda name: None)
    with pytest.raises(HostError, match=r"pip install 'deepcompress-dagster\[ray\]'"):
        open_host(load_settings(parse_on="ray"))
