"""Runs and a real Ray cluster: same rows, models that stay, and what each leaves when it dies."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from deepcompress_dagster.hosts.errors import HostError
from deepcompress_dagster.hosts.process import ProcessHost
from deepcompress_dagster.hosts.ray import actor, cluster
from deepcompress_dagster.hosts.ray.host import RayHost
from deepcompress_dagster.records import DocumentOpened, DocumentResult, DocumentTask, PageResult
from deepcompress_dagster.settings import Settings, load_settings
from tests.builders import numbered_pdf
from tests.hosts import ray_models

ROOT = Path(__file__).parents[2]
STORE_BYTES = 80 * 2**20
PAGES = 30


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    """A cluster of one machine, and this process's own connection for looking at it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        started = Cluster(
            initialize_head=True,
            head_node_args={
                "num_cpus": 2,
                "include_dashboard": False,
                "object_store_memory": STORE_BYTES,
            },
        )
        with cluster.connected(started.address):
            yield started
        started.shutdown()


@pytest.fixture
def settings(tmp_path: Path, head: Any) -> Settings:
    return load_settings(
        data_dir=tmp_path / "data",
        device="cpu",
        render_workers=1,
        layout_effort="best",
        ray_address=head.address,
        ray_actors=2,
        ray_cpus_per_actor=0.25,
        warm_idle_s=60,
    )


@pytest.fixture
def empty(head: Any) -> None:
    """No actor is there."""
    for found in actors():
        ray.kill(found)
    wait_for(lambda: not actors())


def task(settings: Settings, path: Path) -> DocumentTask:
    return DocumentTask(path.stem, path, settings.data_dir / "images" / path.stem)


def document(settings: Settings, name: str = "long", pages: int = PAGES) -> DocumentTask:
    settings.data_dir.mkdir(exist_ok=True)
    return task(settings, numbered_pdf(settings.data_dir.parent / f"{name}.pdf", pages))


def without_times(event: Any) -> Any:
    fields = {name: getattr(event, name) for name in event.__dataclass_fields__}
    return {name: value for name, value in fields.items() if name != "timings"}


def ordered(events: list[Any]) -> list[Any]:
    """Events in an order of their own: actors finish in any."""

    def place(event: Any) -> tuple[Any, ...]:
        page = event.page.page_number if isinstance(event, PageResult) else 0
        return event.document_id, type(event).__name__, page

    return [without_times(event) for event in sorted(events, key=place)]


def wait_for(condition: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)
    return found


def actors() -> list[Any]:
    found: list[Any] = []
    for named in ray.util.list_named_actors(all_namespaces=True):
        with suppress(ValueError):  # one that dies between the two questions is not there
            found.append(ray.get_actor(named["name"], namespace=cluster.NAMESPACE))
    return found


def at_work() -> list[int]:
    """Process ids of the actors that a run has a session with."""
    asked = [found.at_work.remote() for found in actors()]
    answered, _ = ray.wait(asked, num_returns=len(asked), timeout=0.5)
    found = []
    for answer in answered:
        with suppress(ray.exceptions.RayActorError):
            found.append(ray.get(answer))
    return [pid for pid in found if pid]


def all_idle() -> bool:
    return not any(ray.get([found.at_work.remote() for found in actors()], timeout=10))


def whole(events: list[Any], *documents: DocumentTask, pages: int = PAGES) -> bool:
    """Whether each page of these documents is there, and none twice."""
    found = [(e.document_id, e.page.page_number) for e in events if isinstance(e, PageResult)]
    ids = [each.document_id for each in documents]
    results = [e.document_id for e in events if isinstance(e, DocumentResult) and not e.fatal]
    opened = [e.document_id for e in events if isinstance(e, DocumentOpened)]
    assert sorted(found) == sorted((name, n) for name in ids for n in range(1, pages + 1))
    assert sorted(results) == sorted(opened) == sorted(ids)
    return True


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:9", r"no Ray cluster at 127.0.0.1:9 \(.*refused.*ray start --head"),
        ("nowhere.invalid:6379", r"no Ray cluster at nowhere.invalid:6379 \("),
    ],
)
def test_a_cluster_that_is_not_there_is_one_clear_line(
    tmp_path: Path, address: str, message: str
) -> None:
    with (
        closing(RayHost(load_settings(data_dir=tmp_path, ray_address=address))) as host,
        pytest.raises(HostError, match=message),
    ):
        list(host.parse([], ["pages"]))


def test_rows_and_images_are_the_same_and_models_stay(settings: Settings) -> None:
    """Also where the document is lost, and where pages went to both actors."""
    sample = task(settings, ROOT / "samples" / "orchard-tables.pdf")
    long = document(settings)
    lost = task(settings, settings.data_dir / "lost.pdf")

    def parsed(host: Any) -> tuple[list[Any], dict[str, bytes]]:
        images = settings.data_dir / "images"
        shutil.rmtree(images, ignore_errors=True)
        with closing(host):
            found = list(host.parse([long, lost], ["pages"]))
            found += host.parse([sample], ["pages", "layouts", "text", "tables", "figures"])
        files = {str(p.relative_to(images)): p.read_bytes() for p in images.rglob("*.jpg")}
        return ordered(found), files

    alone = parsed(ProcessHost(settings))
    first, second = RayHost(settings), RayHost(settings)
    assert parsed(first) == alone
    assert parsed(second) == alone
    assert len(alone[1]) > PAGES
    assert first.usage().loads["yolov8n-doclaynet"] >= 1
    assert second.usage().place.startswith("2 Ray actors (")
    assert len(actors()) == 2
    for pid in re.findall(r"\d+", second.usage().place.split("process ", 1)[1]):
        folders = Path(tempfile.gettempdir()).glob(f"deepcompress-actors-*/deepcompress-{pid}-*")
        assert not [path for folder in folders for path in folder.rglob("*.pdf")]


RUN = """
import sys
from pathlib import Path
from deepcompress_dagster.hosts.ray.host import RayHost
from deepcompress_dagster.records import DocumentTask
from deepcompress_dagster.settings import load_settings
from tests.hosts import ray_models

settings = load_settings(device="cpu", render_workers=1, layout_effort="best")
task = DocumentTask("long", Path(sys.argv[1]), settings.data_dir / "images" / "long")
for event in RayHost(settings, ray_models.slow).parse([task], ["pages", "layouts"]):
    print(type(event).__name__, flush=True)
"""


def test_the_work_of_a_killed_run_ends_and_its_actors_stay(settings: Settings, empty: None) -> None:
    given = {
        "DEEPCOMPRESS_DATA_DIR": str(settings.data_dir),
        "DEEPCOMPRESS_RAY_ADDRESS": settings.ray_address,
        "DEEPCOMPRESS_RAY_ACTORS": "2",
        "DEEPCOMPRESS_RAY_CPUS_PER_ACTOR": "0.25",
    }
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, str(document(settings, pages=400).path)],
        env={**os.environ, **given},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout
    assert run.stdout.readline().strip() == "DocumentOpened"
    assert not all_idle()
    run.kill()
    run.communicate()
    wait_for(all_idle, seconds=10)
    assert len(actors()) == 2


def test_a_run_that_is_cancelled_ends_its_work_at_once_and_not_that_of_others(
    settings: Settings,
) -> None:
    doomed, other = RayHost(settings, ray_models.slow), RayHost(settings, ray_models.slow)
    stream = doomed.parse([document(settings, pages=400)], ["pages", "layouts"])
    next(stream)
    short = document(settings, "short")
    with closing(other.parse([short], ["pages", "layouts"])) as events:
        found = [next(events)]
        stream.close()
        found += events
    assert whole(found, short)
    assert all_idle()


def test_what_the_run_itself_raises_reaches_it(settings: Settings) -> None:
    def tasks() -> Iterator[DocumentTask]:
        yield document(settings, pages=1)
        raise OSError("the warehouse is gone")

    def regions(document: str, page: int) -> tuple[()]:
        raise OSError(f"no regions of page {page}")

    host = RayHost(settings, ray_models.instant)
    with pytest.raises(OSError, match="the warehouse is gone"):
        list(host.parse(tasks(), ["pages"]))
    with pytest.raises(OSError, match="no regions of page 1"):
        list(host.parse([document(settings, pages=1)], ["text"], regions))
    with pytest.raises(ValueError, match="need the regions"):
        list(host.parse([document(settings, pages=1)], ["text"]))
    asked: list[int] = []

    def no_regions(document: str, page: int) -> tuple[()]:
        asked.append(page)
        return ()

    found = list(host.parse([document(settings, pages=3)], ["text"], no_regions))
    assert sum(isinstance(event, PageResult) for event in found) == 3
    assert {1, 2, 3} <= set(asked)
    assert all_idle()


def test_other_settings_make_other_actors_and_idle_ones_give_way(
    settings: Settings, empty: None
) -> None:
    def run(chosen: Settings) -> list[Any]:
        with closing(RayHost(chosen, ray_models.instant)) as host:
            return list(host.parse([document(settings, pages=2)], ["pages"]))

    settings = settings.model_copy(update={"ray_actors": 1, "ray_cpus_per_actor": 2.0})
    run(settings)
    first = actors()[0]
    run(settings.model_copy(update={"max_attempts": 5}))
    assert [found._actor_id for found in actors()] == [first._actor_id]
    run(settings.model_copy(update={"layout_threshold": 0.3}))
    assert [found._actor_id for found in actors()] != [first._actor_id]
    assert len(actors()) == 1, "there was room for one: the idle one went"


def test_an_idle_actor_leaves_the_cluster(settings: Settings, empty: None) -> None:
    settings = settings.model_copy(update={"warm_idle_s": 1.0, "ray_actors": 1})
    with closing(RayHost(settings, ray_models.instant)) as host:
        list(host.parse([document(settings, pages=1)], ["pages"]))
    wait_for(lambda: not actors())


def test_what_is_wrong_with_a_cluster_is_one_clear_line(
    settings: Settings, empty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(wait_s: float = 30, **changes: Any) -> None:
        chosen = settings.model_copy(update=changes)
        with closing(RayHost(chosen, ray_models.instant, wait_s=wait_s)) as host:
            list(host.parse([document(settings, pages=1)], ["pages"]))

    with pytest.raises(
        HostError, match=r"is full: no actor with 64 CPUs .*\(2 CPUs and 0 GPUs are free"
    ):
        run(wait_s=1, ray_cpus_per_actor=64.0)
    assert not actors(), "none waits for room that nobody asks for any more"
    monkeypatch.setattr("deepcompress_dagster.hosts.ray.host.code_contents", lambda: "other")
    with pytest.raises(HostError, match=r"the machine \S+ of the Ray cluster has another version"):
        run(ray_actors=1)


def test_a_killed_actor_and_a_killed_machine_cost_no_page_and_double_none(
    settings: Settings, head: Any, empty: None
) -> None:
    node = head.add_node(num_cpus=2, object_store_memory=STORE_BYTES)
    settings = settings.model_copy(update={"ray_cpus_per_actor": 2.0})
    tasks = [document(settings, name) for name in ("one", "two", "three")]
    host, events = RayHost(settings, ray_models.slow), []
    killed: list[int] = []
    removed_at = 0
    with closing(host), closing(host.parse(iter(tasks), ["pages", "layouts"])) as stream:
        for event in stream:
            events.append(event)
            if not killed and len(pids := at_work()) == 2:
                killed = pids[:1]
                workers = psutil.Process(killed[0]).children(recursive=True)
                os.kill(killed[0], signal.SIGKILL)
            elif (
                killed and not removed_at and len(pids := at_work()) == 2 and killed[0] not in pids
            ):
                removed_at = len(events)
                head.remove_node(node, allow_graceful=False)
    assert removed_at, "both were at work, again after the first kill"
    assert whole(events, *tasks)
    psutil.wait_procs(workers, timeout=5)
    assert not any(worker.is_running() for worker in workers)


def test_another_version_of_ray_is_named_with_what_to_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray.shutdown()
    monkeypatch.setattr(ray, "__version__", "2.1.0")
    with (
        closing(RayHost(settings)) as host,
        pytest.raises(HostError, match=r"is of another version: .*2\.1\.0.* install the same Ray"),
    ):
        list(host.parse([], ["pages"]))


def test_leases_end_within_the_time_that_a_cancelled_run_is_allowed() -> None:
    assert actor.LEASE_S + actor.LOOK_S + actor.ANSWER_S < 10
