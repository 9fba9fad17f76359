"""The job that the sensor and the command line run: all five assets, in one process."""

import hashlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from deepcompress_dagster.orchestration.defs.assets import ParseConfig
from deepcompress_dagster.orchestration.naming import PLAIN, Naming
from deepcompress_dagster.orchestration.run_records import (
    PARTITION_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    SCATTERED_TAG,
)

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

BATCH_TAG = "deepcompress/batch"
"""Identifies the documents of a run; runs that carry the same are attempts at the same batch."""

DOCUMENTS_TAG = "deepcompress/documents"


def parse_documents_job(names: Naming = PLAIN) -> "UnresolvedAssetJobDefinition":
    """All five assets of any documents. The stream needs no more than one process."""
    return dg.define_asset_job(
        names.job,
        selection=dg.AssetSelection.assets(*names.asset_keys()),
        executor_def=dg.in_process_executor,
        description="Parse documents: render, find regions, read text, tables and figures.",
    )


def run_config(
    document_ids: Sequence[str],
    *,
    pages: Collection[int] | None = None,
    skip_unchanged: bool,
    names: Naming = PLAIN,
) -> dict[str, Any]:
    """The configuration of a run that works on these documents."""
    config = ParseConfig(
        documents=list(document_ids), pages=sorted(pages or ()), skip_unchanged=skip_unchanged
    )
    return {"ops": {names.op: {"config": config.model_dump()}}}


def run_tags(document_ids: Sequence[str], partitions: Sequence[str]) -> dict[str, str]:
    """The tags of a run that works on these documents.

    ``partitions`` are all partition keys in Dagster's order. Documents that stand side by side
    are the run's partition range. Others are not: Dagster takes all that lies between for the
    run's own and shows it as failed when the run fails. Such a run carries one of its documents
    for a partition, since it must have one, says that it is scattered, and announces the others
    itself.
    """
    tags = {BATCH_TAG: batch_key(document_ids), DOCUMENTS_TAG: str(len(document_ids))}
    first = partitions.index(document_ids[0])
    if len(document_ids) == 1:
        return {**tags, PARTITION_TAG: document_ids[0]}
    if list(document_ids) == list(partitions[first : first + len(document_ids)]):
        return {**tags, RANGE_START_TAG: document_ids[0], RANGE_END_TAG: document_ids[-1]}
    return {**tags, PARTITION_TAG: document_ids[0], SCATTERED_TAG: "true"}


def batch_key(document_ids: Sequence[str]) -> str:
    """A hash of the documents of a batch."""
    return hashlib.sha256("\n".join(document_ids).encode()).hexdigest()[:16]
