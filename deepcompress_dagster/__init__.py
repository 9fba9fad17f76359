"""PDFs to SQL tables: a Dagster pipeline over DuckDB.

Importing the package imports nothing heavy: ``parse`` (without Dagster) and ``PdfTables`` (a
component for a Dagster project) are resolved when they are first asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepcompress_dagster.api import parse
    from deepcompress_dagster.component import PdfTables

__all__ = ["PdfTables", "parse"]
__version__ = "0.1.0"


_HOME = {"parse": "api", "PdfTables": "component"}
"""The module of each public name."""


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
