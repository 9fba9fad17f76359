"""Reading the figures of a page: each is cut out, saved and described."""

from collections.abc import Mapping, Sequence

from deepcompress_dagster.models.predictor import FigureContent
from deepcompress_dagster.pipeline.blocks import Block
from deepcompress_dagster.pipeline.chart_axes import AROUND, Chart
from deepcompress_dagster.pipeline.figures import FigureJob
from deepcompress_dagster.pipeline.page_view import PageContext, PageView
from deepcompress_dagster.pipeline.stage_calls import FIGURES, ModelOutput
from deepcompress_dagster.records import BBox, Figure, Label
from deepcompress_dagster.streaming import Flow


def read_figures(
    page: PageContext, blocks: Sequence[Block], captions: Mapping[str, str]
) -> Flow[list[Figure]]:
    """The rows of the page's figures; ``captions`` are texts by ``region_id``."""
    wanted = [block for block in blocks if block.label is Label.PICTURE]
    jobs = [_figure_job(page, block) for block in wanted]
    outputs = yield from page.calls.ask_all(FIGURES, jobs)
    return [
        _figure_row(block, output, captions, image_path=page.job.relative(job.path))
        for block, job, output in zip(wanted, jobs, outputs, strict=True)
        if output is not None
    ]


def _figure_job(page: PageContext, block: Block) -> FigureJob:
    region = block.region
    name = f"figure-{page.job.page_number:05d}-{region.region_id}.jpg"
    return FigureJob(
        crop=page.view.crop(block.bbox, margin=0).pixels,
        path=page.job.document.image_dir / name,
        quality=page.options.jpeg_quality,
        bbox=block.bbox,
        lines=block.lines,
        vector_paths=sum(
            region.bbox.contains_point(*drawing.bbox.center)
            for drawing in page.view.content.drawings
        ),
        chart=_chart(page.view, block.bbox),
    )


def _chart(view: PageView, bbox: BBox) -> Chart | None:
    """What is drawn and written in and around a figure; boxes of a turned page are not upright."""
    if view.rotation.turn:
        return None
    around = bbox.expanded(AROUND)
    return Chart(
        bbox,
        tuple(d for d in view.content.drawings if around.contains_point(*d.bbox.center)),
        tuple(
            word
            for line in view.lines
            for word in line.words
            if around.contains_point(*word.bbox.center)
        ),
    )


def _figure_row(
    block: Block, output: ModelOutput[FigureContent], captions: Mapping[str, str], image_path: str
) -> Figure:
    region = block.region
    return Figure(
        page_number=region.page_number,
        region_id=region.region_id,
        bbox=region.bbox,
        reading_order=region.reading_order,
        kind=output.value.kind,
        caption=captions.get(region.region_id),
        inner_text="\n".join(line.text for line in block.lines) or None,
        data=output.value.data,
        image_path=image_path,
        model=output.model,
    )
