"""Small pictures of pages with their regions, for places that show images and no pages."""

import io
from pathlib import Path

from PIL import Image, ImageDraw

from deepcompress_dagster.viewer.content import PageView

LONGER_SIDE = 320
"""Pixels: readable as a picture of a page, some 40 KB as PNG."""

COLOURS = {"text": "#1a3fcc", "table": "#007a33", "figure": "#c20056"}


def thumbnail(view: PageView, image: Path) -> bytes:
    """The page as a PNG of at most ``LONGER_SIDE`` pixels with a box around each row."""
    with Image.open(image) as stored:
        stored.draft("RGB", (2 * LONGER_SIDE, 2 * LONGER_SIDE))
        picture = stored.convert("RGB")
    picture.thumbnail((LONGER_SIDE, LONGER_SIDE))
    brush = ImageDraw.Draw(picture)
    across, down = picture.width / view.page["width"], picture.height / view.page["height"]
    for block in view.blocks:
        row = block.row
        box = (row["x0"] * across, row["y0"] * down, row["x1"] * across, row["y1"] * down)
        brush.rectangle(box, outline=COLOURS[block.kind])
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return content.getvalue()
