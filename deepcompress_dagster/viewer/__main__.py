"""The viewer as a process beside Dagster: ``python -m deepcompress_dagster.viewer HOST PORT``."""

import sys

from deepcompress_dagster.ports import PortTakenError
from deepcompress_dagster.settings import load_settings
from deepcompress_dagster.viewer.server import serve

if __name__ == "__main__":
    try:
        serve(load_settings(), host=sys.argv[1], port=int(sys.argv[2]))
    except PortTakenError as problem:
        sys.exit(str(problem))
