"""The short form of ``benchmarks/soak``: a worker and a run killed, and the run after them."""

import itertools
from pathlib import Path

from benchmarks.soak.growth import Sample, growth, plot
from benchmarks.soak.kills import faults_in_a_run, kill_run, kill_worker


def test_kills_lose_tear_and_leave_nothing(tmp_path: Path) -> None:
    kinds = itertools.cycle((kill_worker, kill_run))
    row = faults_in_a_run(tmp_path, "both", lambda pid: next(kinds)(pid), tries=2)
    assert row.problems == []
    assert row.is_clean
    assert len(row.seconds) == 2


def test_a_plot_has_a_panel_for_each_quantity() -> None:
    samples = [Sample(float(at), 100 + at, 50, 9, at % 3, 0) for at in range(30)]
    drawn = plot(samples, ["memory_mb", "descriptors"])
    assert drawn.count("<polyline") == 2
    assert "memory_mb (0 to 129, 29 s)" in drawn


def test_growth_is_told_from_noise() -> None:
    flat = [Sample(at, 100 + at % 5, 50, 9, 1, 0) for at in range(30)]
    leaking = [Sample(at, 100 + 10 * at, 50, 9, 1, 0) for at in range(30)]
    assert growth(flat) == []
    assert len(growth(leaking)) == 1
