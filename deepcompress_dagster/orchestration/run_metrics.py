"""What a run has done so far, in a file to be read while it works and an hour longer.

Each run is a process of its own: what it counts is gone with it, and what waits in its stages
nobody else can see. Read by metrics_server.py; nothing here needs Dagster.

Not here: whether a run lives (run_records.py), and what the numbers are called (metrics_server.py).
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deepcompress_dagster.file_lock import is_held
from deepcompress_dagster.streaming import StageMetrics

logger = logging.getLogger(__name__)

INTERVAL_S = 2.0
"""Time between two writings: shorter than any scrape interval that is in use."""

KEPT_S = 3600.0
"""How long the file of a run that has ended stays: whoever reads at least hourly misses none."""

_SUFFIX = ".metrics.json"


@dataclass(frozen=True)
class RunMetrics:
    """The counts of one run: documents by what became of them, pages, stages, model loads and hits.

    ``pages`` are those of the documents that were opened so far.
    """

    run_id: str
    documents: int
    outcomes: Mapping[str, int] = field(default_factory=dict)
    pages: int = 0
    pages_done: int = 0
    stages: tuple[StageMetrics, ...] = ()
    loads: Mapping[str, int] = field(default_factory=dict)
    hits: Mapping[str, int] = field(default_factory=dict)


@contextmanager
def published(data_dir: Path, read: Callable[[], RunMetrics]) -> Iterator[None]:
    """Keep the file of a run up to date while the block runs, from a thread.

    ``read`` is called there. Where it or the disk fails the log says so, and the run goes on.
    """
    folder = data_dir / "runs"
    ended = threading.Event()
    thread = threading.Thread(
        target=_keep_writing, args=(folder, read, ended), name="run-metrics", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _remove_old(folder)


def live_and_ended(data_dir: Path) -> Iterator[tuple[RunMetrics, bool]]:
    """The counts of each run that left a file, and whether the run is alive."""
    for path in sorted((data_dir / "runs").glob(f"*{_SUFFIX}")):
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            stages = tuple(StageMetrics(**stage) for stage in found.pop("stages"))
            run = RunMetrics(**found, stages=stages)
        except FileNotFoundError:
            continue
        except (ValueError, TypeError, KeyError) as error:
            logger.warning("%s is not counted, another version wrote it: %s", path, error)
            continue
        yield run, is_held(path.with_name(f"{run.run_id}.lock"))


def _keep_writing(folder: Path, read: Callable[[], RunMetrics], ended: threading.Event) -> None:
    is_last = False
    while not is_last:
        is_last = ended.wait(INTERVAL_S)
        try:
            _write(folder, read())
        except Exception:
            logger.warning("the metrics of this run could not be written", exc_info=True)


def _write(folder: Path, run: RunMetrics) -> None:
    path = folder / f"{run.run_id}{_SUFFIX}"
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(asdict(run)), encoding="utf-8")
    temporary.replace(path)


def _remove_old(folder: Path) -> None:
    for path in [*folder.glob(f"*{_SUFFIX}"), *folder.glob("*.metrics.part")]:
        lock = path.with_name(f"{path.name.split('.')[0]}.lock")
        if time.time() - path.stat().st_mtime > KEPT_S and not is_held(lock):
            path.unlink(missing_ok=True)
