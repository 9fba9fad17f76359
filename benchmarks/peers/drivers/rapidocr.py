"""RapidOCR on rendered pages, its lines as they come: ``driver FOLDER_IN FOLDER_OUT``."""

import logging
import sys
from pathlib import Path

import numpy as np
import pymupdf
from rapidocr import RapidOCR

DPI = 144

logging.disable(logging.WARNING)
source, target = map(Path, sys.argv[1:])
engine = RapidOCR()
for path in sorted(source.glob("*.pdf")):
    lines: list[str] = []
    with pymupdf.open(path) as document:
        for page in document:
            picture = page.get_pixmap(dpi=DPI, alpha=False)
            pixels = np.frombuffer(picture.samples, np.uint8).reshape(picture.h, picture.w, 3)
            lines += engine(pixels[:, :, ::-1].copy()).txts or ()
    (target / f"{path.stem}.md").write_text("\n".join(lines), encoding="utf-8")
