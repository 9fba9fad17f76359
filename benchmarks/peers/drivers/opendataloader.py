"""opendataloader-pdf, all files in one call of its program: ``driver FOLDER_IN FOLDER_OUT``."""

import sys
from pathlib import Path

import opendataloader_pdf

source, target = map(Path, sys.argv[1:])
files = [str(path) for path in sorted(source.glob("*.pdf"))]
opendataloader_pdf.convert(
    input_path=files, output_dir=str(target), format="markdown", image_output="off", quiet=True
)
