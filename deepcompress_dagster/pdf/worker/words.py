"""The words of a page's text layer, inside a worker: text, box, font and the PDF's own line."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from deepcompress_dagster.pdf.messages import PageNote
from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.records import WORDS_LEFT_OUT, BBox, Word, union

MAX_WORDS = 50_000
"""Words of one page that are kept. A dense newspaper page has 8,000."""

SOFT_HYPHEN = "\u00ad"

_TEXT_FLAGS = pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_MEDIABOX_CLIP
# TEXT_COLLECT_STYLES compares every character with every rule: 68 ms a page of a ruled table.

_PAINTED = pymupdf.mupdf.FZ_STEXT_FILLED | pymupdf.mupdf.FZ_STEXT_STROKED

_DROPPED = re.compile(
    "[\u0000-\u001f\u007f-\u009f"  # control characters
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"  # invisible formatting
    "\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"  # anchors, noncharacters, lone surrogates
)

_BOLD_NAME = re.compile(r"bold|black|heavy|semibd|demi", re.IGNORECASE)
_MONOSPACE_NAME = re.compile(r"mono|courier|consol|typewriter|menlo|fixed|cmtt", re.IGNORECASE)
_ITALIC_NAME = re.compile(r"italic|oblique", re.IGNORECASE)


class _Font(NamedTuple):
    size: float
    bold: bool
    italic: bool
    monospace: bool
    name: str
    color: int
    """sRGB, 0xRRGGBB."""


class _Line:
    """The fonts along one line of text: which one a word is set in, by where it stands."""

    def __init__(self, spans: Sequence[Any]) -> None:
        box = union(BBox(*span["bbox"]) for span in spans)
        self._axis = 0 if box.width >= box.height else 1
        placed = sorted((span["bbox"][self._axis], _font(span)) for span in spans)
        self._starts = [start for start, _ in placed]
        self._fonts = [font for _, font in placed]

    def font_at(self, box: BBox) -> _Font:
        """The font of the last span that starts before the middle of ``box``."""
        index = bisect_right(self._starts, box.center[self._axis]) - 1
        return self._fonts[max(0, index)]


_UNKNOWN = _Font(0.0, False, False, False, "", 0)


class PageWords(NamedTuple):
    """Words in the order of the PDF's lines, the share of characters that no one sees, a note."""

    words: tuple[Word, ...] = ()
    hidden_share: float = 0.0
    note: PageNote | None = None


def page_words(display_list: Any) -> PageWords:
    """The words of a page from its ``pymupdf.DisplayList``.

    Boxes are points of the page as displayed, clipped to it and rounded to 0.01; words outside are
    dropped. Ligatures are expanded.
    """
    text_page = _text_page(display_list, _TEXT_FLAGS)
    rows = text_page.extractWORDS()
    lines, hidden_share = _lines(text_page.extractDICT()["blocks"])
    note = None
    if len(rows) > MAX_WORDS:
        cut = f"the page has {len(rows):,} words; only the first {MAX_WORDS:,} are kept"
        note = PageNote(WORDS_LEFT_OUT, cut)
        rows = rows[:MAX_WORDS]
    width, height = display_list.rect.width, display_list.rect.height
    words = tuple(word for row in rows if (word := _word(row, lines, width, height)))
    return PageWords(words, hidden_share, note)


def _text_page(display_list: Any, flags: int) -> Any:
    return pymupdf.TextPage(display_list.get_textpage(flags))


def _lines(blocks: Iterable[Any]) -> tuple[dict[tuple[int, int], _Line], float]:
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
                lines[block["number"], number] = _Line(spans)
    return lines, round(hidden / total, 4) if total else 0.0


def _font(span: Any) -> _Font:
    style = _style(span["font"], span["flags"])
    return _Font(round(span["size"], 2), *style, span["font"], span["color"])


@lru_cache(maxsize=1024)
def _style(font: str, flags: int) -> tuple[bool, bool, bool]:
    return (
        bool(flags & pymupdf.TEXT_FONT_BOLD or _BOLD_NAME.search(font)),
        bool(flags & pymupdf.TEXT_FONT_ITALIC or _ITALIC_NAME.search(font)),
        bool(flags & pymupdf.TEXT_FONT_MONOSPACED or _MONOSPACE_NAME.search(font)),
    )


def _word(
    row: Any, lines: Mapping[tuple[int, int], _Line], width: float, height: float
) -> Word | None:
    x0, y0, x1, y1, raw, block, number, _ = row
    text = clean(raw)
    box = BBox(
        round(max(x0, 0.0), 2),
        round(max(y0, 0.0), 2),
        round(min(x1, width), 2),
        round(min(y1, height), 2),
    )
    if not text or box.x0 >= box.x1 or box.y0 >= box.y1:
        return None
    line = lines.get((block, number))
    font = line.font_at(box) if line else _UNKNOWN
    return Word(
        bbox=box,
        text=text,
        font_size=font.size,
        bold=font.bold,
        italic=font.italic,
        block=block,
        line=number,
        monospace=font.monospace,
        font=font.name,
        color=font.color,
    )


def clean(text: str) -> str:
    """``text`` without control characters and invisible formatting.

    A soft hyphen shows only at the end of a line: there it becomes a hyphen, elsewhere it goes.
    U+FFFD and private-use characters stay: they tell that the text layer is not to be trusted.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _DROPPED.sub("", text)
    if text.endswith(SOFT_HYPHEN):
        text = text[:-1] + "-"
    return text.replace(SOFT_HYPHEN, "")
