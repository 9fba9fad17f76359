"""Draws what was found on a page over its image, to see at a glance what a row stands for."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw, ImageFont

from deepcompress_dagster.records import Label

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse import Warehouse

COLOURS = {
    Label.CAPTION: "#b35900",
    Label.DOCUMENT_INDEX: "#007a7a",
    Label.FOOTNOTE: "#7a7a00",
    Label.FORMULA: "#8000b3",
    Label.LIST_ITEM: "#0073b3",
    Label.PAGE_FOOTER: "#808080",
    Label.PAGE_HEADER: "#808080",
    Label.LINE_NUMBERS: "#808080",
    Label.WATERMARK: "#808080",
    Label.PICTURE: "#c20056",
    Label.SECTION_HEADER: "#cc0000",
    Label.TABLE: "#007a33",
    Label.TEXT: "#1a3fcc",
    Label.TITLE: "#cc0000",
}

_PAGES = """
SELECT page_number, image_path, pixel_width / width AS scale FROM pages
WHERE document_id = ? AND image_path IS NOT NULL ORDER BY page_number
"""

_REGIONS = """
SELECT page_number, coalesce(t.label, l.label) AS label, l.score, l.reading_order,
    l.x0, l.y0, l.x1, l.y1
FROM layouts l LEFT JOIN text t USING (document_id, page_number, region_id)
WHERE l.document_id = ? ORDER BY page_number, l.reading_order
"""

_CELLS = "SELECT page_number, x0, y0, x1, y1 FROM table_cells WHERE document_id = ?"


@dataclass(frozen=True)
class PageOverlay:
    """One page's image file, its pixels a point, and the rows to draw on it."""

    page_number: int
    image: Path
    scale: float
    regions: tuple[dict[str, Any], ...]
    cells: tuple[dict[str, Any], ...]


def page_overlays(warehouse: "Warehouse", document_id: str) -> list[PageOverlay]:
    """The overlays of a document's rendered pages, from the newest snapshot."""

    def rows(sql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = warehouse.query(sql, [document_id]).to_pylist()
        return found

    regions, cells = _by_page(rows(_REGIONS)), _by_page(rows(_CELLS))
    return [
        PageOverlay(
            page["page_number"],
            warehouse.data_dir / page["image_path"],
            page["scale"],
            tuple(regions[page["page_number"]]),
            tuple(cells[page["page_number"]]),
        )
        for page in rows(_PAGES)
    ]


def _by_page(rows: Iterable[dict[str, Any]]) -> defaultdict[int, list[dict[str, Any]]]:
    pages: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        pages[row["page_number"]].append(row)
    return pages


def draw(page: PageOverlay) -> Image.Image:
    """The page with a box around each region and cell; a tag gives place, label and score."""
    with Image.open(page.image) as stored:
        picture = stored.convert("RGB")
    brush = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=max(10, 6.5 * page.scale))
    for cell in page.cells:
        if cell["x0"] is not None:
            brush.rectangle(_pixels(cell, page.scale), outline=COLOURS[Label.TABLE])
    for region in page.regions:
        colour = COLOURS[Label(region["label"])]
        box = _pixels(region, page.scale)
        brush.rectangle(box, outline=colour, width=max(2, round(page.scale)))
        tag = f"{region['reading_order']:g} {region['label']} {region['score']:.2f}"
        where = brush.textbbox(box[:2], tag, font=font, anchor="lb")
        brush.rectangle(where, fill=colour)
        brush.text(box[:2], tag, fill="white", font=font, anchor="lb")
    return picture


def _pixels(row: dict[str, Any], scale: float) -> tuple[float, float, float, float]:
    return row["x0"] * scale, row["y0"] * scale, row["x1"] * scale, row["y1"] * scale
