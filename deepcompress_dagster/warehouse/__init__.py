"""DuckDB: schema, registration, staging and replace, published snapshots, views, export."""

from deepcompress_dagster.warehouse.errors import (
    NewerSchemaError,
    NothingStagedError,
    NotMaterializedError,
    UnknownDocumentError,
    WarehouseBusyError,
    WarehouseError,
)
from deepcompress_dagster.warehouse.export import Format
from deepcompress_dagster.warehouse.types import (
    AssetState,
    CommittedDocument,
    DocumentRow,
    DocumentSummary,
    Failure,
    FileStat,
    Registration,
    StalePartition,
)
from deepcompress_dagster.warehouse.warehouse import Warehouse

__all__ = [
    "AssetState",
    "CommittedDocument",
    "DocumentRow",
    "DocumentSummary",
    "Failure",
    "FileStat",
    "Format",
    "NewerSchemaError",
    "NotMaterializedError",
    "NothingStagedError",
    "Registration",
    "StalePartition",
    "UnknownDocumentError",
    "Warehouse",
    "WarehouseBusyError",
    "WarehouseError",
]
