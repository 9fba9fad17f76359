"""Reads text with PP-OCR: a detector finds the lines, a recogniser reads each of them.

What is done to pixels and to what the networks say is here, in numpy and OpenCV; which engine runs
the networks is told in ``ppocr_onnx.py`` and ``ppocr_torch.py``. Resizing and normalising are
PaddleOCR's.

Where lines stand is detection.py's, what a recogniser's numbers spell ctc.py's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeAlias

import cv2
import numpy as np

from deepcompress_dagster.models import cancellation
from deepcompress_dagster.models.onnx_graph import Array, Floats
from deepcompress_dagster.models.predictor import Image, ReadText
from deepcompress_dagster.models.shared.planes import IMAGENET_MEAN, IMAGENET_STD, planes
from deepcompress_dagster.models.text.cascade import (
    Piece,
    cut,
    is_hard,
    unsure_pieces,
    with_pieces,
)
from deepcompress_dagster.models.text.ctc import DecodedLine, decode
from deepcompress_dagster.models.text.detection import LineBox, cut_out, find_lines
from deepcompress_dagster.models.text.rows import reading_order
from deepcompress_dagster.models.text.second_reader import LineReading, SecondReader, reread
from deepcompress_dagster.records import TextLine

ENOUGH_SIDE = 960
"""Pixels of a crop's longer side that the detector sees; more finds no more text on a page."""

LEAST_SCALE = 0.5
"""A crop is not shrunk further for the detector, so that small print on a large sheet is seen."""

LARGEST_SIDE = 2560
"""Pixels of the longer side beyond which a crop is shrunk all the same: the memory of 6 pages."""

DETECTOR_STEP = 32
"""Sides that the detector sees are multiples of this: it halves the image five times."""

LINE_HEIGHT = 48
"""Pixels of a line that the recogniser sees."""

WIDTH_STEP = 64
"""Widths of lines are rounded up to a multiple of this, so that lines can share a batch."""

LONGEST_LINE = 3200
"""Pixels of a line's width, at LINE_HEIGHT, that the recogniser sees at most."""

LEAST_CONFIDENCE = 0.5
"""Lines that are read with less are dropped, as PaddleOCR does."""

TALL = 1.5
"""Height over width from which a box may hold a line that runs up or down the page."""

MARGIN = 16
"""Pixels around a crop, in the colour of its edge: the detector misses lines that touch it."""


@dataclass(frozen=True, slots=True)
class Spelled:
    """What a recogniser says of a line: the class of each step, the steps at which a character
    begins, and how sure it is of each of those."""

    classes: Array
    steps: Array
    sure: Floats


class Recogniser(Protocol):
    """A network that reads lines, on the engine and the device that it was loaded for."""

    lines_per_batch: int
    """Lines of one width that are read together."""
    characters: Sequence[str]
    """Text of each class, the first of them no character."""
    blue_first: bool
    """The order of colours that it was trained on."""

    def spell(self, lines: Floats) -> list[Spelled]:
        """What each line, (lines, 3, LINE_HEIGHT, width), says."""
        ...


Detect: TypeAlias = Callable[[Floats], Floats]
"""From a page, (1, 3, height, width), to the probability that a pixel is text, (height, width)."""


class LineReader:
    """Reads pieces of lines of any size with a recogniser; ``name`` tells it from others."""

    def __init__(self, recogniser: Recogniser, name: str | None = None) -> None:
        self.name = name
        self._recogniser = recogniser

    def read(self, images: Sequence[Image]) -> list[DecodedLine]:
        """One reading per image, each of one upright line. Raises Cancelled when told to end."""
        widths = [_line_width(image) for image in images]
        groups: dict[int, list[int]] = {}
        for i, width in enumerate(widths):
            groups.setdefault(-(-width // WIDTH_STEP) * WIDTH_STEP, []).append(i)
        decoded: dict[int, DecodedLine] = {}
        at_once = self._recogniser.lines_per_batch
        for padded, members in groups.items():
            for start in range(0, len(members), at_once):
                batch = members[start : start + at_once]
                lines = [(images[i], widths[i]) for i in batch]
                decoded.update(zip(batch, self._decode(lines, padded), strict=True))
        return [decoded[i] for i in range(len(images))]

    def _decode(self, lines: Sequence[tuple[Image, int]], padded: int) -> list[DecodedLine]:
        recogniser = self._recogniser
        cancellation.check()
        canvas = np.concatenate(
            [
                _line_canvas(image, width, padded, blue_first=recogniser.blue_first)
                for image, width in lines
            ]
        )
        return [
            decode(
                said.classes,
                said.steps,
                said.sure,
                recogniser.characters,
                width / padded * len(said.classes),
            )
            for said, (_, width) in zip(recogniser.spell(canvas), lines, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class ReaderPair:
    """What finds lines and what reads them."""

    detect: Detect
    lines: LineReader

    def read(self, images: Sequence[Image]) -> list[list[LineReading]]:
        """The lines of each crop, in no particular order; all of them are read together."""
        found = [(i, image, box) for i, image in enumerate(images) for box in self._find(image)]
        readings: list[list[LineReading]] = [[] for _ in images]
        for (i, *_), reading in zip(
            found, self._read([(image, box) for _, image, box in found]), strict=True
        ):
            readings[i].append(reading)
        return readings

    def _find(self, image: Image) -> list[LineBox]:
        cancellation.check()
        scale = _detector_scale(image)
        found = find_lines(self.detect(_detector_canvas(image, scale)))
        return [box.scaled(1 / scale, -MARGIN, -MARGIN) for box in found]

    def _read(self, lines: Sequence[tuple[Image, LineBox]]) -> list[LineReading]:
        """One reading per line; a tall box is read in every direction, the surest one is kept."""
        attempts = [
            (i, box, turn, _turned(cut_out(image, box), turn))
            for i, (image, box) in enumerate(lines)
            for turn in _directions(box)
        ]
        decoded = self.lines.read([pixels for *_, pixels in attempts])
        best: list[LineReading | None] = [None] * len(lines)
        for (i, box, turn, _), line in zip(attempts, decoded, strict=True):
            known = best[i]
            if known is None or line.confidence > known.line.confidence:
                best[i] = LineReading(box, turn, line, self.lines.name)
        return [reading for reading in best if reading is not None]


class PPOCRPredictor:
    """Reads crops of any size: whole pages, regions, single lines.

    A careful pair, slower and better, reads again what the first one is unsure of: words, or the
    whole crop where many of its words are unsure.
    """

    def __init__(
        self,
        first: ReaderPair,
        careful: ReaderPair | None = None,
        *,
        name: str,
        device: str,
        second: SecondReader | None = None,
    ) -> None:
        """``second`` reads the lines of scripts that the pairs were not taught."""
        self.name = name
        self.device = device
        self.first = first
        self.careful = careful
        self._second = second

    def predict(self, batch: Sequence[Image]) -> list[ReadText]:
        """The lines of each crop in reading order.

        Raises Cancelled when it is told to end.
        """
        found = self.first.read(batch)
        if self.careful is not None:
            found = _checked(batch, found, self.careful)
        return [self._text(image, own) for image, own in zip(batch, found, strict=True)]

    def _text(self, image: Image, readings: Sequence[LineReading]) -> ReadText:
        """What an image says, lines in other scripts read once more."""
        if self._second is None:
            return _read_text(readings, image)
        better, note = reread(image, readings, self._second)
        return replace(_read_text(better, image), note=note)


def _checked(
    batch: Sequence[Image], found: Sequence[list[LineReading]], careful: ReaderPair
) -> list[list[LineReading]]:
    """What was found in each crop, with what ``careful`` makes of what is unsure."""
    hard = [i for i, own in enumerate(found) if is_hard([reading.line for reading in own])]
    anew = dict(zip(hard, careful.read([batch[i] for i in hard]), strict=True))
    return [
        anew[i] if i in anew else _read_again(image, own, careful.lines)
        for i, (image, own) in enumerate(zip(batch, found, strict=True))
    ]


def _read_again(
    image: Image, readings: Sequence[LineReading], reader: LineReader
) -> list[LineReading]:
    """The readings, with the pieces that are unsure as ``reader`` reads them, if it is surer."""
    pieces = [(i, piece) for i, known in enumerate(readings) for piece in unsure_pieces(known.line)]
    again = reader.read([cut(_straight(image, readings[i]), piece) for i, piece in pieces])
    better: dict[int, list[tuple[Piece, DecodedLine]]] = {}
    for (i, piece), line in zip(pieces, again, strict=True):
        if line.confidence >= piece.confidence:
            better.setdefault(i, []).append((piece, line))
    return [
        replace(
            known,
            line=with_pieces(known.line, better[i]),
            reader=f"{known.reader}+{reader.name}",
        )
        if i in better
        else known
        for i, known in enumerate(readings)
    ]


def _straight(image: Image, reading: LineReading) -> Image:
    return _turned(cut_out(image, reading.box), reading.turn)


def _detector_scale(image: Image) -> float:
    side = float(max(image.shape[:2]))
    return min(1.0, LARGEST_SIDE / side, max(LEAST_SCALE, ENOUGH_SIDE / side))


def _detector_canvas(image: Image, scale: float) -> Floats:
    """Normalised pixels, blue first, with a margin, as large as the detector wants them."""
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    right, bottom = (-(side + 2 * MARGIN) % DETECTOR_STEP + MARGIN for side in (width, height))
    padded = cv2.copyMakeBorder(
        resized, MARGIN, bottom, MARGIN, right, cv2.BORDER_CONSTANT, value=_edge_colour(resized)
    )
    return planes(padded, IMAGENET_MEAN, IMAGENET_STD, blue_first=True)


def _edge_colour(image: Image) -> tuple[float, ...]:
    edge = np.concatenate((image[0], image[-1], image[:, 0], image[:, -1]))
    return tuple(np.median(edge, axis=0).tolist())


def _directions(box: LineBox) -> tuple[int, ...]:
    """Degrees clockwise by which the text in a box may be turned."""
    if box.height < TALL * box.width:
        return (0,)
    return (0, 90, 270) if box.height < 2 * TALL * box.width else (90, 270)


def _turned(image: Image, turn: int) -> Image:
    """``image`` with text that is turned by ``turn`` degrees clockwise made upright."""
    return np.rot90(image, turn // 90)


def _line_width(image: Image) -> int:
    width: int = round(LINE_HEIGHT * image.shape[1] / image.shape[0])
    return min(max(width, 1), LONGEST_LINE)


def _line_canvas(image: Image, width: int, padded: int, *, blue_first: bool) -> Floats:
    """Values -1 to 1, (1, 3, LINE_HEIGHT, padded), with zeros to the right of the line."""
    canvas = np.zeros((1, 3, LINE_HEIGHT, padded), np.float32)
    shrinks = image.shape[0] > LINE_HEIGHT
    resized = cv2.resize(
        np.ascontiguousarray(image),
        (width, LINE_HEIGHT),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
    )
    canvas[..., :width] = planes(resized, (127.5,) * 3, (127.5,) * 3, blue_first=blue_first)
    return canvas


def _read_text(readings: Sequence[LineReading], image: Image) -> ReadText:
    height, width = image.shape[:2]
    kept = _in_order([r for r in readings if r.line.confidence >= LEAST_CONFIDENCE])

    def line(box: LineBox, text: str, confidence: float, reader: str | None = None) -> TextLine:
        place = box.bounds.clipped(width, height).rounded()
        return TextLine(place, text, round(confidence, 4), reader=reader)

    return ReadText(
        tuple(line(r.box, r.line.text, r.line.confidence, r.reader) for r in kept),
        tuple(
            line(r.box.part(word.start, word.end, r.turn), word.text, word.confidence)
            for r in kept
            for word in r.line.words
        ),
    )


def _in_order(readings: Sequence[LineReading]) -> list[LineReading]:
    """Readings in the order that the direction of most of the text implies."""
    letters: dict[int, int] = {0: 0}
    for reading in readings:
        letters[reading.turn] = letters.get(reading.turn, 0) + len(reading.line.text)
    turn = max(letters, key=lambda turn: letters[turn])
    return [readings[i] for i in reading_order([r.box for r in readings], turn)]
