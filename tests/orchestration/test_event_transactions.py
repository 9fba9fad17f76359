import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from deepcompress_dagster.orchestration.execution.event_transactions import one_transaction

KEY = dg.AssetKey("pages")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def store(instance: dg.DagsterInstance, partition: str) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization(KEY, partition=partition))


def store_and_fail(instance: dg.DagsterInstance, partition: str) -> None:
    store(instance, partition)
    raise dg.DagsterInvalidDefinitionError("an error after the event")


def store_after_a_block(instance: dg.DagsterInstance) -> None:
    with one_transaction(instance):
        store(instance, "a")
    store_and_fail(instance, "b")


def stored(instance: dg.DagsterInstance) -> set[str]:
    return set(instance.get_materialized_partitions(KEY))


def test_events_of_one_block_are_seen_within_it_and_by_others_once_it_ends(instance, tmp_path):
    with dg.DagsterInstance.from_ref(instance.get_ref()) as other:
        with one_transaction(instance):
            store(instance, "a")
            store(instance, "b")
            assert stored(instance) == {"a", "b"}
            assert stored(other) == set()
        assert stored(other) == {"a", "b"}


def test_an_error_within_a_block_leaves_none_of_its_events(instance):
    store(instance, "a")
    with pytest.raises(dg.DagsterInvalidDefinitionError), one_transaction(instance):
        store_and_fail(instance, "b")
    assert stored(instance) == {"a"}
    store(instance, "c")
    assert stored(instance) == {"a", "c"}


def test_another_thread_stores_its_event_once_the_block_has_ended(instance):
    thread = threading.Thread(target=store, args=(instance, "other"))
    with one_transaction(instance):
        store(instance, "a")
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        assert stored(instance) == {"a"}
    thread.join(30)
    assert stored(instance) == {"a", "other"}


def test_a_block_within_a_block_is_a_part_of_it(instance):
    with pytest.raises(dg.DagsterInvalidDefinitionError), one_transaction(instance):
        store_after_a_block(instance)
    assert stored(instance) == set()
