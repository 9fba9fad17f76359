"""Show the whole way once: start Dagster, drop the samples into the inbox, wait, query.

Run by ``make demo``; everything it writes is in ``demo/``. With ``--once`` it stops everything when
the samples are through, and exits with 1 and the reason when something went wrong.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

SAMPLES = Path(__file__).resolve().parent
DEMO = SAMPLES.parent / "demo"
TIMEOUT_S = 600

COUNTS = """
SELECT file_name, status, page_count AS pages,
       (SELECT count(*) FROM layouts l WHERE l.document_id = d.document_id) AS regions,
       (SELECT count(*) FROM text t WHERE t.document_id = d.document_id) AS text,
       (SELECT count(*) FROM tables t WHERE t.document_id = d.document_id) AS tables,
       (SELECT count(*) FROM figures f WHERE f.document_id = d.document_id) AS figures
FROM documents d WHERE is_current ORDER BY file_name
"""

EXAMPLE = """
SELECT document_id, page_number AS page, n_rows AS rows, n_columns AS columns, caption
FROM tables ORDER BY document_id, page_number, reading_order
"""


class DemoError(RuntimeError):
    """The demo cannot go on; the message says why."""


def deepcompress(*arguments: str) -> str:
    """Output of one ``deepcompress`` command. Raises DemoError with what it said."""
    command = [sys.executable, "-m", "deepcompress_dagster.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise DemoError(f"deepcompress {' '.join(arguments)}: {done.stdout}{done.stderr}")
    return done.stdout


def states() -> dict[str, str]:
    """File name -> status of every document that the warehouse knows."""
    sql = "SELECT file_name, status FROM documents WHERE is_current"
    return {
        row["file_name"]: row["status"]
        for row in json.loads(deepcompress("query", sql, "--format", "json"))
    }


def wait_for_ui(up: subprocess.Popen[str]) -> str:
    """The address that ``deepcompress up`` prints once the UI answers."""
    assert up.stdout is not None
    for line in up.stdout:
        print(line, end="", flush=True)
        _, found, address = line.partition("the UI is at ")
        if found:
            return address.strip()
    raise DemoError(f"deepcompress up ended with {up.wait()} before the UI was there")


def wait_for_samples(names: set[str], up: subprocess.Popen[str]) -> dict[str, str]:
    """Status of the samples when all of them are through."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        if up.poll() is not None:
            raise DemoError(f"deepcompress up ended with {up.returncode}")
        found = states()
        if names <= {name for name, status in found.items() if status != "registered"}:
            return found
        time.sleep(2)
    raise DemoError(f"the samples were not through after {TIMEOUT_S} s: {found}")


def run(up: subprocess.Popen[str]) -> None:
    """Drop the samples in, wait, and show the rows."""
    address = wait_for_ui(up)
    inbox = Path(os.environ["DEEPCOMPRESS_INBOX"])
    inbox.mkdir(parents=True, exist_ok=True)
    samples = sorted(SAMPLES.glob("*.pdf"))
    for sample in samples:
        shutil.copy(sample, inbox)
    print(f"\n{len(samples)} PDFs copied to {inbox}; the sensor takes it from here.", flush=True)
    found = wait_for_samples({sample.name for sample in samples}, up)
    print("\n" + deepcompress("query", COUNTS))
    print(f"{EXAMPLE.strip()}\n\n" + deepcompress("query", EXAMPLE))
    print(f"Dagster's UI: {address}", flush=True)
    failed = sorted(name for name, status in found.items() if status == "failed")
    if failed:
        raise DemoError(f"failed: {', '.join(failed)}; see deepcompress status")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--once", action="store_true", help="stop when the samples are through")
    once = parser.parse_args().once
    os.environ.setdefault("DEEPCOMPRESS_INBOX", str(DEMO / "inbox"))
    os.environ.setdefault("DEEPCOMPRESS_DATA_DIR", str(DEMO / "data"))
    os.environ.setdefault("DEEPCOMPRESS_SENSOR_INTERVAL_S", "5")
    log = DEMO / "dagster.log"
    command = [sys.executable, "-m", "deepcompress_dagster.cli", "up", "--log-file", str(log)]
    up = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        run(up)
        if not once:
            print("Ctrl-C stops everything.", flush=True)
            up.wait()
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(timeout=60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
