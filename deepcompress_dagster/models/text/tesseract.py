"""Reads lines of the scripts that PP-OCR was not taught, with Tesseract where it is installed.

Tesseract (Apache-2.0; Smith, 2007) comes with the extra ``tesseract`` as ``tesserocr``; its
language data are the system's, or stand in a folder that the settings name. It tells the script
itself, from all lines of a page; of the languages that are installed for it the surest on a few
lines is taken, with English beside it: names and addresses are Latin everywhere.
"""

import importlib
import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as PillowImage

from deepcompress_dagster.models import cancellation
from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.models.text.ctc import DecodedLine, DecodedWord
from deepcompress_dagster.models.text.second_reader import Reread
from deepcompress_dagster.unicode_text import is_rtl

FOLDERS = (
    "usr/share/tesseract-ocr/*/tessdata",
    "usr/share/tessdata",
    "usr/local/share/tessdata",
    "opt/homebrew/share/tessdata",
)
"""Where Debian, Fedora, builds from source and Homebrew keep the language data."""

SCRIPT_LANGUAGES: Mapping[str, tuple[str, ...]] = {
    "Arabic": ("ara", "fas", "urd", "pus", "kur_ara", "uig"),
    "Armenian": ("hye",),
    "Bengali": ("ben", "asm"),
    "Cyrillic": ("rus", "ukr", "bul", "bel", "srp", "mkd", "kaz", "kir", "tgk", "mon", "tat"),
    "Devanagari": ("hin", "mar", "nep", "san"),
    "Ethiopic": ("amh", "tir"),
    "Georgian": ("kat",),
    "Greek": ("ell", "grc"),
    "Gujarati": ("guj",),
    "Gurmukhi": ("pan",),
    "Hangul": ("kor",),
    "Hebrew": ("heb", "yid"),
    "Kannada": ("kan",),
    "Khmer": ("khm",),
    "Lao": ("lao",),
    "Malayalam": ("mal",),
    "Myanmar": ("mya",),
    "Oriya": ("ori",),
    "Sinhala": ("sin",),
    "Syriac": ("syr",),
    "Tamil": ("tam",),
    "Telugu": ("tel",),
    "Thai": ("tha",),
    "Tibetan": ("bod", "dzo"),
}
"""Scripts by Tesseract's own names and its languages for each, the most spoken first."""

SAMPLE = 3
"""Lines, the longest ones, on which languages of one script are compared."""

TELLING = 24
"""Lines from which the script is told, at most."""

LEAST_CONFIDENCE = 60
"""Per cent from which a line is taken: right scripts give 68 to 95, wrong ones 15 to 47."""

LINE_HEIGHT = 54
"""Pixels to which lower lines are enlarged: character errors of a Russian page at 144 dpi fall
from .0059 at 41 to .0029."""

MARGIN = 10
"""Pixels around a line, in its own background."""

_STRAY = "_|`~‘’'°"
"""What the edge of a crop is taken for."""

_SYSTEM_DATA = "Debian: apt-get install tesseract-ocr-all; macOS: brew install tesseract-lang"

_HOW_TO_INSTALL = (
    "install the extra (pip install 'deepcompress-dagster[tesseract]') and Tesseract's language"
    f" data ({_SYSTEM_DATA}), then parse the document again"
)


class TesseractReader:
    """A reader of single lines; engines are loaded by language when a page asks for them."""

    def __init__(self, folder: Path | None = None) -> None:
        """``folder`` holds ``*.traineddata``; None looks where systems keep them."""
        self._given = folder
        self._engines: dict[str, Any] = {}

    def read(self, lines: Sequence[Image]) -> Reread:
        """What each line says; where nothing can be read the note tells what to install."""
        nothing = (None,) * len(lines)
        if self._package is None:
            return Reread(nothing, note=f"{_left_out(lines)}; {_HOW_TO_INSTALL}")
        if self._folder is None or "osd" not in self._installed:
            return Reread(nothing, note=f"{_left_out(lines)}; {_how_to_get('osd and a language')}")
        grey = [_prepared(line) for line in lines]
        script = self._script(grey)
        if script is None:
            return Reread(nothing)
        language = self._language(script, grey)
        if language is None:
            data = _how_to_get(" or ".join(SCRIPT_LANGUAGES[script]))
            return Reread(nothing, script, f"{_left_out(lines)} ({script}); {data}")
        return Reread(tuple(self._line(line, language) for line in grey), script)

    @cached_property
    def _package(self) -> Any:
        try:
            return importlib.import_module("tesserocr")
        except ImportError:
            return None

    @cached_property
    def _folder(self) -> Path | None:
        """The folder of language data, None where there is none."""
        if self._given is not None:
            found = [self._given]
        else:
            named = Path(os.environ.get("TESSDATA_PREFIX", os.devnull))
            usual = (path for pattern in FOLDERS for path in sorted(Path("/").glob(pattern)))
            found = [named, named / "tessdata", *usual]
        return next((path for path in found if any(path.glob("*.traineddata"))), None)

    @cached_property
    def _installed(self) -> frozenset[str]:
        """Languages by name; those of whole scripts as ``script/Cyrillic``."""
        assert self._folder is not None
        files = self._folder.rglob("*.traineddata")
        return frozenset(
            file.relative_to(self._folder).with_suffix("").as_posix() for file in files
        )

    def _script(self, lines: Sequence[Image]) -> str | None:
        """Tesseract's name of the script of these lines; None where it is none of the table."""
        engine = self._engine("osd", self._package.PSM.OSD_ONLY, self._package.OEM.DEFAULT)
        engine.SetImage(PillowImage.fromarray(_below_one_another(lines[:TELLING])))
        seen = engine.DetectOrientationScript()
        name = {"Korean": "Hangul"}.get(seen["script_name"], seen["script_name"]) if seen else None
        return name if name in SCRIPT_LANGUAGES else None

    def _language(self, script: str, lines: Sequence[Image]) -> str | None:
        """The installed language of the script that is surest of the longest lines."""
        names = (f"script/{script}", *SCRIPT_LANGUAGES[script])
        known = [name for name in names if name in self._installed]
        english = "+eng" if "eng" in self._installed else ""
        candidates = [name + english for name in known]
        sample = sorted(lines, key=lambda line: -line.shape[1])[:SAMPLE]
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        return max(candidates, key=lambda name: sum(self._said(line, name)[1] for line in sample))

    def _line(self, line: Image, language: str) -> DecodedLine | None:
        text, confidence = self._said(line, language)
        if confidence < LEAST_CONFIDENCE or not text:
            return None
        return _decoded(text, confidence / 100)

    def _said(self, line: Image, language: str) -> tuple[str, int]:
        """The text of a line without what its edges are taken for, and the confidence, per cent."""
        cancellation.check()
        engine = self._engine(language, self._package.PSM.SINGLE_LINE, self._package.OEM.LSTM_ONLY)
        engine.SetImage(PillowImage.fromarray(line))
        text = " ".join(engine.GetUTF8Text().split()).strip(_STRAY + " ")
        return text, engine.MeanTextConf()

    def _engine(self, language: str, segmentation: int, engine: int) -> Any:
        if language not in self._engines:
            self._engines[language] = self._package.PyTessBaseAPI(
                path=str(self._folder), lang=language, psm=segmentation, oem=engine
            )
        return self._engines[language]


def _left_out(lines: Sequence[Image]) -> str:
    return f"{len(lines)} lines are in a script that the text model does not read"


def _how_to_get(what: str) -> str:
    return (
        f"install Tesseract's data for {what} ({_SYSTEM_DATA}) or name their folder in"
        " DEEPCOMPRESS_TESSDATA, then parse the document again"
    )


def _prepared(line: Image) -> Image:
    """The line in grey, as high as it is best read, with a margin."""
    grey = cv2.cvtColor(np.ascontiguousarray(line), cv2.COLOR_RGB2GRAY)
    factor = max(1.0, LINE_HEIGHT / grey.shape[0])
    large = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    ground = float(np.median(np.concatenate((large[0], large[-1]))))
    around: Image = cv2.copyMakeBorder(large, *(MARGIN,) * 4, cv2.BORDER_CONSTANT, value=ground)
    return around


def _below_one_another(lines: Sequence[Image]) -> Image:
    width = max(line.shape[1] for line in lines)
    ground = float(np.median(lines[0]))
    rows = [
        cv2.copyMakeBorder(line, 0, 0, 0, width - line.shape[1], cv2.BORDER_CONSTANT, value=ground)
        for line in lines
    ]
    return np.vstack(rows)


def _decoded(text: str, confidence: float) -> DecodedLine:
    """A line whose words have the shares of its length that their characters have."""
    words: list[DecodedWord] = []
    position = 0
    for word in text.split():
        start, end = position / len(text), (position + len(word)) / len(text)
        if is_rtl(text):
            start, end = 1 - end, 1 - start
        words.append(DecodedWord(word, start, end, confidence))
        position += len(word) + 1
    return DecodedLine(text, confidence, tuple(words))
