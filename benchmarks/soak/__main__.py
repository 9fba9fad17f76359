"""Kills, stops, resumes and load over time: real processes, models that answer at once.

    python -m benchmarks.soak [--tries 19] [--services 6] [--documents 2000] [--minutes 10]
                              [--only kills,stops,resume,flood,load] [--work DIR]

Prints one table (fault, tries, lost pages, lost documents, torn documents, time to recover) and
what is left behind; ``load`` writes ``load.csv`` and ``load.svg``: memory, file descriptors and
queue depths over time. The status is 1 where anything was lost, torn or left behind.

Here is the command line only; each measurement has a module of its own beside this one.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.soak.flood import flood
from benchmarks.soak.kills import kills
from benchmarks.soak.load import load, read
from benchmarks.soak.nursery import nursery
from benchmarks.soak.processes import process, serve
from benchmarks.soak.resume import resume
from benchmarks.soak.stops import stops
from benchmarks.soak.verdict import HEAD
from benchmarks.walk import say


def main() -> None:
    if sys.argv[1:2] == ["serve"]:
        sys.exit(serve(int(sys.argv[2])))
    if sys.argv[1:2] == ["read"]:
        read()
        return
    if sys.argv[1:2] == ["nursery"]:
        nursery()
        return
    if sys.argv[1:2] == ["process"]:
        sys.exit(process([Path(name) for name in sys.argv[2:]]))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tries", type=int, default=19)
    parser.add_argument("--services", type=int, default=6, help="tries for each service")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--documents", type=int, default=2000, help="size of the flood")
    parser.add_argument("--only", default="kills,stops,resume,flood,load")
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="deepcompress-soak-"))
    steps = arguments.only.split(",")
    rows = kills(work / "kills", arguments.tries, arguments.services) if "kills" in steps else []
    rows += stops(work / "stops", arguments.services) if "stops" in steps else []
    rows += resume(work / "resume") if "resume" in steps else []
    rows += flood(work / "flood", arguments.documents) if "flood" in steps else []
    rows += load(work / "load", arguments.minutes) if "load" in steps else []
    say(HEAD)
    for row in rows:
        say(row)
    for row in rows:
        for problem in row.problems:
            say(f"{row.fault}: {problem}")
    sys.exit(0 if all(row.is_clean for row in rows) else 1)


if __name__ == "__main__":
    main()
