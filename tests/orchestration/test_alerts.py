"""Who is told of a failed run, and what: a real webhook that listens here."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import pytest

from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.orchestration import run_records
from deepcompress_dagster.orchestration.naming import PLAIN
from deepcompress_dagster.settings import Settings, SettingsError, load_settings
from tests.orchestration.bench import Bench, FakeGpu


@pytest.fixture
def chat() -> Iterator[tuple[str, list[str]]]:
    """Address of a webhook, and the texts that it was sent."""
    texts: list[str] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            texts.append(json.loads(content)["text"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hook", texts
        server.shutdown()
        thread.join()


def test_a_failed_run_is_told_with_its_documents_and_one_that_was_interrupted_is_not(
    bench: Bench, settings: Settings, chat: tuple[str, list[str]]
) -> None:
    address, texts = chat
    told = settings.model_copy(update={"failure_webhook": address})
    sensor = build_definitions(told, {"gpu": FakeGpu()}).resolve_sensor_def(PLAIN.failure_sensor)
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING

    def tick(run_id: str) -> None:
        run = bench.instance.get_run_by_id(run_id)
        assert run
        of_type = dg.DagsterEventType.RUN_FAILURE
        ((entry),) = bench.instance.all_logs(run_id, of_type=of_type)
        assert entry.dagster_event
        context = dg.build_run_status_sensor_context(
            sensor_name=sensor.name,
            dagster_event=entry.dagster_event,
            dagster_instance=bench.instance,
            dagster_run=run,
        )
        sensor(context.for_run_failure())

    run_id = bench.run(bench.register(a={}, b={"fatal": "damaged"})).run_ids[0]
    tick(run_id)
    (text,) = texts
    assert text.startswith(f"{PLAIN.job}, run {run_id[:8]}, failed: 1 of 2 documents failed:\nb-")
    assert text.endswith("damaged: cannot open")

    bench.instance.add_run_tags(run_id, {run_records.INTERRUPTED_TAG: run_records.BY_SIGNAL})
    tick(run_id)
    assert len(texts) == 1


def test_without_a_webhook_there_is_no_such_sensor_and_a_bad_one_is_refused(
    settings: Settings,
) -> None:
    sensors = build_definitions(settings).sensors or ()
    assert PLAIN.failure_sensor not in {sensor.name for sensor in sensors}
    with pytest.raises(SettingsError, match=r"DEEPCOMPRESS_FAILURE_WEBHOOK.*begins with https://"):
        load_settings(failure_webhook="file:///etc/passwd")


def test_assets_are_overdue_after_the_hours_that_the_settings_say(settings: Settings) -> None:
    def policies(settings: Settings) -> set[dg.FreshnessPolicy | None]:
        specs = build_definitions(settings).resolve_all_asset_specs()
        return {spec.freshness_policy for spec in specs if spec.key.path != ["source_pdfs"]}

    assert policies(settings) == {None}
    (policy,) = policies(settings.model_copy(update={"freshness_hours": 36.0}))
    assert policy == dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=36))
