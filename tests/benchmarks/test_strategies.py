"""The ways through the same pages differ in nothing but the order of calls."""

from dataclasses import replace
from pathlib import Path

from benchmarks.strategies import WAYS, Outcome, Work, plot, table
from benchmarks.tiny import TinyModels
from deepcompress_dagster.records import PageResult


def rows(way: str, pdf: Path, folder: Path) -> list[PageResult]:
    work = Work(pdf, folder, 3, TinyModels())
    results = sorted(WAYS[way](work), key=lambda result: result.page.page_number)
    work.pdfs.close()
    return [replace(result, timings=()) for result in results]


def test_every_way_makes_the_same_rows(samples: Path, tmp_path: Path) -> None:
    pdf = samples / "weather-notes.pdf"
    expected = rows("sequential", pdf, tmp_path / "sequential")

    assert len(expected) == 3
    assert all(not result.errors for result in expected)
    for way in WAYS:
        assert rows(way, pdf, tmp_path / way.replace(" ", "-")) == expected, way


def test_the_table_and_the_plot_name_every_way() -> None:
    calls = [("render", 0.0, 0.5, 1), ("layout", 0.5, 1.5, 2)]
    outcomes = [Outcome(way, 2, 2.0, 1.0, 0.5, 100.0, 1, 1.5, calls) for way in WAYS]

    assert table(outcomes).splitlines()[2] == (
        "| load in the loop | 2.0 | 1.0 | 0.5 | 100 | 1 | 2.00 | 75% |"
    )
    assert all(f">{way}: 2.0 s</text>" in plot(outcomes) for way in WAYS)
