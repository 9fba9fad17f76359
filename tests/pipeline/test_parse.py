"""The whole stream on real PDFs with the embedded models."""

import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pymupdf
import pytest

from deepcompress_dagster.models.cache import model_cache
from deepcompress_dagster.models.catalog import Task
from deepcompress_dagster.models.predictor import MissingModelError
from deepcompress_dagster.pipeline.parse import Parser
from deepcompress_dagster.records import (
    DRAWINGS_LEFT_OUT,
    BBox,
    DocumentOpened,
    DocumentResult,
    DocumentTask,
    Label,
    PageResult,
    PageStatus,
    TextSource,
)
from deepcompress_dagster.settings import LayoutEffort
from tests.raw_pdf import endless_pdf

pytestmark = pytest.mark.models


def task(path: Path, folder: Path, **changes) -> DocumentTask:
    return replace(DocumentTask(path.stem, path, folder / "images" / path.stem), **changes)


def run(settings, tasks, **options):
    """Events of a parse: opened, pages by (document, page), results by document."""
    with (
        Parser(settings, buffer_dir=settings.data_dir / "pixels") as parser,
        closing(parser.parse(tasks, **options)) as stream,
    ):
        events = list(stream)
    opened = [event.document_id for event in events if isinstance(event, DocumentOpened)]
    pages = {
        (event.document_id, event.page.page_number): event
        for event in events
        if isinstance(event, PageResult)
    }
    results = {event.document_id: event for event in events if isinstance(event, DocumentResult)}
    return opened, pages, results


def words(page: PageResult) -> str:
    return " ".join(block.content for block in page.text or ())


def test_pages_of_all_documents_come_through_once_and_before_their_result(settings, samples):
    names = ("weather-notes.pdf", "orchard-tables.pdf")
    with Parser(settings, buffer_dir=settings.data_dir) as parser:
        events = list(parser.parse([task(samples / name, settings.data_dir) for name in names]))
    for name, count in (("weather-notes", 3), ("orchard-tables", 1)):
        mine = [event for event in events if event.document_id == name]
        assert isinstance(mine[0], DocumentOpened)
        assert isinstance(mine[-1], DocumentResult)
        numbers = [event.page.page_number for event in mine if isinstance(event, PageResult)]
        assert sorted(numbers) == list(range(1, count + 1))


def test_text_of_a_born_digital_page_comes_from_its_text_layer(settings, samples):
    _, pages, _ = run(settings, [task(samples / "orchard-tables.pdf", settings.data_dir)])
    page = pages["orchard-tables", 1]
    assert {block.source for block in page.text} == {TextSource.TEXT_LAYER}
    assert "The orchard has four kinds of apple" in words(page)
    assert page.page.status is PageStatus.COMPLETE


def test_tables_have_their_cells_and_captions(settings, samples):
    _, pages, _ = run(settings, [task(samples / "orchard-tables.pdf", settings.data_dir)])
    first, _, third = pages["orchard-tables", 1].tables
    assert first.caption == "Table 1: Harvest in kilograms by kind and year"
    rows = [[cell.text for cell in first.cells if cell.row == row] for row in range(first.n_rows)]
    assert rows[0] == ["Kind", "2021", "2022", "2023"]
    assert rows[1] == ["Early red", "1,240", "980", "1,410"]
    assert third.caption == "Table 3: What became of the harvest, in percent"


def test_a_scanned_page_is_read_by_ocr(settings, samples):
    _, pages, _ = run(settings, [task(samples / "scanned-letter.pdf", settings.data_dir)])
    (page,) = pages.values()
    assert not page.page.has_text_layer
    assert {block.source for block in page.text} == {TextSource.OCR}
    assert len(words(page)) > 200
    assert min(block.confidence for block in page.text) > 0.8


LETTER = (
    "Letter to the river board",
    "The mill stands where the river leaves the gorge",
    "and has ground rye and barley since the great flood.",
    "Paid on 12 May 2015: 10,250.00 crowns",
    "Due on 28 October 2016: 18,700.00 crowns",
)
MISREAD = str.maketrans({"a": "s", "e": "c", "1": "l", "0": "O", "8": "B"})


def _scan_with_layer(new_pdf, name, layer):
    """A page that is a picture of LETTER, with the lines of ``layer`` laid over it invisibly."""

    def picture(page):
        for row, line in enumerate(LETTER):
            page.insert_text((40, 80 + 24 * row), line, fontsize=13)

    def draw(page):
        with pymupdf.open(new_pdf(f"drawn-{name}", picture)) as drawn:
            page.insert_image(page.rect, pixmap=drawn[0].get_pixmap(dpi=150))
        for row, line in enumerate(layer):
            page.insert_text((40, 80 + 24 * row), line, fontsize=13, render_mode=3)

    return new_pdf(name, draw)


@pytest.mark.parametrize(
    ("layer", "source"),
    [
        (LETTER, TextSource.TEXT_LAYER),
        (tuple(line.translate(MISREAD) for line in LETTER), TextSource.OCR),
    ],
    ids=["good", "bad"],
)
def test_invisible_text_over_a_scan_is_taken_only_where_the_scan_says_the_same(
    settings, new_pdf, layer, source
):
    one = task(_scan_with_layer(new_pdf, "scan.pdf", layer), settings.data_dir)
    _, pages, _ = run(settings, [one], selection=("layouts", "text"))
    (page,) = pages.values()
    assert page.page.hidden_text_share == 1.0
    assert {block.source for block in page.text} == {source}
    assert "Paid on 12 May 2015: 10,250.00 crowns" in words(page)


def test_a_scan_on_its_side_is_read_upright_and_its_boxes_lie_on_the_page_as_shown(
    settings, samples
):
    _, pages, _ = run(settings, [task(samples / "turned-pages.pdf", settings.data_dir)])
    page = pages["turned-pages", 2]
    paper = BBox(0, 0, page.page.width, page.page.height).expanded(1)
    assert len(words(page)) > 200
    assert "the" in words(page).split()
    assert all(block.bbox.coverage(paper) == pytest.approx(1) for block in page.text)
    upended = [block for block in page.text if block.bbox.height > block.bbox.width]
    assert len(upended) > len(page.text) / 2


def test_figures_are_cut_out_and_described(settings, samples):
    _, pages, _ = run(settings, [task(samples / "mill-report.pdf", settings.data_dir)])
    chart, _ = pages["mill-report", 1].figures
    assert chart.kind == "chart"
    assert chart.caption.startswith("Figure 1: Electricity")
    assert "Spring" in chart.inner_text
    assert (settings.data_dir / chart.image_path).stat().st_size > 1000


def test_a_broken_document_costs_itself_only(settings, samples, tmp_path):
    broken = tmp_path / "broken.pdf"
    broken.write_text("This is not a PDF.")
    tasks = [task(path, settings.data_dir) for path in (broken, samples / "mill-report.pdf")]
    opened, pages, results = run(settings, tasks)
    assert opened == ["mill-report"]
    assert results["broken"].fatal.error_type == "not_a_pdf"
    assert "broken is not a PDF" in results["broken"].fatal.message
    assert results["mill-report"].fatal is None
    assert list(pages) == [("mill-report", 1)]


def test_a_failing_model_costs_its_asset_and_is_named(settings, samples):
    lame = settings.model_copy(update={"table": str(samples)})
    with pytest.raises(Exception, match="safetensors"):
        run(lame, [task(samples / "orchard-tables.pdf", settings.data_dir)])


def test_leaving_early_ends_calls_that_would_take_long(settings, samples, tmp_path):
    patient = settings.model_copy(update={"page_timeout_s": 3000.0})
    tasks = [
        task(endless_pdf(tmp_path / "endless.pdf"), settings.data_dir),
        task(samples / "weather-notes.pdf", settings.data_dir),
    ]
    with Parser(patient, buffer_dir=settings.data_dir / "pixels") as parser:
        with closing(parser.parse(tasks)) as stream:
            assert isinstance(next(stream), DocumentOpened)
            while not parser._context.pdfs.buffers_in_use:
                time.sleep(0.01)
        assert parser._context.pdfs.pids == ()
        assert parser._context.pdfs.buffers_in_use == 0
        with pytest.raises(RuntimeError, match="closed"):
            list(parser.parse(tasks))


def test_missing_weights_are_one_error_with_the_command(settings, samples, tmp_path):
    bare = settings.model_copy(update={"models_dir": tmp_path / "none"})
    with pytest.raises(MissingModelError, match="deepcompress models pull"):
        run(bare, [task(samples / "mill-report.pdf", settings.data_dir)])


def test_models_that_are_handed_in_serve_in_place_of_weights(settings, samples, tmp_path):
    from benchmarks.tiny import TinyModels

    bare = settings.model_copy(update={"models_dir": tmp_path / "none"})
    one = task(samples / "scanned-letter.pdf", settings.data_dir)
    with Parser(bare, buffer_dir=settings.data_dir, models=TinyModels()) as parser:
        (page,) = (event for event in parser.parse([one]) if isinstance(event, PageResult))
    assert page.page.status is PageStatus.COMPLETE
    assert {region.model for region in page.layouts} == {"tiny-layout@1"}
    assert words(page) == "words"


def test_pages_that_are_chosen_or_finished_are_respected(settings, samples):
    chosen = task(
        samples / "weather-notes.pdf",
        settings.data_dir,
        pages=(2, 3),
        finished_pages=frozenset({3}),
    )
    _, pages, results = run(settings, [chosen], selection=("pages",))
    assert list(pages) == [("weather-notes", 2)]
    assert results["weather-notes"].page_count == 3


def test_pages_alone_need_no_model(settings, samples, tmp_path):
    bare = settings.model_copy(update={"models_dir": tmp_path / "none"})
    one = task(samples / "scanned-letter.pdf", settings.data_dir)
    _, pages, _ = run(bare, [one], selection=("pages",))
    (page,) = pages.values()
    assert page.page.status is PageStatus.COMPLETE
    assert {timing.stage for timing in page.timings} == {"render"}


def test_what_was_left_out_of_a_page_is_on_record_and_the_page_complete(settings, new_pdf):
    def draw(page):
        page.insert_text((72, 72), "a map")
        lines = (f"{n % 400} 0 m {n % 400} {n % 600} l S" for n in range(10_001))
        page.parent.update_stream(page.get_contents()[0], "\n".join(lines).encode())

    one = task(new_pdf("map.pdf", draw), settings.data_dir)
    _, pages, _ = run(settings, [one], selection=("pages",))
    (page,) = pages.values()
    (left_out,) = page.errors
    assert (left_out.stage, left_out.error_type) == ("render", DRAWINGS_LEFT_OUT)
    assert "10,001 vector paths" in left_out.message
    assert page.page.status is PageStatus.COMPLETE


def test_a_selection_runs_only_its_stages(settings, samples):
    one = task(samples / "orchard-tables.pdf", settings.data_dir)
    _, full, _ = run(settings, [one])
    stored = full["orchard-tables", 1].layouts
    _, pages, _ = run(settings, [one], selection=("text",), regions=lambda *key: stored)
    page = pages["orchard-tables", 1]
    assert (page.layouts, page.tables, page.figures) == (None, None, None)
    assert page.text == full["orchard-tables", 1].text
    assert {timing.stage for timing in page.timings} <= {"render", "text"}


def test_text_without_regions_is_refused(settings, samples):
    with pytest.raises(ValueError, match="layouts"):
        run(settings, [task(samples / "mill-report.pdf", settings.data_dir)], selection=("text",))


def test_two_runs_give_the_same_rows_and_load_no_model_again(settings, samples):
    tasks = [task(samples / "mill-report.pdf", settings.data_dir)]
    _, first, _ = run(settings, tasks)
    loads = model_cache().stats().total_loads
    _, second, _ = run(settings.model_copy(update={"render_workers": 2}), tasks)
    assert model_cache().stats().total_loads == loads
    for key, page in first.items():
        assert replace(page, timings=()) == replace(second[key], timings=())


def test_batches_of_several_pages_give_the_same_regions(settings, samples):
    tasks = [task(samples / "weather-notes.pdf", settings.data_dir)]
    _, single, _ = run(settings, tasks, selection=("layouts", "pages"))
    batched = settings.model_copy(update={"layout_batch_size": 3, "stream_memory_mb": 200})
    _, several, _ = run(batched, tasks, selection=("layouts", "pages"))
    for key, page in single.items():
        boxes = [(region.label, region.bbox) for region in page.layouts]
        others = [(region.label, region.bbox) for region in several[key].layouts]
        assert [label for label, _ in boxes] == [label for label, _ in others]
        for (_, box), (_, other) in zip(boxes, others, strict=True):
            assert box == pytest.approx(other, abs=0.02)


def test_labels_of_a_report_are_what_a_reader_sees(settings, samples):
    _, pages, _ = run(
        settings, [task(samples / "weather-notes.pdf", settings.data_dir)], selection=("layouts",)
    )
    seen = {region.label for page in pages.values() for region in page.layouts}
    assert {Label.PAGE_HEADER, Label.PAGE_FOOTER, Label.SECTION_HEADER, Label.TEXT} <= seen


def test_the_orientation_model_serves_every_selection_that_reads(settings):
    from deepcompress_dagster.pipeline.stages import plan

    assert Task.ORIENTATION in plan(("text",)).tasks
    assert Task.TABLE not in plan(("text",)).tasks


@pytest.mark.parametrize("effort", ["balanced", "best"])
def test_a_plain_page_needs_no_layout_model_unless_every_page_is_to_be_seen(
    settings, new_pdf, effort
):
    from benchmarks.tiny import TinyModels
    from deepcompress_dagster.pipeline.text_layout import TEXT_LAYER

    chosen = settings.model_copy(update={"layout_effort": LayoutEffort(effort)})
    one = task(new_pdf("plain.pdf"), settings.data_dir)
    with Parser(chosen, buffer_dir=settings.data_dir, models=TinyModels()) as parser:
        (page,) = (event for event in parser.parse([one]) if isinstance(event, PageResult))
    expected = TEXT_LAYER if effort == "balanced" else "tiny-layout@1"
    assert {region.model for region in page.layouts} == {expected}
