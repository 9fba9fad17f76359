"""Pages as the pipeline would give them, made up and always the same: what every test may use."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.records import (
    BBox,
    Figure,
    Label,
    Page,
    PageError,
    PageResult,
    PageStatus,
    Region,
    StageTiming,
    Table,
    TableCell,
    TextBlock,
    TextLine,
    TextSource,
    region_id,
)

STAGE_NAMES = ("render", "layout", "text", "tables", "figures")
LAYOUT_SCORE = 0.9


def box(row: float) -> BBox:
    return BBox(50.0, 40.0 + 20 * row, 400.0, 55.0 + 20 * row)


def block(
    page: int, row: float, content: str, label: Label = Label.TEXT, level: int | None = None
) -> TextBlock:
    place = box(row)
    return TextBlock(
        page_number=page,
        region_id=region_id(page, place),
        label=label,
        bbox=place,
        reading_order=row,
        heading_level=level,
        content=content,
        source=TextSource.TEXT_LAYER,
        confidence=1.0,
        lines=(TextLine(place, content),),
        model="reader@1",
        font_size=11.0,
    )


def table(page: int, row: float, *cells: TableCell, caption: str | None = None) -> Table:
    place = box(row)
    return Table(
        page_number=page,
        region_id=region_id(page, place),
        bbox=place,
        reading_order=row,
        n_rows=1 + max((cell.row for cell in cells), default=0),
        n_columns=1 + max((cell.column for cell in cells), default=0),
        cells=cells,
        html=f"<table><tr><td>{page}</td></tr></table>",
        markdown=f"| {page} |\n| --- |",
        caption=caption,
        confidence=0.9,
        model="tabler@1",
    )


def figure(
    page: int, row: float, caption: str | None = None, image_path: str | None = "images/f.jpg"
) -> Figure:
    place = box(row)
    return Figure(
        page_number=page,
        region_id=region_id(page, place),
        bbox=place,
        reading_order=row,
        kind="chart",
        caption=caption,
        inner_text="inside",
        data=None,
        image_path=image_path,
        model="figurer@1",
    )


def region(page: int, row: float, label: Label = Label.TEXT) -> Region:
    place = box(row)
    return Region(page, region_id(page, place), label, place, LAYOUT_SCORE, row, "layout@1")


def page_of(
    document_id: str,
    number: int,
    *,
    text: Iterable[TextBlock] | None = None,
    tables: Iterable[Table] | None = None,
    figures: Iterable[Figure] | None = None,
    errors: Mapping[str, str] | None = None,
    status: PageStatus = PageStatus.COMPLETE,
    width: float = 595.0,
) -> PageResult:
    """A finished page; ``errors`` maps stages to messages."""
    blocks = (block(number, 0, f"page {number}"),) if text is None else tuple(text)
    grids = (
        (table(number, 1, TableCell(0, 0, 1, 1, False, f"cell {number}", box(1))),)
        if tables is None
        else tuple(tables)
    )
    pictures = (figure(number, 2),) if figures is None else tuple(figures)
    return PageResult(
        document_id=document_id,
        page=Page(
            page_number=number,
            width=width,
            height=842.0,
            rotation=0,
            dpi=144.0,
            pixel_width=1190,
            pixel_height=1684,
            image_path=f"images/{document_id}/{number}.jpg",
            has_text_layer=True,
            status=status,
        ),
        layouts=tuple(region(number, row) for row in range(3)),
        text=blocks,
        tables=grids,
        figures=pictures,
        errors=tuple(
            PageError(document_id, number, stage, "BadThing", message)
            for stage, message in (errors or {}).items()
        ),
        timings=tuple(StageTiming(number, stage, 0.5, 1, "cpu") for stage in STAGE_NAMES),
    )


def numbered_pdf(path: Path, pages: int) -> Path:
    """A PDF whose pages say which they are."""
    document = pymupdf.open()
    for number in range(1, pages + 1):
        document.new_page().insert_text((72, 72), f"This is page {number} of {path.stem}.")
    document.save(path)
    return path
