"""The partitions: one key a document, shared by all assets and checks."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import dagster as dg

from deepcompress_dagster.orchestration.naming import PLAIN, Naming

T = TypeVar("T")


def missing_partitions(
    instance: dg.DagsterInstance, document_ids: Iterable[str], names: Naming = PLAIN
) -> list[str]:
    """Those of ``document_ids`` that have no partition yet, in the order given."""
    known = set(instance.get_dynamic_partitions(names.partitions))
    return [document_id for document_id in document_ids if document_id not in known]


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """``items`` in order, ``size`` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
