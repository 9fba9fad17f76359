"""What a run and an actor say to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deepcompress_dagster.hosts.host import HostUsage
from deepcompress_dagster.pipeline.parse import ParseEvent
from deepcompress_dagster.records import DocumentTask, Region


@dataclass(frozen=True)
class Job:
    """Some pages of a document, or all of it: what an actor does in one piece.

    ``pdf`` is a reference to the file's bytes in Ray's object store. ``stored`` are the committed
    regions by page, where they are not to be found. ``losses`` counts the actors that were lost
    while they had it.
    """

    number: int
    task: DocumentTask
    pdf: Any = field(repr=False)
    stored: Mapping[int, tuple[Region, ...]] | None = field(default=None, repr=False)
    losses: int = 0


@dataclass(frozen=True)
class Finished:
    """An event of a job, and the image files that belong to it by their paths in the data folder.

    The job is through with its DocumentResult.
    """

    job: int
    event: ParseEvent
    images: Mapping[str, bytes] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Welcome:
    """An actor that takes work."""

    pid: int
    node: str
    """Address of its machine."""
    appetite: int
    """Pages that it wants to have in hand so that it never waits for more."""


@dataclass(frozen=True)
class Report:
    """What is finished since the last report."""

    finished: tuple[Finished, ...]
    used: HostUsage
