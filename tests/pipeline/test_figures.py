"""The kind of a figure, on figures that the test draws: pixels, words and a number of paths."""

from pathlib import Path

import numpy as np
import pytest

from deepcompress_dagster.pipeline.figures import FigureJob, describe
from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.records import BBox, TextSource, Word

BOX = BBox(0, 0, 200, 150)
PAPER = np.full((300, 400, 3), 255, np.uint8)


def at(x, y, text, confidence=1.0, size=8.0):
    box = BBox(x, y, x + 0.5 * size * len(text), y + size)
    return PageLine(box, (Word(box, text),), TextSource.OCR, confidence)


def kind(lines=(), pixels=PAPER, paths=0, box=BOX):
    job = FigureJob(pixels, Path("figure.jpg"), 80, box, tuple(lines), paths)
    return describe(job).kind


def column(*labels, x=10, step=30):
    """Labels one below the other, flush left."""
    return [at(x, 5 + step * row, label) for row, label in enumerate(labels)]


def row(*labels, y=140, step=40):
    return [at(10 + step * place, y, label) for place, label in enumerate(labels)]


def photograph():
    """Soft waves of colour before a smooth sky, in no colour more often than in others."""
    y, x = np.mgrid[0:300, 0:400]
    waves = [128 + 100 * np.sin(x / (40 + 9 * c) + y / (55 - 7 * c)) for c in range(3)]
    pixels = np.stack(waves, axis=2).astype(np.uint8)
    pixels[:90] = (120, 160, 220)
    return pixels


@pytest.mark.parametrize(
    "labels",
    [
        ("40", "30", "20", "10", "0"),
        ("$1,500", "$1,000", "$500", "$0"),
        ("1.500", "1.000", "500", "0"),
        ("0,8", "0,6", "0,4", "0,2"),
        ("5", "0", "-5", "−10"),
        ("75%", "50%", "25%"),
    ],
)
def test_a_column_of_numbers_in_even_steps_makes_a_chart(labels):
    assert kind(column(*labels)) == "chart"


def test_a_row_of_years_makes_a_chart():
    assert kind(row("2001", "2002", "2003", "2004")) == "chart"


def test_the_place_of_a_number_that_was_not_read_stays_free():
    read = column("50", "40", "?", "20", "10")
    assert kind(read) == "chart"


def test_two_charts_on_each_other_are_a_chart():
    assert kind(column("60", "40", "20", "0", "60", "40", "20", "0", step=18)) == "chart"


@pytest.mark.parametrize("labels", [("40", "7", "31", "12", "9"), ("5", "5", "5", "5"), ("4", "2")])
def test_numbers_without_a_step_are_no_axis(labels):
    assert kind(column(*labels)) == "unknown"


def test_numbers_in_even_steps_at_uneven_places_are_no_axis():
    lines = [at(10, y, text) for y, text in ((5, "40"), (12, "30"), (80, "20"), (130, "10"))]
    assert kind(lines) == "unknown"


def test_numbers_at_one_place_are_no_axis():
    assert kind([at(10, 20, "350"), at(10, 20.2, "349"), at(10, 140, "10")]) == "unknown"


def test_percentages_that_make_up_a_whole_are_a_pie():
    parts = [at(20, 30, "55.5%"), at(120, 40, "30%"), at(70, 110, "14.5%")]
    assert kind(parts) == "chart"
    assert kind(parts[:2]) == "unknown"


def test_an_image_full_of_text_is_no_chart_though_its_numbers_are_in_step():
    years = column("2001", "2002", "2003", "2004")
    prose = [
        at(30, 5 + 10 * n, "a full line of a table that is an image", size=9) for n in range(14)
    ]
    assert kind([*years, *prose]) == "unknown"


def test_drawn_boxes_with_words_are_a_diagram():
    labels = [
        at(10 + 35 * n, 20 * n, name) for n, name in enumerate(("Ask", "Do", "Look", "Learn"))
    ]
    labels.append(at(120, 120, "Again"))
    assert kind(labels, paths=12) == "diagram"
    assert kind(labels, paths=2) == "unknown"
    assert kind(labels[:2], paths=12) == "unknown"


def test_drawn_bars_whose_axis_cannot_be_read_are_no_diagram():
    names = [
        at(10, 20 * n, name) for n, name in enumerate(("North", "South", "East", "West", "Mid"))
    ]
    values = [at(60 + 9 * n, 20 * n, str(value)) for n, value in enumerate((17, 4, 23, 8, 11))]
    assert kind([*names, *values], paths=20) == "unknown"


def test_clip_art_is_not_said_to_be_anything():
    assert kind(paths=60) == "unknown"


def test_soft_colours_all_over_are_a_photograph():
    assert kind(pixels=photograph()) == "photo"


def test_doubtful_text_does_not_speak_against_a_photograph():
    misread = at(20, 20, "Ri", confidence=0.6, size=120)
    assert kind([misread], photograph()) == "photo"
    assert kind([at(20, 20, "Ri", size=120)], photograph()) == "unknown"


def test_a_page_in_a_screenshot_is_no_photograph():
    pixels = photograph()
    pixels[40:260, ::6] = 0
    assert kind(pixels=pixels) == "unknown"


def test_the_grain_of_a_scan_makes_no_photograph():
    grain = np.random.default_rng(5).normal(128, 9, (300, 400, 3)).astype(np.uint8)
    assert kind(pixels=grain) == "unknown"


def test_noisy_paper_is_no_photograph():
    noise = np.random.default_rng(3).integers(244, 256, (300, 400, 3)).astype(np.uint8)
    assert kind(pixels=noise) == "unknown"


def test_of_an_icon_nothing_is_said():
    assert kind(pixels=photograph(), box=BBox(0, 0, 30, 30)) == "unknown"
