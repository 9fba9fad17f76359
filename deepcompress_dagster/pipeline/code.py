"""Program code and other text in monospace type: its areas on the page, and its lines as typed.

Layout models know no code; they take it for paragraphs or formulas, a line at a time or together
with the prose above it. The type of the text layer tells better.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from deepcompress_dagster.pipeline.lines import PageLine, in_rows, rows_of
from deepcompress_dagster.records import BBox, Label, union

CODE_LABELS = (Label.TEXT, Label.LIST_ITEM, Label.FORMULA)
"""Labels under which layout models see code."""

INDENT = 0.5
"""Font sizes by which a single line of code stands in from the prose around it; a line that does
not is a name or a path in a paragraph."""

CODE_LINE_GAP = 1.6
"""Line heights between the lines of one piece of code, at most: one blank line."""


@dataclass(frozen=True)
class Piece:
    """Lines of one kind: those of one area, or a part of them. ``source`` is the area's index."""

    source: int
    lines: tuple[PageLine, ...]
    is_code: bool

    @property
    def bbox(self) -> BBox:
        return union(line.bbox for line in self.lines)


def is_code(lines: Sequence[PageLine]) -> bool:
    """Whether all lines are in monospace type."""
    return bool(lines) and all(line.monospace for line in lines)


def split_code(source: int, lines: Sequence[PageLine]) -> list[Piece]:
    """The lines of an area in reading order as pieces: prose and code in turn."""
    ordered = in_rows(lines)
    left = min(line.bbox.x0 for line in ordered)
    runs = [tuple(run) for _, run in groupby(ordered, key=lambda line: line.monospace)]
    pieces: list[Piece] = []
    for run in runs:
        alone = len(runs) == 1 or len(rows_of(run)) > 1
        indented = run[0].bbox.x0 - left > INDENT * run[0].font_size
        code = run[0].monospace and (alone or indented)
        if pieces and pieces[-1].is_code == code:
            pieces[-1] = replace(pieces[-1], lines=(*pieces[-1].lines, *run))
        else:
            pieces.append(Piece(source, run, code))
    return pieces


def join_code(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces of code that stand right above one another as one; the others as they are.

    So are pieces in the same rows that the PDF keeps together: code and the remarks beside it. The
    joined piece has the source of its first line.
    """
    joined: list[Piece] = []
    for piece in sorted(pieces, key=lambda piece: (piece.bbox.y0, piece.bbox.x0)):
        home = next((i for i, above in enumerate(joined) if _goes_on(above, piece)), None)
        if home is None:
            joined.append(piece)
        else:
            lines = (*joined[home].lines, *piece.lines)
            joined[home] = replace(joined[home], lines=lines)
    return joined


def _goes_on(above: Piece, below: Piece) -> bool:
    if not (above.is_code and below.is_code):
        return False
    height = below.lines[0].bbox.height
    first, second = above.bbox, below.bbox
    if second.y0 - first.y1 < -height / 2:
        return not {line.block for line in above.lines}.isdisjoint(
            line.block for line in below.lines
        )
    aligned = min(first.x1, second.x1) - max(first.x0, second.x0) > -4 * height
    return aligned and second.y0 - first.y1 <= CODE_LINE_GAP * height


def preformatted(lines: Sequence[PageLine]) -> str:
    """The lines as typed: one row a line, blanks where the page has them.

    Monospace type has one width of character: the mean over the lines.
    """
    words = [word for line in lines for word in line.words]
    left = min(word.bbox.x0 for word in words)
    letters = sum(len(word.text) for word in words)
    pitch = sum(word.bbox.width for word in words) / max(1, letters)
    rows = []
    for row in rows_of(lines):
        text = ""
        for word in sorted((word for line in row for word in line.words), key=lambda w: w.bbox.x0):
            column = round((word.bbox.x0 - left) / pitch) if pitch > 0 else 0
            gap = max(column - len(text), 1 if text and word.spaced else 0)
            text += " " * gap + word.text
        rows.append(text)
    return "\n".join(rows)
