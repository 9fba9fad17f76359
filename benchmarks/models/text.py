"""The text model on whole scans: by resolution, and by the side that its detector sees."""

from collections.abc import Sequence
from typing import Any

from benchmarks.models.corpus import Corpus, Record
from benchmarks.models.measure import Clock, mean, predictor, with_constant
from benchmarks.quality import markdown_table
from deepcompress_dagster.models.catalog import (
    Task,
)
from deepcompress_dagster.models.text import ppocr

UNFIT = {"rotated-scan", "multi-column", "tables", "facts"}
"""Tests of scans whose ground truth is not one column of lines from top to bottom."""


DPIS = (96, 144, 200)


SIDES = (640, 960, 1280)


def compare_text(corpus: Corpus) -> str:
    """The text model on whole scans by resolution, and by the side that its detector sees."""
    scans = plain_scans(corpus)
    usual = ppocr.ENOUGH_SIDE
    variants = [(dpi, usual) for dpi in DPIS]
    variants += [(corpus.settings.dpi, side) for side in SIDES if side != usual]
    header = ["dpi", "detector side", "pages", "cer", "cer_ci", "CPU-s/page"]
    return markdown_table(header, [_text_line(corpus, scans, *variant) for variant in variants])


def plain_scans(corpus: Corpus) -> list[tuple[Record, str]]:
    return [
        (record, truth)
        for record in corpus.records("scan")
        if record["pages"] == 1
        and not UNFIT & set(record["tests"])
        and (truth := corpus.truth(record, "text"))
    ]


def _text_line(
    corpus: Corpus, scans: Sequence[tuple[Record, str]], dpi: float, side: int
) -> list[Any]:
    model = predictor(corpus.settings, Task.TEXT)
    clock = Clock()
    scores = []
    with with_constant(ppocr, "ENOUGH_SIDE", side):
        for record, truth in scans:
            pixels = corpus.page(record, 1, dpi).pixels
            with clock.of(model.name):
                (read,) = model.predict([pixels])
            text = "\n".join(line.text for line in read.lines)
            scores.append(corpus.scorer.score_text(truth, text, "text", True))
    errors = [mean(score[name] for score in scores) for name in ("cer", "cer_ci")]
    seconds = clock.seconds[model.name] / max(1, len(scans))
    return [dpi, side, len(scans), *errors, f"{seconds:.2f}"]
