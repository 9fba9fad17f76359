"""Text drawn several times at one place (false bold, shadows, layers) counts once."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from deepcompress_dagster.records import BBox, Word

SHIFT = 0.3
"""Font sizes between two drawings of a word, at most: false bold .02 to .06, shadows up to .2; two
words that are read apart are not that close."""

BOLDENING = 0.07
"""Font sizes up to which a second drawing in the same colour makes a word bold."""


def without_overprints(words: Sequence[Word]) -> list[Word]:
    """The first of the words that are drawn at one place, bold where that is what they are for."""
    kept: list[Word] = []
    places: dict[str, list[int]] = defaultdict(list)
    for word in words:
        same = next((i for i in places[word.text] if _is_at(word.bbox, kept[i])), None)
        if same is None:
            places[word.text].append(len(kept))
            kept.append(word)
        elif _boldens(word, kept[same]):
            kept[same] = replace(kept[same], bold=True)
    return kept


def _is_at(box: BBox, other: Word) -> bool:
    known = other.bbox
    reach = SHIFT * (other.font_size or known.height)
    return (
        abs(box.y0 - known.y0) <= reach
        and abs(box.x0 - known.x0) <= reach
        and abs(box.x1 - known.x1) <= reach
        and abs(box.y1 - known.y1) <= reach
    )


def _boldens(word: Word, first: Word) -> bool:
    shift = max(abs(word.bbox.x0 - first.bbox.x0), abs(word.bbox.y0 - first.bbox.y0))
    return word.color == first.color and 0 < shift <= BOLDENING * first.font_size
