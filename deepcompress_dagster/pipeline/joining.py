"""How words become a line, and lines the text of a paragraph or of a table's cell.

Here belongs where a blank stands and where a hyphen stays; not which words belong together.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

from deepcompress_dagster.records import Word
from deepcompress_dagster.unicode_text import is_cjk, subscript, superscript

HYPHENS = "-\u00ad\u2010"
"""Hyphen-minus, soft hyphen, hyphen."""

SET_APART = 0.35
"""Font sizes between two CJK words up to which the gap is spacing of letters and no blank."""

WIDE = 2.0
"""Font sizes between two single CJK characters up to which they are spaced letters of one word."""

OPEN_PREFIXES = frozenset({"re", "pre", "co", "anti", "semi", "micro", "de"})
"""Prefixes that keep their hyphen before the vowel that they end in ("re-elected")."""

COMPOUNDING = frozenset({"self", "well", "ex", "half", "quasi", "all", "non", "semi", "ill"})
"""First parts that compounds keep their hyphen after, where the document does not say otherwise."""

SUSPENDED = frozenset({"und", "oder", "bis", "sowie", "and", "or", "et", "ou"})
"""Words after which a hyphen stands for what follows ("Vor- und Nachteile")."""

_ADDRESS = re.compile(r"(?:\S*://|www\.|doi:|10\.\d{4,}/)\S+$|\S+@\S+$", re.IGNORECASE)
"""A web address, a DOI or a mail address at the end of a line."""

_BREAKS = "?&=#%~_"
"""Signs of an address that neither end one nor begin a word."""

_SIGN = re.compile(r"[/?&=#%~_@\d]|[.-](?=\w)")
"""What a piece of an address holds and a word does not."""

_LAST_PART = re.compile(r"[^\W\d_]+(?:[-\u2010'’][^\W\d_]+)*$")
_FIRST_PART = re.compile(r"[^\W\d_]+(?:[-\u2010'’][^\W\d_]+)*")
_WORD = re.compile(r"[^\W\d_]+(?:[-\u2010][^\W\d_]+)*")

Vocabulary = Mapping[str, int]
"""How often each word of a text occurs, in lower case, compounds with their hyphens."""

NO_WORDS: Vocabulary = {}


def vocabulary_of(lines: Iterable[str]) -> Vocabulary:
    """The words that stand whole in lines: the last of a line that ends in a hyphen does not."""
    counts: Counter[str] = Counter()
    for line in lines:
        whole = _LAST_PART.sub("", line[:-1]) if line[-1:] in HYPHENS else line
        counts.update(word.replace("\u2010", "-") for word in _WORD.findall(whole.lower()))
    return counts


def line_text(words: Sequence[Word], *, apart: bool = False) -> str:
    """The words of one line with the blanks between them, superscripts and subscripts marked.

    ``apart`` sets a mark at a number off by a blank, so that the number can be read as one.
    """
    text = _marked(words[0]) if words else ""
    for before, word in pairwise(words):
        blank = word.spaced and not _is_spaced_cjk(before, word)
        if apart and word.rise > 0 and _is_number(before):
            blank = True
        text += f" {_marked(word)}" if blank else _marked(word)
    return text


def _marked(word: Word) -> str:
    if not word.rise:
        return word.text
    return superscript(word.text) if word.rise > 0 else subscript(word.text)


def _is_number(word: Word) -> bool:
    """Whether a raised digit at a word is a mark: not after 10, where it is a power."""
    value = word.text.strip("$€£¥%()+-−.,")
    return value != "10" and value.replace(",", "").replace(".", "").isdecimal()


def _is_spaced_cjk(before: Word, word: Word) -> bool:
    """Whether a gap between two CJK words is only the spacing of letters."""
    if not (is_cjk(before.text[-1]) and is_cjk(word.text[0])):
        return False
    size = word.font_size or word.bbox.height
    single = len(before.text) == len(word.text) == 1
    return word.bbox.x0 - before.bbox.x1 <= (WIDE if single else SET_APART) * size


def joined(lines: Iterable[str], vocabulary: Vocabulary = NO_WORDS) -> str:
    """Lines as one text: a word broken by a hyphen made whole, no blank inside of CJK text."""
    text = ""
    for line in lines:
        text = continued(text, line, vocabulary) if text and line else text + line
    return text


def continued(text: str, line: str, vocabulary: Vocabulary = NO_WORDS) -> str:
    """``text`` with the ``line`` that follows it."""
    if is_cjk(text[-1]) and is_cjk(line[0]):
        return text + line
    if _is_one_address(text, line):
        return text + line
    if len(text) < 2 or not text[-2].isalnum() or text[-1] not in HYPHENS + "–":
        return f"{text} {line}"
    if text[-1] == "–":
        return text + line if text[-2].isdigit() and line[0].isdigit() else f"{text} {line}"
    return _over_hyphen(text, line, vocabulary)


def _is_one_address(text: str, line: str) -> bool:
    """Whether an address at the end of ``text`` goes on in the ``line``, all hyphens its own.

    It is broken behind a sign: between two letters nothing shows a break.
    """
    first = text.rsplit(maxsplit=1)[-1]
    second = line.split(maxsplit=1)[0]
    if not _ADDRESS.match(first):
        return first[-1] in HYPHENS and "@" in second and "." in first
    if second[0] in f"/{_BREAKS}" or (first[-1] in _BREAKS and second[0].isalnum()):
        return True
    if first[-1] == "-":
        return second[0].islower()
    return first[-1] in "/." and _SIGN.search(second) is not None


def _over_hyphen(text: str, line: str, vocabulary: Vocabulary) -> str:
    """``text``, which ends in a hyphen, with the ``line`` that follows it."""
    first, second = _LAST_PART.search(text[:-1]), _FIRST_PART.match(line)
    if line[0].isdigit():
        return text + line
    if second is None or second[0].lower() in SUSPENDED:
        return f"{text} {line}"
    if first is None:
        return text + line if text[-2].isdigit() else f"{text} {line}"
    if line[0].isupper():
        return text + line if len(first[0]) > 1 else f"{text} {line}"
    if keeps_hyphen(first[0], second[0], vocabulary):
        return text + line
    return text[:-1] + line


def broken_words(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The halves of the words that line ends break behind a hyphen, in lower case."""
    for line, following in pairwise(lines):
        if line[-1:] in HYPHENS and following[:1].islower():
            first, second = _LAST_PART.search(line[:-1]), _FIRST_PART.match(following)
            if first and second:
                yield first[0].lower(), second[0].lower()


def keeps_hyphen(first: str, second: str, vocabulary: Vocabulary) -> bool:
    """Whether ``first-second``, broken behind the hyphen, is a compound and no broken word.

    The document's own words decide; where it is silent, how words are built.
    """
    first, second = first.lower(), second.lower()
    compound, whole = vocabulary.get(f"{first}-{second}", 0), vocabulary.get(first + second, 0)
    if compound or whole:
        return compound > whole
    inner = "-" in first or "-" in second
    doubled = first in OPEN_PREFIXES and first[-1] == second[0]
    return inner or doubled or len(first) == 1 or first in COMPOUNDING
