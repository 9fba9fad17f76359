"""Readers of PDFs side by side on the same pages: CPU seconds a page, memory, score.

    python -m benchmarks.peers CORPUS [--sets scans,born-digital,tables] [--only PEER,...]
                                      [--envs FOLDER] [--plot FILE.svg]

CORPUS is as for benchmarks.quality. Each peer is installed into a virtual environment of its own
under the folder of environments, once; one that cannot be installed is named and left out. All run
with as many threads as they choose, one after the other. The CPU time of a run over one blank page
(start-up, models loaded) is taken off.
"""

import argparse
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, zip_longest
from math import log10
from pathlib import Path
from typing import Any

import pymupdf

from benchmarks.quality import as_pdf, chosen, markdown_table, process, score, write_predictions
from deepcompress_dagster.warehouse import Warehouse

DRIVERS = Path(__file__).resolve().parent / "drivers"
OURS = "deepcompress"

Run = Callable[[Path, Path], tuple[float, float]]
"""Reads the PDFs of a folder into another one; CPU seconds and peak memory in MB."""


@dataclass(frozen=True)
class Peer:
    """One reader: what is installed for it, the script that calls it and that script's options."""

    name: str
    requirements: tuple[str, ...]
    driver: str
    options: tuple[str, ...] = ()
    reads_scans: bool = True

    @property
    def environment(self) -> str:
        return self.driver


PEERS = (
    Peer("pymupdf4llm", ("pymupdf==2.0",), "pymupdf4llm"),
    Peer("opendataloader", ("opendataloader-pdf==2.5.16",), "opendataloader", reads_scans=False),
    Peer("liteparse", ("liteparse==2.18.0",), "liteparse", reads_scans=False),
    Peer("kreuzberg", ("kreuzberg==4.10.4",), "kreuzberg", reads_scans=False),
    Peer("rapidocr", ("rapidocr==3.10.0", "onnxruntime==1.31.1", "pymupdf==2.0"), "rapidocr"),
    Peer(
        "faster-paddle small", ("faster-paddle==1.0.4", "pymupdf==2.0"), "faster_paddle", ("small",)
    ),
    Peer(
        "faster-paddle tiny", ("faster-paddle==1.0.4", "pymupdf==2.0"), "faster_paddle", ("tiny",)
    ),
)
"""Pinned, so that a table can be made again. docling is not among them: it loads its models from a
hub at run time."""

OCR_ONLY = frozenset({"rapidocr", "faster_paddle"})
"""Drivers that see pixels alone; they are run on scans only."""


@dataclass(frozen=True)
class Pages:
    """A set of pages: whole documents of some families, and the scores that tell of them."""

    category: str
    families: tuple[str, ...]
    pages: int
    longest: int
    metrics: tuple[str, ...]


SETS = {
    "scans": Pages(
        "scan", ("oldbooks", "tesseract-test", "ocr-d", "ocr-small"), 20, 1, ("tok_f1", "cer")
    ),
    "born-digital": Pages(
        "born-digital", ("tagged", "consensus", "r-data", "r-faq"), 25, 6, ("nid", "order", "mhs")
    ),
    "tables": Pages("table", ("icdar2013", "tabula-expected"), 12, 3, ("teds", "adj_f1")),
}


@dataclass(frozen=True)
class Outcome:
    """What one reader took for a set of pages, start-up apart, and how well it read them."""

    peer: str
    pages: int
    start_cpu_s: float
    cpu_s: float
    peak_mb: float
    scores: dict[str, float]

    @property
    def cpu_s_per_page(self) -> float:
        return self.cpu_s / self.pages


def documents(corpus: Path, wanted: Pages) -> list[Any]:
    """Documents of the families in turn until the pages are together."""
    kept, _ = chosen(corpus / "manifest.json", {wanted.category}, wanted.longest)
    by_family = [[d for d in kept if d["family"] == family] for family in wanted.families]
    taken: list[Any] = []
    for record in chain.from_iterable(zip_longest(*by_family)):
        pages = sum(known["pages"] or 1 for known in taken)
        if record is not None and pages + (record["pages"] or 1) <= wanted.pages:
            taken.append(record)
    return taken


def installed(peer: Peer, environments: Path) -> Path | None:
    """The Python of the peer's environment, made when it is missing; None if that fails."""
    folder = environments / peer.environment
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        venv.create(folder, clear=True, with_pip=True)
        command = [str(python), "-m", "pip", "install", "--quiet", *peer.requirements]
        if subprocess.run(command, check=False).returncode:
            return None
        (folder / "ready").touch()
    return python


def cpu_and_peak(command: Sequence[str], log: Path) -> tuple[float, float]:
    """CPU seconds and peak memory (MB) of a command and its children. Raises if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("wb") as output:
        subprocess.run(command, check=True, stdout=output, stderr=output)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, after.ru_maxrss / 1024


def run_peer(peer: Peer, python: Path, source: Path, target: Path) -> tuple[float, float]:
    target.mkdir(parents=True)
    driver = str(DRIVERS / f"{peer.driver}.py")
    # -P: a driver has the name of the package that it imports.
    command = [str(python), "-P", driver, str(source), str(target), *peer.options]
    return cpu_and_peak(command, target.with_suffix(".log"))


def run_ours(source: Path, target: Path) -> tuple[float, float]:
    data = target.with_suffix(".data")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    cost = process(source, data)
    cpu = cost.cpu_s - before.ru_utime - before.ru_stime
    write_predictions(Warehouse(data), target)
    return cpu, cost.peak_mb


def measured(name: str, run: Run, folder: Path, wanted: Pages, corpus: Path) -> Outcome:
    """One reader over the blank page and over the set; to be called in a process of its own."""
    target = folder / name.replace(" ", "-")
    start, _ = run(folder / "blank", target.with_suffix(".blank"))
    cpu, peak = run(folder / "pages", target)
    report = score(corpus, target, target.with_suffix(".json"))
    means = report["by_category"][wanted.category]
    pages = sum(map(page_count, (folder / "pages").glob("*.pdf")))
    scores = {metric: means[metric] for metric in wanted.metrics if metric in means}
    return Outcome(name, pages, start, cpu - start, peak, scores)


def page_count(path: Path) -> int:
    with pymupdf.open(path) as document:
        return int(document.page_count)


def forked(measure: Callable[[], Outcome]) -> Outcome:
    """``measure()`` in a forked process: the peak memory of children is counted afresh there."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def work() -> None:
        theirs.send(measure())

    child = context.Process(target=work)
    child.start()
    theirs.close()
    try:
        outcome: Outcome = ours.recv()
    finally:
        child.join()
    return outcome


def fits(peer: Peer, title: str) -> bool:
    """Whether a reader does this kind of page at all."""
    return peer.reads_scans if title == "scans" else peer.driver not in OCR_ONLY


def blank_page(folder: Path) -> None:
    folder.mkdir(parents=True)
    with pymupdf.open() as document:
        document.new_page().insert_text((72, 72), "One line.")
        document.save(folder / "blank.pdf")


def table(outcomes: Sequence[Outcome], metrics: Sequence[str]) -> str:
    header = ["reader", "CPU-s a page", "start, CPU-s", "peak MB", *metrics]
    lines = [
        [
            one.peer,
            f"{one.cpu_s_per_page:.3f}",
            f"{one.start_cpu_s:.2f}",
            f"{one.peak_mb:.0f}",
            *(f"{one.scores[metric]:.3f}" if metric in one.scores else "" for metric in metrics),
        ]
        for one in sorted(outcomes, key=lambda one: one.cpu_s)
    ]
    return markdown_table(header, lines)


def plot(results: Iterable[tuple[str, str, Sequence[Outcome]]]) -> str:
    """Cost (CPU-s a page, logarithmic) against the first score, one panel a set, as SVG."""
    panels, x0 = [], 0
    for title, metric, outcomes in results:
        shown = [one for one in outcomes if metric in one.scores]
        panels.append(f'<text x="{x0 + 60}" y="20" font-weight="bold">{title}: {metric}</text>')
        panels.append(
            f'<path d="M{x0 + 60} 30V260H{x0 + 330}" fill="none" stroke="#888"/>'
            f'<text x="{x0 + 150}" y="290">CPU-s a page</text>'
        )
        for tick in (0.01, 0.1, 1, 10):
            x = x0 + 60 + 80 * (log10(tick) + 2)
            panels.append(f'<text x="{x:.0f}" y="275" text-anchor="middle">{tick}</text>')
        low = min((one.scores[metric] for one in shown), default=0.0)
        span = max(1e-6, 1 - low)
        for share in (0, 0.5, 1):
            y = 250 - 210 * share
            panels.append(
                f'<text x="{x0 + 55}" y="{y:.0f}" text-anchor="end">{low + share * span:.2f}</text>'
            )
        for one in shown:
            x = x0 + 60 + 80 * (log10(max(0.01, one.cpu_s_per_page)) + 2)
            y = 250 - 210 * (one.scores[metric] - low) / span
            colour = "#c0392b" if one.peer.startswith(OURS) else "#3b6ea5"
            panels.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
                f'<text x="{x + 6:.1f}" y="{y - 4:.1f}">{one.peer}</text>'
            )
        x0 += 400
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{x0 + 40}" height="300" '
        'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(panels)}</svg>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--sets", default=",".join(SETS), help="comma list of sets")
    parser.add_argument("--only", default="", help="comma list of peers; this project always runs")
    parser.add_argument("--envs", type=Path, default=Path("~/.cache/deepcompress/peers"))
    parser.add_argument("--plot", type=Path, help="SVG file to write")
    arguments = parser.parse_args()
    only = set(filter(None, arguments.only.split(",")))
    environments = arguments.envs.expanduser().absolute()
    results = []
    for title in arguments.sets.split(","):
        wanted = SETS[title]
        folder = Path(tempfile.mkdtemp(prefix=f"deepcompress-peers-{title}-"))
        (folder / "pages").mkdir()
        blank_page(folder / "blank")
        for record in documents(arguments.corpus, wanted):
            as_pdf(arguments.corpus / record["file"], record["id"], folder / "pages")
        wanted_peers = [
            peer for peer in PEERS if fits(peer, title) and (not only or peer.name in only)
        ]
        outcomes = [forked(partial(measured, OURS, run_ours, folder, wanted, arguments.corpus))]
        for peer in wanted_peers:
            python = installed(peer, environments)
            if python is None:
                print(f"{peer.name} cannot be installed here", file=sys.stderr)
                continue
            run = partial(run_peer, peer, python)
            measure = partial(measured, peer.name, run, folder, wanted, arguments.corpus)
            try:
                outcomes.append(forked(measure))
            except EOFError:
                print(f"{peer.name} failed on {title}; see the logs in {folder}", file=sys.stderr)
        print(f"## {title}: {outcomes[0].pages} pages\n\n{table(outcomes, wanted.metrics)}\n")
        results.append((title, wanted.metrics[0], outcomes))
    if arguments.plot:
        arguments.plot.write_text(plot(results), encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("DEEPCOMPRESS_DEVICE", "cpu")
    main()
