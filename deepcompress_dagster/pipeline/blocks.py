"""Blocks: regions with the lines that belong to them, and how they become rows of text.

Here belongs what is decided once a page has been read: which blocks stand in the same rows, which
are captions, and what their text is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deepcompress_dagster.pipeline.captions import (
    CAPTION_LIKE,
    DESCRIBED,
    is_caption,
    match_captions,
)
from deepcompress_dagster.pipeline.code import is_code, preformatted
from deepcompress_dagster.pipeline.frame import Frame
from deepcompress_dagster.pipeline.lines import Line, in_rows, join_lines, same_row
from deepcompress_dagster.records import BBox, Label, Region, TextBlock, TextLine, Word, union

LEDGER_LABELS = (Label.TEXT, Label.LIST_ITEM)

SHORT_ENTRY = 12.0
"""Characters of a line, on average, up to which a column holds entries (prices, quantities, page
numbers) and not prose."""

LEDGER_ROWS = 0.8
"""Share of a column's lines that stand in the same rows as lines of the column beside it."""

MIN_LEDGER_LINES = 2


@dataclass(frozen=True)
class Block:
    """A region or a find of OCR. ``bbox`` is upright; ``lines`` are in reading order."""

    region: Region
    bbox: BBox
    lines: tuple[Line, ...]
    model: str

    @property
    def label(self) -> Label:
        return self.region.label

    @property
    def words(self) -> list[Word]:
        return [word for line in self.lines for word in line.words]

    @property
    def is_code(self) -> bool:
        return self.label is Label.TEXT and is_code(self.lines)

    @property
    def text(self) -> str:
        return preformatted(self.lines) if self.is_code else join_lines(self.lines)


def with_ledgers(blocks: Sequence[Block]) -> list[Block]:
    """Blocks in which columns of entries are put together with the column that they belong to.

    A layout model sees the items and the prices of a receipt as two columns; they are read row by
    row. Two columns of prose are left alone: the lines of both are long.
    """
    merged = sorted(blocks, key=lambda block: block.bbox.x0)
    at = 0
    while at < len(merged):
        partner = next((b for b in merged[at + 1 :] if _one_ledger(merged[at], b)), None)
        if partner is None:
            at += 1
        else:
            merged.remove(partner)
            merged[at] = _side_by_side(merged[at], partner)
    return sorted(merged, key=lambda block: block.region.reading_order)


def _one_ledger(left: Block, right: Block) -> bool:
    labels = left.label in LEDGER_LABELS and right.label in LEDGER_LABELS
    if not labels or min(len(left.lines), len(right.lines)) < MIN_LEDGER_LINES:
        return False
    apart = left.bbox.x1 <= right.bbox.x0 + 0.1 * right.bbox.width
    entries, other = sorted((left, right), key=_mean_length)
    if not apart or _mean_length(entries) > SHORT_ENTRY:
        return False
    paired = sum(any(same_row(line, beside) for beside in other.lines) for line in entries.lines)
    return paired >= LEDGER_ROWS * len(entries.lines)


def _mean_length(block: Block) -> float:
    return sum(len(line.text) for line in block.lines) / len(block.lines)


def _side_by_side(left: Block, right: Block) -> Block:
    lines = tuple(in_rows([*left.lines, *right.lines]))
    bbox = union(line.bbox for line in lines)
    return replace(left, bbox=union([left.bbox, bbox]), lines=lines)


def with_captions(blocks: Sequence[Block]) -> list[Block]:
    """Blocks in which text that OCR read beside a table or figure, and that names it, is a caption.

    Where the text layer says so, the layout stage has seen to it already.
    """
    described = [block.bbox for block in blocks if block.label in DESCRIBED]
    return [
        replace(block, region=replace(block.region, label=Label.CAPTION))
        if block.label in CAPTION_LIKE and is_caption(block.text, block.bbox, described)
        else block
        for block in blocks
    ]


def captions_of(blocks: Sequence[Block]) -> dict[str, str]:
    """The caption's text of each table and picture that has one, by ``region_id``."""
    text = {block.region.region_id: block.text for block in blocks if block.label is Label.CAPTION}
    matched = match_captions([block.region for block in blocks], text)
    return {target: text[caption] for target, caption in matched.items() if text.get(caption)}


def text_row(block: Block, frame: Frame) -> TextBlock | None:
    """The row of a block of text; None for tables, pictures and blocks without text."""
    region, lines = block.region, block.lines
    if region.label in DESCRIBED or not block.text:
        return None
    letters = sum(len(line.text) for line in lines)
    confidence = sum(line.confidence * len(line.text) for line in lines) / max(1, letters)
    size = sum(line.font_size * len(line.text) for line in lines) / max(1, letters)
    heavy = sum(len(line.text) for line in lines if line.bold)
    return TextBlock(
        page_number=region.page_number,
        region_id=region.region_id,
        label=region.label,
        bbox=frame.displayed(block.bbox),
        reading_order=region.reading_order,
        heading_level=None,
        content=block.text,
        source=lines[0].source,
        confidence=round(confidence, 4),
        lines=tuple(
            TextLine(frame.displayed(line.bbox), line.text, round(line.confidence, 4))
            for line in lines
        ),
        model=block.model,
        font_size=round(size, 2),
        bold=2 * heavy > letters,
        monospace=block.is_code,
    )
