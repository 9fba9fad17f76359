"""Runs and a real warm process: same rows, models that stay, and what each leaves when it dies."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest

import deepcompress_dagster
from deepcompress_dagster.definitions import build_definitions
from deepcompress_dagster.hosts.errors import HostError
from deepcompress_dagster.hosts.process import ProcessHost
from deepcompress_dagster.hosts.warm import client, place
from deepcompress_dagster.hosts.warm.client import WarmHost
from deepcompress_dagster.orchestration.execution.registration import register_documents
from deepcompress_dagster.records import DocumentOpened, DocumentResult, DocumentTask, PageResult
from deepcompress_dagster.settings import ParseOn, Settings, load_settings
from deepcompress_dagster.warehouse import Warehouse
from tests.builders import numbered_pdf
from tests.orchestration.bench import Bench

SAMPLES = Path(__file__).parents[2] / "samples"
REAL = "deepcompress_dagster.hosts.warm"
STAND_IN = "tests.hosts.warm_process"

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Every page meets the layout model: the stand-in is slow there."""
    return load_settings(
        data_dir=tmp_path / "data", device="cpu", render_workers=1, layout_effort="best"
    )


@pytest.fixture
def start(settings: Settings) -> Iterator[Start]:
    """Starts a warm process and waits until it listens."""
    started: list[subprocess.Popen[str]] = []

    def start(module: str, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, "DEEPCOMPRESS_DATA_DIR": str(settings.data_dir), **environment},
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout
        assert "waits for runs" in process.stdout.readline()
        return process

    yield start
    for process in started:
        process.terminate()
        process.communicate(timeout=20)
    assert not place.socket_path(settings.data_dir).exists()


def task(settings: Settings, path: Path, name: str = "") -> DocumentTask:
    name = name or path.stem
    return DocumentTask(name, path, settings.data_dir / "images" / name)


def long_document(settings: Settings, pages: int = 40) -> DocumentTask:
    settings.data_dir.mkdir(exist_ok=True)
    return task(settings, numbered_pdf(settings.data_dir.parent / "long.pdf", pages))


def without_times(event: Any) -> Any:
    fields = {name: getattr(event, name) for name in event.__dataclass_fields__}
    return {name: value for name, value in fields.items() if name != "timings"}


def wait_for(condition: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
    return found


def runs(settings: Settings) -> int:
    status = client.status(settings.data_dir)
    assert status is not None
    return status.runs


def test_rows_and_images_are_the_same_and_models_stay_until_the_settings_differ(
    settings: Settings, start: Start
) -> None:
    start(REAL)
    tasks = [task(settings, SAMPLES / "orchard-tables.pdf")]
    image_dir = tasks[0].image_dir

    def parsed(host: Any) -> tuple[list[Any], dict[str, bytes]]:
        shutil.rmtree(image_dir, ignore_errors=True)
        with closing(host), closing(host.parse(tasks, ["pages", "layouts", "text"])) as events:
            rows = [without_times(event) for event in events]
        return rows, {path.name: path.read_bytes() for path in image_dir.iterdir()}

    alone = parsed(ProcessHost(settings))
    first, second = WarmHost(settings), WarmHost(settings)
    assert parsed(first) == alone
    assert parsed(second) == alone
    assert set(first.usage().loads.values()) == {1}
    assert first.usage().load_seconds.keys() == first.usage().loads.keys()
    assert second.usage().loads == {}
    assert second.usage().hits["yolov8n-doclaynet"] == 1

    other = WarmHost(settings.model_copy(update={"layout_threshold": 0.3}))
    parsed(other)
    assert other.usage().loads["yolov8n-doclaynet"] == 1
    status = client.status(settings.data_dir)
    assert status
    assert Counter(status.loaded)["yolov8n-doclaynet"] == 1, "the other one was given back"
    assert "3 runs" in client.in_words(status)


def test_a_killed_process_costs_no_page_and_doubles_none(settings: Settings, start: Start) -> None:
    first = start(STAND_IN, "0.05")
    document = long_document(settings)
    workers: list[psutil.Process] = []

    def kill_and_replace() -> None:
        workers.extend(psutil.Process(first.pid).children(recursive=True))
        first.kill()
        first.wait()
        start(STAND_IN, "0")

    events = []
    host = WarmHost(settings)
    with closing(host.parse(iter([document]), ["pages", "layouts"])) as stream:
        for event in stream:
            events.append(event)
            if len(events) == 10:
                kill_and_replace()
    pages = [event.page.page_number for event in events if isinstance(event, PageResult)]
    assert sorted(pages) == list(range(1, 41))
    assert [type(event) for event in events if not isinstance(event, PageResult)] == [
        DocumentOpened,
        DocumentResult,
    ]
    assert workers
    psutil.wait_procs(workers, timeout=5)
    assert not any(worker.is_running() for worker in workers)
    buffers = Path("/dev/shm").glob(f"deepcompress-{first.pid}-*")
    assert not list(buffers), "the next process removes what a dead one left"


def test_a_run_of_dagster_outlives_the_process_that_parses_for_it(
    settings: Settings, start: Start
) -> None:
    first = start(STAND_IN, "0.05")
    chosen = settings.model_copy(update={"parse_on": ParseOn.WARM})
    warehouse = Warehouse(settings.data_dir)

    def kill_and_replace() -> None:
        wait_for(lambda: (found := client.status(settings.data_dir)) and found.pages >= 5)
        first.kill()
        first.wait()
        start(STAND_IN, "0")

    with dg.DagsterInstance.ephemeral() as instance:
        path = long_document(settings).path
        (found,) = register_documents(instance, warehouse, [path])
        assert found.document_id
        killer = threading.Thread(target=kill_and_replace)
        killer.start()
        wanted = ["pages", "layouts"]
        bench = Bench(instance, warehouse, build_definitions(chosen), path.parent)
        assert bench.run([found.document_id], *wanted).success
        killer.join()
        event = instance.get_latest_materialization_event(dg.AssetKey("layouts"))
    assert event
    assert event.asset_materialization
    assert "warm process" in str(event.asset_materialization.metadata["parsed on"].value)
    rows = warehouse.query("SELECT page_number FROM pages ORDER BY 1").to_pylist()
    assert [row["page_number"] for row in rows] == list(range(1, 41))
    assert warehouse.documents()[0].attempts == 1


RUN = """
import sys
from pathlib import Path
from deepcompress_dagster.hosts.warm.client import WarmHost
from deepcompress_dagster.records import DocumentTask
from deepcompress_dagster.settings import load_settings

settings = load_settings(device="cpu", render_workers=1)
task = DocumentTask("long", Path(sys.argv[1]), settings.data_dir / "images" / "long")
for event in WarmHost(settings).parse([task], ["pages", "layouts"]):
    print(type(event).__name__, flush=True)
"""


def test_the_work_of_a_killed_run_ends(settings: Settings, start: Start) -> None:
    start(STAND_IN, "0.1")
    document = long_document(settings, 400)
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(document.path)],
        env={**os.environ, "DEEPCOMPRESS_DATA_DIR": str(settings.data_dir)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout
    assert run.stdout.readline().strip() == "DocumentOpened"
    assert runs(settings) == 1
    run.kill()
    run.communicate()
    wait_for(lambda: runs(settings) == 0)


def test_a_run_that_is_cancelled_ends_its_work_and_not_that_of_others(
    settings: Settings, start: Start
) -> None:
    start(STAND_IN, "0.02")
    found: list[Any] = []

    def take_all() -> None:
        tasks = [task(settings, numbered_pdf(settings.data_dir.parent / "short.pdf", 30))]
        with closing(WarmHost(settings).parse(tasks, ["pages", "layouts"])) as stream:
            found.extend(stream)

    doomed = WarmHost(settings).parse([long_document(settings, 400)], ["pages", "layouts"])
    next(doomed)
    other = threading.Thread(target=take_all)
    other.start()
    wait_for(lambda: runs(settings) == 2)
    doomed.close()
    wait_for(lambda: runs(settings) <= 1)
    other.join(20)
    assert sum(isinstance(event, PageResult) for event in found) == 30


def test_what_the_run_itself_raises_reaches_it(settings: Settings, start: Start) -> None:
    start(STAND_IN, "0")

    def tasks() -> Iterator[DocumentTask]:
        yield long_document(settings, 1)
        raise OSError("the warehouse is gone")

    def regions(document: str, page: int) -> tuple[()]:
        raise OSError(f"no regions of page {page}")

    host = WarmHost(settings)
    with pytest.raises(OSError, match="the warehouse is gone"):
        list(host.parse(tasks(), ["pages"]))
    with pytest.raises(OSError, match="no regions of page 1"):
        list(host.parse([long_document(settings, 1)], ["text"], regions))
    wait_for(lambda: runs(settings) == 0)


def test_an_idle_process_gives_its_memory_back(settings: Settings, start: Start) -> None:
    process = start(STAND_IN, "0", DEEPCOMPRESS_WARM_IDLE_S="1")
    list(WarmHost(settings).parse([long_document(settings, 1)], ["pages"]))
    assert process.stdout
    assert "starts afresh: nobody came" in process.stdout.readline()
    assert "waits for runs" in process.stdout.readline()
    status = client.status(settings.data_dir)
    assert status
    assert (status.pid, status.pages) == (process.pid, 0)


def test_other_code_is_told_from_code_that_has_changed(
    settings: Settings, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = Path(deepcompress_dagster.__file__).parent
    copied = tmp_path / "copy"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, copied / package.name, ignore=ignored)
    environment = {"PYTHONPATH": str(copied), "PYTHONSAFEPATH": "1"}
    process = start(REAL, **environment)
    host = WarmHost(settings, wait_s=5)
    with pytest.raises(HostError, match="and this run other code: reload the code location"):
        list(host.parse([], ["pages"]))

    (copied / package.name / "ports.py").touch()
    with pytest.raises(HostError, match="and this run other code"):
        list(host.parse([], ["pages"]))
    assert process.stdout
    assert "starts afresh: the code has changed" in process.stdout.readline()
    assert "waits for runs" in process.stdout.readline()


def test_what_is_wrong_on_the_way_there_is_one_clear_line(settings: Settings, start: Start) -> None:
    host = WarmHost(settings, wait_s=0.3)
    advice = "start it with `deepcompress up` or `deepcompress warm`"
    with pytest.raises(HostError, match=f"no warm process answers .*{advice}"):
        list(host.parse([], ["pages"]))

    process = start(STAND_IN, "0")
    key = place.folder(settings.data_dir) / "key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.parent.stat().st_mode & 0o777 == 0o700
    right = key.read_bytes()
    key.write_bytes(b"wrong")
    with pytest.raises(HostError, match=f"another key.*{advice}"):
        list(host.parse([], ["pages"]))
    with pytest.raises(HostError, match="lives and does not answer: it has another key"):
        client.status(settings.data_dir)

    key.write_bytes(right)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(HostError, match=f"refused.*{advice}"):
        list(host.parse([], ["pages"]))
    assert client.status(settings.data_dir) is None
    place.remove(settings.data_dir)


def test_a_path_that_is_too_long_for_a_socket_is_met_elsewhere(tmp_path: Path) -> None:
    path = place.socket_path(tmp_path / ("deep" * 30))
    assert len(os.fsencode(path)) < place.LONGEST_ADDRESS
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.parent.rmdir()
