"""The words of a page's text layer, inside a worker: text, box, font and the PDF's own line.

Here belongs how a page's lines become words. What is set right afterwards, over the whole page,
stands beside it: ``rises`` (superscripts), ``overprints`` (text drawn several times), ``columns``
(vertical lines), ``initials`` (drop caps), ``rtl`` (right-to-left script), ``symbol_fonts``,
``spelling`` (accents drawn apart).
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from itertools import accumulate, groupby, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

from deepcompress_dagster.pdf.messages import PageNote
from deepcompress_dagster.pdf.worker.columns import with_vertical_columns, without_ruby
from deepcompress_dagster.pdf.worker.initials import with_initials
from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.pdf.worker.overprints import without_overprints
from deepcompress_dagster.pdf.worker.rises import (
    Span,
    cut_at_rises,
    owners_of,
    rises_of,
    with_loose_marks,
    with_whole_formulas,
)
from deepcompress_dagster.pdf.worker.rtl import right_to_left_lines
from deepcompress_dagster.pdf.worker.spelling import Spelling, is_telling, spellings
from deepcompress_dagster.pdf.worker.symbol_fonts import in_unicode, symbol_table
from deepcompress_dagster.records import WORDS_LEFT_OUT, BBox, Word, union
from deepcompress_dagster.unicode_text import REPLACEMENT, is_rtl, normalised

UNEVEN = 0.2
"""Font sizes by which a span is higher than its font where letters of it are raised."""

MAX_WORDS = 50_000
"""Words of one page that are kept. A dense newspaper page has 8,000."""

_TEXT_FLAGS = pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_MEDIABOX_CLIP
# TEXT_COLLECT_STYLES compares every character with every rule: 68 ms a page of a ruled table.

_PAINTED = pymupdf.mupdf.FZ_STEXT_FILLED | pymupdf.mupdf.FZ_STEXT_STROKED

_BOLD_NAME = re.compile(r"bold|black|heavy|semibd|demi", re.IGNORECASE)
_MONOSPACE_NAME = re.compile(r"mono|courier|consol|typewriter|menlo|fixed|cmtt", re.IGNORECASE)
_ITALIC_NAME = re.compile(r"italic|oblique", re.IGNORECASE)


class _Font(NamedTuple):
    name: str
    bold: bool
    italic: bool
    monospace: bool
    table: str | None
    """What the codes mean, for a font of symbols."""


class _Style(NamedTuple):
    """What a word takes over from its span."""

    size: float
    color: int
    font: _Font


_UNKNOWN = _Style(0.0, 0, _Font("", False, False, False, None))

_Key = tuple[int, int]
"""Number of a block and of a line in it."""


class _Line:
    """One line as MuPDF sees it: its spans, and which style a word is set in by where it stands."""

    def __init__(self, line: Mapping[str, Any]) -> None:
        spans = line["spans"]
        box = union(BBox(*span["bbox"]) for span in spans)
        self.axis = 0 if box.width >= box.height else 1
        self.spans = tuple(_span(span, line["dir"]) for span in spans)
        own = [_style(span) for span in spans]
        starts = (span["bbox"][self.axis] for span in spans)
        placed = sorted(zip(starts, own, strict=True), key=itemgetter(0))
        self._starts = [start for start, _ in placed]
        self._styles = [style for _, style in placed]
        self._tables = [style.font.table for style in own]

    @cached_property
    def rises(self) -> list[int]:
        """Which spans are superscripts (1) and subscripts (-1)."""
        return rises_of(self.spans, self.axis)

    def read(self, pieces: Sequence[str], spelling: Spelling | None) -> list[str]:
        """What the ``pieces`` of the line's words say: symbols and accents as they are meant."""
        if spelling is None and not any(self._tables):
            return list(pieces)
        owners = owners_of(self.spans)
        letters = spelling.letters if spelling else [c for piece in pieces for c in piece]
        if not len(owners) == len(letters) == sum(map(len, pieces)):
            return [self._symbols(piece, self._tables[0]) for piece in pieces]
        meant = [
            self._symbols(letter, self._tables[owner])
            for letter, owner in zip(letters, owners, strict=True)
        ]
        ends = list(accumulate(map(len, pieces), initial=0))
        return ["".join(meant[start:end]) for start, end in pairwise(ends)]

    @staticmethod
    def _symbols(text: str, table: str | None) -> str:
        return text if table is None else in_unicode(text, table)

    def style_at(self, box: BBox) -> _Style:
        """The style of the last span that starts before the middle of ``box``."""
        index = bisect_right(self._starts, box.center[self.axis]) - 1
        return self._styles[max(0, index)]


class PageWords(NamedTuple):
    """Words in the order of the PDF's lines, the share of characters that no one sees, a note."""

    words: tuple[Word, ...] = ()
    hidden_share: float = 0.0
    note: PageNote | None = None


def page_words(display_list: Any) -> PageWords:
    """The words of a page from its ``pymupdf.DisplayList``.

    Boxes are points of the page as displayed, clipped to it and rounded to 0.01; words outside are
    dropped. Ligatures are expanded, text is in NFC and in logical order, what is drawn several
    times counts once.
    """
    text_page = _text_page(display_list, _TEXT_FLAGS)
    blocks = text_page.extractDICT()["blocks"]
    if _is_right_to_left(blocks):
        text_page, blocks = _by_glyph(display_list, text_page, blocks)
    rows = text_page.extractWORDS()
    if any(_is_uneven(span) for span in _spans(blocks)):
        blocks = [_evened(block) for block in text_page.extractRAWDICT()["blocks"]]
    lines, hidden_share = _lines(blocks)
    note = None
    if len(rows) > MAX_WORDS:
        cut = f"the page has {len(rows):,} words; only the first {MAX_WORDS:,} are kept"
        note = PageNote(WORDS_LEFT_OUT, cut)
        rows = rows[:MAX_WORDS]
    frame = BBox(*display_list.rect)
    found = list(_Page(text_page, lines, (frame.width, frame.height)).words(rows))
    upright = without_ruby(with_vertical_columns(found))
    words = with_loose_marks(with_whole_formulas(without_overprints(upright)))
    return PageWords(tuple(with_initials(words)), hidden_share, note)


def _text_page(display_list: Any, flags: int) -> Any:
    return pymupdf.TextPage(display_list.get_textpage(flags))


def _is_right_to_left(blocks: Iterable[Any]) -> bool:
    return any(map(is_rtl, _texts(blocks)))


def _texts(blocks: Iterable[Any]) -> Iterator[str]:
    return (span["text"] for span in _spans(blocks))


def _spans(blocks: Iterable[Any]) -> Iterator[Any]:
    for block in blocks:
        for line in block.get("lines", ()):
            yield from line["spans"]


def _is_uneven(span: Mapping[str, Any]) -> bool:
    """Whether the letters of a span stand on several baselines: it is higher than its font."""
    x0, y0, x1, y1 = span["bbox"]
    height = (span["ascender"] - span["descender"]) * span["size"]
    # A short span is wider across its line than along it.
    return bool(min(x1 - x0, y1 - y0) > height + UNEVEN * span["size"])


def _evened(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """A block of ``extractRAWDICT`` with spans as ``extractDICT`` has them, cut by baseline."""
    lines = [
        {**line, "spans": [piece for span in line["spans"] for piece in _by_baseline(span)]}
        for line in block.get("lines", ())
    ]
    return {**block, "lines": lines}


def _by_baseline(span: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    def height(character: Mapping[str, Any]) -> float:
        return float(round(character["origin"][1], 1))

    for _, group in groupby(span["chars"], key=height if _is_uneven(span) else lambda _: 0.0):
        characters = list(group)
        yield {
            **span,
            "text": "".join(character["c"] for character in characters),
            "bbox": union(BBox(*character["bbox"]) for character in characters),
            "origin": characters[0]["origin"],
        }


def _by_glyph(display_list: Any, text_page: Any, blocks: Any) -> tuple[Any, Any]:
    """The page read by what each glyph says, if no glyph needs the text that replaces it.

    MuPDF sets such text (ActualText) of a letter with marks at a point, and puts a blank behind it.
    """
    other = _text_page(display_list, _TEXT_FLAGS | pymupdf.TEXT_IGNORE_ACTUALTEXT)
    read = other.extractDICT()["blocks"]
    unknown = [sum(text.count(REPLACEMENT) for text in _texts(b)) for b in (read, blocks)]
    return (other, read) if unknown[0] <= unknown[1] else (text_page, blocks)


def _lines(blocks: Iterable[Any]) -> tuple[dict[_Key, _Line], float]:
    """Lines by block and line number, and the share of characters neither filled nor stroked."""
    lines = {}
    total = hidden = 0
    for block in blocks:
        for number, line in enumerate(block.get("lines", ())):
            spans = line["spans"]
            for span in spans:
                length = len(span["text"].replace(" ", ""))
                total += length
                if not span["char_flags"] & _PAINTED or span["alpha"] == 0:
                    hidden += length
            if spans:
                lines[block["number"], number] = _Line(line)
    return lines, round(hidden / total, 4) if total else 0.0


def _span(span: Mapping[str, Any], direction: tuple[float, float]) -> Span:
    x, y = span["origin"]
    up = x * direction[1] - y * direction[0]
    return Span(span["text"], BBox(*span["bbox"]), span["size"], up)


def _style(span: Mapping[str, Any]) -> _Style:
    return _Style(round(span["size"], 2), span["color"], _font(span["font"], span["flags"]))


@lru_cache(maxsize=1024)
def _font(font: str, flags: int) -> _Font:
    return _Font(
        font,
        bool(flags & pymupdf.TEXT_FONT_BOLD or _BOLD_NAME.search(font)),
        bool(flags & pymupdf.TEXT_FONT_ITALIC or _ITALIC_NAME.search(font)),
        bool(flags & pymupdf.TEXT_FONT_MONOSPACED or _MONOSPACE_NAME.search(font)),
        symbol_table(font),
    )


class _Page:
    """Makes words: what all those of a page have in common."""

    def __init__(self, text_page: Any, lines: Mapping[_Key, _Line], size: tuple[float, float]):
        self._lines = lines
        self._width, self._height = size
        texts = [span.text for line in lines.values() for span in line.spans]
        rtl, telling = any(map(is_rtl, texts)), any(map(is_telling, texts))
        raw = text_page.extractRAWDICT()["blocks"] if rtl or telling else ()
        self._reordered = right_to_left_lines(raw) if rtl else {}
        self._spellings = spellings(raw) if telling else {}

    def words(self, rows: Sequence[Any]) -> Iterator[Word]:
        """The words of ``rows`` (``extractWORDS``) that show something on the page."""
        for key, group in groupby(rows, key=itemgetter(5, 6)):
            line = self._lines.get(key)
            pieces = [(row[4], BBox(*row[:4])) for row in group]
            if key in self._reordered:
                found = self._reordered_words(key, line)
            elif line is None:
                found = (self._word(text, box, line, key) for text, box in pieces)
            else:
                found = self._words_of(pieces, key, line)
            yield from (word for word in found if word is not None)

    def _reordered_words(self, key: _Key, line: _Line | None) -> Iterator[Word | None]:
        for number, pieces in self._reordered[key]:
            texts = [text for text, _ in pieces]
            meant = line.read(texts, None) if line else texts
            for text, (_, box) in zip(meant, pieces, strict=True):
                yield self._word(text, box, line, (key[0], number))

    def _words_of(
        self, pieces: Sequence[tuple[str, BBox]], key: _Key, line: _Line
    ) -> Iterator[Word | None]:
        spelling = self._spellings.get(key)
        if spelling is not None:
            pieces = spelling.parted(pieces)
        if len(line.spans) == 1 or not any(line.rises):
            cut = [(text, box, 0, True) for text, box in pieces]
        else:
            cut = list(cut_at_rises(pieces, line.spans, line.rises, line.axis))
        texts = line.read([piece[0] for piece in cut], spelling)
        for text, (_, box, rise, spaced) in zip(texts, cut, strict=True):
            yield self._word(text, box, line, key, rise, spaced)

    def _word(
        self,
        raw: str,
        box: BBox,
        line: _Line | None,
        key: _Key,
        rise: int = 0,
        spaced: bool = True,
    ) -> Word | None:
        style = line.style_at(box) if line else _UNKNOWN
        font = style.font
        text = normalised(raw)
        x0, y0, x1, y1 = box
        box = BBox(
            round(max(x0, 0.0), 2),
            round(max(y0, 0.0), 2),
            round(min(x1, self._width), 2),
            round(min(y1, self._height), 2),
        )
        if not text or box.x0 >= box.x1 or box.y0 >= box.y1:
            return None
        return Word(
            box,
            text,
            style.size,
            font.bold,
            font.italic,
            *key,
            font.monospace,
            font.name,
            style.color,
            rise,
            spaced,
        )
