"""How pages that are turned are told, by the threshold that an answer has to reach."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.models.corpus import Corpus, whole_page
from benchmarks.models.measure import Clock, predictor, share
from benchmarks.quality import markdown_table
from deepcompress_dagster.models.catalog import (
    Task,
)
from deepcompress_dagster.pipeline.page_view import PageView

TURNS = (0, 90, 180, 270)


THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


MOSTLY_BLANK = 0.01
"""Share of ink below which a page counts as mostly blank; a page of text has .05 to .15."""


def compare_orientation(corpus: Corpus) -> str:
    """Pages turned by each quarter, by the score from which the model's answer is followed."""
    model = predictor(corpus.settings, Task.ORIENTATION)
    clock = Clock()
    seen: dict[str, list[tuple[int, int, float]]] = defaultdict(list)
    for view in _upright_pages(corpus):
        ink = view.ink.share(whole_page(view.content))
        kind = "mostly blank" if ink < MOSTLY_BLANK else "text"
        for turn in TURNS:
            with clock.of(model.name):
                (answer,) = model.predict([np.rot90(view.pixels, -turn // 90)])
            seen[kind].append((turn, answer.degrees, answer.score))
    lines = [
        [kind, len(answers) // len(TURNS), threshold, *turned(answers, threshold)]
        for kind, answers in sorted(seen.items(), reverse=True)
        for threshold in THRESHOLDS
    ]
    views = sum(len(answers) for answers in seen.values())
    header = ["pages", "n", "threshold", "turned: put right", "left alone", "put wrong"]
    table = markdown_table([*header, "upright: left alone", "put wrong"], lines)
    return f"{table}\n\n{clock.seconds[model.name] / max(1, views):.3f} CPU-s a page"


def _upright_pages(corpus: Corpus) -> Iterator[PageView]:
    """First and last pages of scans and born-digital documents that are not turned."""
    for record in corpus.records("scan", "born-digital"):
        if not {"rotated-scan", "rotated-text"} & set(record["tests"]):
            for number in sorted({1, record["pages"]}):
                yield corpus.page(record, number)


def turned(answers: Sequence[tuple[int, int, float]], threshold: float) -> list[str]:
    counts: Counter[tuple[bool, str]] = Counter()
    for turn, degrees, score in answers:
        followed = degrees if score >= threshold else 0
        outcome = "right" if followed == turn else "alone" if followed == 0 else "wrong"
        counts[turn > 0, outcome] += 1
    turned = len(answers) * 3 // 4
    upright = len(answers) - turned
    return [
        *(share(counts[True, outcome], turned) for outcome in ("right", "alone", "wrong")),
        *(share(counts[False, outcome], upright) for outcome in ("right", "wrong")),
    ]
