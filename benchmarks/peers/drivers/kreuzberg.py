"""kreuzberg with Markdown as its output: ``driver FOLDER_IN FOLDER_OUT``."""

import sys
from pathlib import Path

from kreuzberg import ExtractionConfig, extract_file_sync

source, target = map(Path, sys.argv[1:])
config = ExtractionConfig(output_format="markdown")
for path in sorted(source.glob("*.pdf")):
    text = extract_file_sync(str(path), config=config).content
    (target / f"{path.stem}.md").write_text(text, encoding="utf-8")
