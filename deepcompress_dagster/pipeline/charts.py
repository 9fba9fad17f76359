"""The numbers of a chart, read from its drawing: bars, lines and points of born-digital pages.

A chart is read where its axes can be, see chart_axes.py. Everything drawn in the plot must be
explained, every series must have a name, every category a label; otherwise nothing is said.
Pictures of charts have no drawing and are not read here.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from deepcompress_dagster.pdf.messages import Drawing, Point
from deepcompress_dagster.pipeline.chart_axes import (
    EDGE,
    Axis,
    Chart,
    Phrase,
    axis_along,
    is_grey,
)
from deepcompress_dagster.records import BBox, ChartData, union

SWATCH = 22.0
"""Points a side of the sample of colour in a legend, at most."""

MARKER = 12.0
"""Points a side of the mark of a data point, at most."""

MIN_POINTS = 5
"""Marks of one size from which a chart is one of points."""

MAX_VERTICES = 400
"""Vertices of the lines of a chart. Drawings with more are measured curves."""

LINE_SPAN = 0.2
"""Share of the width of the plot that a line of data covers, at least."""

LIGHT = 0xE0
"""Value of all channels from which a colour is background."""

ALIGNED = 4.0
"""Points by which the edges of the labels along an axis differ, at most."""

BASE_CONFIDENCE = 0.98
"""Confidence of a chart whose marks fit exactly; it falls by .2 for each point that they are off,
and by .1 where labels stand at no marks."""


def chart_data(chart: Chart) -> ChartData | None:
    """The numbers of a chart with a confidence, or None without certainty."""
    axes = [axis_along(chart, way) for way in (0, 1)]
    for read in (_bars, _lines, _points):
        data = read(chart, axes[0], axes[1])
        if data is not None:
            return data
    return None


# Bars


@dataclass(frozen=True)
class _Bar:
    box: BBox
    color: int


def _bars(chart: Chart, across: Axis | None, down: Axis | None) -> ChartData | None:
    for axis in (down, across):
        if axis is not None and (data := _bars_along(chart, axis)) is not None:
            return data
    return None


def _bars_along(chart: Chart, axis: Axis) -> ChartData | None:
    """Bars whose lengths are values of ``axis``."""
    bars = _standing(chart, _filled(chart, axis), axis)
    if bars is None or len(bars) < 2:
        return None
    labels = _labels(chart, axis, [bar.box for bar in bars])
    columns: dict[str, list[_Bar]] = defaultdict(list)
    for bar in bars:
        name = _label_of(bar.box, labels, 1 - axis.way)
        if name is None:
            return None
        columns[name].append(bar)
    colors = sorted({bar.color for bar in bars})
    single = all(len(own) == 1 for own in columns.values())
    names = (
        dict.fromkeys(colors, "") if single else _legend(chart, colors, {bar.box for bar in bars})
    )
    if names is None or len(columns) != len(labels):
        return None
    if not single and any(len({bar.color for bar in own}) < len(own) for own in columns.values()):
        return None
    title, value_title = _title(chart, 1 - axis.way, labels), _title(chart, axis.way, axis.labels)
    order = [""] if single else [names[color] for color in names]
    header = [title or "category", *([value_title or "value"] if single else order)]
    rows = []
    for (name, _), own in ((label, columns[label[0]]) for label in labels):
        values = {"" if single else names[bar.color]: _length(bar.box, axis) for bar in own}
        row = [axis.text(values[key]) if key in values else "" for key in order]
        rows.append((name, *row))
    return ChartData(tuple(header), tuple(rows), _confidence(axis))


def _filled(chart: Chart, axis: Axis) -> list[_Bar]:
    """Filled rectangles that may be bars: in the plot, and no background.

    An axis goes on for less than a step beyond its last mark.
    """
    low, high = axis.low - axis.step - EDGE, axis.high + axis.step + EDGE
    found = []
    for drawing in chart.drawings:
        if drawing.fill is None or _is_light(drawing.fill):
            continue
        for box in drawing.rects:
            long, wide = box[axis.way + 2] - box[axis.way], box[3 - axis.way] - box[1 - axis.way]
            if wide > 1 and long > 0.05 and low <= box[axis.way] and box[axis.way + 2] <= high:
                found.append(_Bar(box, drawing.fill))
    return found


def _standing(chart: Chart, found: Sequence[_Bar], axis: Axis) -> list[_Bar] | None:
    """The bars of one width that stand on the base line or on one another.

    None where there is a rectangle that does not, and is no sample of a legend either.
    """
    if not found:
        return None
    way, other = axis.way, 1 - axis.way
    width = median(bar.box[other + 2] - bar.box[other] for bar in found)
    stands: dict[int, list[_Bar]] = defaultdict(list)
    left_over = []
    for bar in found:
        if abs(bar.box[other + 2] - bar.box[other] - width) <= EDGE:
            stands[round(bar.box.center[other])].append(bar)
        else:
            left_over.append(bar)
    for own in stands.values():
        left_over += _floating(own, axis.zero, way)
    if not all(_is_sample(bar.box, chart) for bar in left_over):
        return None
    return [bar for bar in found if bar not in left_over]


def _floating(bars: Sequence[_Bar], base: float, way: int) -> list[_Bar]:
    """Those of the bars at one place that stand neither on the ``base`` nor on another."""
    ends, waiting = [base], list(bars)
    while next_ones := [bar for bar in waiting if _touches(bar.box, ends, way)]:
        waiting.remove(next_ones[0])
        ends += [next_ones[0].box[way], next_ones[0].box[way + 2]]
    return waiting


def _touches(box: BBox, places: Sequence[float], way: int) -> bool:
    return any(abs(edge - place) <= EDGE for edge in (box[way], box[way + 2]) for place in places)


def _length(box: BBox, axis: Axis) -> float:
    """The value of a bar: its length where the axis has a 0, else where it ends."""
    low, high = box[axis.way], box[axis.way + 2]
    end, base = (low, high) if abs(high - axis.zero) <= abs(low - axis.zero) else (high, low)
    if abs(axis.value(axis.zero)) > abs(axis.slope) * EDGE:
        return axis.value(end)
    return axis.slope * (end - base)


def _is_sample(box: BBox, chart: Chart) -> bool:
    """Whether a box is the sample of colour in a legend: small, with text to its right."""
    return max(box.width, box.height) <= SWATCH and _text_beside(box, chart) is not None


def _text_beside(box: BBox, chart: Chart) -> str | None:
    beside = [
        (other.x0 - box.x1, text)
        for text, other in chart.phrases
        if -1 <= other.x0 - box.x1 <= SWATCH
        and abs(other.center[1] - box.center[1]) <= 0.5 * other.height
        and not text.isspace()
    ]
    return min(beside)[1] if beside else None


def _legend(
    chart: Chart, colors: Sequence[int], data: Collection[BBox] = ()
) -> dict[int, str] | None:
    """The name of each colour, in the order of the legend; None where one has none.

    ``data`` are boxes of the data themselves: a short bar with a number beside it is no sample.
    """
    names: dict[int, str] = {}
    for drawing in chart.drawings:
        color = drawing.fill if drawing.fill is not None else drawing.stroke
        small = max(drawing.bbox.width, drawing.bbox.height) <= 2 * SWATCH
        sample = small and drawing.bbox not in data
        if color is not None and color in colors and color not in names and sample:
            text = _text_beside(drawing.bbox, chart)
            if text is not None:
                names[color] = text
    return names if set(names) == set(colors) and len(set(names.values())) == len(names) else None


# Labels


def _labels(chart: Chart, axis: Axis, marks: Sequence[BBox]) -> list[Phrase]:
    """Texts beside the plot, nearest to it, that name places along the other way."""
    other = 1 - axis.way
    plot = union(marks)
    low, high = axis.low, axis.high
    found: list[tuple[float, Phrase]] = []
    for text, box in chart.phrases:
        if not plot[other] - SWATCH <= box.center[other] <= plot[other + 2] + SWATCH:
            continue
        gap = box[1] - high if axis.way == 1 else low - box[2]
        if gap >= -EDGE:
            found.append((gap, (text, box)))
    if not found:
        return []
    nearest, (_, first) = min(found, key=lambda entry: entry[0])
    chosen = [
        phrase
        for gap, phrase in found
        if gap <= nearest + ALIGNED or (axis.way == 0 and abs(phrase[1].x0 - first.x0) <= ALIGNED)
    ]
    return sorted(chosen, key=lambda phrase: phrase[1].center[other])


def _label_of(bar: BBox, labels: Sequence[Phrase], way: int) -> str | None:
    """The label nearest to a bar along ``way``; None where there are no labels."""
    nearest = min(
        labels,
        key=lambda label: abs(label[1].center[way] - bar.center[way]),
        default=None,
    )
    return nearest and nearest[0]


def _title(chart: Chart, way: int, labels: Sequence[BBox] | Sequence[Phrase]) -> str:
    """The text that stands alone beyond the labels of an axis, at their middle; else ''."""
    boxes = [item if isinstance(item, BBox) else item[1] for item in labels]
    if not boxes:
        return ""
    frame = union(boxes)
    strip = [
        (_distance(box, frame, way), text, box)
        for text, box in chart.phrases
        if box not in boxes
        and frame[way] <= box.center[way] <= frame[way + 2]
        and -EDGE <= _distance(box, frame, way) <= SWATCH
    ]
    nearest = min((distance for distance, _, _ in strip), default=0.0)
    row = [(text, box) for distance, text, box in strip if distance <= nearest + ALIGNED]
    row.sort(key=lambda item: item[1].x0 if way == 0 else -item[1].y0)
    if not row:
        return ""
    aside = abs(union(box for _, box in row).center[way] - frame.center[way])
    centred = aside <= 0.15 * (frame[way + 2] - frame[way]) + 3
    return " ".join(text for text, _ in row) if centred else ""


def _distance(box: BBox, labels: BBox, way: int) -> float:
    """Points from the labels of an axis to a text beyond them: below, or to the left."""
    return box.y0 - labels.y1 if way == 0 else labels.x0 - box.x1


def _confidence(*axes: Axis) -> float:
    lost = max(0.2 * axis.error + 0.1 * (not axis.at_marks) for axis in axes)
    return round(max(0.0, BASE_CONFIDENCE - lost), 4)


def _is_light(color: int) -> bool:
    return min(color >> 16, color >> 8 & 255, color & 255) >= LIGHT


# Lines


def _lines(chart: Chart, across: Axis | None, down: Axis | None) -> ChartData | None:
    """Lines of data over a numeric or a labelled axis."""
    axes = [axis for axis in (across, down) if axis is not None]
    series = _series(chart, _plot(chart, across, down)) if axes else None
    if not series or sum(map(len, series.values())) > MAX_VERTICES:
        return None
    vertices = [point for points in series.values() for point in points]
    xs = _scale(chart, 0, across, down, vertices)
    ys = _scale(chart, 1, down, across, vertices)
    names = dict.fromkeys(series, "") if len(series) == 1 else _legend(chart, list(series))
    if names is None:
        return None
    read = {
        names[color]: [(xs.text_at(x), ys.text_at(y)) for x, y in series[color]] for color in names
    }
    if not all(x and y for rows in read.values() for x, y in rows):
        return None
    titles = [_title(chart, way, scale.boxes) for way, scale in ((0, xs), (1, ys))]
    if len(series) == 1:
        (rows,) = read.values()
        return ChartData((titles[0] or "x", titles[1] or "y"), tuple(rows), _confidence(*axes))
    return ChartData((titles[0] or "x", *read), _by_x(read), _confidence(*axes))


@dataclass(frozen=True)
class _Scale:
    """How a place becomes text: by value, or by the label that stands there."""

    boxes: tuple[BBox, ...]
    text_at: Callable[[float], str]


def _scale(
    chart: Chart, way: int, axis: Axis | None, other: Axis | None, vertices: Sequence[Point]
) -> _Scale:
    if axis is not None:
        shift = _shift([point[way] for point in vertices], axis)
        return _Scale(axis.labels, lambda place: axis.text(axis.value(place + shift)))
    if other is None:
        return _Scale((), lambda place: "")
    labels = _labels(chart, other, [BBox(x, y, x, y) for x, y in vertices])

    def label_at(place: float) -> str:
        near = [text for text, box in labels if abs(box.center[way] - place) <= 2 * EDGE]
        return near[0] if len(near) == 1 else ""

    return _Scale(tuple(box for _, box in labels), label_at)


def _shift(places: Sequence[float], axis: Axis) -> float:
    """Points by which the axis is drawn beside the data: half a pixel, in some programs.

    Told by the places that stand near marks, if all of them are off by the same.
    """
    offs = [mark - place for place in places for mark in axis.marks if abs(mark - place) <= 0.75]
    alike = len(offs) >= 2 and max(offs) - min(offs) <= 0.2
    return median(offs) if alike else 0.0


def _plot(chart: Chart, across: Axis | None, down: Axis | None) -> BBox:
    """The frame of the plot: the marks of the axes, and the long grey strokes beside them."""
    boxes = [drawing.bbox for drawing in chart.drawings if _is_frame(drawing)]
    if across is not None:
        boxes.append(BBox(across.low, chart.bbox.center[1], across.high, chart.bbox.center[1]))
    if down is not None:
        boxes.append(BBox(chart.bbox.center[0], down.low, chart.bbox.center[0], down.high))
    return union(boxes)


def _is_frame(drawing: Drawing) -> bool:
    grey = drawing.stroke is not None and is_grey(drawing.stroke)
    return grey and max(drawing.bbox.width, drawing.bbox.height) > SWATCH


def _series(chart: Chart, plot: BBox) -> dict[int, list[Point]] | None:
    """The vertices in the plot of each coloured line, from left to right; None if in doubt."""
    series: dict[int, list[Point]] = {}
    room = plot.expanded(EDGE)
    for drawing in chart.drawings:
        if drawing.stroke is None or drawing.fill is not None or is_grey(drawing.stroke):
            continue
        points = [point for line in drawing.lines for point in line]
        inside = [point for point in points if room.contains_point(*point)]
        if drawing.bbox.width < LINE_SPAN * plot.width or len(inside) < 2:
            continue
        rising = all(second[0] >= first[0] for first, second in pairwise(points))
        if drawing.is_curved or not rising or drawing.stroke in series:
            return None
        series[drawing.stroke] = list(dict.fromkeys(inside))
    return series or None


def _by_x(series: Mapping[str, Sequence[tuple[str, str]]]) -> tuple[tuple[str, ...], ...]:
    """One row for each place along x, one column for each series."""
    places = dict.fromkeys(x for points in series.values() for x, _ in points)
    values = {name: dict(points) for name, points in series.items()}
    return tuple((x, *(values[name].get(x, "") for name in series)) for x in places)


# Points


def _points(chart: Chart, across: Axis | None, down: Axis | None) -> ChartData | None:
    """Marks of one size in a plot with two numeric axes."""
    if across is None or down is None:
        return None
    room = BBox(across.low, down.low, across.high, down.high).expanded(EDGE)
    marks = _point_marks(chart, room)
    sizes = Counter((round(box.width), round(box.height)) for _, box in marks)
    if len(marks) < MIN_POINTS or sizes.most_common(1)[0][1] < len(marks):
        return None
    colors = list(dict.fromkeys(color for color, _ in marks))
    names = (
        {colors[0]: ""} if len(colors) == 1 else _legend(chart, colors, {box for _, box in marks})
    )
    if names is None:
        return None
    titles = (_title(chart, 0, across.labels) or "x", _title(chart, 1, down.labels) or "y")
    rows = []
    for color, box in sorted(marks, key=lambda mark: (list(names).index(mark[0]), mark[1])):
        x, y = box.center
        row = (across.text(across.value(x)), down.text(down.value(y)))
        rows.append(row if len(names) == 1 else (names[color], *row))
    header = titles if len(names) == 1 else ("series", *titles)
    return ChartData(header, tuple(rows), _confidence(across, down))


def _point_marks(chart: Chart, room: BBox) -> list[tuple[int, BBox]]:
    """Small shapes in the plot with their colours; an outline drawn after its fill is no second."""
    small = [
        drawing
        for drawing in chart.drawings
        if max(drawing.bbox.width, drawing.bbox.height) <= MARKER
        and min(drawing.bbox.width, drawing.bbox.height) >= 1
        and room.contains_point(*drawing.bbox.center)
        and not _is_sample(drawing.bbox, chart)
    ]
    filled = [(drawing.fill, drawing.bbox) for drawing in small if drawing.fill is not None]
    outlined = [(drawing.stroke, drawing.bbox) for drawing in small if drawing.stroke is not None]
    return filled or outlined
