"""Which lines the recogniser of PP-OCR could not read, and what a reader of other scripts makes of
them.

Of a script that it was not taught PP-OCR leaves nearly all out: a line of Russian comes back as its
commas. Such lines are handed on together, so that their script can be told from all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.models.text.ctc import DecodedLine
from deepcompress_dagster.models.text.detection import LineBox, cut_out

LONG = 3.0
"""Width over height from which the number of characters in a box says something."""

SPARSE = 0.8
"""Characters in a square of a box's height, at most, where most of a line was left out: lines of
Chinese have 1.5 and more, of Latin 3 to 4, of Russian, Arabic or Hindi below .4."""

UNSURE = 0.85
"""Confidence below which a line may be of another script that shares letters: of Greek .74 to .82,
of clean print above .95."""

LEAST_LINES = 2
LEAST_SHARE = 0.1
"""Lines left out, at least, and their share of all lines' length, from which another script is
looked for. Of 44 scans one had such lines: the Russian one, with .62."""

MOSTLY = 0.5
"""Share of unsure lines from which a script that shares letters is looked for."""


OTHER_SCRIPTS = "tesseract"
"""What the ``reader`` of a line is called that the second reader read."""


@dataclass(frozen=True, slots=True)
class LineReading:
    """A line as it was read; ``turn`` is 0 for text that runs right, 90 down, 270 up.

    ``reader`` is that of ``TextLine``.
    """

    box: LineBox
    turn: int
    line: DecodedLine
    reader: str | None = None

    @property
    def length(self) -> float:
        """Pixels along the line."""
        return self.box.height if self.turn else self.box.width

    @property
    def is_left_out(self) -> bool:
        """Whether the line shows much more than was read of it."""
        across = self.box.width if self.turn else self.box.height
        characters = len(self.line.text.replace(" ", ""))
        return self.length >= LONG * across and characters < SPARSE * self.length / across


@dataclass(frozen=True, slots=True)
class Reread:
    """What a second reader says of lines: None where it can read nothing.

    ``script`` is the script that it saw, ``note`` says what it lacks to read it.
    """

    lines: tuple[DecodedLine | None, ...]
    script: str | None = None
    note: str | None = None


class SecondReader(Protocol):
    """Reads lines of scripts that the first reader was not taught."""

    def read(self, lines: Sequence[Image]) -> Reread:
        """What each line says; the lines are straight, upright and of one page."""
        ...


def reread(
    image: Image, readings: Sequence[LineReading], reader: SecondReader
) -> tuple[list[LineReading], str | None]:
    """The readings of one image, those of other scripts by ``reader``; and its note."""
    left_out = _share(readings, [reading.is_left_out for reading in readings])
    several = sum(reading.is_left_out for reading in readings) >= LEAST_LINES
    doubts = [reading.is_left_out or reading.line.confidence < UNSURE for reading in readings]
    lacks = several and left_out >= LEAST_SHARE
    if not lacks and _share(readings, doubts) < MOSTLY:
        return list(readings), None
    doubtful = [i for i, doubt in enumerate(doubts) if doubt]
    found = reader.read([_straight(image, readings[i]) for i in doubtful])
    better = dict(zip(doubtful, found.lines, strict=True))
    surest = [_surer(reading, better.get(i)) for i, reading in enumerate(readings)]
    return surest, found.note if lacks or found.script else None


def _share(readings: Sequence[LineReading], chosen: Sequence[bool]) -> float:
    """Share of the lines' length that the chosen ones have; 0 without lines."""
    lengths = [reading.length for reading in readings]
    part = sum(length for length, own in zip(lengths, chosen, strict=True) if own)
    return part / sum(lengths) if lengths else 0.0


def _surer(reading: LineReading, line: DecodedLine | None) -> LineReading:
    if line is None or not (reading.is_left_out or line.confidence > reading.line.confidence):
        return reading
    return replace(reading, line=line, reader=OTHER_SCRIPTS)


def _straight(image: Image, reading: LineReading) -> Image:
    pixels: Image = np.ascontiguousarray(np.rot90(cut_out(image, reading.box), reading.turn // 90))
    return pixels
