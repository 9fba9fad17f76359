"""An export as a DuckLake, in the client that DuckLake's extension is packaged for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepcompress_dagster.export.export import Request, export
from deepcompress_dagster.warehouse import Warehouse
from tests.builders import page_of
from tests.warehouse.helpers import commit, register

CLIENT = Path(os.environ.get("DEEPCOMPRESS_DUCKDB_CLIENTS", "missing"), "1.5.5").absolute()
EXTENSION = CLIENT / "duckdb_extension_ducklake/extensions/v1.5.5/ducklake.duckdb_extension"

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "export.md"


def statements() -> str:
    """What the page says about DuckLake, but for getting the extension."""
    shown = PAGE.read_text().split("## DuckLake")[1].split("```text\n")[1].split("```")[0]
    return "\n".join(line for line in shown.splitlines() if not line.startswith("INSTALL"))


@pytest.mark.clients
@pytest.mark.skipif(not EXTENSION.exists(), reason="make clients, and name their folder")
def test_what_the_page_says_makes_a_lake_of_an_export(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path / "data")
    document_id = register(warehouse, tmp_path / "inbox", "a.pdf")
    commit(warehouse, document_id, [page_of(document_id, n) for n in (1, 2)])
    warehouse.publish(force=True)
    export(warehouse, str(tmp_path / "export"), Request())

    code = f"""
import duckdb
with duckdb.connect(config={{"allow_unsigned_extensions": "true"}}) as conn:
    conn.execute("LOAD '{EXTENSION}'")
    conn.execute('''{statements().replace("LOAD ducklake;", "")}''')
    print(conn.execute("SELECT document_id, count(*) FROM lake.text GROUP BY ALL").fetchall())
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CLIENT)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == f"[('{document_id}', 2)]", done.stderr
