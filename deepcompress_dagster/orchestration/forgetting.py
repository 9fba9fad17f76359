"""Documents that are forgotten: out of the warehouse, its files, and what Dagster remembers.

Dagster's own call for this (``wipe_asset_partitions``) is not made for its SQL storages, so the
events of a partition are deleted where they are stored.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
import sqlalchemy as db
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.orchestration import run_records
from deepcompress_dagster.orchestration.naming import PLAIN, SOURCE_ASSET
from deepcompress_dagster.orchestration.partitions import batches

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse import Warehouse

TOGETHER = 500
"""Documents in one statement; SQLite takes 32,766 values, older ones 999."""


class InWorkError(ValueError):
    """A document cannot be forgotten while a run has it."""


def forget_documents(
    instance: dg.DagsterInstance, warehouse: "Warehouse", document_ids: Sequence[str]
) -> None:
    """Delete documents with everything that is known of them, but for the hash of their bytes.

    Raises InWorkError, before anything is deleted, where an unfinished run has one of them, and
    UnknownDocumentError. Where it is interrupted, calling it again completes it.
    """
    busy = run_records.documents_in(instance, run_records.unfinished_runs(instance))
    if held := sorted(busy & set(document_ids)):
        raise InWorkError(
            f"{', '.join(held)}: a run is queued or at work on it; wait for it to end, or terminate"
            " it in the UI, and forget it then"
        )
    for some in batches(document_ids, TOGETHER):
        _delete_events(instance, some)
        for document_id in some:
            instance.delete_dynamic_partition(PLAIN.partitions, document_id)
    instance.wipe_asset_cached_status([PLAIN.key(asset) for asset in (*ASSETS, SOURCE_ASSET)])
    warehouse.forget(document_ids)


def _delete_events(instance: dg.DagsterInstance, document_ids: Sequence[str]) -> None:
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        for asset in (*ASSETS, SOURCE_ASSET):
            storage.wipe_asset_partitions(PLAIN.key(asset), document_ids)
        return
    events, checks = SqlEventLogStorageTable, AssetCheckExecutionsTable
    own = events.c.partition.in_(document_ids)
    with storage.index_connection() as conn:
        runs = [run for (run,) in conn.execute(db.select(events.c.run_id).where(own).distinct())]
        numbers = db.select(events.c.id).where(own)
        conn.execute(
            db.delete(AssetEventTagsTable).where(AssetEventTagsTable.c.event_id.in_(numbers))
        )
        conn.execute(db.delete(events).where(own))
        conn.execute(db.delete(checks).where(checks.c.partition.in_(document_ids)))
    for run_id in runs:
        with storage.run_connection(run_id) as conn:
            conn.execute(db.delete(events).where(own))
