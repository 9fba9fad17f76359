"""The page as it is seen: upright pixels and lines, and crops that know where they lie."""

from dataclasses import dataclass

from deepcompress_dagster.models.predictor import Image, Orientation
from deepcompress_dagster.pdf.client import RenderedPage
from deepcompress_dagster.pdf.messages import PageContent
from deepcompress_dagster.pipeline.asides import Aside, set_aside
from deepcompress_dagster.pipeline.figures import crop
from deepcompress_dagster.pipeline.lines import PageLine, layer_lines
from deepcompress_dagster.pipeline.page_rotation import PageRotation, turn_of_words
from deepcompress_dagster.pipeline.ruled_tables import RuledGrid, with_words
from deepcompress_dagster.pipeline.stage_calls import ORIENTATION, PageJob, StageCalls
from deepcompress_dagster.pipeline.stages import Plan
from deepcompress_dagster.pipeline.text_layer import (
    InkMap,
    assess,
    is_paper,
    without_covered,
    without_overwritten,
    without_unseen,
)
from deepcompress_dagster.records import BBox
from deepcompress_dagster.streaming import Flow

CROP_MARGIN = 2.0
"""Points around a region that a model is shown: detectors cut letters at the edge in two."""

TURN_SCORE = 0.7
"""A page is turned upright from this score of the orientation model. Of 55 pages of text, each
turned four ways, .98 of the turned ones are set right and no upright one is turned."""


@dataclass(frozen=True)
class Crop:
    """A part of the upright page; its upper left corner lies at (``x``, ``y``) points."""

    pixels: Image
    x: float
    y: float
    scale: float
    """Pixels a point."""

    def placed(self, box: BBox) -> BBox:
        """A box in pixels of the crop, in upright points of the page."""
        return box.scaled(1 / self.scale).shifted(self.x, self.y).rounded()


@dataclass(frozen=True)
class PageView:
    """The page seen upright: pixels, ``scale`` pixels a point, and the lines of its text layer.

    ``grids`` are those of the rules around them; ``asides`` are lines that are no part of the flow.
    """

    content: PageContent
    rotation: PageRotation
    pixels: Image
    scale: float
    lines: tuple[PageLine, ...]
    grids: tuple[RuledGrid, ...]
    asides: tuple[Aside, ...]
    ink: InkMap

    @property
    def whole(self) -> Crop:
        """The page as a crop of itself."""
        return Crop(self.pixels, 0.0, 0.0, self.scale)

    @property
    def is_blank(self) -> bool:
        """Whether the page holds no word and shows nothing but paper."""
        return not self.content.words and is_paper(self.pixels)

    @property
    def rules(self) -> list[BBox]:
        """The horizontal rules that are drawn on the page."""
        boxes = (self.rotation.upright(rule) for rule in self.content.rulings)
        return [box for box in boxes if box.width > box.height]

    def crop(self, box: BBox, margin: float = CROP_MARGIN) -> Crop:
        """The part in ``box`` (upright points) and ``margin`` points around it."""
        wide = box.expanded(margin)
        pixels = crop(self.pixels, wide.scaled(self.scale))
        return Crop(pixels, max(0.0, wide.x0), max(0.0, wide.y0), self.scale)


@dataclass(frozen=True)
class PageOptions:
    """What all pages of a run share.

    A text model that does not ``locates_lines`` reads regions and cells, not whole pages. No
    layout model is asked for pages that their text layer decides where it ``skips_plain_pages``.
    """

    plan: Plan
    device: str
    jpeg_quality: int
    locates_lines: bool = True
    skips_plain_pages: bool = True


@dataclass(frozen=True)
class PageContext:
    """What every step of a page's flow has at hand."""

    job: PageJob
    options: PageOptions
    calls: StageCalls
    view: PageView


def see_page(rendered: RenderedPage, calls: StageCalls) -> Flow[PageView]:
    """The rendered page turned upright, with the lines of its text layer if that is readable."""
    content = rendered.content
    turn = turn_of_words(content.words)
    if turn is None and not content.words and is_paper(rendered.pixels):
        turn = 0
    if turn is None:
        output = yield from calls.ask(ORIENTATION, rendered.pixels)
        turn = _turn(output.value) if output else 0
    return upright_view(content, rendered.pixels, turn)


def upright_view(content: PageContent, displayed: Image, turn: int) -> PageView:
    """A page whose text is turned clockwise by ``turn`` degrees on the ``displayed`` pixels."""
    rotation = PageRotation(content.width, content.height, turn)
    pixels = rotation.upright_pixels(displayed)
    scale = content.dpi / 72
    ink = InkMap(pixels, scale)
    words = without_covered(rotation.upright_words(content.words), ink)
    page = BBox(0, 0, *rotation.upright_size)
    trusted = assess(words, page, ink).readable
    fills = [rotation.upright(r) for d in content.drawings if d.fill is not None for r in d.rects]
    seen = without_unseen(without_overwritten(words, fills), ink, fills) if trusted else ()
    lines, asides = set_aside(layer_lines(seen), page.height)
    cells = [[rotation.upright(cell) for cell in grid] for grid in content.ruled_grids]
    grids = with_words(cells, lines)
    return PageView(content, rotation, pixels, scale, tuple(lines), grids, tuple(asides), ink)


def _turn(seen: Orientation) -> int:
    return seen.degrees if seen.score >= TURN_SCORE else 0
