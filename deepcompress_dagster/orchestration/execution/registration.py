"""Files that become documents: known to the warehouse, partitions of Dagster, and reported."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from deepcompress_dagster.orchestration import run_records
from deepcompress_dagster.orchestration.execution import events
from deepcompress_dagster.orchestration.execution.event_transactions import one_transaction
from deepcompress_dagster.orchestration.naming import PLAIN, Naming
from deepcompress_dagster.orchestration.partitions import batches, missing_partitions

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse import (
        DocumentRow,
        Place,
        Registration,
        RemoteFile,
        Warehouse,
    )

PARTITIONS_TOGETHER = 10_000
"""Keys of partitions made in one transaction: it holds Dagster's index for a quarter second."""


def register_documents(
    instance: dg.DagsterInstance,
    warehouse: "Warehouse",
    files: "Sequence[Path | RemoteFile]",
    *,
    recall: "Collection[Place]" = (),
    names: Naming = PLAIN,
) -> list["Registration"]:
    """Register files of this machine or of object stores: identities, partitions, and
    ``source_pdfs`` reported.

    One answer each, in order; a bad file's answer carries the error. A document that was
    forgotten is refused, but for the paths to ``recall``.
    """
    registered = warehouse.register(files, recall=recall)
    warehouse.clear_superseded(
        run_records.documents_in(instance, run_records.unfinished_runs(instance, names), names)
    )
    found = {item.document_id: item.path for item in registered if item.document_id}
    new = missing_partitions(instance, found, names)
    announce(instance, warehouse.documents(new), found, new, names)
    return registered


def announce(
    instance: dg.DagsterInstance,
    rows: "Sequence[DocumentRow]",
    found: "Mapping[str, Place]",
    new: Sequence[str],
    names: Naming = PLAIN,
) -> None:
    """Report ``source_pdfs`` of ``rows``, found where ``found`` says, and make ``new`` partitions.

    In this order: who dies in between finds the partitions missing, and does both again.
    """
    with one_transaction(instance):
        for row in rows:
            path = str(found.get(row.document_id, row.file_name))
            instance.report_runless_asset_event(events.source_materialization(row, path, names))
    for piece in batches(new, PARTITIONS_TOGETHER):
        instance.add_dynamic_partitions(names.partitions, piece)
