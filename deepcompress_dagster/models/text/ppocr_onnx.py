"""PP-OCR as PaddleOCR exports it, on ONNX Runtime."""

from collections.abc import Sequence
from pathlib import Path

from deepcompress_dagster.models.device import CPU
from deepcompress_dagster.models.onnx_graph import Floats, OnnxGraph
from deepcompress_dagster.models.predictor import ModelError
from deepcompress_dagster.models.text.ctc import first_steps
from deepcompress_dagster.models.text.ppocr import PPOCRPredictor, Spelled
from deepcompress_dagster.models.text.tesseract import TesseractReader

DETECTOR, RECOGNISER = "det.onnx", "rec.onnx"


class OnnxNetworks:
    """A detector and a recogniser; lines are read one by one, which is faster on a CPU."""

    device = CPU
    lines_per_batch = 1
    blue_first = True

    def __init__(self, detector: OnnxGraph, recogniser: OnnxGraph) -> None:
        """Raises ModelError when the recogniser does not list its characters."""
        self._detector = detector
        self._recogniser = recogniser
        self.characters = _characters(recogniser.metadata.get("character", ""))

    def probability(self, page: Floats) -> Floats:
        (found,) = self._detector.run(page)
        probability: Floats = found[0, 0]
        return probability

    def spell(self, lines: Floats) -> list[Spelled]:
        (probabilities,) = self._recogniser.run(lines)
        return [_spelled(own) for own in probabilities]


class PPOCROnnxPredictor(PPOCRPredictor):
    """Reads crops with the graphs of a folder."""

    @classmethod
    def from_folder(
        cls, folder: Path, *, threads: int = 1, tessdata: Path | None = None
    ) -> "PPOCROnnxPredictor":
        """The predictor of a folder. Raises ModelError when it holds no such pair of graphs.

        ``tessdata`` holds the language data for other scripts; None is where systems keep them.
        """
        detector, recogniser = (
            OnnxGraph(folder / name, threads) for name in (DETECTOR, RECOGNISER)
        )
        networks = OnnxNetworks(detector, recogniser)
        return cls(networks, name=folder.name, second=TesseractReader(tessdata))


def _spelled(probabilities: Floats) -> Spelled:
    """From the probability of each class at each step, (steps, classes)."""
    classes = probabilities.argmax(-1)
    steps = first_steps(classes)
    return Spelled(classes, steps, probabilities[steps, classes[steps]])


def _characters(listed: str) -> Sequence[str]:
    """Text of each class: none for the blank, the listed characters, the space."""
    if not listed:
        raise ModelError("the recogniser does not say which characters it reads")
    return ["", *listed.split("\n"), " "]
