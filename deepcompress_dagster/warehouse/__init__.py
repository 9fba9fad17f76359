"""DuckDB: schema, registration, staging and replace, published snapshots, views, export.

DuckDB itself is loaded when ``Warehouse`` is first asked for: what only describes the tables, as
Dagster's definitions do, does without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from deepcompress_dagster.warehouse.errors import (
    DiskError,
    NewerSchemaError,
    NothingStagedError,
    NotMaterializedError,
    QueryError,
    UnknownDocumentError,
    WarehouseBusyError,
    WarehouseError,
)
from deepcompress_dagster.warehouse.types import (
    AssetState,
    CommittedDocument,
    DocumentRow,
    DocumentSummary,
    Failure,
    FileStat,
    Format,
    Health,
    Place,
    Registration,
    RemoteFile,
    StalePartition,
)

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse.quality import DocumentQuality
    from deepcompress_dagster.warehouse.warehouse import Warehouse

__all__ = [
    "AssetState",
    "CommittedDocument",
    "DiskError",
    "DocumentQuality",
    "DocumentRow",
    "DocumentSummary",
    "Failure",
    "FileStat",
    "Format",
    "Health",
    "NewerSchemaError",
    "NotMaterializedError",
    "NothingStagedError",
    "Place",
    "QueryError",
    "Registration",
    "RemoteFile",
    "StalePartition",
    "UnknownDocumentError",
    "Warehouse",
    "WarehouseBusyError",
    "WarehouseError",
]

_LOADED_LATER = {"DocumentQuality": "quality", "Warehouse": "warehouse"}


def __getattr__(name: str) -> Any:
    if name in _LOADED_LATER:
        return getattr(import_module(f"{__name__}.{_LOADED_LATER[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
