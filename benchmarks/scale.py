"""How far one run goes on a Ray cluster, and how far one warehouse.

    python -m benchmarks.scale actors [--actors 1,2,4,8,16,32] [--service-s 1] [--pages 60]
                                      [--plot FILE.svg]
    python -m benchmarks.scale writer [--documents 200]
    python -m benchmarks.scale overhead PDF [PDF ...]

``actors`` reads pages by stand-in models of a fixed service time that sleep instead of computing,
so that a few cores host many actors: real Ray, real actors, real warehouse. The service time has to
be so long that the cores can host the most actors: the table says what share of them was used.
``--pages`` are those of one actor: more actors get more documents, of ten pages each. The clock
starts when all actors are up. ``writer`` stages and commits documents of ten pages that are made up
beforehand: the pages a second that one warehouse can take, whoever reads them. ``overhead`` reads
files with the real models in the run's own process, by one actor and by two, models loaded: CPU
seconds of all processes that have a part in it, Ray's own among them.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pymupdf
import ray
from ray.cluster_utils import Cluster

from benchmarks.hosts import cpu_s, parse_all
from benchmarks.quality import markdown_table
from benchmarks.tiny import TinyModel, TinyModels
from deepcompress_dagster.hosts.process import ProcessHost
from deepcompress_dagster.hosts.ray.cluster import Pool, connected
from deepcompress_dagster.hosts.ray.host import RayHost
from deepcompress_dagster.models.catalog import Task
from deepcompress_dagster.pipeline.commit import Committer
from deepcompress_dagster.pipeline.stages import code_versions
from deepcompress_dagster.records import (
    BBox,
    DocumentOpened,
    DocumentResult,
    DocumentTask,
    Label,
    Page,
    PageResult,
    Region,
    Table,
    TableCell,
    TextBlock,
    TextLine,
    TextSource,
    region_id,
)
from deepcompress_dagster.settings import Settings, load_settings
from deepcompress_dagster.warehouse import Warehouse

ASSETS = ("pages", "layouts", "text", "tables")
PAGES = 10
"""Pages of a document."""

SIDE = 200
"""Points: a small page, since rendering is not what is measured."""

STORE_BYTES = 200 * 2**20

MOST_ROUNDS = 6
"""Rounds in which an actor may still meet its first page of some kind, and load a model for it."""


class _Sleeper(TinyModel):
    """Takes a page's whole service time."""

    seconds = 0.0

    def predict(self, batch: Sequence[Any]) -> list[Any]:
        time.sleep(self.seconds * len(batch))
        return super().predict(batch)


class _SleepingModels(TinyModels):
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def predictor(self, task: Task) -> TinyModel:
        if task is not Task.LAYOUT:
            return TinyModel(task)
        model = _Sleeper(task)
        object.__setattr__(model, "seconds", self._seconds)
        return model


def sleeping(seconds: float, settings: Settings) -> _SleepingModels:
    """Stand-in models that take ``seconds`` a page."""
    return _SleepingModels(seconds)


@dataclass(frozen=True)
class Outcome:
    """One number of actors: pages, seconds, and where they went."""

    actors: int
    pages: int
    wall_s: float
    writer_s: float
    """In which the one thread that writes was at it."""
    cores: float
    """That were busy, of those of this machine, whoever kept them so."""

    @property
    def rate(self) -> float:
        return self.pages / self.wall_s


def write_pdf(path: Path) -> Path:
    """A PDF of ten small pages that no other is like."""
    document = pymupdf.open()
    for number in range(1, PAGES + 1):
        page = document.new_page(width=SIDE, height=SIDE)
        page.insert_text((10, 50), f"{path.stem} {number}", fontsize=9)
    document.save(path)
    return path


@contextmanager
def cluster(actors: int) -> Iterator[str]:
    """A Ray cluster on this machine with room for so many actors: its address."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
    started = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": actors,
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
        },
    )
    try:
        yield started.address
    finally:
        started.shutdown()


def run_actors(actors: int, service_s: float, pages: int) -> Outcome:
    """Have so many actors read their share of pages each, into a new warehouse."""
    with tempfile.TemporaryDirectory() as folder, cluster(actors) as address:
        settings = load_settings(
            data_dir=Path(folder) / "data",
            device="cpu",
            dpi=72,
            layout_effort="best",
            ray_address=address,
            ray_actors=actors,
        )
        make_models = partial(sleeping, service_s)
        paths = [
            write_pdf(Path(folder) / f"document-{number}.pdf")
            for number in range(actors * pages // PAGES)
        ]
        with connected(address):
            pool = Pool(settings, make_models)
            _wait_until_up(pool, actors)
            return _measured(RayHost(settings, make_models), settings, paths, actors)


def _wait_until_up(pool: Pool, actors: int) -> None:
    placed = [pool.place(index) for index in range(actors)]
    ray.get([actor.at_work.remote() for actor in placed])


def _measured(host: RayHost, settings: Settings, paths: list[Path], actors: int) -> Outcome:
    warehouse = Warehouse(settings.data_dir)
    ids = [found.document_id for found in warehouse.register(paths)]
    tasks = [
        DocumentTask(name, warehouse.kept_pdf(name), warehouse.image_dir(name))
        for name in ids
        if name is not None
    ]
    versions = {asset: code_versions(settings)[asset] for asset in ASSETS}
    committer = Committer(warehouse, "scale", versions)
    before, began, writer_s, pages = _busy_s(), time.monotonic(), 0.0, 0
    warehouse.begin([task.document_id for task in tasks], run_id="scale")
    with closing(host), closing(host.parse(iter(tasks), ASSETS)) as events:
        for event in events:
            at = time.monotonic()
            committer.take(event)
            writer_s += time.monotonic() - at
            pages += isinstance(event, PageResult)
        writer_s += _finish(committer, warehouse)
        wall_s = time.monotonic() - began
        cores = (_busy_s() - before) / wall_s
    _require_whole(warehouse, len(tasks))
    return Outcome(actors, pages, wall_s, writer_s, cores)


def _finish(committer: Committer, warehouse: Warehouse) -> float:
    """Commit what waits, and publish: the seconds it took."""
    began = time.monotonic()
    committer.flush()
    warehouse.publish(force=True)
    return time.monotonic() - began


def _require_whole(warehouse: Warehouse, documents: int) -> None:
    """Stop where not every document is committed with every page, once."""
    sql = (
        "SELECT count(*), count(DISTINCT (document_id, page_number)), count(DISTINCT document_id)"
        " FROM pages"
    )
    found = [column[0] for column in warehouse.query(sql).to_pydict().values()]
    if found != [documents * PAGES, documents * PAGES, documents]:
        raise SystemExit(f"{documents} documents went in, and the warehouse has {found}")


def _busy_s() -> float:
    """CPU seconds of the whole machine."""
    times = psutil.cpu_times()
    return float(times.user + times.system)


def scale(counts: Sequence[int], service_s: float, pages: int, plot_to: Path | None) -> str:
    """A table, the efficiency at 8, and a plot where one is wanted."""
    outcomes = []
    for actors in counts:
        outcomes.append(run_actors(actors, service_s, pages))
        print(f"{actors} actors: {outcomes[-1].rate:.2f} pages/s", flush=True)
    one = outcomes[0].rate / outcomes[0].actors
    lines = [
        [
            each.actors,
            each.pages,
            f"{each.wall_s:.1f}",
            f"{each.rate:.2f}",
            f"{each.rate / each.actors / one:.2f}",
            f"{each.writer_s / each.wall_s:.0%}",
            f"{each.cores:.2f}",
        ]
        for each in outcomes
    ]
    header = ["actors", "pages", "s", "pages/s", "efficiency", "writer's share", "cores busy"]
    if plot_to is not None:
        plot_to.write_text(plot(outcomes))
    told = [markdown_table(header, lines)]
    told += [
        f"efficiency at {each.actors}: {each.rate / each.actors / one:.2f}"
        for each in outcomes
        if each.actors in (8, 32)
    ]
    return "\n\n".join(told)


def plot(outcomes: Sequence[Outcome]) -> str:
    """Pages a second over actors, beside what as many single actors would do."""
    most, one = outcomes[-1].actors, outcomes[0].rate / outcomes[0].actors
    top = one * most

    def at(actors: float, rate: float) -> str:
        return f"{60 + 420 * actors / most:.1f},{260 - 230 * rate / top:.1f}"

    dots = [at(each.actors, each.rate) for each in outcomes]
    labels = "".join(
        f'<text x="{60 + 420 * each.actors / most:.1f}" y="276" text-anchor="middle">'
        f"{each.actors}</text>"
        for each in outcomes
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="520" height="300" '
        'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        f'<polyline points="{at(0, 0)} {at(most, top)}" fill="none" stroke="#999" '
        'stroke-dasharray="4"/>'
        f'<polyline points="{" ".join(dots)}" fill="none" stroke="#3b6ea5" stroke-width="2"/>'
        + "".join(
            f'<circle cx="{dot.split(",")[0]}" cy="{dot.split(",")[1]}" r="3" fill="#3b6ea5"/>'
            for dot in dots
        )
        + f'{labels}<text x="270" y="294" text-anchor="middle">actors</text>'
        f'<text x="50" y="34" text-anchor="end">{top:.0f}</text>'
        '<text x="50" y="264" text-anchor="end">0</text>'
        '<text x="66" y="20">pages/s (dashed: as many single actors)</text></svg>\n'
    )


def writer(documents: int) -> str:
    """Pages a second that one warehouse stages and commits, and publishes as it goes."""
    with tempfile.TemporaryDirectory() as folder:
        settings = load_settings(data_dir=Path(folder) / "data", device="cpu")
        warehouse = Warehouse(settings.data_dir)
        paths = [write_pdf(Path(folder) / f"document-{n}.pdf") for n in range(documents)]
        ids = [str(found.document_id) for found in warehouse.register(paths)]
        versions = {asset: code_versions(settings)[asset] for asset in ASSETS}
        committer = Committer(warehouse, "writer", versions)
        events = [event for name in ids for event in _events(name)]
        warehouse.begin(ids, run_id="writer")
        cpu, began = time.process_time(), time.monotonic()
        for event in events:
            committer.take(event)
        _finish(committer, warehouse)
        wall_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
        _require_whole(warehouse, documents)
    pages = documents * PAGES
    row = [documents, pages, f"{wall_s:.1f}", f"{pages / wall_s:.0f}", f"{pages / cpu_s:.0f}"]
    return markdown_table(["documents", "pages", "s", "pages/s", "pages/CPU-s"], [row])


def _events(name: str) -> Iterator[Any]:
    """A document of ten pages with 30 blocks of text and a table of 40 cells each."""
    yield DocumentOpened(name, PAGES)
    for number in range(1, PAGES + 1):
        yield _page(name, number)
    yield DocumentResult(name, PAGES)


def _page(name: str, number: int) -> PageResult:
    boxes = [BBox(50, 20.0 * row, 500, 20.0 * row + 15) for row in range(1, 31)]
    blocks = tuple(_block(number, row, box) for row, box in enumerate(boxes))
    regions = tuple(
        Region(number, region_id(number, box), Label.TEXT, box, 0.9, row, "stand-in")
        for row, box in enumerate(boxes)
    )
    page = Page(number, 595.0, 842.0, 0, 144.0, 1190, 1684, f"images/{name}/{number}.jpg", True)
    return PageResult(name, page, regions, blocks, (_table(number),), ())


def _block(number: int, row: int, box: BBox) -> TextBlock:
    content = "Twelve words stand here so that a line has a usual length " * 2
    return TextBlock(
        number,
        region_id(number, box),
        Label.TEXT,
        box,
        row,
        None,
        content,
        TextSource.TEXT_LAYER,
        1.0,
        (TextLine(box, content), TextLine(box, content)),
        "stand-in",
        11.0,
    )


def _table(number: int) -> Table:
    box = BBox(50, 650, 500, 800)
    cells = tuple(
        TableCell(row, column, 1, 1, row == 0, f"{row}.{column}", box)
        for row in range(8)
        for column in range(5)
    )
    html = "<table>" + "<tr><td>1</td></tr>" * 8 + "</table>"
    return Table(
        number, region_id(number, box), box, 40, 8, 5, cells, html, html, None, 0.9, "stand-in"
    )


def overhead(pdfs: Sequence[Path]) -> str:
    """CPU seconds a page by host, in the first round in which no actor loads a model."""
    ours, lines, base = psutil.Process(), [], 0.0
    with tempfile.TemporaryDirectory() as folder, cluster(2) as address:
        settings = load_settings(data_dir=Path(folder), device="cpu", ray_address=address)
        for actors in (0, 1, 2):
            chosen = settings.model_copy(update={"ray_actors": actors})
            with connected(address) if actors else nullcontext():
                for _ in range(MOST_ROUNDS):
                    host = RayHost(chosen) if actors else ProcessHost(chosen)
                    before, began = cpu_s(ours), time.monotonic()
                    pages = parse_all(host, pdfs, chosen)
                    spent, wall_s = cpu_s(ours) - before, time.monotonic() - began
                    if not host.usage().loads:
                        break
            base = base or spent
            name = f"ray, {actors} actors" if actors else "process"
            cells = [f"{spent / pages:.3f}", f"{wall_s:.1f}", f"{spent / base - 1:+.1%}"]
            lines.append([name, pages, *cells])
    header = ["host", "pages", "CPU-s a page", "wall, s", "CPU against process"]
    return markdown_table(header, lines)


def main() -> None:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parts = parser.add_subparsers(dest="part", required=True)
    actors = parts.add_parser("actors")
    actors.add_argument("--actors", default="1,2,4,8,16,32")
    actors.add_argument("--service-s", type=float, default=1.0)
    actors.add_argument("--pages", type=int, default=60)
    actors.add_argument("--plot", type=Path)
    parts.add_parser("writer").add_argument("--documents", type=int, default=200)
    parts.add_parser("overhead").add_argument("pdf", type=Path, nargs="+")
    options = parser.parse_args()
    if options.part == "overhead":
        print(overhead(options.pdf))
        return
    if options.part == "writer":
        print(writer(options.documents))
        return
    counts = [int(count) for count in options.actors.split(",")]
    print(scale(counts, options.service_s, options.pages, options.plot))


if __name__ == "__main__":
    main()
