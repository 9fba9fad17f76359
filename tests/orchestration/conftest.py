"""A data folder, a Dagster instance, and definitions with the parser of ``bench``."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.settings import Settings, load_settings
from deepcompress_dagster.warehouse import Warehouse
from tests.orchestration.bench import Bench, FakeGpu, FakeParser, inbox_of


@pytest.fixture(autouse=True)
def _fresh_parser() -> Iterator[None]:
    FakeParser.log = []
    FakeParser.open_parsers = 0
    FakeParser.before_page = None
    yield
    assert FakeParser.open_parsers == 0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    return load_settings(
        inbox=inbox, data_dir=tmp_path / "data", models_dir=tmp_path / "models", settle_s=0.0
    )


@pytest.fixture
def warehouse(settings: Settings) -> Warehouse:
    return Warehouse(settings.data_dir)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def definitions(settings: Settings) -> dg.Definitions:
    return build_definitions(settings, {"gpu": FakeGpu()})


@pytest.fixture
def bench(
    instance: dg.DagsterInstance,
    warehouse: Warehouse,
    definitions: dg.Definitions,
    settings: Settings,
) -> Bench:
    return Bench(instance, warehouse, definitions, inbox_of(settings))
