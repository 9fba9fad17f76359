"""Blocks: regions with the lines that belong to them, and how they become rows of text.

Here belongs what is decided once a page has been read: which blocks stand in the same rows, which
are captions, and what their text is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import permutations

from deepcompress_dagster.pipeline.captions import DESCRIBED, match_captions
from deepcompress_dagster.pipeline.code import is_code, preformatted
from deepcompress_dagster.pipeline.confidence import calibrated
from deepcompress_dagster.pipeline.contents import entries
from deepcompress_dagster.pipeline.joining import Vocabulary, vocabulary_of
from deepcompress_dagster.pipeline.lines import PageLine, in_rows, join_lines, same_row
from deepcompress_dagster.pipeline.page_rotation import PageRotation
from deepcompress_dagster.records import BBox, Label, Region, TextBlock, TextLine, Word, union

COLUMN_LABELS = (Label.TEXT, Label.LIST_ITEM)

SHORT_ENTRY = 16.0
"""Characters of a line, on average, up to which a column holds entries (prices, quantities, page
numbers) and not prose."""

SHARED_ROWS = 0.8
"""Share of a column's lines that stand in the same rows as lines of the column beside it."""

MIN_COLUMN_LINES = 2
"""Lines of a column of entries, at least, where the rows are told by geometry alone."""

BESIDE = 0.3
"""Share of their width by which boxes of lines that stand side by side overlap, at most."""


@dataclass(frozen=True)
class Block:
    """A region or a find of OCR. ``bbox`` is upright; ``lines`` are in reading order."""

    region: Region
    bbox: BBox
    lines: tuple[PageLine, ...]
    model: str
    vocabulary: Vocabulary = field(default_factory=dict, repr=False, compare=False)
    """The words of the page: they tell compounds from words that a line breaks."""

    @property
    def label(self) -> Label:
        return self.region.label

    def relabelled(self, label: Label) -> "Block":
        return replace(self, region=replace(self.region, label=label))

    @property
    def words(self) -> list[Word]:
        return [word for line in self.lines for word in line.words]

    @property
    def read_by(self) -> str:
        """The model, and which of its readers read the lines."""
        readers = {name for line in self.lines if line.reader for name in line.reader.split("+")}
        return " ".join([self.model, *(["+".join(sorted(readers))] if readers else [])])

    @property
    def is_code(self) -> bool:
        return self.label is Label.TEXT and is_code(self.lines)

    @property
    def text(self) -> str:
        if self.label is Label.DOCUMENT_INDEX:
            return entries(self.lines)
        return preformatted(self.lines) if self.is_code else join_lines(self.lines, self.vocabulary)


def with_vocabulary(blocks: Sequence[Block]) -> list[Block]:
    """Blocks that know the words of all of them."""
    words = vocabulary_of(line.text for block in blocks for line in block.lines)
    return [replace(block, vocabulary=words) for block in blocks]


def merge_entry_columns(blocks: Sequence[Block]) -> list[Block]:
    """Blocks in which columns of entries are put together with the column that they belong to.

    A layout model sees the items and the prices of a receipt as two columns; they are read row by
    row. Two columns of prose are left alone: the lines of both are long.
    """
    merged = list(blocks)
    while pair := next((p for p in permutations(merged, 2) if _is_entry_column(*p)), None):
        entries, other = pair
        merged.remove(entries)
        merged[merged.index(other)] = _put_together(entries, other)
    return merged


def _is_entry_column(entries: Block, other: Block) -> bool:
    """Whether ``entries`` are short and stand in the rows of ``other``, beside its lines."""
    if entries.label not in COLUMN_LABELS or other.label not in COLUMN_LABELS:
        return False
    if (_mean_length(other), entries.bbox.x0) < (_mean_length(entries), other.bbox.x0):
        return False
    if entries.bbox.y0 >= other.bbox.y1 or entries.bbox.y1 <= other.bbox.y0:
        return False
    numbered = all(line.row >= 0 for line in entries.lines)
    enough = len(entries.lines) >= (1 if numbered else MIN_COLUMN_LINES)
    if not enough or _mean_length(entries) > SHORT_ENTRY:
        return False
    mates = [[line for line in other.lines if same_row(line, entry)] for entry in entries.lines]
    paired = sum(bool(row) for row in mates)
    return paired >= SHARED_ROWS * len(entries.lines) and not any(
        _overlap(entry.bbox, mate.bbox) > BESIDE * min(entry.bbox.width, mate.bbox.width)
        for entry, row in zip(entries.lines, mates, strict=True)
        for mate in row
    )


def _mean_length(block: Block) -> float:
    return sum(len(line.text) for line in block.lines) / max(1, len(block.lines))


def _overlap(first: BBox, second: BBox) -> float:
    """How far two boxes overlap across."""
    return min(first.x1, second.x1) - max(first.x0, second.x0)


def _put_together(entries: Block, other: Block) -> Block:
    lines = tuple(in_rows([*other.lines, *entries.lines]))
    return with_room(replace(other, lines=lines))


def with_room(block: Block) -> Block:
    """The block with a box that holds its lines: a detector may cut into the first column."""
    return replace(block, bbox=union([block.bbox, *(line.bbox for line in block.lines)]))


def captions_of(blocks: Sequence[Block]) -> dict[str, str]:
    """The caption's text of each table and picture that has one, by ``region_id``."""
    text = {block.region.region_id: block.text for block in blocks if block.label is Label.CAPTION}
    matched = match_captions([block.region for block in blocks], text)
    return {target: text[caption] for target, caption in matched.items() if text.get(caption)}


def text_row(block: Block, rotation: PageRotation) -> TextBlock | None:
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
        bbox=rotation.displayed(block.bbox),
        reading_order=region.reading_order,
        heading_level=None,
        content=block.text,
        source=lines[0].source,
        confidence=round(calibrated(confidence, block.model), 4),
        lines=tuple(
            TextLine(
                rotation.displayed(line.bbox), line.text, round(line.confidence, 4), line.style
            )
            for line in lines
        ),
        model=block.read_by,
        font_size=round(size, 2),
        bold=2 * heavy > letters,
        monospace=block.is_code,
    )
