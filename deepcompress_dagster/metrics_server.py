"""What Prometheus scrapes: documents, pages, failures, stages, queues, models, runs, snapshot.

What stands in the tables comes from the newest snapshot; what runs did, and what waits in front of
their stages, from the files that they keep beside their locks. Beside Dagster as a process:
``python -m deepcompress_dagster.metrics_server HOST PORT``.

What belongs here: names and meanings of metrics, and HTTP. What does not: counting.
"""

import logging
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deepcompress_dagster.orchestration import run_metrics, run_store
from deepcompress_dagster.orchestration.run_metrics import RunMetrics
from deepcompress_dagster.ports import PortTakenError, require_free
from deepcompress_dagster.settings import Settings, load_settings
from deepcompress_dagster.streaming import total

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse import Warehouse

logger = logging.getLogger(__name__)

Metric: TypeAlias = CounterMetricFamily | GaugeMetricFamily
Labels: TypeAlias = tuple[str, ...]

_CURRENT = "JOIN documents d USING (document_id) WHERE d.is_current"

_COUNTED: Mapping[str, tuple[str, Labels, str]] = {
    "documents": (
        "Current documents by state and grade (empty: not graded).",
        ("status", "grade"),
        "SELECT status, coalesce(grade, ''), count(*) FROM documents WHERE is_current GROUP BY ALL",
    ),
    "pages": (
        "Pages of current documents in the tables, by state.",
        ("status",),
        f"SELECT p.status, count(*) FROM pages p {_CURRENT} GROUP BY ALL",  # noqa: S608
    ),
    "failures": (
        "Failures of current documents that still stand, by stage and reason.",
        ("stage", "reason"),
        f"SELECT e.stage, e.error_type, count(*) FROM errors e {_CURRENT} GROUP BY ALL",  # noqa: S608
    ),
    "rows": (
        "Committed rows of current documents, by asset.",
        ("asset",),
        f"SELECT s.asset, sum(s.rows) FROM asset_state s {_CURRENT} GROUP BY ALL",  # noqa: S608
    ),
    "stale_partitions": (
        "Committed assets of documents that are out of date, by asset.",
        ("asset",),
        "SELECT asset, count(*) FROM stale_partitions GROUP BY ALL",
    ),
}
"""Gauges that a query on the snapshot answers: meaning, labels, and SQL with the value last."""


class DataFolder(Collector):
    """Reads the metrics of one data folder, anew at each scrape.

    Counters add up over all runs that this object has seen. They begin anew with it, as those of
    any process do, from the runs whose files are still there.
    """

    def __init__(self, warehouse: "Warehouse") -> None:
        self._warehouse = warehouse
        self._runs: dict[str, RunMetrics] = {}
        self._before: tuple[RunMetrics, ...] = ()
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        """All metrics; those that cannot be read are left out, and one says so."""
        from deepcompress_dagster.warehouse import WarehouseError

        with self._lock:
            yield from self._of_runs()
        yield from self._of_dagster()
        readable = 1
        try:
            yield from self._of_tables()
        except WarehouseError:
            logger.exception("the tables cannot be read")
            readable = 0
        yield _gauge("tables_readable", "1, or 0 where the snapshot cannot be read.", readable)
        free = shutil.disk_usage(_existing(self._warehouse.data_dir)).free
        yield _gauge("disk_free_bytes", "Room left on the disk of the data folder.", free)

    def _of_tables(self) -> Iterator[Metric]:
        if not self._warehouse.exists:
            return
        with self._warehouse.reader() as conn:
            for name, (meaning, labels, sql) in _COUNTED.items():
                metric = GaugeMetricFamily(f"deepcompress_{name}", meaning, labels=labels)
                for *values, count in conn.execute(sql).fetchall():
                    metric.add_metric(values, count)
                yield metric
        if published := self._warehouse.published_at:
            meaning = "When the newest snapshot was published, in seconds since 1970."
            yield _gauge("snapshot_published_timestamp_seconds", meaning, published)

    def _of_dagster(self) -> Iterator[Metric]:
        counted = run_store.runs_by_status(self._warehouse.data_dir)
        if counted is not None:
            yield _labelled(
                GaugeMetricFamily, "runs", "Runs that Dagster knows, by state.", "status", counted
            )

    def _of_runs(self) -> Iterator[Metric]:
        seen = list(run_metrics.live_and_ended(self._warehouse.data_dir))
        live = [run for run, is_live in seen if is_live]
        yield from _waiting(live)
        yield from _done(self._all_runs({run.run_id: run for run, _ in seen}))

    def _all_runs(self, now: Mapping[str, RunMetrics]) -> list[RunMetrics]:
        """The runs that have files ``now``, and those that had; these as one."""
        gone = [run for run_id, run in self._runs.items() if run_id not in now]
        if gone:
            self._before = (_together([*self._before, *gone]),)
        self._runs = dict(now)
        return [*self._before, *now.values()]


def _waiting(live: list[RunMetrics]) -> Iterator[Metric]:
    queued = GaugeMetricFamily(
        "deepcompress_queued_items",
        "Items that wait in front of a stage in runs at work; unit says what an item is.",
        labels=("stage", "unit"),
    )
    for stage in total(stage for run in live for stage in run.stages).values():
        queued.add_metric((stage.name, stage.unit), stage.queued)
    yield queued
    yield _gauge("runs_at_work", "Runs whose process is alive.", len(live))
    yield _gauge(
        "waiting_pages",
        "Pages of opened documents that runs at work are not through with.",
        sum(run.pages - run.pages_done for run in live),
    )
    yield _gauge(
        "waiting_documents",
        "Documents that runs at work are not through with.",
        sum(run.documents - sum(run.outcomes.values()) for run in live),
    )


def _done(runs: list[RunMetrics]) -> Iterator[Metric]:
    together = _together(runs)
    labels = ("stage", "unit")
    seconds = CounterMetricFamily(
        "deepcompress_stage_seconds", "Time that workers of a stage spent working.", labels=labels
    )
    idle = CounterMetricFamily(
        "deepcompress_stage_idle_seconds", "Time that they waited for work.", labels=labels
    )
    items = CounterMetricFamily(
        "deepcompress_stage_items", "Items that a stage is through with.", labels=labels
    )
    batches = CounterMetricFamily(
        "deepcompress_stage_batches", "Batches that they were taken in.", labels=labels
    )
    for stage in together.stages:
        place = (stage.name, stage.unit)
        seconds.add_metric(place, stage.busy_s)
        idle.add_metric(place, stage.waiting_s)
        items.add_metric(place, stage.items)
        batches.add_metric(place, stage.batches)
    yield from (seconds, idle, items, batches)
    pages = CounterMetricFamily("deepcompress_parsed_pages", "Pages that runs are through with.")
    pages.add_metric((), together.pages_done)
    yield pages
    for name, meaning, label, counted in (
        ("run_documents", "Documents by what runs did with them.", "outcome", together.outcomes),
        ("model_loads", "Times that a model was loaded.", "model", together.loads),
        ("model_hits", "Times that a loaded model was used again.", "model", together.hits),
    ):
        yield _labelled(CounterMetricFamily, name, meaning, label, counted)


def _together(runs: list[RunMetrics]) -> RunMetrics:
    """What runs have done, added up."""
    return RunMetrics(
        run_id="",
        documents=sum(run.documents for run in runs),
        outcomes=_summed([run.outcomes for run in runs]),
        pages=sum(run.pages for run in runs),
        pages_done=sum(run.pages_done for run in runs),
        stages=tuple(total(stage for run in runs for stage in run.stages).values()),
        loads=_summed([run.loads for run in runs]),
        hits=_summed([run.hits for run in runs]),
    )


def _summed(counts: list[Mapping[str, int]]) -> Mapping[str, int]:
    summed: Counter[str] = Counter()
    for one in counts:
        summed.update(one)
    return summed


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"deepcompress_{name}", meaning, value=value)


def _labelled(
    family: type[Metric], name: str, meaning: str, label: str, counted: Mapping[str, int]
) -> Metric:
    metric = family(f"deepcompress_{name}", meaning, labels=(label,))
    for value, count in sorted(counted.items()):
        metric.add_metric((value,), count)
    return metric


def _existing(path: Path) -> Path:
    """``path``, or the next folder above it that there is."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def create_app(warehouse: "Warehouse") -> Starlette:
    """The application: ``/metrics``, in the format that the client asks for."""
    registry = CollectorRegistry()
    registry.register(DataFolder(warehouse))

    async def metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        content = await run_in_threadpool(encode, registry)
        return Response(content, headers={"content-type": content_type})

    return Starlette(routes=[Route("/metrics", metrics)])


def serve(settings: Settings, *, host: str, port: int) -> None:
    """Serve the metrics of a data folder until SIGINT or SIGTERM. Raises PortTakenError."""
    import uvicorn

    from deepcompress_dagster.warehouse import Warehouse

    require_free(host, port, "--port (metrics) or --metrics-port (up)")
    print(f"Metrics are at http://{host}:{port}/metrics", flush=True)
    app = create_app(Warehouse(settings.data_dir))
    uvicorn.run(app, host=host, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    try:
        serve(load_settings(), host=sys.argv[1], port=int(sys.argv[2]))
    except PortTakenError as problem:
        sys.exit(str(problem))
