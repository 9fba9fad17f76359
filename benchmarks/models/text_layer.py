"""Whether a text layer is accepted as it is, and rejected once it is spoiled."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.models.corpus import Corpus, whole_page
from benchmarks.quality import markdown_table
from deepcompress_dagster.pipeline.page_view import PageView
from deepcompress_dagster.pipeline.text_layer import InkMap, TextLayerQuality, assess
from deepcompress_dagster.records import (
    BBox,
    Word,
    union,
)

MIN_LETTERS = 40
"""Characters of a block, at least: of less the measure says little, and little is lost."""


LOST_SHARE = 0.6


PAGES_JUDGED = 3


def compare_text_layer(corpus: Corpus) -> str:
    """Blocks of born-digital pages as they are and spoiled, and scans as they are."""
    verdicts: dict[tuple[str, str], list[TextLayerQuality]] = defaultdict(list)
    for record in corpus.records("born-digital"):
        for number in range(1, min(PAGES_JUDGED, record["pages"]) + 1):
            view = corpus.page(record, number)
            for name, words, region, ink in _spoiled_blocks(view):
                wanted = "usable" if name == "as they are" else "not usable"
                verdicts[f"blocks, {name}", wanted].append(assess(words, region, ink))
    for record in corpus.records("scan"):
        view = corpus.page(record, 1)
        whole = whole_page(view.content)
        verdicts["scans, whole pages", "not usable"].append(
            assess(view.content.words, whole, view.ink)
        )
    lines = [
        [
            name,
            len(found),
            wanted,
            sum(verdict.usable for verdict in found),
            sum(not verdict.usable for verdict in found),
            _reasons(found),
        ]
        for (name, wanted), found in verdicts.items()
    ]
    return markdown_table(["text layer", "n", "should be", "usable", "not usable", "why"], lines)


def _reasons(found: Sequence[TextLayerQuality]) -> str:
    counts = Counter(verdict.reason for verdict in found if not verdict.usable)
    return ", ".join(f"{reason} {n}" for reason, n in counts.most_common()) or "-"


def _spoiled_blocks(view: PageView) -> Iterator[tuple[str, list[Word], BBox, InkMap]]:
    """Each block of a page, as it is and spoiled in every way: name, words, region and ink."""
    white = InkMap(np.full_like(view.pixels, 255), view.scale)
    blocks: dict[int, list[Word]] = defaultdict(list)
    for word in view.content.words:
        blocks[word.block].append(word)
    for number, words in blocks.items():
        if sum(len(word.text) for word in words) < MIN_LETTERS:
            continue
        region = union(word.bbox for word in words)
        rng = np.random.default_rng(number)
        kept = [word for word in words if rng.random() > LOST_SHARE]
        yield "as they are", words, region, view.ink
        yield "unmapped characters", _rewritten(words, lambda _: "\ufffd"), region, view.ink
        yield "private characters", _rewritten(words, _private), region, view.ink
        yield "letters as symbols", _rewritten(words, _symbol), region, view.ink
        yield "shifted by a block", _shifted(words, region.height + 9), region, view.ink
        yield "60 % of the words missing", kept, region, view.ink
        yield "white on white", words, region, white


def _private(character: str) -> str:
    return chr(0xE000 + ord(character) % 256)


def _symbol(character: str) -> str:
    return "!#$%&()*+/<=>@[]^{}"[ord(character) % 19]


def _rewritten(words: Sequence[Word], change: Callable[[str], str]) -> list[Word]:
    return [replace(word, text="".join(map(change, word.text))) for word in words]


def _shifted(words: Sequence[Word], distance: float) -> list[Word]:
    """Words moved down by ``distance`` points: on what follows, or beside it."""
    return [replace(word, bbox=word.bbox.shifted(distance / 3, distance)) for word in words]
