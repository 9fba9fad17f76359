import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

from deepcompress_dagster.records import DocumentStatus
from deepcompress_dagster.warehouse import Warehouse, WarehouseBusyError
from tests.warehouse.fault_processes import PAGES, TORN, write
from tests.warehouse.helpers import (
    VERSIONS,
    register,
)

ROOT = Path(__file__).parents[2]
KILLS = 12
LONGEST_LIFE = 1.5
"""Rounds of writing that a writer lives for at most, so that every part of a round is hit."""

SPREAD = 0.618034
"""Multiples of it, less their whole part, lie evenly between 0 and 1 in a mixed order."""

SPARED = 6
"""One writer in so many lives to write at least once."""


def _start(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.warehouse.fault_processes", *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _ask(process: subprocess.Popen[str], line: str) -> str:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return _next_line(process)


def _next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def _whole(warehouse: Warehouse) -> None:
    """Every committed document is whole, in the warehouse and in a snapshot of it."""
    with warehouse._database.read() as conn:
        assert conn.execute(TORN).fetchall() == []
    warehouse.publish(force=True)
    with duckdb.connect(warehouse.snapshot_path, read_only=True) as conn:
        assert conn.execute(TORN).fetchall() == []


def test_killing_writers_at_any_instant_tears_nothing_and_fails_no_read(
    warehouse: Warehouse, inbox: Path
) -> None:
    document_id = register(warehouse, inbox, "first.pdf")
    write(warehouse, document_id, 1)
    start = time.monotonic()
    write(warehouse, document_id, 2)
    longest_life_s = LONGEST_LIFE * (time.monotonic() - start)
    readers = [_start("read", warehouse.data_dir, how) for how in ("link", "reader")]
    writers = _start("spawn", warehouse.data_dir, inbox)
    for number in range(KILLS):
        writer = int(_ask(writers, "go"))
        if number % SPARED == 0:
            assert _next_line(writers) == "written"
        time.sleep(longest_life_s * (number * SPREAD % 1))
        os.kill(writer, signal.SIGKILL)
        while _next_line(writers) != "dead":
            pass
    writers.communicate(timeout=30)
    assert writers.returncode == 0

    told = [json.loads(reader.communicate("q", timeout=60)[0]) for reader in readers]
    for answer in told:
        assert answer["failures"] == []
        assert answer["torn"] == []
        assert answer["reads"] > KILLS

    survivor = Warehouse(warehouse.data_dir)
    _whole(survivor)
    committed = {state.document_id for state in survivor.asset_states()}
    assert len(committed) > 1
    for row in survivor.documents():
        kept = survivor.kept_pdf(row.document_id)
        assert hashlib.sha256(kept.read_bytes()).hexdigest() == row.sha256
        assert (row.status is DocumentStatus.COMPLETE) == (row.document_id in committed)
        assert survivor.finished_pages(row.document_id, VERSIONS) <= set(range(1, PAGES + 1))
    write(survivor, register(survivor, inbox, "last.pdf"), 3)
    _whole(survivor)


def test_two_writing_processes_take_turns(warehouse: Warehouse, inbox: Path) -> None:
    rounds = 4
    writers = [_start("some", warehouse.data_dir, inbox, name, rounds) for name in ("one", "two")]
    for writer in writers:
        writer.communicate(timeout=100)
        assert writer.returncode == 0
    _whole(warehouse)
    rows = {row.file_name: row for row in warehouse.documents()}
    assert set(rows) == {"one.pdf", "two.pdf", "shared.pdf"}
    assert rows["shared.pdf"].attempts >= 2
    states = warehouse.asset_states([rows["one.pdf"].document_id])
    assert {state.run_id for state in states} == {str(1000 + rounds - 1)}


def test_a_writer_that_waits_too_long_says_for_whom(data_dir: Path) -> None:
    holder = Warehouse(data_dir)
    waiting = Warehouse(data_dir, lock_timeout_s=0.1)
    with (
        holder._database.write(),
        pytest.raises(WarehouseBusyError, match=rf"held for 0 s.*process {os.getpid()}"),
    ):
        waiting.documents()
    assert waiting.documents() == []


def test_readers_of_the_file_do_not_wait_for_each_other(data_dir: Path) -> None:
    one = Warehouse(data_dir)
    two = Warehouse(data_dir, lock_timeout_s=0.1)
    one.documents()
    two.documents()
    with one._database.read(), two._database.read() as conn:
        assert conn.execute("SELECT count(*) FROM documents").fetchall() == [(0,)]
    with one._database.read(), pytest.raises(WarehouseBusyError):
        two.set_current_versions(VERSIONS)


def test_a_full_disk_is_an_error_that_says_so_and_costs_nothing_committed(
    warehouse: Warehouse, inbox: Path
) -> None:
    """The limit on the size of a file stands for the disk: it fails writes in the same places."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.warehouse.full_disk_process", str(warehouse.data_dir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    outcomes = json.loads(done.stdout)
    failed = [outcome for outcome in outcomes if outcome != "written"]
    assert failed
    assert all("File too large" in outcome for outcome in failed)
    assert any("make room" in outcome for outcome in failed)
    _whole(warehouse)
    assert not list(warehouse.data_dir.rglob("*.part"))
    assert not list((warehouse.data_dir / "tmp").glob("*"))
    write(warehouse, register(warehouse, inbox, "after.pdf"), 99)
    _whole(warehouse)
    assert len(warehouse.documents()) == 2
