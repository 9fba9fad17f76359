"""The sample PDFs are what their script writes, and show what they are meant to show."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from deepcompress_dagster.pdf.messages import PageContent, RenderRequest
from deepcompress_dagster.pdf.worker.document import describe, open_document
from deepcompress_dagster.pdf.worker.render import render_page
from deepcompress_dagster.pdf.worker.table_finder import find_tables
from deepcompress_dagster.records import BBox

SAMPLES = Path(__file__).parents[2] / "samples"
NAMES = [path.name for path in sorted(SAMPLES.glob("*.pdf"))]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SAMPLES / "make_samples.py"))


def page(name: str, number: int = 1) -> PageContent:
    return render_page(open_document(SAMPLES / name), RenderRequest(number, 72, 10**7, None))


def test_the_script_writes_the_same_bytes_again(script: dict[str, Any], tmp_path: Path) -> None:
    first, second = (script["write_samples"](tmp_path / name) for name in ("one", "two"))
    assert [path.name for path in first] == [sample.name for sample in script["SAMPLES"]]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_the_stored_samples_are_those_of_the_script(script: dict[str, Any], tmp_path: Path) -> None:
    for path in script["write_samples"](tmp_path):
        fresh, stored = open_document(path), open_document(SAMPLES / path.name)
        assert [p.get_text() for p in fresh] == [p.get_text() for p in stored]
        assert describe(fresh, path, 9) == describe(stored, path, 9)


def test_samples_are_small_and_sound() -> None:
    assert 4 <= len(NAMES) <= 6
    assert sum((SAMPLES / name).stat().st_size for name in NAMES) < 1_000_000
    for name in NAMES:
        assert not describe(open_document(SAMPLES / name), SAMPLES / name, 9).repaired


def test_the_text_sample_has_pages_an_outline_and_columns() -> None:
    path = SAMPLES / "weather-notes.pdf"
    info = describe(open_document(path), path, 9)
    assert info.page_count == 3
    assert len(info.outline) == 7
    starts = {round(word.bbox.x0) for word in page("weather-notes.pdf", 2).words}
    assert {64, 308} <= starts


def test_the_table_sample_has_a_ruled_an_open_and_a_spanning_table() -> None:
    boxes = [BBox(60, 178, 490, 274), BBox(60, 308, 510, 402), BBox(60, 434, 500, 532)]
    found = find_tables(open_document(SAMPLES / "orchard-tables.pdf"), 1, boxes)
    assert [(t.n_rows, t.n_columns) for t in found if t] == [(5, 4), (5, 4), (5, 5)]
    assert found[1] is not None
    assert {"until August", "from October"} <= {cell.text for cell in found[1].cells}
    assert [t.confidence > 0.95 for t in found if t] == [True, False, True]
    assert found[2] is not None
    assert [cell.text for cell in found[2].cells if cell.column_span == 2] == ["Eaten", "Juice"]


@pytest.mark.parametrize(("name", "number"), [("scanned-letter.pdf", 1), ("turned-pages.pdf", 2)])
def test_scans_have_neither_words_nor_drawings(name: str, number: int) -> None:
    content = page(name, number)
    assert content.words == content.drawings == ()


def test_the_turned_page_is_upright_as_displayed() -> None:
    content = page("turned-pages.pdf")
    assert content.rotation == 90
    assert content.width > content.height
    title = content.words[:4]
    assert [word.text for word in title] == ["Timetable", "of", "the", "ferry"]
    assert title[0].bbox.width > title[0].bbox.height
