"""What Prometheus gets, over HTTP from the real process, while a run is at work and after."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from deepcompress_dagster.hosts.host import HostUsage
from deepcompress_dagster.metrics_server import DataFolder
from deepcompress_dagster.orchestration import run_metrics
from deepcompress_dagster.orchestration.run_metrics import RunMetrics
from deepcompress_dagster.streaming import StageMetrics
from deepcompress_dagster.warehouse import Warehouse
from tests.orchestration.bench import Bench, FakeParser

DOCS = Path(__file__).parents[2] / "docs"

Scrape = Callable[[], Mapping[str, Metric]]


@pytest.fixture
def scrape(tmp_path: Path) -> Iterator[Scrape]:
    """Asks the endpoint of the data folder that the other fixtures work with."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "deepcompress_dagster.metrics_server", "127.0.0.1"]
    environment = {**os.environ, "DEEPCOMPRESS_DATA_DIR": str(tmp_path / "data")}
    server = subprocess.Popen([*command, str(port)], env=environment)

    def ask() -> Mapping[str, Metric]:
        for _ in range(200):
            try:
                with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
                    text = answer.read().decode()
                return {metric.name: metric for metric in text_string_to_metric_families(text)}
            except URLError:
                assert server.poll() is None
                time.sleep(0.05)
        raise AssertionError("no answer")

    yield ask
    server.terminate()
    server.wait(10)


def values(metric: Metric) -> dict[tuple[str, ...], float]:
    return {tuple(sample.labels.values()): sample.value for sample in metric.samples}


def test_a_scrape_shows_what_waits_while_a_run_works_and_what_came_of_it(
    bench: Bench, scrape: Scrape, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = scrape()
    assert "deepcompress_documents" not in empty
    assert not (bench.warehouse.data_dir / "warehouse.duckdb").exists(), "a scrape makes nothing"

    monkeypatch.setattr(run_metrics, "INTERVAL_S", 0.02)
    layout = StageMetrics("layout", "pages", items=2, batches=1, busy_s=1.5, queued=3)
    monkeypatch.setattr(FakeParser, "usage", lambda self: HostUsage("", {"yolo": 1}, {}, (layout,)))
    during: list[Mapping[str, Metric]] = []

    def look(name: str, page_number: int) -> None:
        if page_number == 3:
            time.sleep(0.2)
            during.append(scrape())

    FakeParser.before_page = look
    names = bench.register(a={"pages": 4}, b={"fatal": "damaged"}, c={"pages": 1, "errors": [1]})
    bench.run(names)

    (at_work,) = during
    assert values(at_work["deepcompress_queued_items"]) == {("layout", "pages"): 3}
    assert values(at_work["deepcompress_runs_at_work"]) == {(): 1}
    assert values(at_work["deepcompress_waiting_pages"]) == {(): 2}
    assert values(at_work["deepcompress_waiting_documents"]) == {(): 3}

    after = scrape()
    assert values(after["deepcompress_queued_items"]) == {}
    assert values(after["deepcompress_runs_at_work"]) == {(): 0}
    assert values(after["deepcompress_parsed_pages"]) == {(): 5}
    assert values(after["deepcompress_stage_seconds"]) == {("layout", "pages"): 1.5}
    assert values(after["deepcompress_model_loads"]) == {("yolo",): 1}
    outcomes = values(after["deepcompress_run_documents"])
    assert outcomes == {("committed",): 2, ("failed",): 1, ("reported",): 0, ("unchanged",): 0}
    by_state: dict[str, float] = {}
    for (_, status), count in values(after["deepcompress_documents"]).items():
        by_state[status] = by_state.get(status, 0) + count
    assert by_state == {"complete": 1, "partial": 1, "failed": 1}
    failures = values(after["deepcompress_failures"])
    assert failures == {("damaged", "open"): 1, ("ModelFailed", "text"): 1}
    published = values(after["deepcompress_snapshot_published_timestamp_seconds"])[()]
    assert time.time() - published < 60

    named = {*after, "deepcompress_runs"}
    dashboard = json.loads((DOCS / "grafana.json").read_text())
    asked = " ".join(t["expr"] for panel in dashboard["panels"] for t in panel["targets"])
    page = (DOCS / "how-to" / "metrics.md").read_text()
    for text in (asked, page):
        used = set(re.findall(r"deepcompress_[a-z_]+", text)) - {"deepcompress_dagster"}
        assert {name.removesuffix("_total") for name in used} == named


def test_counts_of_a_run_whose_file_is_gone_stay_counted(tmp_path: Path) -> None:
    folder = DataFolder(Warehouse(tmp_path))

    def pages() -> float:
        found = {metric.name: metric for metric in folder.collect()}
        return values(found["deepcompress_parsed_pages"])[()]

    for number in range(3):
        run = RunMetrics(f"run-{number}", documents=1, pages=2, pages_done=2)
        with run_metrics.published(tmp_path, lambda run=run: run):
            pass
        assert pages() == 2 * (number + 1)
        if number == 1:
            for path in (tmp_path / "runs").glob("*.json"):
                old = time.time() - run_metrics.KEPT_S - 1
                os.utime(path, (old, old))
    assert len(list((tmp_path / "runs").glob("*.json"))) == 1
    assert pages() == 6
