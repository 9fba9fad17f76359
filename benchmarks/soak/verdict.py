"""What is asked of a place after every fault: what was lost, torn or left behind.

What was done to it, and how long it took, is told by the module of the fault.
"""

import statistics
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import psutil

from benchmarks.soak.bench import Bench
from benchmarks.walk import leftovers
from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.file_lock import is_held
from deepcompress_dagster.orchestration import server
from deepcompress_dagster.settings import load_settings
from deepcompress_dagster.warehouse import Warehouse

TORN = """
WITH held AS (
    SELECT document_id, 'pages' AS asset, count(*) AS n FROM pages GROUP BY ALL
    UNION ALL SELECT document_id, 'layouts', count(*) FROM layouts GROUP BY ALL
    UNION ALL SELECT document_id, 'text', count(*) FROM text GROUP BY ALL
    UNION ALL SELECT document_id, 'tables', count(*) FROM tables GROUP BY ALL
    UNION ALL SELECT document_id, 'figures', count(*) FROM figures GROUP BY ALL
)
SELECT DISTINCT s.document_id FROM asset_state s
LEFT JOIN held h ON h.document_id = s.document_id AND h.asset = s.asset
WHERE coalesce(h.n, 0) <> s.rows
"""
"""Documents whose rows are not as many as their commit said."""


LOST_PAGES = """
SELECT coalesce(sum(d.page_count - p.n), 0)::BIGINT FROM documents d
JOIN (SELECT document_id, count(*) FILTER (status <> 'failed') AS n FROM pages GROUP BY ALL) p
    USING (document_id)
WHERE d.status <> 'failed' AND d.is_current
"""


@dataclass
class Row:
    """One line of the table."""

    fault: str
    tries: int = 0
    lost_pages: int = 0
    lost_documents: int = 0
    torn_documents: int = 0
    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        median = statistics.median(self.seconds) if self.seconds else 0.0
        worst = max(self.seconds, default=0.0)
        return (
            f"| {self.fault} | {self.tries} | {self.lost_pages} | {self.lost_documents} "
            f"| {self.torn_documents} | {median:.1f} (most {worst:.1f}) |"
        )

    @property
    def is_clean(self) -> bool:
        lost = self.lost_pages or self.lost_documents or self.torn_documents
        return not (lost or self.problems)


HEAD = (
    "| fault | tries | lost pages | lost documents | torn documents | seconds to recover |\n"
    "| --- | --- | --- | --- | --- | --- |"
)


def judge(bench: Bench, row: Row) -> Row:
    """Fill in what was lost, torn or left, after all is done and no process should be there."""
    warehouse = Warehouse(bench.data)
    warehouse.publish(force=True)
    row.torn_documents = len(bench.rows(TORN))
    row.lost_pages = bench.value(LOST_PAGES)
    now = {item.document_id for item in warehouse.documents() if item.status == "complete"}
    row.lost_documents = len(bench.complete - now)
    row.problems += disagreements(bench)
    row.problems += [f"{count} {what} left" for what, count in left(bench).items() if count]
    held = [path.name for path in (bench.data / "runs").glob("*.lock") if is_held(path)]
    row.problems += [f"lock {name} is stuck" for name in held]
    return row


def left(bench: Bench) -> dict[str, int]:
    """What is left over of this place, and pixel buffers of processes that are gone."""
    slots = Path("/dev/shm").glob("deepcompress-*-*")
    dead = [path for path in slots if not psutil.pid_exists(int(path.name.split("-")[1]))]
    return {**leftovers(bench), "slots": len(dead)}


def disagreements(bench: Bench) -> list[str]:
    """Partitions that Dagster shows as materialised and the tables have not, or the reverse."""
    settings = load_settings(data_dir=bench.data, inbox=bench.inbox)
    held = {(item.document_id, item.asset) for item in Warehouse(bench.data).asset_states()}
    with server.open_instance(settings) as instance:
        shown = {
            (document_id, asset)
            for asset in ASSETS
            for document_id in instance.get_materialized_partitions(dg.AssetKey(asset))
        }
    return [f"only in Dagster: {item}" for item in sorted(shown - held)] + [
        f"only in the tables: {item}" for item in sorted(held - shown)
    ]
