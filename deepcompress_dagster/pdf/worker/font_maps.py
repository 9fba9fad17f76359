"""Gives fonts of an opened document the map to Unicode that they lack.

MuPDF takes a glyph's name for a number where it knows no better: ``a103`` of Zapf Dingbats, a
heart, reads "g"; and it gives U+FFFD for a form of an Arabic letter that the font's map leaves out.
A ToUnicode map (ISO 32000-1, 9.10.3) that is put into the font's dictionary, in memory, makes all
that is read of the document right: words, lines, tables.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.pdf.worker.symbol_fonts import REPLACEMENT, meaning, named, symbol_table

_SIMPLE = ("Type1", "MMType1", "TrueType")
"""Fonts with codes of one byte; others bring their own maps."""

_COMPOSITE = "Type0"

_IDENTITY = "Identity-H"
"""The encoding whose codes are glyph numbers, two bytes each."""

_UNI = re.compile(r"uni((?:[0-9A-F]{4})+)$|u([0-9A-F]{4,6})$")
"""Names that say the character themselves (Adobe Glyph List specification, 2)."""

_CODES = range(0x20, 0x100)


def map_symbol_fonts(document: Any, page: Any) -> None:
    """Give each symbol font of the ``pymupdf.Page`` that has no map to Unicode one.

    To be called before anything is read of the page: MuPDF keeps fonts that it has loaded.
    """
    for xref, _, kind, name, *_ in page.get_fonts():
        table = symbol_table(name) if xref and kind in _SIMPLE else None
        if table is not None and document.xref_get_key(xref, "ToUnicode")[0] == "null":
            _write_map(document, xref, _cmap(_characters(document, xref, table), digits=2))


def map_named_glyphs(document: Any, page: Any) -> bool:
    """Complete the maps of fonts in which glyphs of the page have none, from the glyphs' names.

    Returns whether something was found: then the page is to be loaded and read anew.
    """
    lacking = _unmapped_glyphs(page)
    found = False
    for xref, extension, kind, name, _, encoding in page.get_fonts():
        glyphs = lacking.get(_plain(name))
        if not glyphs or kind != _COMPOSITE or encoding != _IDENTITY or extension == "n/a":
            continue
        named_glyphs = _named_glyphs(document.extract_font(xref)[3], glyphs)
        if named_glyphs:
            _complete_map(document, xref, named_glyphs)
            found = True
    if found:
        pymupdf.TOOLS.store_shrink(100)  # MuPDF keeps fonts that it has loaded
    return found


def _unmapped_glyphs(page: Any) -> dict[str, set[int]]:
    """Numbers of the glyphs that nothing tells, by the plain name of their font."""
    lacking: dict[str, set[int]] = defaultdict(set)
    for span in page.get_texttrace():
        for code, glyph, *_ in span["chars"]:
            if chr(code) == REPLACEMENT and glyph > 0:
                lacking[_plain(span["font"])].add(glyph)
    return lacking


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", re.sub(r"^[A-Z]{6}\+", "", name).lower())


def _named_glyphs(file: bytes, glyphs: Iterable[int]) -> dict[int, str]:
    """The text of those glyphs of a font file whose names say it."""
    font = pymupdf.Font(fontbuffer=file)
    names = {glyph: pymupdf.mupdf.fz_get_glyph_name2(font.this, glyph) for glyph in glyphs}
    return {glyph: text for glyph, name in names.items() if (text := _spelled(name))}


def _spelled(name: str) -> str | None:
    """The text of a glyph by its name: ``uni0644.init`` is a form of U+0644, ``f_i`` a ligature."""
    parts = [_listed(part) for part in name.partition(".")[0].split("_")]
    return "".join(part for part in parts if part) if all(parts) else None


def _complete_map(document: Any, xref: int, characters: Mapping[int, str]) -> None:
    kind, value = document.xref_get_key(xref, "ToUnicode")
    if kind != "xref":
        _write_map(document, xref, _cmap(characters, digits=4))
        return
    stream = int(value.split()[0])
    known = document.xref_stream(stream)
    document.update_stream(stream, known.replace(b"endcmap", _rows(characters, 4) + b"endcmap"))


def _write_map(document: Any, xref: int, cmap: bytes) -> None:
    stream = document.get_new_xref()
    document.update_object(stream, "<<>>")
    document.update_stream(stream, cmap)
    document.xref_set_key(xref, "ToUnicode", f"{stream} 0 R")


def _characters(document: Any, xref: int, table: str) -> dict[int, str]:
    """What each code of the font means: by its own encoding's glyph names, else by the table."""
    meanings = {code: meaning(table, code) for code in _CODES}
    for code, glyph in _differences(document, xref):
        by_name = named(glyph) or _listed(glyph)
        if by_name is not None:
            meanings[code] = by_name
    return meanings


def _listed(glyph: str) -> str | None:
    """The text of a name that spells a character or is in Adobe's glyph list, else None."""
    if spelled := _UNI.match(glyph):
        digits = spelled[1] or spelled[2]
        step = 4 if spelled[1] else len(digits)
        return "".join(chr(int(digits[i : i + step], 16)) for i in range(0, len(digits), step))
    code = pymupdf.mupdf.fz_unicode_from_glyph_name_strict(glyph)
    return chr(code) if code > 0 and chr(code) != REPLACEMENT else None


def _differences(document: Any, xref: int) -> Iterable[tuple[int, str]]:
    """Codes and glyph names that the font's encoding states (ISO 32000-1, 9.6.6)."""
    kind, value = document.xref_get_key(xref, "Encoding/Differences")
    if kind != "array":
        return
    code = 0
    for token in value.strip("[]").replace("/", " /").split():
        if token.startswith("/"):
            yield code, token[1:]
            code += 1
        elif token.isdecimal():
            code = int(token)


def _cmap(characters: Mapping[int, str], digits: int) -> bytes:
    """A ToUnicode map; codes have this many hexadecimal digits."""
    space = f"<{'0' * digits}> <{'f' * digits}>"
    head = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n/CMapType 2 def\n"
        f"1 begincodespacerange {space} endcodespacerange\n"
    )
    return head.encode("ascii") + _rows(characters, digits) + b"endcmap end end\n"


def _rows(characters: Mapping[int, str], digits: int) -> bytes:
    rows = "\n".join(
        f"<{code:0{digits}x}> <{text.encode('utf-16-be').hex()}>"
        for code, text in characters.items()
    )
    return f"{len(characters)} beginbfchar\n{rows}\nendbfchar\n".encode("ascii")
