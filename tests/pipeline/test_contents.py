"""Tables of contents, told from their lines."""

import pytest

from deepcompress_dagster.pipeline.contents import contents_boxes, entries
from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.records import BBox, TextSource, Word

EM = 10.0


def line(x: float, y: float, text: str, x1: float | None = None) -> PageLine:
    """A line whose words are half an em a letter wide; ``x1`` is where it ends."""
    width = len(text) * EM / 2
    start = x if x1 is None else x1 - width
    words, at = [], start
    for piece in text.split(" "):
        box = BBox(at, y, at + len(piece) * EM / 2, y + 12)
        words.append(Word(box, piece, EM))
        at = box.x1 + EM / 4
    box = BBox(words[0].bbox.x0, y, words[-1].bbox.x1, y + 12)
    return PageLine(box, tuple(words), TextSource.TEXT_LAYER)


def page(*rows: tuple[str, str, str]) -> list[PageLine]:
    """Rows of a title, what leads on, and a number that ends at 500 points."""
    lines = []
    for i, (title, leader, number) in enumerate(rows):
        y = 100 + 16 * i
        lines.append(line(72, y, f"{title} {leader}".strip()))
        if number:
            lines.append(line(0, y, number, x1=500))
    return lines


CHAPTERS = [("1 Gates", "1"), ("1.1 Hinges", "2"), ("1.2 Straps", "4"), ("2 Wheels", "9")]


@pytest.mark.parametrize("leader", ["." * 40, ". " * 19 + ".", "…………………"])
def test_entries_with_leaders_and_rising_page_numbers_are_a_table_of_contents(leader):
    lines = page(*((title, leader, number) for title, number in CHAPTERS))
    (box,) = contents_boxes(lines)
    assert (box.x0, box.x1) == (72, 500)
    first, *_, last = entries(lines).split("\n")
    assert (first[:7], first[-2:]) == ("1 Gates", " 1")
    assert (last[:8], last[-2:]) == ("2 Wheels", " 9")


def test_without_leaders_it_needs_its_title():
    rows = [(title, "", number) for title, number in CHAPTERS]
    assert contents_boxes(page(*rows)) == []
    (box,) = contents_boxes(page(("Contents", "", ""), *rows))
    assert box.y0 == 116


@pytest.mark.parametrize(
    "rows",
    [
        [("Trout", "." * 30, "12.80"), ("Bread", "." * 30, "1.20"), ("Ale", "." * 30, "3.40")] * 2,
        [("Upper", "." * 30, "40"), ("Lower", "." * 30, "12"), ("Weir", "." * 30, "31")] * 3,
        [("Alder ........ 2 ........", "", str(n)) for n in range(3, 9)],
        [("1 Gates", "." * 30, "1"), ("2 Wheels", "." * 30, "5")],
    ],
    ids=["prices", "figures that fall", "two columns of figures", "two entries"],
)
def test_lists_of_figures_with_leaders_are_none(rows):
    assert contents_boxes(page(*rows)) == []
