"""Decoding of connectionist temporal classification (CTC; Graves et al., 2006), greedily.

A recogniser says for each step along a line which character it sees, with class 0 for none. A
character that goes on over several steps is one character. Numpy only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLANK = 0


@dataclass(frozen=True, slots=True)
class DecodedWord:
    """A word and where it begins and ends, as shares of the line's length."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class DecodedLine:
    """A line's text without outer blanks, the mean confidence of its characters, its words."""

    text: str
    confidence: float
    words: tuple[DecodedWord, ...]


def first_steps(classes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The steps at which a character begins."""
    begins = classes != BLANK
    begins[1:] &= classes[1:] != classes[:-1]
    return np.flatnonzero(begins)


def decode(
    classes: npt.NDArray[np.int64],
    steps: npt.NDArray[np.int64],
    confidences: npt.NDArray[np.float32],
    characters: Sequence[str],
    length: float,
) -> DecodedLine:
    """The line that ``classes``, one per step, spell.

    ``steps`` are those of ``first_steps`` and ``confidences`` belong to them; ``characters`` maps
    a class to its text. The line itself takes up the first ``length`` steps, the rest is padding.
    """
    letters = [characters[classes[step]] for step in steps]
    words: list[DecodedWord] = []
    first: int | None = None
    for i, letter in enumerate([*letters, " "]):
        if letter.isspace():
            if first is not None:
                words.append(_word(letters, classes, steps, confidences, length, first, i))
            first = None
        elif first is None:
            first = i
    confidence = float(confidences.mean()) if len(steps) else 0.0
    return DecodedLine(" ".join(word.text for word in words), confidence, tuple(words))


def _word(
    letters: Sequence[str],
    classes: npt.NDArray[np.int64],
    steps: npt.NDArray[np.int64],
    confidences: npt.NDArray[np.float32],
    length: float,
    first: int,
    stop: int,
) -> DecodedWord:
    last = int(steps[stop - 1])
    while last + 1 < len(classes) and classes[last + 1] == classes[last]:
        last += 1
    return DecodedWord(
        "".join(letters[first:stop]),
        min(float(steps[first]) / length, 1.0),
        min((last + 1) / length, 1.0),
        float(confidences[first:stop].mean()),
    )
