"""The processes that the fault tests kill: run as a program, told what to be.

Everything that one commit writes carries one number, so that a reader sees whether rows of two
commits stand side by side.
"""

import json
import os
import select
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb

from deepcompress_dagster.records import DocumentOpened, DocumentResult, PageResult
from deepcompress_dagster.warehouse import Warehouse, WarehouseBusyError
from deepcompress_dagster.warehouse import database as database_module
from tests.builders import (
    block,
    figure,
    page_of,
    region,
    table,
)
from tests.warehouse.helpers import (
    VERSIONS,
    register,
)

PAGES = 3

PAUSE_S = 0.02
"""Between two reads, so that readers leave some of the processor to the writer."""

TORN = f"""
WITH numbers AS (
    SELECT document_id, page_number, width::BIGINT AS number FROM pages
    UNION ALL SELECT document_id, page_number, model::BIGINT FROM layouts
    UNION ALL SELECT document_id, page_number, content::BIGINT FROM text
    UNION ALL SELECT document_id, page_number, caption::BIGINT FROM tables
    UNION ALL SELECT document_id, page_number, caption::BIGINT FROM figures
), documents_seen AS (
    SELECT document_id, count(DISTINCT number) AS numbers, count(*) AS items,
        count(DISTINCT page_number) AS pages
    FROM numbers GROUP BY document_id
)
SELECT n.document_id FROM documents_seen n
LEFT JOIN (
    SELECT document_id, sum(rows) AS items, count(*) AS assets FROM asset_state GROUP BY document_id
) s USING (document_id)
WHERE n.numbers <> 1 OR n.pages <> {PAGES} OR s.assets IS DISTINCT FROM 5
OR s.items IS DISTINCT FROM n.items OR n.document_id NOT IN (
    SELECT document_id FROM documents WHERE status = 'complete' AND page_count = {PAGES}
)
"""
"""Committed documents that are not whole."""


def numbered_page(document_id: str, page: int, number: int) -> PageResult:
    """A page all of whose rows carry ``number``."""
    made = page_of(
        document_id,
        page,
        text=[block(page, 0, str(number))],
        tables=[table(page, 1, caption=str(number))],
        figures=[figure(page, 2, caption=str(number))],
        width=float(number),
    )
    return replace(made, layouts=(replace(region(page, 0), model=str(number)),))


def write(warehouse: Warehouse, document_id: str, number: int) -> None:
    """Stage and commit a document, page by page."""
    warehouse.begin([document_id], run_id=str(number))
    for page in range(1, PAGES + 1):
        opened = [DocumentOpened(document_id, PAGES)]
        pages = [numbered_page(document_id, page, number)]
        warehouse.stage(str(number), VERSIONS, opened, pages)
    warehouse.commit(DocumentResult(document_id, PAGES), run_id=str(number), versions=VERSIONS)
    warehouse.publish(force=True)


def write_for_ever(data_dir: Path, inbox: Path) -> None:
    """Register and rewrite documents until killed, writing the file anew at every publication;
    say so after each."""
    database_module._COMPACT_FROM_BYTES = 0
    database_module._COMPACT_FREE_SHARE = -1
    warehouse = Warehouse(data_dir)
    number = int(time.time() * 1e6)
    while True:
        number += 1
        content = str(number if number % 3 == 0 else number % 5)
        document_id = register(warehouse, inbox, f"{number % 4}.pdf", content)
        write(warehouse, document_id, number)
        print("written", flush=True)


def spawn_on_request(data_dir: Path, inbox: Path) -> None:
    """For each line read, start a writer and answer its process id; the test kills it."""
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            write_for_ever(data_dir, inbox)
        print(child, flush=True)
        os.waitpid(child, 0)
        print("dead", flush=True)


def write_some(data_dir: Path, inbox: Path, name: str, count: int) -> None:
    """Write a document of its own and one that others write too, by turns."""
    warehouse = Warehouse(data_dir)
    own = register(warehouse, inbox, f"{name}.pdf")
    shared = register(warehouse, inbox, "shared.pdf")
    for number in range(count):
        write(warehouse, own, 1000 + number)
        warehouse.begin([shared], run_id=name)
        warehouse.set_current_versions({**VERSIONS, "text": f"{name}{number}"})


def read_until_told(data_dir: Path, how: str) -> None:
    """Read until standard input says something; answer how it went."""
    warehouse = Warehouse(data_dir, lock_timeout_s=120)
    reads, failures, torn = 0, [], set()
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        try:
            torn.update(row[0] for row in _read(warehouse, how))
            reads += 1
        except (duckdb.Error, OSError, WarehouseBusyError) as error:
            failures.append(f"{type(error).__name__}: {error}")
    print(json.dumps({"reads": reads, "failures": failures, "torn": sorted(torn)}))


def _read(warehouse: Warehouse, how: str) -> Iterator[tuple[str]]:
    if how == "link":
        with duckdb.connect(warehouse.snapshot_path, read_only=True) as conn:
            yield from conn.execute(TORN).fetchall()
    else:
        with warehouse.reader() as conn:
            yield from conn.execute(TORN).fetchall()


def main() -> None:
    """``spawn data inbox``, ``some data inbox name count`` or ``read data how``."""
    _, what, data_dir, *rest = sys.argv
    if what == "spawn":
        spawn_on_request(Path(data_dir), Path(rest[0]))
    elif what == "some":
        write_some(Path(data_dir), Path(rest[0]), rest[1], int(rest[2]))
    else:
        read_until_told(Path(data_dir), rest[0])


if __name__ == "__main__":
    main()
