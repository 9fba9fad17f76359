"""The documents of a run as jobs: what waits, who has what, and what is through.

Pure bookkeeping: knows neither Ray nor files. A page is accepted once; what a lost actor had not
finished waits again.
"""

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count, islice
from typing import Any

from deepcompress_dagster.asset_graph import OPEN
from deepcompress_dagster.hosts.ray.messages import Job
from deepcompress_dagster.pipeline.parse import ParseEvent
from deepcompress_dagster.records import (
    DocumentOpened,
    DocumentResult,
    DocumentTask,
    PageError,
    PageResult,
)

WHOLE_PAGES = 16
"""A document of up to so many pages stays with one actor; of a longer one these go first."""

RANGE_PAGES = 8
"""The rest of a long document goes out in ranges of so many pages: at the end of a run the other
actors wait for the last range, so that it costs less than a whole document's."""

UNOPENED_PAGES = 4
"""What a document counts for until its page count is known."""

MOST_LOSSES = 3
"""Actors that a job may lose. From the first on it goes to an actor that has nothing else, so that
the last loss is its own doing."""


@dataclass
class _Document:
    """A document that is not through."""

    task: DocumentTask
    pdf: Any
    jobs: dict[int, Job] = field(default_factory=dict)
    is_opened: bool = False
    result: DocumentResult | None = None


class Work:
    """What a run has to do. Not thread-safe."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._documents: dict[str, _Document] = {}
        self._jobs: dict[int, str] = {}
        self._waiting: deque[Job] = deque()

    @property
    def documents(self) -> int:
        """Documents that are not through."""
        return len(self._documents)

    @property
    def waiting(self) -> int:
        """Jobs that nobody has."""
        return len(self._waiting)

    def add(self, task: DocumentTask, pdf: Any) -> None:
        """Take a document in; what it is in pages is known when an actor has opened it."""
        document = self._documents[task.document_id] = _Document(task, pdf)
        first = tuple(islice(_unfinished(task), WHOLE_PAGES))
        self._waiting.append(self._job(document, first))

    def hand_out(self, has: Collection[int]) -> Job | None:
        """A job for somebody who ``has`` these jobs; None where there is none for them."""
        known = {self._jobs[number] for number in has if number in self._jobs}
        if any(self._job_of(number).losses for number in has if number in self._jobs):
            return None
        fits = [job for job in self._waiting if not (job.losses and has)]
        same = (job for job in fits if job.task.document_id in known)
        job = next(same, None) or next(iter(fits), None)
        if job is not None:
            self._waiting.remove(job)
        return job

    def pages(self, numbers: Iterable[int]) -> int:
        """Pages of these jobs that are not finished."""
        return sum(self._pages(number) for number in numbers if number in self._jobs)

    def note(self, number: int, event: ParseEvent) -> Iterator[ParseEvent]:
        """Put an event of a job on record: what the run is to be told."""
        document = self._documents[self._jobs[number]]
        if isinstance(event, DocumentOpened):
            if not document.is_opened:
                document.is_opened = True
                self._hand_out_rest(document, event.page_count)
                yield event
        elif isinstance(event, PageResult):
            if self._finish_page(document, number, event.page.page_number):
                yield event
        else:
            yield from self._finish_job(document, number, event)

    def lose(self, numbers: Iterable[int]) -> Iterator[ParseEvent]:
        """Have what a lost actor had wait again; what was lost too often fails."""
        for number in numbers:
            document = self._documents[self._jobs[number]]
            job = replace(document.jobs[number], losses=document.jobs[number].losses + 1)
            document.jobs[number] = job
            if job.losses >= MOST_LOSSES:
                yield from self._finish_job(document, number, _lost_too_often(job))
            else:
                self._waiting.appendleft(job)

    def _hand_out_rest(self, document: _Document, page_count: int) -> None:
        first = next(iter(document.jobs.values())).task.pages or ()
        rest = [n for n in _unfinished(document.task, page_count) if n not in first]
        ranges = [rest[at : at + RANGE_PAGES] for at in range(0, len(rest), RANGE_PAGES)]
        jobs = [self._job(document, tuple(numbers)) for numbers in ranges]
        self._waiting.extendleft(reversed(jobs))

    def _job(self, document: _Document, pages: tuple[int, ...]) -> Job:
        """A job for these pages; without any the document is opened, and that is all."""
        number = next(self._numbers)
        task = replace(document.task, pages=pages) if pages else document.task
        job = Job(number, task, document.pdf)
        document.jobs[number] = job
        self._jobs[number] = document.task.document_id
        return job

    def _job_of(self, number: int) -> Job:
        return self._documents[self._jobs[number]].jobs[number]

    def _pages(self, number: int) -> int:
        if not self._documents[self._jobs[number]].is_opened:
            return UNOPENED_PAGES
        task = self._job_of(number).task
        return len(set(task.pages or ()) - task.finished_pages)

    def _finish_page(self, document: _Document, number: int, page: int) -> bool:
        """Whether the page was not finished before."""
        job = document.jobs[number]
        if page in job.task.finished_pages:
            return False
        task = replace(job.task, finished_pages=job.task.finished_pages | {page})
        document.jobs[number] = replace(job, task=task)
        return True

    def _finish_job(
        self, document: _Document, number: int, result: DocumentResult
    ) -> Iterator[ParseEvent]:
        """A job is through; with the last one the document is, as its first range was told."""
        del document.jobs[number], self._jobs[number]
        if document.result is None or (result.fatal and not document.result.fatal):
            document.result = result
        if not document.jobs:
            del self._documents[document.task.document_id]
            yield document.result


def _unfinished(task: DocumentTask, page_count: int | None = None) -> Iterator[int]:
    """The pages that are to be done, as far as they exist; without end where nobody knows."""
    for number in task.pages or (count(1) if page_count is None else range(1, page_count + 1)):
        exists = number >= 1 and (page_count is None or number <= page_count)
        if exists and number not in task.finished_pages:
            yield number


def _lost_too_often(job: Job) -> DocumentResult:
    task = job.task
    left = sorted(set(task.pages or ()) - task.finished_pages)
    message = (
        f"{task.file_name or task.document_id}: {job.losses} Ray actors were lost while they had"
        f" pages {left[0]} to {left[-1]} in hand; see Ray's logs for why they ended"
        if left
        else f"{task.file_name or task.document_id}: {job.losses} Ray actors were lost with it"
    )
    error = PageError(task.document_id, None, OPEN, "actor_lost", message, job.losses)
    return DocumentResult(task.document_id, 0, fatal=error)
