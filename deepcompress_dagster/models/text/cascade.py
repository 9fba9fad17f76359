"""What a slower reader reads again: the words that a fast one is unsure of, or misspells.

Neighbouring unsure words are one piece, cut at the gaps around it; a line that is unsure for the
most part, or in which no word was found, is one piece. Numpy only; nothing here knows a model.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.models.text.ctc import DecodedLine, DecodedWord

SURE = 0.95
"""Mean confidence of a word's characters from which it stands.

On 20 dense scans (``python -m benchmarks.models CORPUS readers``)."""

MOSTLY = 0.7
"""Share of a line's length in unsure words from which the whole line is read again."""


HARD = 0.2
"""Share of a crop's length in unsure words from which all of it is read again, lines found anew.

Of 39 scans those above it (receipts, Fraktur, kana, Cyrillic) gain .01 to .66 word F1 by it."""

HARD_PROSE = 0.5
"""The same share for crops of long lines, which a fast detector finds as well: between it and HARD
unsure words alone cost half as much and read as well (four pages, mean word F1 .968 both ways)."""

PROSE_LENGTH = 25
"""Letters in a line, on average, from which lines are long: receipts and tables have 5 to 14, pages
of text 28 to 90."""


IMPLAUSIBLE = re.compile(r"[^\W\d_][.,;:!?)][^\W_]|[^\W_]_|_[^\W_]|[^\W\d_]\d")
"""Marks between letters, underlines and digits after letters: a fast reader loses blanks (`No.7`,
`has_been`) and takes digits for letters (`I876`) without being unsure of it."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Words ``first`` to ``stop`` of a line, without the latter, and where it is cut.

    ``start`` and ``end`` are shares of the line; ``confidence`` is that of the words as they stand,
    0 where one is implausible.
    """

    first: int
    stop: int
    start: float
    end: float
    confidence: float


def is_hard(lines: Sequence[DecodedLine]) -> bool:
    """Whether so much of a crop is unsure that it is to be read again as a whole."""
    lengths = [(_is_unsure(word), len(word.text)) for line in lines for word in line.words]
    unsure = sum(length for doubt, length in lengths if doubt)
    whole = sum(length for _, length in lengths)
    blind = bool(lines) and not lengths
    return blind or unsure > (HARD_PROSE if whole >= PROSE_LENGTH * len(lines) else HARD) * whole


def unsure_pieces(line: DecodedLine) -> list[Piece]:
    """The pieces of a line that are to be read again, from left to right."""
    words = line.words
    if not words:
        return [Piece(0, 0, 0.0, 1.0, line.confidence)]
    unsure = [_is_unsure(word) for word in words]
    length = sum(word.end - word.start for word, doubt in zip(words, unsure, strict=True) if doubt)
    if length > MOSTLY * sum(word.end - word.start for word in words):
        return [_piece(words, 0, len(words))]
    runs = groupby(range(len(words)), key=unsure.__getitem__)
    numbers = [list(run) for doubt, run in runs if doubt]
    return [_piece(words, run[0], run[-1] + 1) for run in numbers]


def _is_unsure(word: DecodedWord) -> bool:
    return word.confidence < SURE or IMPLAUSIBLE.search(word.text) is not None


def _piece(words: Sequence[DecodedWord], first: int, stop: int) -> Piece:
    start = (words[first - 1].end + words[first].start) / 2 if first else 0.0
    end = (words[stop - 1].end + words[stop].start) / 2 if stop < len(words) else 1.0
    own = words[first:stop]
    implausible = any(IMPLAUSIBLE.search(word.text) for word in own)
    return Piece(first, stop, start, end, 0.0 if implausible else _confidence(own))


def cut(image: Image, piece: Piece) -> Image:
    """The pixels of a piece of a line; at least one pixel wide."""
    width = image.shape[1]
    left = min(int(piece.start * width), width - 1)
    return image[:, left : max(round(piece.end * width), left + 1)]


def with_pieces(line: DecodedLine, pieces: Sequence[tuple[Piece, DecodedLine]]) -> DecodedLine:
    """The line with what was read of its pieces, given from left to right, in their place."""
    words: list[DecodedWord] = []
    done = 0
    for piece, read in pieces:
        size = piece.end - piece.start
        words += line.words[done : piece.first]
        words += [
            DecodedWord(
                word.text,
                piece.start + word.start * size,
                piece.start + word.end * size,
                word.confidence,
            )
            for word in read.words
        ]
        done = piece.stop
    words += line.words[done:]
    return DecodedLine(" ".join(word.text for word in words), _confidence(words), tuple(words))


def _confidence(words: Sequence[DecodedWord]) -> float:
    """Mean over the characters of the words; 0 without any."""
    letters = sum(len(word.text) for word in words)
    return sum(word.confidence * len(word.text) for word in words) / max(1, letters)
