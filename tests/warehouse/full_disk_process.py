"""Writes documents under a limit on the size of files that comes closer each time; run as a
program with a data folder, it prints how each write ended."""

import json
import resource
import sys
from pathlib import Path

from deepcompress_dagster.warehouse import DiskError, Warehouse
from tests.warehouse.fault_processes import write
from tests.warehouse.helpers import (
    register,
)

STEPS = 8
STEP_BYTES = 60_000


def main() -> None:
    data_dir = Path(sys.argv[1])
    warehouse = Warehouse(data_dir)
    inbox = data_dir.parent / "inbox"
    document_id = register(warehouse, inbox, "first.pdf")
    write(warehouse, document_id, 1)
    size = (data_dir / "warehouse.duckdb").stat().st_size
    outcomes = []
    for step in range(STEPS):
        limit = size + STEP_BYTES * (STEPS // 2 - step)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            write(warehouse, document_id, step + 2)
            outcomes.append("written")
        except (DiskError, OSError) as error:
            outcomes.append(str(error))
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main()
