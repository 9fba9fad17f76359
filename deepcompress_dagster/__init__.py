"""PDFs to SQL tables: a Dagster pipeline over DuckDB.

Importing the package imports nothing heavy; ``parse`` is resolved when it is first asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepcompress_dagster.api import parse

__all__ = ["parse"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "parse":
        from deepcompress_dagster.api import parse

        return parse
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
