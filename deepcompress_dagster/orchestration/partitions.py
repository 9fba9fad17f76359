"""The partitions: one key a document, shared by all assets and checks."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import dagster as dg

T = TypeVar("T")

NAME = "documents"
documents = dg.DynamicPartitionsDefinition(name=NAME)


def missing_partitions(instance: dg.DagsterInstance, document_ids: Iterable[str]) -> list[str]:
    """Those of ``document_ids`` that have no partition yet, in the order given."""
    known = set(instance.get_dynamic_partitions(NAME))
    return [document_id for document_id in document_ids if document_id not in known]


def batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """``items`` in order, ``size`` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
