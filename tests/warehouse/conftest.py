"""A warehouse in a fresh data folder, and an inbox beside it."""

import shutil
from pathlib import Path

import pytest

from deepcompress_dagster.warehouse import Warehouse


@pytest.fixture(scope="session")
def empty_warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse file without rows: making one takes longer than copying it."""
    folder = tmp_path_factory.mktemp("empty")
    Warehouse(folder).counts()
    return folder / "warehouse.duckdb"


@pytest.fixture
def data_dir(tmp_path: Path, empty_warehouse: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copyfile(empty_warehouse, folder / "warehouse.duckdb")
    return folder


@pytest.fixture
def warehouse(data_dir: Path) -> Warehouse:
    return Warehouse(data_dir, lock_timeout_s=30)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder
