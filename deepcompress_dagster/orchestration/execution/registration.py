"""Files that become documents: known to the warehouse, partitions of Dagster, and reported."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from deepcompress_dagster.orchestration import run_records
from deepcompress_dagster.orchestration.execution import events
from deepcompress_dagster.orchestration.naming import PLAIN, Naming
from deepcompress_dagster.orchestration.partitions import missing_partitions

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse import Place, Registration, RemoteFile, Warehouse


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
    instance.add_dynamic_partitions(names.partitions, new)
    for row in warehouse.documents(new):
        path = str(found[row.document_id])
        instance.report_runless_asset_event(events.source_materialization(row, path, names))
    return registered
