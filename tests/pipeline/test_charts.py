"""Charts drawn with the operators that plotting programs write, read back from the page."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pymupdf
import pytest

from deepcompress_dagster.pdf.messages import RenderRequest
from deepcompress_dagster.pdf.worker.document import open_document
from deepcompress_dagster.pdf.worker.render import render_page
from deepcompress_dagster.pipeline.chart_axes import Chart
from deepcompress_dagster.pipeline.charts import chart_data
from deepcompress_dagster.records import BBox, ChartData

BLUE, RED, GREY = (0.3, 0.45, 0.65), (0.9, 0.3, 0.3), (0.5, 0.5, 0.5)
LEFT, RIGHT, TOP, BOTTOM = 80, 320, 60, 300
"""The plot on the page, points."""

NewPdf = Callable[..., Path]
Draw = Callable[[Any], None]


def read(new_pdf: NewPdf, *draws: Draw) -> ChartData | None:
    """What is read of a page on which all ``draws`` were drawn."""

    def draw(page: Any) -> None:
        for one in draws:
            one(page)

    path = new_pdf("chart.pdf", draw)
    content = render_page(open_document(path), RenderRequest(1, 72, 40_000_000, None))
    return chart_data(Chart(BBox(20, 20, 390, 360), content.drawings, content.words))


def text(page: Any, x: float, y: float, words: str, size: float = 9) -> None:
    """``words`` with their middle at (x, y)."""
    width = pymupdf.get_text_length(words, "helv", size)
    page.insert_text((x - width / 2, y + 0.3 * size), words, fontsize=size)


def y_of(value: float, top: float = 100) -> float:
    return BOTTOM - (BOTTOM - TOP) * value / top


def x_of(value: float, right: float = 100) -> float:
    return LEFT + (RIGHT - LEFT) * value / right


def value_axis(values: Sequence[float] = (0, 25, 50, 75, 100), sign: str = "") -> Draw:
    """An axis of numbers at the left, with grid lines."""

    def draw(page: Any) -> None:
        for value in values:
            y = y_of(value, max(values))
            page.draw_line((LEFT, y), (RIGHT, y), color=GREY, width=0.5)
            text(page, LEFT - 18, y, f"{value}{sign}")

    return draw


def x_axis(values: Sequence[float] = (0, 20, 40, 60, 80, 100)) -> Draw:
    """An axis of numbers at the bottom, with ticks; the last label stands inside of its tick."""

    def draw(page: Any) -> None:
        page.draw_line((LEFT, BOTTOM), (RIGHT, BOTTOM), color=GREY)
        for value in values:
            x = x_of(value, max(values))
            page.draw_line((x, BOTTOM), (x, BOTTOM + 4), color=GREY)
            text(page, x - 6 * (value == max(values)), BOTTOM + 12, str(value))

    return draw


def labels(*names: str) -> Draw:
    def draw(page: Any) -> None:
        for place, name in enumerate(names):
            text(page, LEFT + 40 + 60 * place, BOTTOM + 12, name)

    return draw


def bars(*values: float, color: Any = BLUE, base: Sequence[float] = (), shift: float = 0) -> Draw:
    """Upright bars 20 points wide, one for each label; ``base`` are those that they stand on."""

    def draw(page: Any) -> None:
        for place, value in enumerate(values):
            below = base[place] if base else 0
            x = LEFT + 40 + 60 * place + shift
            box = (x - 10, y_of(below + value), x + 10, y_of(below))
            page.draw_rect(pymupdf.Rect(box), fill=color, color=None)

    return draw


def legend(**names: Any) -> Draw:
    def draw(page: Any) -> None:
        for place, (name, color) in enumerate(names.items()):
            y = 70 + 14 * place
            page.draw_rect(pymupdf.Rect(340, y - 5, 350, y + 5), fill=color, color=None)
            page.insert_text((354, y + 3), name, fontsize=9)

    return draw


def line(points: Sequence[tuple[float, float]], color: Any = BLUE) -> Draw:
    return lambda page: page.draw_polyline(
        [(x_of(x), y_of(y)) for x, y in points], color=color, width=1.5
    )


def dots(points: Sequence[tuple[float, float]], color: Any = BLUE) -> Draw:
    def draw(page: Any) -> None:
        for x, y in points:
            page.draw_circle((x_of(x), y_of(y)), 3, fill=color, color=None)

    return draw


def test_bars_are_read_by_their_labels(new_pdf):
    data = read(new_pdf, value_axis(), labels("Rye", "Oats", "Barley"), bars(28, 55, 43))
    assert data is not None
    assert data.rows == (("Rye", "28"), ("Oats", "55"), ("Barley", "43"))
    assert data.confidence is not None
    assert data.confidence > 0.9


def test_percent_signs_of_an_axis_belong_to_its_values(new_pdf):
    data = read(new_pdf, value_axis(sign="%"), labels("Rye", "Oats"), bars(28, 55))
    assert data is not None
    assert data.rows == (("Rye", "28%"), ("Oats", "55%"))


def test_bars_beside_and_on_one_another_have_the_names_of_the_legend(new_pdf):
    names = labels("Rye", "Oats", "Barley"), legend(North=BLUE, South=RED)
    expected = (
        ("North", "South"),
        (("Rye", "28", "40"), ("Oats", "5", "30"), ("Barley", "43", "20")),
    )
    for red in (
        bars(40, 30, 20, color=RED, shift=20),
        bars(40, 30, 20, color=RED, base=(28, 5, 43)),
    ):
        data = read(new_pdf, value_axis(), *names, bars(28, 5, 43), red)
        assert data is not None
        assert (data.columns[1:], data.rows) == expected


def test_numbers_beside_short_bars_are_no_legend(new_pdf):
    def numbers(page):
        for place, value in enumerate((8, 9)):
            text(page, LEFT + 58 + 60 * place, y_of(value / 2), str(value), size=6)

    drawn = value_axis(), labels("Rye", "Oats"), bars(8, 9), bars(4, 5, color=RED, base=(8, 9))
    data = read(new_pdf, *drawn, numbers, legend(North=BLUE, South=RED))
    assert data is not None
    assert data.columns[1:] == ("North", "South")
    assert read(new_pdf, *drawn, numbers) is None


def test_lying_bars_are_read_along_their_axis(new_pdf):
    def lying(page):
        for place, (name, value) in enumerate({"Rye": 28, "Oats": 55, "Barley": 43}.items()):
            y = 80 + 70 * place
            page.draw_rect(pymupdf.Rect(LEFT, y - 10, x_of(value), y + 10), fill=BLUE, color=None)
            page.insert_text((LEFT - 34, y + 3), name, fontsize=9)

    data = read(new_pdf, x_axis(), lying)
    assert data is not None
    assert data.rows == (("Rye", "28"), ("Oats", "55"), ("Barley", "43"))


def test_lines_are_read_at_their_vertices(new_pdf):
    data = read(new_pdf, value_axis(), x_axis(), line([(0, 10), (20, 40), (60, 15), (100, 80)]))
    assert data is not None
    assert data.rows == (("0", "10"), ("20", "40"), ("60", "15"), ("100", "80"))


def test_several_lines_share_their_places(new_pdf):
    first, second = [(0, 10), (40, 40), (80, 15)], [(0, 50), (40, 60), (80, 90)]
    drawn = value_axis(), x_axis(), line(first), line(second, RED)
    data = read(new_pdf, *drawn, legend(North=BLUE, South=RED))
    assert data is not None
    assert data.columns[1:] == ("North", "South")
    assert data.rows == (("0", "10", "50"), ("40", "40", "60"), ("80", "15", "90"))
    assert read(new_pdf, *drawn) is None


def test_a_line_over_named_places_has_their_names(new_pdf):
    points = [((40 + 60 * place) / 2.4, value) for place, value in enumerate((10, 40, 25, 60))]
    data = read(new_pdf, value_axis(), labels("May", "June", "July", "August"), line(points))
    assert data is not None
    assert data.rows == (("May", "10"), ("June", "40"), ("July", "25"), ("August", "60"))


def test_points_are_read_on_both_axes(new_pdf):
    points = [(10, 20), (30, 25), (50, 70), (70, 60), (90, 85)]
    data = read(new_pdf, value_axis(), x_axis(), dots(points))
    assert data is not None
    assert data.rows == tuple((str(x), str(y)) for x, y in points)


def uneven_axis(page: Any) -> None:
    for place, value in enumerate((1, 10, 100, 1000, 10000)):
        y = BOTTOM - 60 * place
        page.draw_line((LEFT, y), (RIGHT, y), color=GREY)
        text(page, LEFT - 18, y, str(value))


def second_axis(page: Any) -> None:
    for value in range(0, 30, 5):
        text(page, RIGHT + 20, y_of(value, 25), str(value))


@pytest.mark.parametrize(
    "draws",
    [
        (labels("Rye", "Oats"), bars(28, 55)),
        (value_axis(), bars(28, 55)),
        (value_axis((0, 100)), labels("Rye", "Oats"), bars(28, 55)),
        (uneven_axis, labels("Rye", "Oats"), bars(28, 55)),
        (value_axis(), second_axis, labels("Rye", "Oats"), bars(28, 55)),
        (value_axis(), labels("Rye", "Oats"), bars(28, 55), bars(9, 9, color=RED, shift=20)),
        (value_axis(), labels("Rye", "Oats"), bars(28, 55, base=(10, 20))),
        (value_axis(), labels("Rye", "Rye"), bars(28, 55)),
        (value_axis(), x_axis(), line([(0, 10), (60, 40), (20, 80)])),
        (value_axis(), dots([(10, 20), (30, 25), (50, 70), (70, 60), (90, 85)])),
    ],
    ids=[
        "no axis",
        "no labels",
        "two ticks",
        "logarithmic axis",
        "second axis",
        "colours without names",
        "bars that float",
        "labels alike",
        "line that goes back",
        "points over one axis",
    ],
)
def test_nothing_is_said_of_a_chart_that_leaves_a_doubt(new_pdf, draws):
    assert read(new_pdf, *draws) is None
