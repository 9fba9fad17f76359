"""Pages of the documentation that are made from the code when the site is built.

What belongs here: pages whose facts stand elsewhere (schema, settings, benchmarks, changes, the
picture of the floors). What does not: prose, which stands in the Markdown files beside this one.
"""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import drawing  # noqa: E402  (the path has to be set first)

from deepcompress_dagster import settings  # noqa: E402
from deepcompress_dagster.warehouse import dictionary, views  # noqa: E402


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages to those that were found in the folder."""
    pages = {
        "settings.md": _settings(),
        "tables.md": _tables(),
        "benchmarks.md": (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8"),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        "floors.svg": drawing.svg(),
    }
    for name, content in pages.items():
        files.append(File.generated(config, name, content=_relinked(content)))
    return files


def _settings() -> str:
    return (
        "# Settings\n\nBy environment variable or in `.env`; models, device and batch sizes also in"
        f" Dagster's launchpad.\n\n{settings.markdown_table()}\n"
    )


def _tables() -> str:
    """Every table, view and macro, as the comments in the database say it."""
    macros = "\n\n".join(f"### {macro.call}\n\n{macro.comment}" for macro in views.MACROS)
    return (
        "# Tables and views\n\nCoordinates are PDF points, origin at the top-left corner of the"
        " page as displayed, y down; pages count from 1. The same texts are comments in the"
        " database (`duckdb_columns()`, `duckdb_views()`), and `deepcompress schema` prints them."
        f"\n\n{dictionary.markdown(dictionary.entries())}\n\n## Macros\n\n{macros}\n"
    )


def _relinked(text: str) -> str:
    """Links to pictures in docs/ as they stand from within docs/."""
    return re.sub(r"\]\((?:\.\./)?docs/", "](", text)
