"""The vector graphics of a page, inside a worker: the boxes of its paths, and its rulings."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from deepcompress_dagster.pdf.messages import Drawing, PageNote, Point
from deepcompress_dagster.records import DRAWINGS_LEFT_OUT, BBox

MAX_PATHS = 10_000
"""Paths of a page that are looked at. Drawings with more are maps and scatter plots."""

MAX_SEGMENTS = 100_000
"""Segments, over all paths of a page, that are looked at."""

RULING_THICKNESS = 3.0
"""Points. A thicker bar is a drawing, not a rule (PyMuPDF's table finder snaps at 3 points)."""

RULING_LENGTH = 5.0
"""Points. Shorter strokes are dashes, ticks and parts of letters."""

SLANT = 0.5
"""Points that the ends of a rule may lie off the axis."""


class Ruling(NamedTuple):
    """A straight stroke or thin filled rectangle along an axis, in points as displayed."""

    bbox: BBox
    horizontal: bool


class PageDrawings(NamedTuple):
    """The paths, and the rulings among their segments; none, but a note, above the caps."""

    paths: tuple[Drawing, ...] = ()
    rulings: tuple[Ruling, ...] = ()
    note: PageNote | None = None

    @property
    def is_complete(self) -> bool:
        return self.note is None


class _Paths:
    """Receives the paths of a page one by one and keeps at most ``MAX_PATHS`` of them."""

    def __init__(self) -> None:
        self.kept: list[Any] = []
        self.seen = 0
        self.segments = 0

    def add(self, path: Any) -> None:
        self.seen += 1
        self.segments += len(path["items"])
        if self.complete:
            self.kept.append(path)

    @property
    def complete(self) -> bool:
        return self.seen <= MAX_PATHS and self.segments <= MAX_SEGMENTS


def page_drawings(page: Any) -> PageDrawings:
    """The drawings of a ``pymupdf.Page`` in points as displayed."""
    paths = _Paths()
    page.get_cdrawings(callback=paths.add)
    if not paths.complete:
        note = (
            f"the page has {paths.seen:,} vector paths with {paths.segments:,} segments; "
            "they are left out"
        )
        return PageDrawings(note=PageNote(DRAWINGS_LEFT_OUT, note))
    turn = _Turn(page.rotation, page.rect.width, page.rect.height)
    drawings = tuple(_drawing(path, turn) for path in paths.kept)
    rulings = {ruling for path in paths.kept for ruling in _rulings(path, turn)}
    return PageDrawings(drawings, tuple(sorted(rulings)))


class _Turn(NamedTuple):
    """How a page of this size, as displayed, is turned. PyMuPDF reports drawings before that.

    (``Page.rotation_matrix`` does the same and is wrong where the page has a user unit.)
    """

    degrees: int
    width: float
    height: float

    def box(self, x0: float, y0: float, x1: float, y1: float) -> BBox:
        (ax, ay), (bx, by) = self.point(x0, y0), self.point(x1, y1)
        return BBox(min(ax, bx), min(ay, by), max(ax, bx), max(ay, by)).rounded()

    def point(self, x: float, y: float) -> tuple[float, float]:
        if self.degrees == 90:
            return self.width - y, x
        if self.degrees == 180:
            return self.width - x, self.height - y
        if self.degrees == 270:
            return y, self.height - x
        return x, y


def _drawing(path: Any, turn: _Turn) -> Drawing:
    items = path["items"]
    return Drawing(
        bbox=turn.box(*path["rect"]),
        fill=_rgb(path.get("fill")),
        stroke=_rgb(path.get("color")),
        rects=tuple(turn.box(*_corners(item)) for item in items if item[0] in {"re", "qu"}),
        lines=_chains(items, turn),
        is_curved=any(item[0] == "c" for item in items),
    )


def _corners(item: Any) -> tuple[float, float, float, float]:
    """Two opposite corners of a rectangle (``re``) or of a quad (``qu``)."""
    x0, y0, x1, y1 = item[1] if item[0] == "re" else (*item[1][0], *item[1][3])
    return x0, y0, x1, y1


def _chains(items: Sequence[Any], turn: _Turn) -> tuple[tuple[Point, ...], ...]:
    """The straight segments of a path, those that go on from one another in one chain."""
    chains: list[list[Point]] = []
    end = None
    for item in items:
        if item[0] != "l":
            end = None
            continue
        if item[1] != end:
            chains.append([_placed(item[1], turn)])
        chains[-1].append(_placed(item[2], turn))
        end = item[2]
    return tuple(tuple(chain) for chain in chains)


def _placed(point: Point, turn: _Turn) -> Point:
    x, y = turn.point(*point)
    return round(x, 2), round(y, 2)


def _rgb(color: Sequence[float] | None) -> int | None:
    if color is None:
        return None
    red, green, blue = (round(255 * channel) for channel in color)
    return red << 16 | green << 8 | blue


def _rulings(path: Any, turn: _Turn) -> Iterator[Ruling]:
    stroked = "s" in path["type"]
    for item in path["items"]:
        if item[0] == "l" and stroked:
            yield from _ruling(turn.box(*item[1], *item[2]))
        elif item[0] in {"re", "qu"}:
            box = turn.box(*_corners(item))
            if min(box.width, box.height) <= RULING_THICKNESS:
                yield from _ruling(box, RULING_THICKNESS)
            elif stroked:
                for edge in _edges(box):
                    yield from _ruling(edge)


def _edges(box: BBox) -> tuple[BBox, ...]:
    return (
        box._replace(y1=box.y0),
        box._replace(y0=box.y1),
        box._replace(x1=box.x0),
        box._replace(x0=box.x1),
    )


def _ruling(box: BBox, thickness: float = SLANT) -> Iterator[Ruling]:
    if max(box.width, box.height) < RULING_LENGTH:
        return
    if box.height <= thickness and box.height < box.width:
        yield Ruling(box, horizontal=True)
    elif box.width <= thickness and box.width < box.height:
        yield Ruling(box, horizontal=False)
