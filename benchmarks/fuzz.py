"""Mutated PDFs through open, render and text layer, and a sample of them through the pipeline.

    python -m benchmarks.fuzz [--seed 1] [--count 2000] [--sample 40] [--work FOLDER]

Each mutant is one of the sample PDFs, as written or with its streams expanded, and changed by one
to three of: bytes flipped, a span zeroed, the end cut off, objects swapped, doubled or emptied,
numbers made huge, negative or into references. A seed gives the same mutants every time. Whatever
is no ``PdfError`` and no result is a bug, and so is a worker process or a buffer that stays behind.
"""

import argparse
import collections
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pymupdf

from deepcompress_dagster.pdf.client import PdfClient
from deepcompress_dagster.pdf.errors import PdfError
from deepcompress_dagster.pipeline.text_layer import InkMap, assess
from deepcompress_dagster.records import BBox
from deepcompress_dagster.warehouse import Warehouse

SAMPLES = Path(__file__).parents[1] / "samples"
PAGES = 2
"""Pages of a mutant that are rendered."""

_OBJECT = re.compile(rb"(\d+ 0 obj\b)(.*?)(endobj)", re.DOTALL)
_NUMBER = re.compile(rb"(?<=[\s\[/(])-?\d+(?:\.\d+)?(?=[\s\]/>)])")
_ODD_NUMBERS = (b"0", b"-1", b"2147483648", b"99999999999999999999", b"1e9", b"1 0 R", b"0.0000001")

Change = Callable[[bytes, random.Random], bytes]


def flip(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 4, 32, 256))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def blank(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data))
    end = min(len(data), start + chance.choice((8, 200, 4000)))
    return data[:start] + bytes(end - start) + data[end:]


def cut(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(1, len(data))]


def swap(data: bytes, chance: random.Random) -> bytes:
    """Two objects change their bodies."""
    found = list(_OBJECT.finditer(data))
    if len(found) < 2:
        return data
    first, second = sorted(chance.sample(found, 2), key=lambda match: match.start())
    return b"".join(
        (
            data[: first.start(2)],
            second[2],
            data[first.end(2) : second.start(2)],
            first[2],
            data[second.end(2) :],
        )
    )


def double(data: bytes, chance: random.Random) -> bytes:
    """An object stands there twice, the second time with another's body or none."""
    found = list(_OBJECT.finditer(data))
    if not found:
        return data
    match, other = chance.choice(found), chance.choice(found)
    body = chance.choice((match[2], other[2], b" << >> ", b""))
    return data[: match.end()] + b"\n" + match[1] + body + match[3] + data[match.end() :]


def misnumber(data: bytes, chance: random.Random) -> bytes:
    """Some numbers outside streams become odd ones."""
    found = list(_NUMBER.finditer(data))
    for match in sorted(chance.sample(found, min(len(found), 3)), key=lambda m: -m.start()):
        data = data[: match.start()] + chance.choice(_ODD_NUMBERS) + data[match.end() :]
    return data


CHANGES: Sequence[Change] = (flip, blank, cut, swap, double, misnumber, misnumber)


def originals() -> list[bytes]:
    """The sample PDFs as written, and with streams and object streams expanded."""
    found = []
    for path in sorted(SAMPLES.glob("*.pdf")):
        with pymupdf.open(path) as document:
            found += [
                path.read_bytes(),
                document.tobytes(expand=255, use_objstms=0, no_new_id=True),
            ]
    return found


def mutants(seed: int, count: int) -> Iterator[bytes]:
    """``count`` mutants, the same for the same seed."""
    sources = originals()
    for number in range(count):
        chance = random.Random(f"{seed}-{number}")
        data = chance.choice(sources)
        for _ in range(chance.randint(1, 3)):
            data = chance.choice(CHANGES)(data, chance) or b"%PDF-"
        yield data


@dataclass
class Verdict:
    """What became of the mutants: outcomes by kind, and what must not happen."""

    outcomes: collections.Counter[str] = field(default_factory=collections.Counter)
    bugs: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    worker_mb: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in self.outcomes.most_common())
        return (
            f"{sum(self.outcomes.values())} answers in {self.seconds:.0f} s: {kinds}\n"
            f"slowest {self.slowest_s:.2f} s, largest worker {self.worker_mb:.0f} MB, "
            f"bugs {len(self.bugs)}"
        )


def examine(mutated: Iterable[bytes], folder: Path, *, timeout_s: float = 20) -> Verdict:
    """Open each mutant, render its first pages and look at their text layer."""
    verdict = Verdict()
    started = time.monotonic()
    path = folder / "mutant.pdf"
    with PdfClient(
        workers=1, timeout_s=timeout_s, memory_mb=1024, max_pages=500, buffer_dir=folder
    ) as workers:
        for number, data in enumerate(mutated):
            path.write_bytes(data)
            began = time.monotonic()
            for kind in _answers(workers, path):
                verdict.outcomes[kind] += 1
                if kind.startswith("BUG"):
                    kept = folder / f"bug-{number}.pdf"
                    kept.write_bytes(data)
                    verdict.bugs.append(f"{kept}: {kind}")
            verdict.slowest_s = max(verdict.slowest_s, time.monotonic() - began)
            verdict.worker_mb = max(verdict.worker_mb, *map(_megabytes, workers.pids), 0)
        if workers.buffers_in_use:
            verdict.bugs.append(f"{workers.buffers_in_use} buffers were not given back")
    verdict.seconds = time.monotonic() - started
    return verdict


def _answers(workers: PdfClient, path: Path) -> Iterator[str]:
    try:
        info = workers.open(path)
    except PdfError as error:
        yield f"open {error.error_type}"
        return
    except Exception as error:
        yield f"BUG open {error!r}"
        return
    yield "opened repaired" if info.repaired else "opened"
    for number in range(1, min(info.page_count, PAGES) + 1):
        yield _page(workers, path, number)


def _page(workers: PdfClient, path: Path, number: int) -> str:
    try:
        with workers.render(
            path, number, dpi=72, max_pixels=4_000_000, image_path=None, jpeg_quality=80
        ) as page:
            seen = page.content
            whole = BBox(0, 0, seen.width, seen.height)
            judgement = assess(seen.words, whole, InkMap(page.pixels, seen.dpi / 72))
            return f"page {judgement.reason}"
    except PdfError as error:
        return f"page error {error.error_type}"
    except Exception as error:
        return f"BUG page {error!r}"


def _megabytes(pid: int) -> float:
    try:
        return float(psutil.Process(pid).memory_info().rss / 2**20)
    except psutil.Error:
        return 0.0


def process(mutated: Iterable[bytes], folder: Path) -> tuple[str, list[str]]:
    """Run mutants through ``deepcompress process``; what became of them, and bugs."""
    files = []
    for number, data in enumerate(mutated):
        files.append(folder / f"mutant-{number:03d}.pdf")
        files[-1].write_bytes(data)
    data_dir = folder / "data"
    done = subprocess.run(
        [sys.executable, "-m", "deepcompress_dagster.cli", "process", *map(str, files)],
        env={**os.environ, "DEEPCOMPRESS_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        check=False,
    )
    bugs = [] if done.returncode in (0, 1) else [f"exit {done.returncode}: {done.stderr[-2000:]}"]
    warehouse = Warehouse(data_dir)
    explained = {failure.document_id for failure in warehouse.failures()}
    counts = collections.Counter(str(row.status) for row in warehouse.documents())
    for row in warehouse.documents():
        if row.status == "registered":
            bugs.append(f"{row.file_name} was not taken up")
        elif row.status != "complete" and row.document_id not in explained:
            bugs.append(f"{row.file_name} is {row.status} and errors does not say why")
    return ", ".join(f"{count} {status}" for status, count in counts.most_common()), bugs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--sample", type=int, default=40)
    parser.add_argument("--work", type=Path)
    arguments = parser.parse_args()
    work = arguments.work or Path(tempfile.mkdtemp(prefix="deepcompress-fuzz-"))
    work.mkdir(parents=True, exist_ok=True)
    verdict = examine(mutants(arguments.seed, arguments.count), work)
    print(verdict, flush=True)
    bugs = verdict.bugs
    if arguments.sample:
        outcome, found = process(mutants(arguments.seed + 1, arguments.sample), work)
        print(f"through the pipeline: {outcome}, bugs {len(found)}")
        bugs += found
    print(*bugs, sep="\n")
    sys.exit(1 if bugs else 0)


if __name__ == "__main__":
    main()
