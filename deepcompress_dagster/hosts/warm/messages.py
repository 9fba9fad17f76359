"""What a run and the warm process say to each other.

The first words are JSON, so that two versions of the code understand that they are two. After them
come the records below, pickled. The warm process asks, the run answers, one question at a time.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from multiprocessing.connection import Connection
from typing import Any

from deepcompress_dagster.pipeline.parse import ParseEvent
from deepcompress_dagster.settings import Settings

MOST_HELLO_BYTES = 65536


class Wish(StrEnum):
    """What somebody connects for."""

    PARSE = "parse"
    STATUS = "status"
    REST = "rest"
    """Give models and their memory back, unless a run is using them."""


class Verdict(StrEnum):
    """What becomes of a wish to parse."""

    WELCOME = "welcome"
    RENEWING = "renewing"
    """The process is about to start afresh; come again."""
    OLD_CODE = "old code"
    """The run's code is not what is on disk for the warm process."""


@dataclass(frozen=True)
class Hello:
    """The first words of whoever connects."""

    wish: Wish
    code: str


@dataclass(frozen=True)
class Reply:
    """The answer to them."""

    verdict: Verdict
    pid: int
    why: str = ""


@dataclass(frozen=True)
class Status:
    """How the warm process is."""

    pid: int
    seconds: float
    """Since it was started, or started afresh."""
    runs: int
    """Runs that it is working for."""
    runs_before: int
    pages: int
    idle_s: float
    memory_mb: int
    """Of the process and its render workers."""
    loaded: tuple[str, ...] = ()
    """Models, by checkpoint."""
    loads: Mapping[str, int] = field(default_factory=dict)
    hits: Mapping[str, int] = field(default_factory=dict)


def send_words(connection: Connection, words: Hello | Reply | Status) -> None:
    """Send one of the first words."""
    connection.send_bytes(json.dumps(asdict(words)).encode())


def receive_words(connection: Connection) -> dict[str, Any]:
    """The first words of the other side. Raises EOFError, OSError, ValueError."""
    words = json.loads(connection.recv_bytes(MOST_HELLO_BYTES))
    if not isinstance(words, dict):
        raise ValueError("these are no first words")
    return words


# What the run says


@dataclass(frozen=True)
class Begin:
    """Parse, under these settings; whether there are committed regions to ask for."""

    settings: Settings
    selection: tuple[str, ...]
    has_regions: bool


@dataclass(frozen=True)
class Answer:
    """What was asked for: a task or None at their end, or the regions of a page."""

    value: Any


# What the warm process says


@dataclass(frozen=True)
class NextTask:
    """Which document is next?"""


@dataclass(frozen=True)
class RegionsOf:
    """Which regions of a page are committed?"""

    document_id: str
    page_number: int


@dataclass(frozen=True)
class Happened:
    """Something is finished."""

    event: ParseEvent


@dataclass(frozen=True)
class Logged:
    """What the warm process logged meanwhile."""

    level: int
    text: str


@dataclass(frozen=True)
class Ended:
    """All tasks are through, or ``error`` ended the stream."""

    error: Exception | None = None
