"""liteparse; OCR off, as it fetches its data at run time: ``driver FOLDER_IN FOLDER_OUT``."""

import sys
from pathlib import Path

from liteparse import LiteParse

source, target = map(Path, sys.argv[1:])
parser = LiteParse(output_format="markdown", ocr_enabled=False, quiet=True)
for path in sorted(source.glob("*.pdf")):
    text = parser.parse(str(path)).text
    (target / f"{path.stem}.md").write_text(text, encoding="utf-8")
