"""Lines with right-to-left script, put together from their glyphs by place.

MuPDF cuts such a line where the direction turns, at digits and brackets, and drops the cut's place.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from deepcompress_dagster.pdf.worker.bidi import Glyph, logical_order, without_thin
from deepcompress_dagster.records import BBox, union
from deepcompress_dagster.unicode_text import is_rtl

SAME_BASELINE = 0.25
"""Pieces of one line differ in height by at most this share of the font size."""

NEAR = 1.5
"""Font sizes between two glyphs from which they are of two lines: columns stand further apart."""

BLANK = 0.15
"""Font sizes between two glyphs from which there is a blank, written or not."""

Pieces = list[tuple[str, BBox]]
"""Words of a line, as they are read."""


class _Piece(NamedTuple):
    """One line as MuPDF sees it."""

    key: tuple[int, int]
    glyphs: tuple[Glyph, ...]
    baseline: float
    size: float
    box: BBox


def right_to_left_lines(
    blocks: Iterable[Mapping[str, Any]],
) -> dict[tuple[int, int], list[tuple[int, Pieces]]]:
    """Lines (number, words) to put in the place of each of MuPDF's, by its block and number.

    ``blocks`` are those of ``extractRAWDICT``. Lines without right-to-left script are not among
    them; the pieces of one line stand at the first, the others have none.
    """
    replaced: dict[tuple[int, int], list[tuple[int, Pieces]]] = {}
    for block in blocks:
        number = len(block.get("lines", ()))
        for row in _rows(_pieces(block)):
            if not any(is_rtl(glyph.text) for piece in row for glyph in piece.glyphs):
                continue
            lines = _lines_of(row)
            replaced.update({piece.key: [] for piece in row})
            replaced[row[0].key] = list(enumerate(lines, start=number))
            number += len(lines)
    return replaced


def _pieces(block: Mapping[str, Any]) -> Iterator[_Piece]:
    """The upright lines of a block that show anything."""
    for number, line in enumerate(block.get("lines", ())):
        characters = [c for span in line["spans"] for c in span["chars"]]
        if any(not c["c"].isspace() for c in characters) and abs(line["dir"][1]) < SAME_BASELINE:
            glyphs = tuple(Glyph(c["c"], *_sides(c["bbox"])) for c in characters)
            seen = [BBox(g.x0, g.y0, g.x1, g.y1) for g in glyphs if not g.text.isspace()]
            size = line["spans"][0]["size"]
            baseline = characters[0]["origin"][1]
            yield _Piece((block["number"], number), glyphs, baseline, size, union(seen))


def _sides(box: Sequence[float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    return x0, x1, y0, y1


def _rows(pieces: Iterable[_Piece]) -> list[list[_Piece]]:
    rows: list[list[_Piece]] = []
    for piece in pieces:
        if rows and _is_beside(rows[-1], piece):
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return rows


def _is_beside(row: Sequence[_Piece], piece: _Piece) -> bool:
    if abs(row[0].baseline - piece.baseline) > SAME_BASELINE * row[0].size:
        return False
    box = union(other.box for other in row)
    gap = max(box.x0 - piece.box.x1, piece.box.x0 - box.x1)
    return gap <= NEAR * row[0].size


def _lines_of(row: Sequence[_Piece]) -> list[Pieces]:
    """The words of a row, as many lines as there are wide gaps in it, from the right."""
    size = row[0].size
    glyphs = [glyph for piece in row for glyph in without_thin(piece.glyphs)]
    visual = sorted(glyphs, key=lambda glyph: glyph.middle)
    shown = [glyph for glyph in visual if not glyph.text.isspace()]
    visual = [glyph for glyph in visual if glyph in shown or not _is_under(glyph, shown)]
    cuts = [right.x0 for left, right in pairwise(shown) if right.x0 - left.x1 > NEAR * size]
    lines: list[list[Glyph]] = [[] for _ in range(len(cuts) + 1)]
    for glyph in visual:
        lines[sum(glyph.middle >= cut for cut in cuts)].append(glyph)
    return [_split_into_words(_with_blanks(line, size)) for line in reversed(lines)]


def _is_under(blank: Glyph, shown: Sequence[Glyph]) -> bool:
    """Whether a blank stands where something else does: word processors end lines so."""
    return any(glyph.x0 <= blank.middle <= glyph.x1 for glyph in shown)


def _with_blanks(visual: Sequence[Glyph], size: float) -> list[Glyph]:
    """The glyphs with a blank in every gap that nothing fills."""
    filled = list(visual[:1])
    for left, right in pairwise(visual):
        if right.x0 - left.x1 > BLANK * size:
            filled.append(Glyph(" ", left.x1, right.x0, left.y0, left.y1))
        filled.append(right)
    return filled


def _split_into_words(visual: Sequence[Glyph]) -> Pieces:
    words: list[list[Glyph]] = [[]]
    for glyph in logical_order(visual):
        before = words[-1][-1].text if words[-1] else ""
        if glyph.text.isspace() or _ends_latin_word(before, glyph.text):
            words.append([])
        if not glyph.text.isspace():
            words[-1].append(glyph)
    return [
        (
            "".join(glyph.text for glyph in word),
            union(BBox(glyph.x0, glyph.y0, glyph.x1, glyph.y1) for glyph in word),
        )
        for word in words
        if word
    ]


def _ends_latin_word(before: str, after: str) -> bool:
    """Whether right-to-left script begins right behind a Latin letter.

    It has prefixes ("the-PDF") and no suffixes: word processors put the blank on the other side.
    """
    return before.isascii() and before.isalpha() and is_rtl(after)
