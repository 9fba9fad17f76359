"""The warm process of the data folder: ``python -m deepcompress_dagster.hosts.warm``.

With ``--while-parent-lives`` it ends with the process that started it.
"""

import sys

from deepcompress_dagster.hosts.warm.server import WarmProcess
from deepcompress_dagster.settings import load_settings

WHILE_PARENT_LIVES = "--while-parent-lives"


def main() -> None:
    """Serve until told to end."""
    WarmProcess(load_settings()).serve(while_parent_lives=WHILE_PARENT_LIVES in sys.argv[1:])


if __name__ == "__main__":
    main()
