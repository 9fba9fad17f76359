"""How often text is right that is read with a given confidence, on a folder of scans.

    python -m benchmarks.calibration CORPUS [--limit N]

CORPUS is what benchmarks/quality.py takes, with the packages of its ``requirements.txt``. The scans
that have a text as ground truth go through the parser; a block is right where at least 95 % of its
characters are found in the ground truth, blanks and case apart. Prints a markdown table by what the
recogniser said, with what ``text.confidence`` makes of it.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.models import LABELS, Corpus, Record
from benchmarks.quality import markdown_table
from deepcompress_dagster.pipeline.parse import Parser
from deepcompress_dagster.records import (
    FURNITURE,
    DocumentTask,
    PageResult,
    TextBlock,
    TextSource,
)

RIGHT = 0.95
"""Share of a block's characters that the ground truth must have."""

MIN_LENGTH = 6
"""Characters of a block, at least: shorter ones are found anywhere."""

BINS = (0.0, 0.9, 0.94, 0.96, 0.97, 0.98, 0.985, 0.99, 1.01)
"""Bounds of what the recogniser said."""


@dataclass(frozen=True)
class Observation:
    """A block that was read: what the recogniser said, what the row says, and whether it is so."""

    said: float
    confidence: float
    is_right: bool


def observe(corpus: Corpus, records: Sequence[Record], work: Path) -> Iterator[Observation]:
    """The blocks that were read from the pixels of these documents."""
    truths = {str(record["id"]): _squeezed(corpus, _truth(corpus, record)) for record in records}
    tasks = [
        DocumentTask(name, corpus.pdf(record), work / "images" / name)
        for name, record in zip(truths, records, strict=True)
    ]
    with (
        Parser(corpus.settings, buffer_dir=work / "buffers") as parser,
        closing(parser.parse(tasks)) as events,
    ):
        for event in events:
            if isinstance(event, PageResult):
                for block in event.text or ():
                    if _is_judged(block):
                        yield _observation(corpus, block, truths[event.document_id])


def _truth(corpus: Corpus, record: Record) -> str:
    return str(corpus.truth(record, "text") or corpus.truth(record, "markdown") or "")


def _squeezed(corpus: Corpus, text: str) -> str:
    return "".join(corpus.scorer.plain(text).casefold().split())


def _is_judged(block: TextBlock) -> bool:
    read = block.source is TextSource.OCR and block.label not in FURNITURE
    return read and len("".join(block.content.split())) >= MIN_LENGTH


def _observation(corpus: Corpus, block: TextBlock, truth: str) -> Observation:
    text = _squeezed(corpus, block.content)
    alike: Any = 100.0 if text in truth else corpus.scorer.fuzz.partial_ratio(text, truth)
    letters = sum(len(line.text) for line in block.lines)
    said = sum(line.confidence * len(line.text) for line in block.lines) / max(1, letters)
    return Observation(said, block.confidence, alike >= 100 * RIGHT)


def table(found: Sequence[Observation]) -> str:
    """One row for each bin of what the recogniser said."""
    lines = []
    for low, high in pairwise(BINS):
        inside = [one for one in found if low <= one.said < high]
        if inside:
            means = (
                sum(one.said for one in inside) / len(inside),
                sum(one.confidence for one in inside) / len(inside),
                sum(one.is_right for one in inside) / len(inside),
            )
            lines.append([f"{low:.3f}", len(inside), *(f"{mean:.3f}" for mean in means)])
    return markdown_table(["said, from", "blocks", "said", "text.confidence", "right"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--limit", type=int, default=1000, help="documents of each family")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with Corpus(arguments.corpus, work, arguments.limit, arguments.corpus / LABELS) as corpus:
            records = [one for one in corpus.records("scan") if _truth(corpus, one)]
            print(table(list(observe(corpus, records, work))))


if __name__ == "__main__":
    main()
