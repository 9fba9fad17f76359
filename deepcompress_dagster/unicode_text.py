"""What a string of any script must look like before it becomes a row, and what its letters are.

Here belongs what the PDF's text layer, OCR and the joining of lines share: one form for each
character, and which scripts are written without blanks or from right to left. Knows no pages.
"""

import re
import unicodedata

REPLACEMENT = "\ufffd"
"""A character that is on the page and that nothing tells; it counts as garbled."""

SOFT_HYPHEN = "\u00ad"

_DROPPED = re.compile(
    "[\u0000-\u001f\u007f-\u009f"  # control characters
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff"  # invisible formatting
    "\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"  # anchors, noncharacters, lone surrogates
)

_VARIANTS = re.compile(
    "[\u2e80-\u2fdf"  # radicals that stand for the characters they look like
    "\ufb00-\ufb4f"  # Latin, Armenian and Hebrew ligatures
    "\ufb50-\ufd3d\ufd50-\ufdf9\ufe70-\ufefc"  # Arabic letters by their place in the word
    "\ufe10-\ufe19\ufe30-\ufe4f]+"  # marks of vertical lines
)

_PRIVATE = re.compile("[\ue000-\uf8ff\U000f0000-\U0010ffff]")

_BRACKET_PIECES = "‾⏐⎯®©™⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪⎮⎞⎟⎠⎤⎥⎦⎫⎬⎭"
"""U+F8E5 to U+F8FE of Adobe's corporate use: ``radicalex`` to ``bracerightbt``."""

_OFFICE_SYMBOLS = {"\uf0b7": "•", "\uf0a7": "▪", "\uf0d8": "➢", "\uf0fc": "✓", "\uf0e0": "→"}
"""Symbols of word processors that reach a PDF under names of other fonts."""

_CJK = re.compile(
    "[\u2e80-\u2fdf\u3000-\u312f\u31a0-\u31ff\u3200-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\ufe30-\ufe4f\uff01-\uff9f\uffe0-\uffe6\U0001b000-\U0001b16f\U00020000-\U0003ffff]"
)

_RTL = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)


def normalised(text: str) -> str:
    """``text`` in NFC, without control characters and invisible formatting.

    Presentation forms (ligatures, Arabic letters by place, marks of vertical lines) become the
    letters that they stand for. A soft hyphen shows only at the end of a line: there it becomes a
    hyphen, elsewhere it goes. What stands in the private areas has no meaning that can be known:
    U+FFFD.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _DROPPED.sub("", text)
    if text.endswith(SOFT_HYPHEN):
        text = text[:-1] + "-"
    text = text.replace(SOFT_HYPHEN, "")
    text = _VARIANTS.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text)
    text = _PRIVATE.sub(lambda found: _known_private(found[0]), text)
    return unicodedata.normalize("NFC", text)


def _known_private(character: str) -> str:
    """A private character by Adobe's old glyph list or a word processor's habit, or U+FFFD."""
    code = ord(character)
    if 0xF721 <= code <= 0xF7FF:  # small capitals and old-style digits, by their Latin-1 codes
        return chr(code - 0xF700)
    if 0xF8E5 <= code <= 0xF8FE:
        return _BRACKET_PIECES[code - 0xF8E5]
    return _OFFICE_SYMBOLS.get(character, REPLACEMENT)


def is_cjk(character: str) -> bool:
    """Whether a character is Chinese or Japanese: written without blanks between words.

    Marks and full-width forms are, Korean is not.
    """
    return bool(_CJK.match(character))


def is_rtl(text: str) -> bool:
    """Whether some letter of ``text`` is written from right to left."""
    return not text.isascii() and bool(_RTL.search(text))


_SUPERSCRIPTS = str.maketrans("0123456789+-=()\u2212", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾⁻")
_SUBSCRIPTS = str.maketrans("0123456789+-=()\u2212", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎₋")
_RAISED_LETTERS = str.maketrans("abcdefghijklmnoprstuvwxyz", "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")
_LOWERED_LETTERS = str.maketrans("aehijklmnoprstuvx", "ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
_RAISED_SIGNS = {"TM": "™", "SM": "℠"}


def superscript(text: str) -> str:
    """``text`` as a superscript: in Unicode's own digits, signs and letters, else ``^{text}``."""
    if text in _RAISED_SIGNS:
        return _RAISED_SIGNS[text]
    return _shifted(text, _SUPERSCRIPTS, _RAISED_LETTERS, "^")


def subscript(text: str) -> str:
    """``text`` as a subscript: in Unicode's own digits, signs and letters, else ``_{text}``."""
    return _shifted(text, _SUBSCRIPTS, _LOWERED_LETTERS, "_")


def _shifted(text: str, signs: dict[int, int], letters: dict[int, int], mark: str) -> str:
    """A single letter has a form of its own; several in a row are hard to read and to find."""
    if all(ord(character) in signs for character in text):
        return text.translate(signs)
    if len(text) == 1 and ord(text) in letters:
        return text.translate(letters)
    return f"{mark}{{{text}}}"
