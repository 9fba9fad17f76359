"""Files made or found to do harm, through ``deepcompress process``: what came of each.

    python -m benchmarks.hostile CORPUS [--work FOLDER]

CORPUS holds ``manifest.json``, whose hostile documents say what a reader should make of them, and
the documents. Of one with more than ``LONG`` pages the first ``FEW`` are parsed. Prints the
outcomes, where they are not the expected ones, and the cost. The status is 1 where a document is
missing from the tables or has failed without a reason.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality import Cost, as_pdf, process
from deepcompress_dagster.warehouse import Warehouse

LONG, FEW = 1000, 8

OUTCOMES = """
SELECT file_name, d.status,
       coalesce(string_agg(error_type || ': ' || message, '; ' ORDER BY page_number), '') AS said
FROM documents d LEFT JOIN errors e USING (document_id) GROUP BY ALL ORDER BY file_name
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="deepcompress-hostile-"))
    records = json.loads((arguments.corpus / "manifest.json").read_text())["documents"]
    hostile = [record for record in records if record["category"] == "hostile"]
    for record in hostile:
        folder = work / ("long" if (record["pages"] or 0) > LONG else "usual")
        folder.mkdir(parents=True, exist_ok=True)
        as_pdf(arguments.corpus / record["file"], record["id"], folder)
    cost = process(
        work / "usual", work / "data", DEEPCOMPRESS_PASSWORDS_FILE=passwords(hostile, work)
    )
    if (work / "long").exists():
        process(work / "long", work / "data", "--pages", f"1-{FEW}")
    sys.exit(report(hostile, Warehouse(work / "data").query(OUTCOMES).to_pylist(), cost))


def passwords(hostile: Sequence[dict[str, Any]], folder: Path) -> str:
    """A file with the passwords that the manifest knows, as the setting wants it."""
    known = [f"{item['id']}.pdf = {item['password']}" for item in hostile if "password" in item]
    path = folder / "passwords.txt"
    path.write_text("\n".join(known) + "\n")
    path.chmod(0o600)
    return str(path)


def report(hostile: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]], cost: Cost) -> int:
    """Print what came of each document; returns the exit status."""
    found = {Path(row["file_name"]).stem: row for row in rows}
    missing = [item["id"] for item in hostile if item["id"] not in found]
    silent = [name for name, row in found.items() if row["status"] == "failed" and not row["said"]]
    counts = Counter(
        (item["expect"]["outcome"], found[item["id"]]["status"])
        for item in hostile
        if item["id"] in found
    )
    print("| expected | status | documents |\n| --- | --- | --- |")
    for (expected, status), count in sorted(counts.items()):
        print(f"| {expected} | {status} | {count} |")
    for item in hostile:
        row = found.get(item["id"])
        if row and is_unexpected(item["expect"]["outcome"], row["status"]):
            print(f"unexpected: {item['id']}: {row['status']}: {row['said'][:200]}")
    print(cost)
    print(f"missing: {missing or 'none'}; without a reason: {silent or 'none'}")
    return 1 if missing or silent else 0


def is_unexpected(expected: str, status: str) -> bool:
    """Whether a document that readers open failed, or the reverse."""
    return (expected, status) in {("ok", "failed"), ("error", "complete"), ("ok", "registered")}


if __name__ == "__main__":
    main()
