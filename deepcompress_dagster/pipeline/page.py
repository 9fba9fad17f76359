"""The way of one page through the stages, as a flow: PDF page in, PageResult out.

A flow asks stages for work and goes on with their results; it never blocks a thread. A stage that
fails on this page costs this page what that stage would have added, and is put on record.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from deepcompress_dagster.models.predictor import (
    FigureContent,
    Image,
    Orientation,
    ReadText,
    TableCrop,
    TextCrop,
)
from deepcompress_dagster.pdf.client import RenderedPage
from deepcompress_dagster.pdf.errors import PdfError
from deepcompress_dagster.pdf.messages import DocumentInfo, PageContent, PageNote
from deepcompress_dagster.pipeline import stages, tables
from deepcompress_dagster.pipeline.blocks import (
    Block,
    captions_of,
    merge_entry_columns,
    text_row,
    with_captions,
    with_room,
)
from deepcompress_dagster.pipeline.figures import FigureJob, crop
from deepcompress_dagster.pipeline.layout import (
    Area,
    detected_areas,
    grown_areas,
    ordered_regions,
    page_sized,
    postprocess_layout,
    shows_a_document,
)
from deepcompress_dagster.pipeline.lines import (
    PageLine,
    assign,
    in_rows,
    layer_lines,
    numbered_rows,
    ocr_line,
)
from deepcompress_dagster.pipeline.page_rotation import PageRotation
from deepcompress_dagster.pipeline.reading_order import between
from deepcompress_dagster.pipeline.stages import Plan
from deepcompress_dagster.pipeline.text_layer import BLANK, InkMap, assess
from deepcompress_dagster.records import (
    BBox,
    DocumentTask,
    Figure,
    Label,
    Page,
    PageError,
    PageResult,
    PageStatus,
    Region,
    StageTiming,
    Table,
    TextBlock,
    TextLine,
    TextSource,
    region_id,
)
from deepcompress_dagster.streaming import Call, FlowTimings, ItemFailed

MIN_FIGURE_TEXT_SIDE = 40.0
"""Points: a smaller picture is not read for inner text."""

TURN_SCORE = 0.7
"""A page is turned upright from this score of the orientation model. Of 55 pages of text, each
turned four ways, .98 of the turned ones are set right and no upright one is turned."""

WHOLE_PAGE_SHARE = 0.5
"""From this share of untrusted area the page is read once as a whole."""

Steps = Generator[Call | Sequence[Call], Any, None]


@dataclass(frozen=True)
class PageJob:
    """One page to do; ``stored`` are its committed regions where ``layouts`` is not selected."""

    document: DocumentTask
    info: DocumentInfo
    page_number: int
    stored: Callable[[str, int], tuple[Region, ...]] | None = None

    @property
    def image_path(self) -> Path:
        return self.document.image_dir / f"page-{self.page_number:05d}.jpg"


@dataclass(frozen=True)
class RuledTablesJob:
    """Boxes (points as displayed) in which PyMuPDF's table finder is to look."""

    page: PageJob
    boxes: tuple[BBox, ...]


@dataclass(frozen=True)
class ModelOutput:
    """What a model stage returns: the result and the name of the model that gave it."""

    value: Any
    model: str


@dataclass(frozen=True)
class PageView:
    """The page seen upright: pixels, ``scale`` pixels a point, and the lines of its text layer."""

    content: PageContent
    rotation: PageRotation
    pixels: Image
    scale: float
    lines: tuple[PageLine, ...]
    ink: InkMap

    def crop(self, box: BBox, margin: float = 0.0) -> Image:
        return crop(self.pixels, box.expanded(margin).scaled(self.scale))


@dataclass
class _Rows:
    """The rows of the page as they come about."""

    regions: list[Region] = field(default_factory=list)
    text: list[TextBlock] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    errors: list[PageError] = field(default_factory=list)


class PageFlow:
    """One page's walk. ``run`` is the flow that a stream drives.

    A text model that does not locate lines reads regions and cells, not whole pages.
    """

    def __init__(
        self,
        job: PageJob,
        plan: Plan,
        *,
        jpeg_quality: int,
        device: str,
        timings: FlowTimings,
        locates_lines: bool = True,
    ) -> None:
        self._job = job
        self._plan = plan
        self._quality = jpeg_quality
        self._device = device
        self._flow_timings = timings
        self._locates_lines = locates_lines
        self._rows = _Rows()

    def run(self) -> Generator[Call | Sequence[Call], Any, PageResult]:
        """Render, find regions, read, and return the page's rows; the pixels are given back."""
        try:
            rendered: RenderedPage = yield Call(stages.RENDER, self._job)
        except ItemFailed as failure:
            self._record(failure)
            return self._result(self._unrendered())
        try:
            self._rows.errors += [self._noted(note) for note in rendered.content.notes]
            if self._plan.finds_regions:
                yield from self._walk(rendered)
        finally:
            rendered.release()
        return self._result(self._page(rendered.content))

    def _walk(self, rendered: RenderedPage) -> Steps:
        view = yield from self._view(rendered)
        areas = self._stored_areas(view)
        if areas is None:
            areas = yield from self._detect(view)
            self._rows.regions = ordered_regions(areas, self._job.page_number, view.rotation)
        if not self._plan.reads_text:
            return
        blocks = with_captions(merge_entry_columns((yield from self._read(view))))
        captions = captions_of(blocks)
        if self._plan.selects("text"):
            self._rows.text = [
                row for block in blocks if (row := text_row(block, view.rotation)) is not None
            ]
        if self._plan.selects("tables"):
            yield from self._tables(view, blocks, captions)
        if self._plan.selects("figures"):
            yield from self._figures(view, blocks, captions)

    # Seeing the page

    def _view(self, rendered: RenderedPage) -> Generator[Any, Any, PageView]:
        content = rendered.content
        turn = 0
        if _may_be_turned(content):
            output = yield from self._ask(Call(stages.ORIENTATION, rendered.pixels))
            turn = _turn(output.value) if output else 0
        rotation = PageRotation(content.width, content.height, turn)
        pixels = rotation.upright_pixels(rendered.pixels)
        scale = content.dpi / 72
        ink = InkMap(pixels, scale)
        words = rotation.upright_words(content.words)
        page = BBox(0, 0, *rotation.upright_size)
        trusted = assess(words, page, ink).readable
        lines = tuple(layer_lines(words)) if trusted else ()
        return PageView(content, rotation, pixels, scale, lines, ink)

    def _stored_areas(self, view: PageView) -> list[Area] | None:
        if self._job.stored is None:
            return None
        stored = self._job.stored(self._job.document.document_id, self._job.page_number)
        self._rows.regions = sorted(stored, key=lambda region: region.reading_order)
        return [
            Area(region.label, view.rotation.upright(region.bbox), region.score, region.model)
            for region in self._rows.regions
        ]

    def _detect(self, view: PageView) -> Generator[Any, Any, list[Area]]:
        pixels, offset = page_sized(view.pixels, view.scale)
        output = yield from self._ask(Call(stages.LAYOUT, pixels))
        if output is None:
            return postprocess_layout([], view.lines, view.rotation.upright_size)
        detections = [replace(found, bbox=found.bbox.shifted(*offset)) for found in output.value]
        size = view.rotation.upright_size
        areas = detected_areas(detections, view.scale, size, output.model)
        return postprocess_layout(areas, view.lines, size)

    # Reading

    def _read(self, view: PageView) -> Generator[Any, Any, list[Block]]:
        """The page's blocks with their lines, from the text layer where it can be trusted."""
        boxes = [view.rotation.upright(region.bbox) for region in self._rows.regions]
        owned, _ = assign(view.lines, boxes)
        blocks = [
            Block(region, box, tuple(in_rows(lines)), TextSource.TEXT_LAYER)
            for region, box, lines in zip(self._rows.regions, boxes, owned, strict=True)
        ]
        doubtful = [block for block in blocks if self._needs_ocr(view, block, blocks)]
        trusted = [block for block in blocks if block not in doubtful]
        by_region = blocks and not self._locates_lines
        if not by_region and _reads_whole_page(view, trusted, doubtful):
            read = yield from self._read_page(view, doubtful, trusted)
        else:
            read = yield from self._read_regions(view, doubtful)
        return sorted([*trusted, *read], key=lambda block: block.region.reading_order)

    def _needs_ocr(self, view: PageView, block: Block, blocks: Sequence[Block]) -> bool:
        words = block.words
        if block.label is Label.PICTURE:
            large = min(block.bbox.width, block.bbox.height) >= MIN_FIGURE_TEXT_SIDE
            return large and not words and self._plan.selects("figures")
        if assess(words, block.bbox, view.ink).usable:
            return False
        neighbours = [word for other in blocks if other is not block for word in other.words]
        return not assess(words, block.bbox, view.ink, neighbours).usable

    def _read_page(
        self, view: PageView, doubtful: Sequence[Block], trusted: Sequence[Block]
    ) -> Generator[Any, Any, list[Block]]:
        """Read the whole page; lines that no block owns become blocks of their own."""
        output = yield from self._ask(Call(stages.TEXT, TextCrop(view.pixels)))
        if output is None:
            return list(doubtful)
        known = [line for block in trusted for line in block.lines]
        lines = [
            line
            for line in numbered_rows(_ocr_lines(output.value, view.scale, 0, 0))
            if not _is_covered(line, known)
        ]
        blocks = [replace(block, lines=(), model=output.model) for block in doubtful]
        owners = _without_documents(blocks, lines)
        owned, orphans = assign(lines, [blocks[i].bbox for i in owners])
        for i, mine in zip(owners, owned, strict=True):
            blocks[i] = replace(blocks[i], lines=tuple(mine))
        return blocks + self._found_blocks(view, orphans, output.model)

    def _found_blocks(self, view: PageView, orphans: Sequence[PageLine], model: str) -> list[Block]:
        areas = grown_areas(orphans)
        fixed = [view.rotation.upright(region.bbox) for region in self._rows.regions]
        places = between(fixed, [area.bbox for area in areas])
        owned, _ = assign(orphans, [area.bbox for area in areas])
        number = self._job.page_number
        blocks = []
        for area, place, lines in zip(areas, places, owned, strict=True):
            box = view.rotation.displayed(area.bbox)
            region = Region(
                number, region_id(number, box), area.label, box, area.score, place, area.model
            )
            blocks.append(Block(region, area.bbox, tuple(lines), model))
        return blocks

    def _read_regions(
        self, view: PageView, doubtful: Sequence[Block]
    ) -> Generator[Any, Any, list[Block]]:
        """The blocks with what was read of each; cells of a table may have to be read alone."""
        by_cell = [b for b in doubtful if b.label is Label.TABLE and not self._locates_lines]
        wanted = [block for block in doubtful if block not in by_cell]
        calls = [Call(stages.TEXT, TextCrop(view.crop(block.bbox, margin=2))) for block in wanted]
        outputs = (yield calls) if calls else []
        blocks = by_cell
        for block, output in zip(wanted, outputs, strict=True):
            if isinstance(output, ItemFailed):
                self._record(output)
                blocks.append(block)
            else:
                origin = block.bbox.expanded(2)
                x, y = max(0.0, origin.x0), max(0.0, origin.y0)
                lines = _ocr_lines(output.value, view.scale, x, y)
                blocks.append(replace(block, lines=tuple(lines), model=output.model))
        return blocks

    # Tables

    def _tables(self, view: PageView, blocks: Sequence[Block], captions: dict[str, str]) -> Steps:
        wanted = [with_room(block) for block in blocks if block.label is Label.TABLE]
        if not wanted:
            return
        grids = yield from self._ruled_grids(view, wanted)
        uncertain = [
            i
            for i, (block, grid) in enumerate(zip(wanted, grids, strict=True))
            if grid is None or not tables.is_certain(grid, block.lines)
        ]
        crops = [TableCrop(view.crop(wanted[i].bbox, margin=2)) for i in uncertain]
        outputs = (yield [Call(stages.TABLES, crop) for crop in crops]) if crops else []
        for i, output in zip(uncertain, outputs, strict=True):
            if isinstance(output, ItemFailed):
                self._record(output)
            else:
                modelled = tables.modelled_grid(output.value, output.model, wanted[i], view.scale)
                if not wanted[i].lines and not self._locates_lines:
                    modelled = yield from self._read_cells(view, modelled)
                modelled = tables.trimmed(modelled)
                grids[i] = tables.sounder(grids[i], modelled, wanted[i].lines)
        for block, grid in zip(wanted, grids, strict=True):
            if grid is not None and tables.is_collapsed(grid, block.lines):
                grid = tables.row_by_row(block.lines)
            if grid is not None and grid.n_rows and grid.n_columns:
                caption = captions.get(block.region.region_id)
                self._rows.tables.append(tables.table_row(block, grid, caption, view.rotation))

    def _read_cells(self, view: PageView, grid: tables.Grid) -> Generator[Any, Any, tables.Grid]:
        """The grid with the text that was read of each cell that shows any ink."""
        inked = {
            i: cell.bbox
            for i, cell in enumerate(grid.cells)
            if cell.bbox is not None and view.ink.share(cell.bbox) > BLANK
        }
        calls = [Call(stages.TEXT, TextCrop(view.crop(bbox))) for bbox in inked.values()]
        outputs = (yield calls) if calls else []
        cells = list(grid.cells)
        for i, output in zip(inked, outputs, strict=True):
            if isinstance(output, ItemFailed):
                self._record(output)
            else:
                text = " ".join(line.text for line in output.value.lines)
                cells[i] = replace(cells[i], text=text)
        return replace(grid, cells=tuple(cells))

    def _ruled_grids(
        self, view: PageView, wanted: Sequence[Block]
    ) -> Generator[Any, Any, list[tables.Grid | None]]:
        """What PyMuPDF's finder reads from lines and words; a scan or a turned page has neither."""
        if not view.lines or view.rotation.turn:
            return [None] * len(wanted)
        boxes = tuple(block.bbox for block in wanted)
        found = yield from self._ask(Call(stages.RULED_TABLES, RuledTablesJob(self._job, boxes)))
        if found is None:
            return [None] * len(wanted)
        return [
            tables.ruled_grid(table, block.lines) if table is not None else None
            for table, block in zip(found, wanted, strict=True)
        ]

    # Figures

    def _figures(self, view: PageView, blocks: Sequence[Block], captions: dict[str, str]) -> Steps:
        wanted = [block for block in blocks if block.label is Label.PICTURE]
        if not wanted:
            return
        jobs = [self._figure_job(view, block) for block in wanted]
        outputs = yield [Call(stages.FIGURES, job) for job in jobs]
        for block, job, output in zip(wanted, jobs, outputs, strict=True):
            if isinstance(output, ItemFailed):
                self._record(output)
            else:
                self._rows.figures.append(self._figure_row(block, job, output, captions))

    def _figure_job(self, view: PageView, block: Block) -> FigureJob:
        region = block.region
        name = f"figure-{self._job.page_number:05d}-{region.region_id}.jpg"
        return FigureJob(
            crop=view.crop(block.bbox),
            path=self._job.document.image_dir / name,
            quality=self._quality,
            bbox=block.bbox,
            lines=block.lines,
            vector_paths=_count_inside(view.content.drawings, region.bbox),
        )

    def _figure_row(
        self, block: Block, job: FigureJob, output: ModelOutput, captions: dict[str, str]
    ) -> Figure:
        content: FigureContent = output.value
        region = block.region
        return Figure(
            page_number=region.page_number,
            region_id=region.region_id,
            bbox=region.bbox,
            reading_order=region.reading_order,
            kind=content.kind,
            caption=captions.get(region.region_id),
            inner_text="\n".join(line.text for line in block.lines) or None,
            data=content.data,
            image_path=self._relative(job.path),
            model=output.model,
        )

    # The record

    def _ask(self, call: Call) -> Generator[Any, Any, Any]:
        """The stage's output, or None with the failure on record."""
        try:
            return (yield call)
        except ItemFailed as failure:
            self._record(failure)
            return None

    def _record(self, failure: ItemFailed) -> None:
        stage = stages.RECORDED_STAGE.get(failure.stage, failure.stage)
        self._rows.errors.append(
            page_error(
                self._job.document.document_id,
                self._job.page_number,
                stage,
                failure.cause,
                failure.attempts,
            )
        )

    def _noted(self, note: PageNote) -> PageError:
        return PageError(
            self._job.document.document_id,
            self._job.page_number,
            stages.RENDER,
            note.error_type,
            note.message,
        )

    def _page(self, content: PageContent) -> Page:
        return Page(
            page_number=self._job.page_number,
            width=round(content.width, 2),
            height=round(content.height, 2),
            rotation=content.rotation,
            dpi=content.dpi,
            pixel_width=content.pixel_width,
            pixel_height=content.pixel_height,
            image_path=self._relative(self._job.image_path),
            has_text_layer=bool(content.words),
            hidden_text_share=content.hidden_text_share,
        )

    def _unrendered(self) -> Page:
        width, height = self._job.info.sizes[self._job.page_number - 1]
        return Page(
            page_number=self._job.page_number,
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

    def _result(self, page: Page) -> PageResult:
        rows, plan = self._rows, self._plan
        costly = [error for error in rows.errors if not error.is_harmless]
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
            errors=tuple(rows.errors),
            timings=self._timings(),
        )

    def _timings(self) -> tuple[StageTiming, ...]:
        """Seconds by stage; a stage that the page passed several times is summed."""
        seconds: dict[str, float] = defaultdict(float)
        batches: dict[str, int] = defaultdict(int)
        for entry in self._flow_timings.entries:
            stage = stages.RECORDED_STAGE.get(entry.stage, entry.stage)
            seconds[stage] += entry.seconds
            batches[stage] = max(batches[stage], entry.batch_size)
        return tuple(
            StageTiming(
                self._job.page_number,
                stage,
                round(spent, 6),
                batches[stage],
                "cpu" if stage in stages.PDF_STAGES else self._device,
            )
            for stage, spent in seconds.items()
        )

    def _relative(self, path: Path) -> str:
        """``images/<document_id>/<file>``: relative to the data folder, so that it can move."""
        return str(path.relative_to(self._job.document.image_dir.parent.parent))


def page_error(
    document_id: str, page_number: int | None, stage: str, cause: BaseException, attempts: int
) -> PageError:
    """The record of a failure; its type is the PDF error's own name or the exception's class."""
    kind = cause.error_type if isinstance(cause, PdfError) else type(cause).__name__
    message = str(cause) or kind
    return PageError(document_id, page_number, stage, kind, message, attempts)


def _count_inside(boxes: Sequence[BBox], region: BBox) -> int:
    return sum(region.contains_point(*box.center) for box in boxes)


def _turn(seen: Orientation) -> int:
    return seen.degrees if seen.score >= TURN_SCORE else 0


def _may_be_turned(content: PageContent) -> bool:
    """Without words, or with words that stand on end, the pixels must tell which way is up."""
    words = [word for word in content.words if len(word.text) >= 4]
    if not words:
        return True
    upended = sum(word.bbox.height > 1.5 * word.bbox.width for word in words)
    return 2 * upended > len(words)


def _reads_whole_page(view: PageView, trusted: Sequence[Block], doubtful: Sequence[Block]) -> bool:
    if not view.lines:
        return view.ink.share(BBox(0, 0, *view.rotation.upright_size)) > 0
    unread = _text_area(doubtful)
    return unread > 0 and unread >= WHOLE_PAGE_SHARE * (unread + _text_area(trusted))


def _text_area(blocks: Sequence[Block]) -> float:
    return sum(block.bbox.area for block in blocks if block.label is not Label.PICTURE)


def _without_documents(blocks: Sequence[Block], lines: Sequence[PageLine]) -> list[int]:
    """The blocks that own text: pictures that show a document leave it to be read for itself."""
    owned, _ = assign(lines, [block.bbox for block in blocks])
    return [
        i
        for i, (block, mine) in enumerate(zip(blocks, owned, strict=True))
        if not (block.label is Label.PICTURE and shows_a_document(block.bbox, mine))
    ]


def _is_covered(line: PageLine, trusted: Sequence[PageLine]) -> bool:
    return any(line.bbox.coverage(other.bbox) > 0.5 for other in trusted)


def _ocr_lines(read: ReadText, scale: float, x: float, y: float) -> list[PageLine]:
    """Lines that a model read, from pixels of a crop at (x, y) points to upright points."""

    def placed(line: TextLine) -> TextLine:
        return replace(line, bbox=line.bbox.scaled(1 / scale).shifted(x, y).rounded())

    words = iter(read.words)
    lines = []
    for line in read.lines:
        own = [placed(word) for word in islice(words, len(line.text.split()))]
        if line.text.strip():
            lines.append(ocr_line(placed(line), own))
    return lines
