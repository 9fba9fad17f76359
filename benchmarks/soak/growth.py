"""Samples over time: whether something grew, and the picture of them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.walk import say


@dataclass(frozen=True)
class Sample:
    """One moment of the load: seconds, and sums over all processes of the place."""

    at: float
    memory_mb: float
    descriptors: int
    processes: int
    runs: int
    waiting: int


def growth(samples: Sequence[Sample]) -> list[str]:
    """What grew by more than a fifth from the second third to the last."""
    third = len(samples) // 3
    if third < 5:
        return []
    grown = []
    for name in ("memory_mb", "descriptors"):
        middle, last = (
            statistics.median(getattr(item, name) for item in part)
            for part in (samples[third : 2 * third], samples[2 * third :])
        )
        say(f"{name}: {middle:.0f} in the middle third, {last:.0f} in the last")
        if last > 1.2 * middle:
            grown.append(f"{name} grew from {middle:.0f} to {last:.0f}")
    return grown


def write_samples(folder: Path, samples: Sequence[Sample]) -> None:
    """``load.csv``, and ``load.svg`` with a line for each quantity, scaled to its largest value."""
    names = list(Sample.__dataclass_fields__)
    rows = [",".join(f"{getattr(sample, name):.1f}" for name in names) for sample in samples]
    (folder / "load.csv").write_text("\n".join([",".join(names), *rows]) + "\n")
    (folder / "load.svg").write_text(plot(samples, names[1:]))
    say(f"written: {folder / 'load.csv'}, {folder / 'load.svg'}")


def plot(samples: Sequence[Sample], names: Sequence[str]) -> str:
    """An SVG with one panel a quantity over time."""
    width, height, gap = 640, 90, 34
    span = max(samples[-1].at, 1.0)
    parts = []
    for number, name in enumerate(names):
        top = gap + number * (height + gap)
        largest = max(float(getattr(sample, name)) for sample in samples) or 1.0
        points = " ".join(
            f"{60 + (width - 80) * sample.at / span:.1f},"
            f"{top + height * (1 - getattr(sample, name) / largest):.1f}"
            for sample in samples
        )
        parts.append(
            f'<text x="60" y="{top - 6}">{name} (0 to {largest:.0f}, {span:.0f} s)</text>'
            f'<rect x="60" y="{top}" width="{width - 80}" height="{height}" fill="none"'
            f' stroke="#ccc"/><polyline fill="none" stroke="#1f6f8b" points="{points}"/>'
        )
    total = gap + len(names) * (height + gap)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{total}"'
        f' font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f"{''.join(parts)}</svg>\n"
    )
