"""Pages and documents for the warehouse's tests, made up and always the same."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.records import (
    BBox,
    DocumentOpened,
    DocumentResult,
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
from deepcompress_dagster.warehouse import CommittedDocument, Warehouse

VERSIONS = dict.fromkeys(ASSETS, "v1")
STAGE_NAMES = ("render", "layout", "text", "tables", "figures")


def versions(*assets: str, version: str = "v1") -> dict[str, str]:
    return dict.fromkeys(assets or ASSETS, version)


def write_pdf(folder: Path, name: str, content: str = "") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(f"%PDF-1.7 {content or name}".encode())
    return path


def register(warehouse: Warehouse, folder: Path, name: str, content: str = "") -> str:
    (answer,) = warehouse.register([write_pdf(folder, name, content)])
    assert answer.document_id is not None, answer.error
    return answer.document_id


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
    return Region(page, region_id(page, box(row)), label, box(row), 0.9, row, "layout@1")


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


def stage(
    warehouse: Warehouse,
    document_id: str,
    pages: Iterable[PageResult],
    *,
    assets: Mapping[str, str] = VERSIONS,
    page_count: int | None = None,
    run_id: str = "run",
) -> int:
    """Stage the pages with their document's header; the page count."""
    pages = list(pages)
    count = page_count if page_count is not None else len(pages)
    warehouse.stage(run_id, assets, [DocumentOpened(document_id, count, "Title")], pages)
    return count


def commit(
    warehouse: Warehouse,
    document_id: str,
    pages: Iterable[PageResult],
    *,
    assets: Mapping[str, str] = VERSIONS,
    page_count: int | None = None,
    run_id: str = "run",
) -> CommittedDocument:
    """Stage the pages and commit the document."""
    count = stage(
        warehouse, document_id, pages, assets=assets, page_count=page_count, run_id=run_id
    )
    return warehouse.commit(DocumentResult(document_id, count), run_id=run_id, versions=assets)


def rows(warehouse: Warehouse, sql: str) -> list[tuple[object, ...]]:
    """Rows of a query on a snapshot of now."""
    warehouse.publish(force=True)
    return [tuple(row.values()) for row in warehouse.query(sql).to_pylist()]
