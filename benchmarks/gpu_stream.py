"""What streaming in batches gains: the models of the full profile on rendered pages.

    python -m benchmarks.gpu_stream [PDF ...] [--tiny] [--device cuda:0] [--plot FILE.svg]

The models are as large as the published ones and have random weights: what they answer is noise, so
each page is cut into the same number of text, table and figure crops, and texts end at a fixed
length. Three ways through the same work: one page and one crop at a time; stage after stage in
batches, each waiting for the one before; and as a stream. Prints a Markdown table.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf

from benchmarks.checkpoints import build
from deepcompress_dagster.models import device as machine
from deepcompress_dagster.models.cache import ModelCache
from deepcompress_dagster.models.catalog import ModelSpec, Task
from deepcompress_dagster.models.predictor import (
    Image,
    PartialBatchError,
)
from deepcompress_dagster.settings import DType
from deepcompress_dagster.streaming import BatchSizer, Call, ItemFailed, Stage, Stream

SAMPLES = Path(__file__).resolve().parents[1] / "samples"
SIZES = (1, 4, 8, 16, 32)
DPI = 144
TEXT_CROPS = 6
FAMILIES = {
    Task.LAYOUT: "rt_detr_v2",
    Task.TEXT: "got_ocr2",
    Task.TABLE: "table-transformer",
    Task.FIGURE: "pix2struct",
}
PAGES_IN_FLIGHT = 3
"""Batches' worth of pages that a stream may hold."""


@dataclass(frozen=True)
class Page:
    """One page of a file, to be rendered when its turn comes."""

    path: Path
    number: int

    def render(self) -> Image:
        with pymupdf.open(self.path) as document:
            picture = document[self.number].get_pixmap(dpi=DPI, alpha=False)
        return np.frombuffer(picture.samples, np.uint8).reshape(picture.h, picture.w, 3)


@dataclass(frozen=True)
class Result:
    """One way through the work, measured. ``busy`` is the share of time with a model at work."""

    mode: str
    batch: int
    seconds: float
    pages: int
    busy: float
    peak_bytes: int
    loads: int

    @property
    def speed(self) -> float:
        return self.pages / self.seconds


class Models:
    """The four models of a run, and for how long at least one of them was at work."""

    def __init__(self, folder: Path, *, device: str, dtype: str, tokens: int, tiny: bool) -> None:
        self.device = device
        self.cache = ModelCache()
        self._specs = {
            task: ModelSpec(
                task,
                str(build(family, folder / family, tiny=tiny)),
                None,
                device,
                dtype,
                (("max_new_tokens", tokens),),
            )
            for task, family in FAMILIES.items()
        }
        self._lock = threading.Lock()
        self._running, self._since, self.busy_s = 0, 0.0, 0.0

    def predict(self, task: Task, items: Sequence[Any]) -> list[Any]:
        predictor = self.cache.get(self._specs[task])
        self._count(1)
        try:
            return predictor.predict(items)
        except PartialBatchError as failure:
            return failure.outcomes
        finally:
            self._count(-1)

    def reset(self) -> None:
        machine.empty_cache()
        machine.reset_peak_memory(self.device)
        self.busy_s = 0.0

    def _count(self, change: int) -> None:
        with self._lock:
            now = time.perf_counter()
            if self._running:
                self.busy_s += now - self._since
            self._running, self._since = self._running + change, now


def crops(page: Image) -> list[tuple[Task, Any]]:
    """What a page with a table and a figure asks of the models after its layout."""
    height = page.shape[0]
    step = height // (TEXT_CROPS + 6)
    texts = [page[i * step : (i + 1) * step] for i in range(TEXT_CROPS)]
    table, figure = page[height // 2 : 3 * height // 4], page[3 * height // 4 :]
    return [
        *((Task.TEXT, text) for text in texts),
        (Task.TABLE, table),
        (Task.FIGURE, figure),
    ]


def page_at_a_time(models: Models, pages: Sequence[Page], _size: int) -> None:
    for page in pages:
        image = page.render()
        models.predict(Task.LAYOUT, [image])
        for task, crop in crops(image):
            models.predict(task, [crop])


def staged(models: Models, pages: Sequence[Page], size: int) -> None:
    images = [page.render() for page in pages]
    work: dict[Task, list[Any]] = {Task.LAYOUT: list(images)}
    for image in images:
        for task, crop in crops(image):
            work.setdefault(task, []).append(crop)
    for task, items in work.items():
        for start in range(0, len(items), size):
            models.predict(task, items[start : start + size])


def streamed(models: Models, pages: Sequence[Page], size: int) -> None:
    def stage(task: Task) -> Stage[Any, Any]:
        return Stage(task.value, lambda items: models.predict(task, items), sizer=BatchSizer(size))

    def flow(page: Page, _trace: Any) -> Iterator[Any]:
        image = yield Call("render", page)
        yield Call(Task.LAYOUT.value, image)
        answers = yield [Call(task.value, crop) for task, crop in crops(image)]
        for answer in answers:
            if isinstance(answer, ItemFailed):
                raise answer

    render = Stage("render", lambda batch: [page.render() for page in batch])
    stream = Stream([render, *map(stage, FAMILIES)], budget=PAGES_IN_FLIGHT * size)
    for _ in stream.run(pages, flow, lambda _page: 1):
        pass


WAYS: dict[str, Callable[[Models, Sequence[Page], int], None]] = {
    "page at a time": page_at_a_time,
    "staged": staged,
    "streaming": streamed,
}


def measure(models: Models, mode: str, pages: Sequence[Page], size: int) -> Result:
    models.reset()
    started = time.perf_counter()
    WAYS[mode](models, pages, size)
    seconds = time.perf_counter() - started
    loads = models.cache.stats().total_loads
    peak = machine.peak_memory(models.device)
    return Result(mode, size, seconds, len(pages), models.busy_s / seconds, peak, loads)


def table(results: Sequence[Result]) -> str:
    base = results[0].speed
    lines = [
        "| way | batch | pages/s | to page at a time | model at work | peak GiB | loads |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in results:
        memory = f"{one.peak_bytes / 2**30:.2f}" if one.peak_bytes else "-"
        lines.append(
            f"| {one.mode} | {one.batch} | {one.speed:.2f} | {one.speed / base:.2f} "
            f"| {one.busy:.0%} | {memory} | {one.loads} |"
        )
    return "\n".join(lines)


def plot(results: Sequence[Result]) -> str:
    """Bars of pages per second as SVG."""
    widest = max(one.speed for one in results)
    rows = []
    for i, one in enumerate(results):
        y, width = 30 + 22 * i, 380 * one.speed / widest
        rows.append(
            f'<text x="150" y="{y + 12}" text-anchor="end">{one.mode}, {one.batch}</text>'
            f'<rect x="160" y="{y}" width="{width:.1f}" height="16" fill="#3b6ea5"/>'
            f'<text x="{165 + width:.1f}" y="{y + 12}">{one.speed:.2f}</text>'
        )
    height = 40 + 22 * len(results)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="620" height="{height}" '
        'font-family="sans-serif" font-size="12">'
        '<rect width="100%" height="100%" fill="white"/>'
        f'<text x="160" y="18">pages per second</text>{"".join(rows)}</svg>\n'
    )


def pages_of(paths: Sequence[Path], limit: int) -> list[Page]:
    """The pages of the files, from the start again until there are ``limit``."""
    found = []
    for path in paths:
        with pymupdf.open(path) as document:
            found += [Page(path, number) for number in range(document.page_count)]
    return [found[i % len(found)] for i in range(limit)]


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pdfs", nargs="*", type=Path, help="files to render; the samples if none")
    parser.add_argument("--tiny", action="store_true", help="tiny models, few pages, on the CPU")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto", choices=[item.value for item in DType])
    parser.add_argument("--pages", type=int, default=96)
    parser.add_argument("--tokens", type=int, default=100, help="length of every text")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--plot", type=Path, help="SVG file to write")
    options = parser.parse_args(arguments)
    if options.tiny:
        options.device, options.pages, options.tokens, options.sizes = "cpu", 4, 4, "1,4"
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parsed(arguments)
    device = machine.resolve_device(options.device)
    dtype = machine.resolve_dtype(DType(options.dtype), device)
    pages = pages_of(options.pdfs or sorted(SAMPLES.glob("*.pdf")), options.pages)
    with tempfile.TemporaryDirectory() as folder:
        models = Models(
            Path(folder), device=device, dtype=dtype, tokens=options.tokens, tiny=options.tiny
        )
        page_at_a_time(models, pages[:1], 1)  # loads the models, warms the device up
        results = [measure(models, "page at a time", pages, 1)]
        for size in map(int, options.sizes.split(",")):
            results += [measure(models, mode, pages, size) for mode in ("staged", "streaming")]
    size = "tiny" if options.tiny else "full-size"
    print(f"{len(pages)} pages, {size} models with random weights, {device}, {dtype}\n")
    print(table(results))
    if options.plot:
        options.plot.write_text(plot(results), encoding="utf-8")


if __name__ == "__main__":
    main()
