"""Whether the text layer of a region can be trusted; in the parent, numpy only.

Three questions: are the characters real characters, does every word stand on ink, and is the
region's ink covered by words. A scan without a layer fails the third, a layer that was laid over
the wrong place the second, a font without a Unicode map the first.

Ink is where neighbouring pixels differ: it does not ask for a background colour, so white text on
a dark panel counts as well, and a smooth photograph does not.

Which words of the layer are read, and when, is reading.py's.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
import numpy.typing as npt

from deepcompress_dagster.records import BBox, Word

CONTRAST = 48
"""Difference of neighbouring samples (of 255) that is ink; noise and JPEG artefacts stay below."""

RULE_LENGTH = 24
"""Points of straight ink that are a rule, not a letter; rules belong to no word."""

MIN_PRINTABLE = 0.9
"""Fonts without a map give none or nearly all unmapped; a lost symbol or two is no reason for OCR.
"""

MIN_LETTERS = 0.2
"""Letters, digits and marks among the characters; below lie broken encodings ("!#%$&"), not even
tables of contents and formulas, whose leaders do not count."""

MIN_TEXT = 24
"""Characters from which on the share of letters says something."""

MIN_WORD_INK = 0.02
"""Share of a word's box that must be ink; text has 0.1 to 0.4, a full stop in its tall box 0.03."""

MIN_AGREEMENT = 0.7
"""Characters whose word stands on ink: 1.0 in 99 % of blocks with their own text layer, 0 for
white text, in between where a layer is shifted."""

MIN_COVERAGE = 0.7
"""Ink in word boxes: above .74 in 99 % of blocks of born-digital pages and tables, .38 at the
median where 60 % of the words are missing."""

DARK = 100
"""Of 255, in every colour: a sample of a black or dark bar; print on white reaches it too."""

BAR_INSET = 0.2
"""Share of a word's height above and below that a bar may leave free: letters reach less high."""

EDGE = 1.0
"""Points at either end of a word that are left out: the edge of a bar looks like ink."""

FLAT = 10
"""Of 255: a box that differs by less is of one colour. Noise of scans and JPEG differs by more."""

COVERED = 0.97
"""Share of a box of this much dark that is a bar; bold print has .3 to .6."""

ON_PAPER = 0.5
"""Share of dark in the written pieces of a word, below it on paper (.2 to .45), above it on a dark
panel (.6 to .85)."""

PATCHED = 0.7
"""Share of a word that lies in a patch, or under a word written over it."""

MESH = 12.0
"""Points: the mesh by which words at one place are looked up."""

MOST_PATCHED = 60
"""Words in a patch; a rectangle with more is the background of a page or of a table."""

MOSTLY = 0.7
"""Share of a word's pieces under a bar from which it is covered, whatever the others show; of white
letters on a dark panel, spaced by their own width, half are dark."""

SLICE = 0.4
"""Font sizes: the width of the pieces in which a word is searched for a bar over a part of it."""

PAPER = 235
"""Of 255, in the darkest colour: what a sample of white paper has, at least; grey panels have less.
"""

ROOM = 1.5
"""Points around a word's box to which its letters may reach."""

BLANK_SHARE = 0.001
"""Share of ink below which a region has nothing to read: specks."""

_LEADERS = "._-–—…·•*=~|"


class InkMap:
    """Where a page has ink: one bit for each point of the page, as sums over boxes.

    Built once a page (6 ms at 144 dpi); each sum takes four look-ups.
    """

    def __init__(self, pixels: npt.NDArray[np.uint8], scale: float) -> None:
        """``pixels`` is the page, (height, width, 3); ``scale`` is pixels a point (dpi / 72)."""
        step = max(1, round(scale))
        ink = _contrasts(np.ascontiguousarray(pixels[::step, ::step, 1]))
        length = max(2, round(RULE_LENGTH * scale / step))
        ink &= ~(_long_runs(ink, length) | _long_runs(ink.T, length).T)
        self._scale = scale / step
        self._sums = np.zeros((ink.shape[0] + 1, ink.shape[1] + 1), dtype=np.int32)
        np.cumsum(ink, axis=0, out=self._sums[1:, 1:])
        np.cumsum(self._sums[1:, 1:], axis=1, out=self._sums[1:, 1:])
        self._pixels = pixels
        self._pixel_scale = scale

    def counts(self, boxes: Sequence[BBox] | npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """Shape (n, 2): inked samples and all samples of each box (points)."""
        edges = np.rint(np.asarray(boxes, dtype=np.float64).reshape(-1, 4) * self._scale)
        height, width = self._sums.shape
        x = np.clip(edges[:, 0::2], 0, width - 1).astype(np.int64)
        y = np.clip(edges[:, 1::2], 0, height - 1).astype(np.int64)
        sums = self._sums
        ink = (
            sums[y[:, 1], x[:, 1]]
            - sums[y[:, 0], x[:, 1]]
            - sums[y[:, 1], x[:, 0]]
            + sums[y[:, 0], x[:, 0]]
        )
        area = (x[:, 1] - x[:, 0]) * (y[:, 1] - y[:, 0])
        return np.stack([ink, area], axis=1)

    def outside(self, boxes: Sequence[BBox]) -> int:
        """How many samples, one a point, are not white paper, ``boxes`` (points) left out."""
        step = max(1, round(self._pixel_scale))
        red, green, blue = (self._pixels[::step, ::step, i] < PAPER for i in range(3))
        shown = red | green | blue
        height, width = shown.shape
        corners = np.asarray(boxes, dtype=np.float64).reshape(-1, 2, 2)
        around = (corners + np.array([[-ROOM], [ROOM]])) * (self._pixel_scale / step)
        edges = np.rint(around).astype(np.int64) + np.array([[0], [1]])
        x, y = np.clip(edges[..., 0], 0, width), np.clip(edges[..., 1], 0, height)
        covers = np.zeros((height + 1, width + 1), dtype=np.int32)
        for i, j, sign in ((0, 0, 1), (0, 1, -1), (1, 0, -1), (1, 1, 1)):
            np.add.at(covers, (y[:, i], x[:, j]), sign)
        covered = covers.cumsum(axis=0).cumsum(axis=1)[:height, :width] > 0
        return int(np.count_nonzero(shown & ~covered))

    def may_be_barred(self, boxes: Sequence[BBox]) -> list[bool]:
        """Which boxes (points) are dark from top to bottom at one of a few places.

        All that a bar covers are, and a tenth of all words: those with a stem at such a place.
        """
        edges = np.asarray(boxes, dtype=np.float64).reshape(-1, 4) * self._pixel_scale
        inset = BAR_INSET * (edges[:, 3] - edges[:, 1])
        edges[:, 1] += inset
        edges[:, 3] -= inset
        height, width = self._pixels.shape[:2]
        x, y = (_between(edges[:, i], edges[:, i + 2], n) for i, n in ((0, 7), (1, 5)))
        columns = np.clip(x, 0, width - 1)[:, :, None]
        rows = np.clip(y, 0, height - 1)[:, None, :]
        brightest = self._pixels[rows, columns].max(axis=(2, 3))
        darkest: list[int] = brightest.min(axis=1).tolist()
        return [value < DARK for value in darkest]

    def flat_color(self, box: BBox) -> tuple[int, int, int] | None:
        """The colour of the inner part of the box (points) if it is one."""
        inset = 0.1 * box.height
        x0, x1 = round(box.x0 * self._pixel_scale), round(box.x1 * self._pixel_scale)
        y0 = round((box.y0 + inset) * self._pixel_scale)
        y1 = round((box.y1 - inset) * self._pixel_scale)
        part = self._pixels[max(0, y0) : y1, max(0, x0) : x1]
        if not part.size or (np.ptp(part, axis=(0, 1)) > FLAT).any():
            return None
        red, green, blue = part[0, 0].tolist()
        return red, green, blue

    def darkness(self, box: BBox) -> float:
        """Share of the box (points) that is dark, 0 for an empty box."""
        x0, y0, x1, y1 = (max(0, round(value)) for value in box.scaled(self._pixel_scale))
        part = self._pixels[y0:y1, x0:x1]
        return float((part < DARK).all(axis=2).mean()) if part.size else 0.0

    def share(self, box: BBox) -> float:
        """Share of the box (points) that is ink, 0 for an empty box."""
        ink, area = self.counts([box])[0]
        return float(ink / area) if area else 0.0


def is_paper(pixels: npt.NDArray[np.uint8]) -> bool:
    """Whether nothing is on a page, not a speck; ``pixels`` as for InkMap."""
    return bool(pixels.size) and int(pixels.min()) >= PAPER


def _between(
    low: npt.NDArray[np.float64], high: npt.NDArray[np.float64], n: int
) -> npt.NDArray[np.int64]:
    """Shape (boxes, n): ``n`` places between two edges, evenly, the edges left out."""
    steps = (np.arange(n) + 0.5) / n
    return (low[:, None] + (high - low)[:, None] * steps).astype(np.int64)


def _contrasts(samples: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    ink = np.zeros(samples.shape, dtype=bool)
    left, right = samples[:, :-1], samples[:, 1:]
    ink[:, 1:] = np.maximum(left, right) - np.minimum(left, right) > CONTRAST
    above, below = samples[:-1], samples[1:]
    ink[1:] |= np.maximum(above, below) - np.minimum(above, below) > CONTRAST
    return ink


def _long_runs(ink: npt.NDArray[np.bool_], length: int) -> npt.NDArray[np.bool_]:
    """Where ``ink`` has at least ``length`` samples in a row, from left to right."""
    padded = np.zeros((ink.shape[0], ink.shape[1] + 2), dtype=np.int8)
    padded[:, 1:-1] = ink
    steps = np.diff(padded.ravel())
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    runs = np.zeros(padded.size, dtype=bool)
    long = ends - starts >= length
    for start, end in zip(starts[long], ends[long], strict=True):
        runs[start + 1 : end + 1] = True
    return runs.reshape(padded.shape)[:, 1:-1]


@dataclass(frozen=True, slots=True)
class TextLayerQuality:
    """Whether a region can be read from the text layer, and the three shares behind it."""

    usable: bool
    """The words are right and say all that the region shows (or the region is blank)."""
    readable: bool
    """The words are right, whether or not they say all."""
    reason: str
    printable_share: float
    box_agreement: float
    ink_coverage: float


def assess(
    words: Sequence[Word], region: BBox, ink: InkMap, neighbours: Sequence[Word] = ()
) -> TextLayerQuality:
    """Assess the ``words`` of a ``region`` (points) against the page's ink.

    ``neighbours`` are words of other regions: ink that they explain is not missing from this one,
    where boxes overlap.
    """
    all_ink, region_area = ink.counts([region])[0]
    region_ink = all_ink - ink.counts(_parts(neighbours, region))[:, 0].sum()
    if not words:
        unexplained = (1 - MIN_COVERAGE) * all_ink if neighbours else 0.0
        blank = region_ink <= max(BLANK_SHARE * region_area, unexplained)
        return TextLayerQuality(bool(blank), False, "blank" if blank else "no words", 0.0, 0.0, 0.0)
    printable, letters = _character_shares(words)
    counts = ink.counts([word.bbox for word in words])
    on_ink = counts[:, 0] > MIN_WORD_INK * counts[:, 1]
    weights = np.array([len(word.text.strip(_LEADERS)) for word in words])
    agreement = float((weights * on_ink).sum() / weights.sum()) if weights.any() else 1.0
    inside = ink.counts(_parts(words, region))[:, 0].sum()
    coverage = min(1.0, float(inside / region_ink)) if region_ink > 0 else 1.0
    reason = ""
    if printable < MIN_PRINTABLE:
        reason = "unmapped characters"
    elif letters < MIN_LETTERS:
        reason = "symbols"
    elif agreement < MIN_AGREEMENT:
        reason = "words without ink"
    readable = not reason
    if readable and coverage < MIN_COVERAGE:
        reason = "ink without words"
    return TextLayerQuality(
        usable=not reason,
        readable=readable,
        reason=reason or "good",
        printable_share=round(printable, 4),
        box_agreement=round(agreement, 4),
        ink_coverage=round(coverage, 4),
    )


def without_covered(words: Sequence[Word], ink: InkMap) -> list[Word]:
    """Words without those that a dark bar covers, or a part of them.

    What a bar hides is not to come out, and what stands beside it is not to be lost for its sake.
    White print on a dark panel stays: it has ink.
    """
    if not words:
        return []
    suspects = ink.may_be_barred([word.bbox for word in words])
    return [
        word
        for word, suspect in zip(words, suspects, strict=True)
        if not (suspect and _is_covered(word, ink))
    ]


def without_unseen(words: Sequence[Word], ink: InkMap, fills: Sequence[BBox] = ()) -> list[Word]:
    """Words without those that nothing is seen of: white on white, or under a filled rectangle.

    ``fills`` are the rectangles of the page. What a watermark lies over is still meant to be read.
    """
    if not words:
        return []
    inked = ink.counts([word.bbox for word in words])[:, 0] > 0
    return [
        word
        for word, seen in zip(words, inked.tolist(), strict=True)
        if seen or not _is_unseen(word, ink, fills)
    ]


def _is_unseen(word: Word, ink: InkMap, fills: Sequence[BBox]) -> bool:
    color = ink.flat_color(word.bbox)
    if color is None:
        return False
    own = (word.color >> 16 & 255, word.color >> 8 & 255, word.color & 255)
    if max(abs(one - two) for one, two in zip(color, own, strict=True)) <= FLAT:
        return True
    # A hairline may be lost in pixels; two letters are not.
    return len(word.text) > 1 and any(word.bbox.coverage(box) >= COVERED for box in fills)


def without_overwritten(words: Sequence[Word], fills: Sequence[BBox]) -> list[Word]:
    """Words without those in whose place others are written, over a patch that hides the first.

    ``words`` are in the order of drawing, ``fills`` the filled rectangles of the page.
    """
    gone: set[int] = set()
    for first, second in _at_one_place(words) if fills else ():
        patches = (box for box in fills if _covers(box, words[first]))
        patch = next((box for box in patches if _covers(box, words[second])), None)
        if patch is not None:
            line = (words[first].block, words[first].line)
            mates = (i for i, w in enumerate(words) if (w.block, w.line) == line)
            inside = [i for i in mates if _covers(patch, words[i])]
            if sum(_covers(patch, word) for word in words) <= MOST_PATCHED:
                gone.update(inside)
    return [word for i, word in enumerate(words) if i not in gone]


def _covers(box: BBox, word: Word) -> bool:
    return word.bbox.coverage(box) >= PATCHED


def _at_one_place(words: Sequence[Word]) -> Iterator[tuple[int, int]]:
    """Pairs of unlike words of two lines, the one drawn first before, of which one hides the other.

    Looked up by a mesh: the middle of the smaller lies in the larger.
    """
    middles: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, word in enumerate(words):
        x, y = word.bbox.center
        middles[int(x / MESH), int(y / MESH)].append(i)
    for i, word in enumerate(words):
        x0, y0, x1, y1 = (int(side / MESH) for side in word.bbox)
        for cell in product(range(x0, x1 + 1), range(y0, y1 + 1)):
            for j in middles.get(cell, ()):
                if j != i and _is_over(word, words[j]):
                    yield min(i, j), max(i, j)


def _is_over(first: Word, second: Word) -> bool:
    if first.text == second.text or (first.block, first.line) == (second.block, second.line):
        return False
    shared = first.bbox.intersection(second.bbox)
    return shared >= PATCHED * min(first.bbox.area, second.bbox.area)


def _is_covered(word: Word, ink: InkMap) -> bool:
    """Whether a bar covers the word or a piece of it, and the rest stands on paper.

    Between the spaced letters of a white word on a dark panel it is dark as well.
    """
    box = word.bbox
    if box.width > 4 * EDGE:
        box = box._replace(x0=box.x0 + EDGE, x1=box.x1 - EDGE)
    pieces = max(1, round(box.width / (SLICE * (word.font_size or box.height))))
    step = box.width / pieces
    inset = BAR_INSET * box.height
    slices = [
        BBox(box.x0 + i * step, box.y0 + inset, box.x0 + (i + 1) * step, box.y1 - inset)
        for i in range(pieces)
    ]
    counts = ink.counts(slices)
    bare = (counts[:, 0] <= MIN_WORD_INK * counts[:, 1]).tolist()
    dark = [ink.darkness(piece) for piece in slices]
    barred = [empty and share >= COVERED for empty, share in zip(bare, dark, strict=True)]
    written = [share for empty, share in zip(bare, dark, strict=True) if not empty]
    if sum(barred) >= MOSTLY * pieces:
        return True
    return any(barred) and (not written or sum(written) < ON_PAPER * len(written))


def _parts(words: Sequence[Word], region: BBox) -> npt.NDArray[np.float64]:
    """The parts of the words' boxes that lie in the region, (n, 4)."""
    boxes = np.array([word.bbox for word in words], dtype=np.float64).reshape(-1, 4)
    low, high = np.maximum(boxes[:, :2], region[:2]), np.minimum(boxes[:, 2:], region[2:])
    inside = (low < high).all(axis=1)
    return np.concatenate([low, high], axis=1)[inside]


def _character_shares(words: Sequence[Word]) -> tuple[float, float]:
    counts = Counter("".join(word.text for word in words))
    total = sum(counts.values())
    printable = sum(n for character, n in counts.items() if _is_mapped(character))
    plain = {character: n for character, n in counts.items() if character not in _LEADERS}
    letters = sum(n for character, n in plain.items() if _is_letter(character))
    n_plain = sum(plain.values())
    return printable / total, letters / n_plain if n_plain >= MIN_TEXT else 1.0


@lru_cache(maxsize=4096)
def _is_mapped(character: str) -> bool:
    return character != "\ufffd" and unicodedata.category(character) not in {"Cc", "Cn", "Co", "Cs"}


@lru_cache(maxsize=4096)
def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LMN"
