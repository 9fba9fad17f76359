"""Whether invisible text over a scan says what the scan shows, told from a sample of its lines.

Here belongs which lines are read again and what follows from it. Whether words stand on ink at all
is decided in text_layer.py, before.
"""

import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher
from functools import lru_cache
from statistics import median

from deepcompress_dagster.models.predictor import ReadText
from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.page_view import PageContext
from deepcompress_dagster.pipeline.stage_calls import TEXT
from deepcompress_dagster.streaming import Flow

HIDDEN_SHARE = 0.5
"""Share of invisible characters from which a text layer was laid over a picture of the page."""

SAMPLE_LINES = 6
"""Lines of a page that are read again, one from each part of it; 0.15 CPU-s a line."""

MIN_LENGTH = 8
"""Letters and digits of a line that is worth reading again."""

CERTAIN = 0.96
"""Confidence from which what was read again counts: four of five such readings are right. From .9
on, noise misleads the reader often enough for a good layer to be dropped."""

MIN_CERTAIN = 3
"""Lines that must count, or all of a smaller sample; with fewer the layer stands as it is."""

MAX_ERROR = 0.05
"""Share of characters in which a layer may differ from what was read again, at the median line.

On twelve drawn scans, clean to noisy, layers without a wrong letter differ by at most .02, those
with 2 % wrong by .03, with 8 % by .05 to .11, with 20 % by .16 and more; see benchmarks/README.md.
"""

READABLE_SCRIPTS = ("LATIN", "DIGIT", "CJK", "HIRAGANA", "KATAKANA")
"""Scripts that every text model reads; what a layer says in others cannot be told from them."""

READABLE_SHARE = 0.8

LOOKALIKES = ("LATIN", "CYRILLIC", "GREEK")
"""Scripts with letters that look alike; a word is written in one of them."""

MIXED_SHARE = 0.2
"""Share of words that mix such scripts from which a layer was read in the wrong language; of text
that was typed it is below .01."""


def without_contradicted_layer(page: PageContext) -> Flow[PageContext]:
    """The page, without the lines of an invisible layer that a sample of them contradicts."""
    view = page.view
    if view.content.hidden_text_share < HIDDEN_SHARE:
        return page
    if mixes_scripts(view.lines):
        return replace(page, view=replace(view, lines=()))
    lines = sample(view.lines)
    crops = [view.crop(line.bbox).pixels for line in lines]
    outputs = yield from page.calls.ask_all(TEXT, crops)
    read = [None if output is None else output.value for output in outputs]
    return replace(page, view=replace(view, lines=())) if is_contradicted(lines, read) else page


def mixes_scripts(lines: Sequence[PageLine]) -> bool:
    """Whether a good part of the words mix scripts, as a Latin page read as a Russian one does."""
    words = [word.text for line in lines for word in line.words if len(word.text) > 2]
    mixed = sum(len({_lookalike(c) for c in text} - {""}) > 1 for text in words)
    return len(words) >= MIN_CERTAIN and mixed >= MIXED_SHARE * len(words)


@lru_cache(maxsize=4096)
def _lookalike(character: str) -> str:
    script = unicodedata.name(character, "").split(" ")[0]
    return script if script in LOOKALIKES else ""


def sample(lines: Sequence[PageLine]) -> list[PageLine]:
    """Lines of a layer that are to be read again: the longest of each part of the page."""
    candidates = [line for line in lines if _is_worth_reading(line.text)]
    parts = min(SAMPLE_LINES, len(candidates))
    bounds = [round(i * len(candidates) / parts) for i in range(parts + 1)] if parts else []
    return [
        max(candidates[start:end], key=lambda line: len(line.text))
        for start, end in itertools.pairwise(bounds)
    ]


def is_contradicted(lines: Sequence[PageLine], read: Sequence[ReadText | None]) -> bool:
    """Whether what was ``read`` in the places of the sampled ``lines`` says something else.

    None stands for a line that could not be read.
    """
    errors = differences(lines, read)
    enough = len(errors) >= min(MIN_CERTAIN, max(1, len(lines)))
    return enough and median(errors) > MAX_ERROR


def differences(lines: Sequence[PageLine], read: Sequence[ReadText | None]) -> list[float]:
    """How far each line differs from what was read in its place, where that is certain, 0 to 1."""
    return [
        _difference(line.text, " ".join(found.text for found in text.lines))
        for line, text in zip(lines, read, strict=True)
        if text is not None and _is_certain(text)
    ]


def _is_certain(text: ReadText) -> bool:
    return bool(text.lines) and min(line.confidence for line in text.lines) >= CERTAIN


def _difference(first: str, second: str) -> float:
    """Share of characters that differ, blanks, case and compatibility forms apart, 0 to 1."""
    matcher = SequenceMatcher(None, _folded(first), _folded(second), autojunk=False)
    return 1.0 - matcher.ratio()


def _folded(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def _is_worth_reading(text: str) -> bool:
    letters = [character for character in text if character.isalnum()]
    readable = sum(map(_is_readable, letters))
    return len(letters) >= MIN_LENGTH and readable >= READABLE_SHARE * len(letters)


@lru_cache(maxsize=4096)
def _is_readable(character: str) -> bool:
    return unicodedata.name(character, "").startswith(READABLE_SCRIPTS)
