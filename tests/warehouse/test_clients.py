"""DuckDB clients of other versions on a published snapshot, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepcompress_dagster.records import Label
from deepcompress_dagster.warehouse import Warehouse
from deepcompress_dagster.warehouse.schema import MAIN_TABLES, STAGING_TABLES
from deepcompress_dagster.warehouse.views import VIEWS
from tests.builders import (
    block,
    page_of,
)
from tests.warehouse.helpers import (
    commit,
    register,
    stage,
)

FOLDER = "DEEPCOMPRESS_DUCKDB_CLIENTS"
"""Variable that names a folder with a subfolder for each version; ``make clients`` fills one."""

READ_EVERYTHING = """
import sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as conn:
    for name in sys.argv[2:]:
        conn.execute(f"SELECT * FROM {name}")
        rows = conn.fetchall()
        print(name, len(rows))
    print(conn.execute("SELECT markdown FROM document_markdown").fetchall())
    for macro in ("search('words')", "chunks_of(50, 10)"):
        print(conn.execute(f"SELECT * FROM {macro}").fetchall())
print(duckdb.__version__, file=sys.stderr)
"""


@pytest.fixture
def snapshot(warehouse: Warehouse, inbox: Path) -> Path:
    """A published file with a committed document and one in work."""
    done, in_work = (register(warehouse, inbox, name) for name in ("a.pdf", "b.pdf"))
    commit(
        warehouse,
        done,
        [page_of(done, 1, text=[block(1, 0, "On words", Label.TITLE, 1)], errors={"text": "dim"})],
    )
    stage(warehouse, in_work, [page_of(in_work, 1)], page_count=2)
    warehouse.publish(force=True)
    return warehouse.snapshot_path


def _read(snapshot: Path, **environment: str) -> tuple[str, str]:
    """What a client finds, and its version."""
    names = [relation.name for relation in (*MAIN_TABLES, *STAGING_TABLES, *VIEWS)]
    done = subprocess.run(
        [sys.executable, "-c", READ_EVERYTHING, str(snapshot), *names],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr.strip()


@pytest.mark.clients
@pytest.mark.skipif(
    FOLDER not in os.environ, reason=f"make clients, and name its folder in {FOLDER}"
)
def test_clients_of_older_versions_read_every_table_and_view(snapshot: Path) -> None:
    expected, today = _read(snapshot)
    assert "tables 1\n" in expected
    assert "# On words" in expected
    clients = sorted(path for path in Path(os.environ[FOLDER]).iterdir() if path.is_dir())
    versions = []
    for client in clients:
        found, version = _read(snapshot, PYTHONPATH=str(client))
        assert found == expected, version
        versions.append(version)
    assert versions == [client.name for client in clients]
    assert len({*versions, today}) >= 5
