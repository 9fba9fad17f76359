"""PP-OCR as PaddleOCR exports it, on ONNX Runtime: the small readers, the tiny ones, or both.

A folder has a detector ``det.onnx`` and a recogniser ``rec.onnx`` with, where the graph does not
list its characters itself, ``characters.txt``; or those of two sizes, the size in front.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deepcompress_dagster.models.device import CPU
from deepcompress_dagster.models.onnx_graph import (
    LOGITS,
    OUTPUT,
    Floats,
    OnnxGraph,
    for_this_processor,
)
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.models.text.ctc import first_steps
from deepcompress_dagster.models.text.ppocr import (
    LineReader,
    PPOCRPredictor,
    ReaderPair,
    Spelled,
)
from deepcompress_dagster.models.text.tesseract import TesseractReader
from deepcompress_dagster.settings import OcrEffort

SIZES = ("tiny_", "small_", "")
"""Beginnings of file names, the faster pair first."""


class OnnxRecogniser:
    """A graph that reads lines, one by one, which is faster on a CPU."""

    lines_per_batch = 1
    blue_first = True

    def __init__(self, graph: OnnxGraph, characters: Sequence[str]) -> None:
        """``characters`` are the text of each class."""
        self.characters = characters
        self._graph = graph

    def spell(self, lines: Floats) -> list[Spelled]:
        (classes,) = self._graph.run(lines)
        spelled = _from_logits if self._graph.metadata.get(OUTPUT) == LOGITS else _spelled
        return [spelled(own) for own in classes]


class PPOCROnnxPredictor(PPOCRPredictor):
    """Reads crops with the graphs of a folder."""

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        *,
        effort: OcrEffort = OcrEffort.BALANCED,
        threads: int = 1,
        tessdata: Path | None = None,
    ) -> "PPOCROnnxPredictor":
        """The predictor of a folder. Raises ModelError when it holds no such graphs.

        ``tessdata`` holds the language data for other scripts; None is where systems keep them.
        """
        sizes = [size for size in SIZES if (folder / f"{size}rec.onnx").exists()]
        if not sizes:
            raise ModelError(f"{folder} holds no PP-OCR graphs: there is no rec.onnx")
        chosen = {OcrEffort.FAST: sizes[:1], OcrEffort.BEST: sizes[-1:]}.get(effort, sizes)
        pairs = [_pair(folder, size, threads) for size in chosen]
        return cls(*pairs, name=folder.name, device=CPU, second=TesseractReader(tessdata))


def _pair(folder: Path, size: str, threads: int) -> ReaderPair:
    detector = OnnxGraph(folder / f"{size}det.onnx", threads)

    def detect(page: Floats) -> Floats:
        (found,) = detector.run(page)
        probability: Floats = found[0, 0]
        return probability

    lines = LineReader(_recogniser(folder, size, threads), size.rstrip("_") or None)
    return ReaderPair(detect, lines)


def _recogniser(folder: Path, size: str, threads: int) -> OnnxRecogniser:
    graph = OnnxGraph(for_this_processor(folder / f"{size}rec.onnx"), threads)
    path = folder / f"{size}characters.txt"
    listed = graph.metadata.get("character", "")
    if path.exists():
        listed = path.read_text(encoding="utf-8").removesuffix("\n")
    if not listed:
        raise ModelError(f"{folder}: {size}rec.onnx does not say which characters it reads")
    # None for the blank, the listed characters, the space.
    return OnnxRecogniser(graph, ["", *listed.split("\n"), " "])


def _spelled(probabilities: Floats) -> Spelled:
    """From the probability of each class at each step, (steps, classes)."""
    classes = probabilities.argmax(-1)
    steps = first_steps(classes)
    return Spelled(classes, steps, probabilities[steps, classes[steps]])


def _from_logits(logits: Floats) -> Spelled:
    """From the logits of each class at each step, (steps, classes).

    Most steps are blank, and what their softmax would say is not asked for.
    """
    classes = logits.argmax(-1)
    steps = first_steps(classes)
    own = logits[steps] - logits[steps, classes[steps], None]
    return Spelled(classes, steps, 1 / np.exp(own, out=own).sum(axis=-1))
