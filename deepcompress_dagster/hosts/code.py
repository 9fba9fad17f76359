"""Whether two machines have the same code: told by its contents, wherever it lies."""

import hashlib
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

import deepcompress_dagster

READERS = (
    "numpy",
    "onnxruntime",
    "opencv-python-headless",
    "pillow",
    "pymupdf",
    "torch",
    "transformers",
)
"""Packages whose version may change what a page's rows say."""


@cache
def code_contents() -> str:
    """A hash of this package's sources, of Python's version and those of ``READERS``.

    Read once: a process runs the code that it was started with.
    """
    root = Path(deepcompress_dagster.__file__).parent
    versions = [f"{name}={_version(name)}" for name in READERS]
    digest = hashlib.sha256(" ".join([sys.version.split()[0], *versions]).encode())
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "none"
