"""The way of one page through the stages, as a flow: PDF page in, PageResult out.

A flow asks stages for work and goes on with their results; it never blocks a thread. A stage that
fails on this page costs this page what that stage would have added, and is put on record. What
happens to a region that was found is told by reading.py, table_reading.py and figure_reading.py.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from deepcompress_dagster.pdf.client import RenderedPage
from deepcompress_dagster.pdf.messages import PageContent, PageNote
from deepcompress_dagster.pipeline import stages
from deepcompress_dagster.pipeline.blocks import (
    captions_of,
    merge_entry_columns,
    text_row,
    with_vocabulary,
)
from deepcompress_dagster.pipeline.captions import with_captions
from deepcompress_dagster.pipeline.figure_reading import read_figures
from deepcompress_dagster.pipeline.hidden_text import without_contradicted_layer
from deepcompress_dagster.pipeline.layout import (
    Area,
    detected_areas,
    ordered_regions,
    page_sized,
    postprocess_layout,
    with_contents,
    with_sure_tables,
)
from deepcompress_dagster.pipeline.lines import runs_leftward
from deepcompress_dagster.pipeline.page_view import PageContext, PageOptions, PageView, see_page
from deepcompress_dagster.pipeline.reading import aside_regions, read_blocks
from deepcompress_dagster.pipeline.stage_calls import LAYOUT, RENDER, PageJob, StageCalls
from deepcompress_dagster.pipeline.table_reading import read_tables
from deepcompress_dagster.pipeline.text_layout import text_areas
from deepcompress_dagster.records import (
    Figure,
    Page,
    PageError,
    PageResult,
    PageStatus,
    Region,
    StageTiming,
    Table,
    TextBlock,
)
from deepcompress_dagster.streaming import Call, Flow, FlowTimings, ItemFailed


@dataclass
class _Rows:
    """The rows of the page as they come about."""

    regions: Sequence[Region] = ()
    text: list[TextBlock] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


class PageFlow:
    """One page's flow; ``run`` is what a stream drives."""

    def __init__(self, job: PageJob, options: PageOptions, timings: FlowTimings) -> None:
        self._job = job
        self._options = options
        self._plan = options.plan
        self._timings = timings
        self._calls = StageCalls(job)
        self._rows = _Rows()

    def run(self) -> Flow[PageResult]:
        """Render, find regions, read, and return the page's rows; the pixels are given back."""
        try:
            rendered: RenderedPage = yield Call(RENDER.name, self._job)
        except ItemFailed as failure:
            self._calls.record(failure)
            return self._result(_unrendered(self._job))
        try:
            self._calls.errors += [_noted(self._job, note) for note in rendered.content.notes]
            if self._plan.finds_regions:
                yield from self._read(rendered)
        finally:
            rendered.release()
        return self._result(_rendered(self._job, rendered.content))

    def _read(self, rendered: RenderedPage) -> Flow[None]:
        view = yield from see_page(rendered, self._calls)
        page = PageContext(self._job, self._options, self._calls, view)
        stored = self._stored_regions()
        found = (yield from self._find_regions(view)) if stored is None else stored
        self._rows.regions = found
        if not self._plan.reads_text:
            return
        page = yield from without_contradicted_layer(page)
        read = with_vocabulary((yield from read_blocks(page, found)))
        blocks = with_captions(merge_entry_columns(read))
        captions = captions_of(blocks)
        if self._plan.selects("text"):
            rows = (text_row(block, view.rotation) for block in blocks)
            self._rows.text = [row for row in rows if row is not None]
        if self._plan.selects("tables"):
            self._rows.tables = yield from read_tables(page, blocks, captions)
        if self._plan.selects("figures"):
            self._rows.figures = yield from read_figures(page, blocks, captions)

    def _stored_regions(self) -> list[Region] | None:
        if self._job.stored is None:
            return None
        return sorted(self._job.stored, key=lambda region: region.reading_order)

    def _find_regions(self, view: PageView) -> Flow[list[Region]]:
        """What the text layer alone tells, or else the layout model, in reading order."""
        areas = text_areas(view) if self._options.skips_plain_pages else None
        if areas is None:
            areas = yield from self._detect_areas(view)
        number, leftward = self._job.page_number, runs_leftward(view.lines)
        regions = ordered_regions(areas, number, view.rotation, leftward=leftward)
        return [*regions, *aside_regions(view, number, len(regions))]

    def _detect_areas(self, view: PageView) -> Flow[list[Area]]:
        """What the layout model finds, corrected by the text layer."""
        pixels, offset = page_sized(view.pixels, view.scale)
        output = yield from self._calls.ask(LAYOUT, pixels)
        size = view.rotation.upright_size
        areas: list[Area] = []
        if output is not None:
            moved = [replace(found, bbox=found.bbox.shifted(*offset)) for found in output.value]
            areas = detected_areas(moved, view.scale, size, output.model)
        areas = with_contents(with_sure_tables(areas, view.lines, view.rules), view.lines)
        return postprocess_layout(areas, view.lines, size, view.grids)

    def _result(self, page: Page) -> PageResult:
        rows, plan, errors = self._rows, self._plan, self._calls.errors
        costly = [error for error in errors if not error.is_harmless]
        if costly:
            failed = page.status is PageStatus.FAILED
            status = PageStatus.FAILED if failed else PageStatus.PARTIAL
            page = replace(page, status=status, error=costly[0].message)
        return PageResult(
            document_id=self._job.document.document_id,
            page=page,
            layouts=tuple(rows.regions) if plan.selects("layouts") else None,
            text=tuple(rows.text) if plan.selects("text") else None,
            tables=tuple(rows.tables) if plan.selects("tables") else None,
            figures=tuple(rows.figures) if plan.selects("figures") else None,
            errors=tuple(errors),
            timings=_stage_timings(self._timings, self._job.page_number, self._options.device),
        )


def _noted(job: PageJob, note: PageNote) -> PageError:
    return PageError(
        job.document.document_id, job.page_number, stages.RENDER, note.error_type, note.message
    )


def _rendered(job: PageJob, content: PageContent) -> Page:
    return Page(
        page_number=job.page_number,
        width=round(content.width, 2),
        height=round(content.height, 2),
        rotation=content.rotation,
        dpi=content.dpi,
        pixel_width=content.pixel_width,
        pixel_height=content.pixel_height,
        image_path=job.relative(job.image_path),
        has_text_layer=bool(content.words),
        hidden_text_share=content.hidden_text_share,
        label=content.label,
        fields=content.fields,
        annotations=content.annotations,
        links=content.links,
    )


def _unrendered(job: PageJob) -> Page:
    width, height = job.info.sizes[job.page_number - 1]
    return Page(
        page_number=job.page_number,
        width=round(width, 2),
        height=round(height, 2),
        rotation=0,
        dpi=0.0,
        pixel_width=0,
        pixel_height=0,
        image_path=None,
        has_text_layer=False,
        status=PageStatus.FAILED,
    )


def _stage_timings(timings: FlowTimings, page_number: int, device: str) -> tuple[StageTiming, ...]:
    """Seconds by stage; a stage that the page passed several times is summed."""
    seconds: dict[str, float] = defaultdict(float)
    batches: dict[str, int] = defaultdict(int)
    for entry in timings.entries:
        stage = stages.RECORDED_STAGE.get(entry.stage, entry.stage)
        seconds[stage] += entry.seconds
        batches[stage] = max(batches[stage], entry.batch_size)
    return tuple(
        StageTiming(
            page_number,
            stage,
            round(spent, 6),
            batches[stage],
            "cpu" if stage in stages.PDF_STAGES else device,
        )
        for stage, spent in seconds.items()
    )
