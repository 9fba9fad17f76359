"""Text that is drawn and then covered by a picture of the page, inside a worker.

Some scanning programs write what they read in plain type and lay the scan over it: it is as hidden
as invisible text, and as doubtful. What hides single words is seen in pixels, see text_layer.py.
"""

from collections.abc import Sequence
from typing import Any

from deepcompress_dagster.records import BBox

LEAST_PIXELS = 300_000
"""Pixels of a picture that may show a page; one of a letter page at 50 dpi has 230,000."""

COVERS = 0.6
"""Share of a page from which a picture is one of the page."""

_PAINTED = frozenset({"fill-text", "stroke-text"})
_IMAGE, _XREF_OF_MASK, _WIDTH, _HEIGHT = "fill-image", 1, 2, 3


def covered_share(page: Any) -> float:
    """Share of the painted text of a ``pymupdf.Page``, by area, that such a picture covers."""
    if not any(map(_may_show_a_page, page.get_images(full=True))):
        return 0.0
    drawn = [(kind, BBox(*box)) for kind, box in page.get_bboxlog()]
    width, height = page.rect.width, page.rect.height
    # PyMuPDF gives these boxes on the page as it is without its rotation.
    whole = BBox(0, 0, *((height, width) if page.rotation % 180 else (width, height)))
    pictures = [
        (i, box)
        for i, (kind, box) in enumerate(drawn)
        if kind == _IMAGE and whole.coverage(box) >= COVERS
    ]
    if not pictures:
        return 0.0
    last, picture = pictures[-1]
    texts = [(i, box) for i, (kind, box) in enumerate(drawn) if kind in _PAINTED]
    total = sum(box.area for _, box in texts)
    under = sum(box.intersection(picture) for i, box in texts if i < last)
    return round(under / total, 4) if total else 0.0


def _may_show_a_page(image: Sequence[Any]) -> bool:
    """Whether an entry of ``get_images`` is large and hides what is under it."""
    return not image[_XREF_OF_MASK] and image[_WIDTH] * image[_HEIGHT] >= LEAST_PIXELS
