"""pymupdf4llm, as its README calls it: ``driver FOLDER_IN FOLDER_OUT``."""

import sys
from pathlib import Path

import pymupdf4llm

source, target = map(Path, sys.argv[1:])
for path in sorted(source.glob("*.pdf")):
    (target / f"{path.stem}.md").write_text(pymupdf4llm.to_markdown(str(path)), encoding="utf-8")
