"""faster-paddle on rendered pages: ``driver FOLDER_IN FOLDER_OUT tiny|small``."""

import sys
from pathlib import Path

import pymupdf
from faster_paddle import OcrEngine

DPI = 144

source, target = map(Path, sys.argv[1:3])
engine = OcrEngine(model_size=sys.argv[3])
for path in sorted(source.glob("*.pdf")):
    texts = []
    with pymupdf.open(path) as document:
        for page in document:
            texts.append(engine.ocr(page.get_pixmap(dpi=DPI, alpha=False).tobytes("png"))["text"])
    (target / f"{path.stem}.md").write_text("\n".join(texts), encoding="utf-8")
