"""The tiny reader, the small one, and both; with products of floats and of eight-bit numbers."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.models.corpus import Corpus, Record
from benchmarks.models.measure import Clock, mean, predictor, share, with_constant
from benchmarks.models.text import plain_scans
from benchmarks.quality import markdown_table
from deepcompress_dagster.models import device, onnx_graph
from deepcompress_dagster.models.cache import model_cache
from deepcompress_dagster.models.catalog import (
    Task,
)
from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.models.text import cascade
from deepcompress_dagster.models.text.ctc import DecodedLine
from deepcompress_dagster.models.text.ppocr import LineReader, PPOCRPredictor
from deepcompress_dagster.settings import OcrEffort

SURE = (0.8, 0.85, 0.9, 0.93, 0.95, 0.97)
"""Confidences of a word from which it stands; below, the small reader reads it again."""


def compare_readers(corpus: Corpus) -> str:
    """The tiny reader, the small one, and both, by the confidence that is sure enough."""
    families: dict[str, list[tuple[Image, str]]] = defaultdict(list)
    for record, truth in plain_scans(corpus):
        families[str(record["family"])].append((corpus.page(record, 1).pixels, truth))
    header = ["family", "pages", "reader", "sure from", "read twice", "tok_f1", "cer", "CPU-s/page"]
    lines = [
        [family, len(pages), *line]
        for family, pages in families.items()
        for line in _reader_lines(corpus, pages)
    ]
    return markdown_table(header, lines)


def compare_products(corpus: Corpus) -> str:
    """Each effort with products of floats and, where the processor has them, of eight-bit numbers.

    Raises ValueError on a processor that has none.
    """
    if not device.multiplies_eight_bits():
        raise ValueError("this processor has no products of eight-bit numbers to compare")
    pages = [(corpus.page(record, 1).pixels, truth) for record, truth in plain_scans(corpus)]
    header = ["effort", "products", "pages", "read twice", "tok_f1", "cer", "CPU-s/page"]
    lines = []
    for effort in OcrEffort:
        for name, eight_bits in (("float", False), ("eight-bit", True)):
            model_cache().unload()
            with with_constant(onnx_graph, "multiplies_eight_bits", lambda own=eight_bits: own):
                lines.append([effort, name, len(pages), *_read_scores(corpus, pages, effort)])
    return markdown_table(header, lines)


def _reader_lines(corpus: Corpus, pages: Sequence[tuple[Image, str]]) -> Iterator[list[Any]]:
    yield ["tiny", "-", *_read_scores(corpus, pages, OcrEffort.FAST)]
    for sure in SURE:
        with with_constant(cascade, "SURE", sure):
            yield ["both", sure, *_read_scores(corpus, pages, OcrEffort.BALANCED)]
    yield ["small", "-", *_read_scores(corpus, pages, OcrEffort.BEST)]


def _read_scores(
    corpus: Corpus, pages: Sequence[tuple[Image, str]], effort: OcrEffort
) -> list[str]:
    """Share of the lines' length that is read twice, scores, and CPU seconds a page."""
    model = predictor(corpus.settings.model_copy(update={"ocr_effort": effort}), Task.TEXT)
    assert isinstance(model, PPOCRPredictor)
    clock = Clock()
    scores: list[Record] = []
    lengths: Counter[LineReader] = Counter()
    with _counted(lengths):
        for pixels, truth in pages:
            with clock.of(effort):
                (read,) = model.predict([pixels])
            text = "\n".join(line.text for line in read.lines)
            scores.append(corpus.scorer.score_text(truth, text, "text", True))
    return [
        share(lengths[model.careful.lines], lengths[model.first.lines]) if model.careful else "-",
        *(mean(score[name] for score in scores) for name in ("tok_f1", "cer")),
        f"{clock.seconds[effort] / len(pages):.2f}",
    ]


@contextmanager
def _counted(lengths: Counter[LineReader]) -> Iterator[None]:
    """Add up the length of what each reader reads, in heights of the line."""

    def read(reader: LineReader, images: Sequence[Image]) -> list[DecodedLine]:
        lengths[reader] += sum(image.shape[1] / image.shape[0] for image in images)
        return usual(reader, images)

    usual = LineReader.read
    with with_constant(LineReader, "read", read):
        yield
