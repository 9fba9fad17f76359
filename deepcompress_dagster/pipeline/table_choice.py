"""One grid of several readings of a table, and how far it can be trusted.

The sounder reading is taken. Its confidence falls with its faults and with what the other readings
say against it, so that a ruined table does not look like a sure one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

from deepcompress_dagster.pipeline.confidence import calibrated
from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.pipeline.soundness import Faults, faults_of, soundness
from deepcompress_dagster.pipeline.tables import RULED, Grid
from deepcompress_dagster.pipeline.text_grid import WORDS
from deepcompress_dagster.records import TextSource

_FAVOUR = {RULED: 0.02, WORDS: 0.0}
_MODEL_FAVOUR = 0.04
"""Added to the soundness of a reading by its kind: of equals, the model is right most often."""

_READ_FAVOUR = -0.2
"""The same for words that OCR placed: their boxes are shares of a line, blanks among them."""

SAME = 0.95
"""Readings that agree on this share of their cells are one but for faults: the fewest win."""

_CHOICE = Faults(apart=2.0, cut=5.0, torn=0.75, merged=2.0, outside=0.5, empty=0.75)
"""What each fault costs a reading beside others. On 100 tables with three readings each the choice
has a mean TEDS of .935 and .966 of the relations between cells; the choice by gaps and empty cells
alone had .926 and .951, the best of the three each time .942 and .977."""

_TRUST = replace(_CHOICE, empty=0.35)
"""What each fault costs the confidence: sound tables have empty cells too."""

CERTAIN_AGREEMENT = 0.9
"""How far a grid of rules that closes all cells agrees, at least, with what is there."""

LONE_AGREEMENT = 0.85
"""The same for a grid that is the only reading."""

DISSENT = 0.8
"""What is left of nothing where a sound reading has no cell in common: the confidence is a fifth.

The confidence ``sqrt(soundness) * (1 - DISSENT * dissent)`` of 283 readings of 100 tables, and the
share of relations between neighbouring cells that are right (F1), in bins of confidence: .44 .24,
.61 .57, .75 .69, .86 .83, .93 .91, .99 .98. The model's own score has .99 for all of them."""


def best_grid(
    readings: Sequence[Grid], lines: Sequence[PageLine], *, certain: bool = False
) -> Grid | None:
    """The soundest of ``readings`` with its confidence; None of none.

    ``lines`` are the region's, without fillers; without any, the first reading stays as it is.
    ``certain`` says that rules closed all cells of the first one, which then stands.
    """
    grids = [grid for grid in readings if grid.cells]
    if not grids or not lines:
        return grids[0] if grids else None
    faults = [faults_of(grid, lines) for grid in grids]
    best = 0 if certain else _best(grids, faults, is_read(lines))
    weights = replace(_TRUST, torn=0.0) if is_read(lines) else _TRUST
    trust = [soundness(fault, weights) for fault in faults]
    others = [
        (1 - agreement(grids[best], grid)) * trust[i] for i, grid in enumerate(grids) if i != best
    ]
    dissent = min(others, default=1 - LONE_AGREEMENT)
    if certain:
        dissent = min(dissent, 1 - CERTAIN_AGREEMENT)
    return replace(grids[best], confidence=sqrt(trust[best]) * (1 - DISSENT * dissent))


def is_read(lines: Sequence[PageLine]) -> bool:
    """Whether the lines were read by OCR: they may slant, and words have no box of their own."""
    return any(line.source is TextSource.OCR for line in lines)


def read_share(lines: Sequence[PageLine], model: str) -> float:
    """Share of the characters of lines that stand in lines which ``model`` likely read right.

    A grid is no surer than its words: 1 for a text layer.
    """
    letters = sum(len(line.text) for line in lines)
    right = sum(len(line.text) * calibrated(line.confidence, model) for line in lines)
    return right / letters if letters else 1.0


def _best(grids: Sequence[Grid], faults: Sequence[Faults], read: bool) -> int:
    """Index of the reading to take; ``read`` says that the words come from OCR."""
    worth = [_worth(grid, fault, read) for grid, fault in zip(grids, faults, strict=True)]
    best = max(range(len(grids)), key=worth.__getitem__)
    if read:
        return best
    twins = [
        i
        for i, grid in enumerate(grids)
        if faults[i].hard < faults[best].hard and agreement(grid, grids[best]) >= SAME
    ]
    return max(twins, key=worth.__getitem__, default=best)


def _worth(grid: Grid, faults: Faults, read: bool) -> float:
    favour = _FAVOUR.get(grid.model, _MODEL_FAVOUR)
    if read and grid.model == WORDS:
        favour = _READ_FAVOUR
    return soundness(faults, replace(_CHOICE, torn=0.0) if read else _CHOICE) + favour


def agreement(one: Grid, other: Grid) -> float:
    """Share of the filled cells of two readings that hold the same text, 0 to 1."""
    first, second = _texts(one), _texts(other)
    return 2 * (first & second).total() / max(1, first.total() + second.total())


def _texts(grid: Grid) -> Counter[str]:
    return Counter(cell.text.replace(" ", "") for cell in grid.cells if cell.text)
