"""Write the sample PDFs: ``python samples/make_samples.py [folder]``.

Everything in them is invented. The same versions of PyMuPDF and Pillow write the same bytes again.
"""

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pymupdf
from PIL import Image, ImageFilter

A4 = (595, 842)
MARGIN = 64.0
SERIF, SERIF_BOLD, SANS, SANS_BOLD = "tiro", "tibo", "helv", "hebo"
GREY = (0.35, 0.35, 0.35)
BLUE = (0.16, 0.36, 0.6)

STATIONS = (
    "Four small stations watch the weather of the bay. They stand on the quay, on the old "
    "lighthouse, in the orchard and on the ridge, and each writes one line every ten minutes: "
    "temperature, air pressure, wind and rain. None of them is expensive, and all of them have "
    "been repaired with parts that a school workshop can make."
)
READINGS = (
    "A reading counts only if the two before it and the two after it lie within a band of three "
    "degrees. The rule is simple enough to be checked by hand, and over one year it removed 212 "
    "of 210,240 lines. Most of them fell into a single week in March, when a spider had moved "
    "into the radiation shield of the station in the orchard."
)
WIND = (
    "Wind on the ridge is almost twice as strong as on the quay, but it turns later. When a front "
    "comes in from the west, the lighthouse feels it first, the quay four minutes later and the "
    "orchard, behind its hedge, hardly at all. The delay is steady enough to warn the sailing "
    "club, which now hoists a yellow flag as soon as the lighthouse reports gusts above 14 metres "
    "a second."
)
RAIN = (
    "Rain is harder to compare. The gauge on the quay stands too close to a wall and catches less "
    "in northerly wind; the one on the ridge loses drops to the wind itself. We report both as "
    "they are and mark the months in which they differ by more than a quarter."
)
UPKEEP = (
    "Every station is visited once a month. Visitors clean the gauge, wipe the solar panel, tap "
    "the barometer and note what they find in a paper book that stays at the station. Twice the "
    "book was the only witness: the memory card had failed, and the pencil had not."
)
OUTLOOK = (
    "Next year a fifth station will be built on the sandbank, where nobody lives and where the "
    "water reaches the mast at spring tide. It will have no gauge for rain and a longer memory. "
    "Whether it survives its first winter is an open bet."
)
FOG = (
    "Fog was seen on 41 mornings. It rarely reaches the ridge, and on most days it is gone by ten "
    "o'clock. The instruments do not see it; the ferryman does, and his list agrees with the "
    "humidity of the quay on all but three days."
)
FROST = (
    "The orchard froze on 19 nights, twice as often as the quay, although the two are less than a "
    "kilometre apart. Cold air runs down the ridge after sunset and stops at the hedge. Where the "
    "hedge has a gap, the blossom of the outer row was",
    "lost in two years out of three. Since the gap was closed with brushwood in November, the "
    "lowest readings of the outer row are those of the inner one.",
)
SEA = (
    "The sea keeps the quay warm until December and cool until May. Its temperature, read by hand "
    "on Sundays, runs from 4.1 degrees in February to 18.7 in the last week of August."
)
NUMBERS = (
    "The year was neither warm nor cold. Its mean at the lighthouse was 9.6 degrees, a tenth below "
    "the year before. The warmest hour was on 24 July, at 31.2 degrees in the orchard, the coldest "
    "on 11 February, at 9.8 below zero on the ridge."
)
THANKS = (
    "The workshop built two shields and mended four, the ferryman lent his list, and the sailing "
    "club paid for the card that did not fail. The notes may be copied by anyone who finds them of "
    "use."
)
STEPS = (
    "Open the shield and look for guests.",
    "Empty the gauge and note the level before and after.",
    "Compare the clock with a telephone; set it if it is off by more than a minute.",
    "Take the card home and leave a fresh one.",
)


class Table(NamedTuple):
    """Rows of text with the widths of their columns; ``spans`` of the top row in columns."""

    rows: Sequence[Sequence[str]]
    widths: Sequence[float]
    spans: Sequence[int] = ()


class Sheet:
    """One page, filled from the top down."""

    def __init__(self, document: Any, head: str, size: tuple[float, float] = A4) -> None:
        self.page = document.new_page(width=size[0], height=size[1])
        self.left, self.right = MARGIN, size[0] - MARGIN
        self.y = MARGIN + 16
        if head:
            self._frame(head, document.page_count)

    def _frame(self, head: str, number: int) -> None:
        """Running head and page number."""
        width, height = self.page.rect.width, self.page.rect.height
        self.page.insert_text((MARGIN, 40), head, fontname=SANS, fontsize=8, color=GREY)
        self.page.draw_line((MARGIN, 46), (width - MARGIN, 46), color=GREY, width=0.5)
        self.page.insert_text((width / 2 - 4, height - 34), str(number), fontname=SANS, fontsize=8)

    def text(
        self, text: str, size: float = 10, font: str = SERIF, align: int = 3, gap: float = 8
    ) -> None:
        """A paragraph between the margins, and ``gap`` points below it."""
        box = pymupdf.Rect(self.left, self.y, self.right, self.page.rect.height - MARGIN)
        left_over = self.page.insert_textbox(
            box, text, fontsize=size, fontname=font, align=align, lineheight=1.25
        )
        self.y = box.y1 - left_over + gap

    def heading(self, text: str, level: int = 1) -> None:
        self.y += 6
        self.text(text, size=(22, 15, 12)[level], font=SANS_BOLD, align=0, gap=6)

    def columns(self, *columns: Sequence[str]) -> None:
        """Paragraphs side by side; a paragraph may go on at the top of the next column."""
        top, left, right = self.y, self.left, self.right
        width = (right - left + 20) / len(columns)
        lowest = top
        for index, texts in enumerate(columns):
            self.left = left + index * width
            self.right, self.y = self.left + width - 20, top
            for text in texts:
                self.text(text)
            lowest = max(lowest, self.y)
        self.left, self.right, self.y = left, right, lowest

    def steps(self, texts: Sequence[str]) -> None:
        for number, text in enumerate(texts, start=1):
            self.page.insert_text(
                (self.left + 8, self.y + 10), f"{number}.", fontname=SERIF, fontsize=10
            )
            self.left += 26
            self.text(text, align=0, gap=3)
            self.left -= 26
        self.y += 6

    def caption(self, text: str) -> None:
        self.text(text, size=9, font=SANS, align=0, gap=6)

    def table(self, table: Table, *, vertical: bool, rules: Sequence[int] | None = None) -> None:
        """A table; ``rules`` are the rows above which a line is drawn, None for all."""
        xs = [self.left]
        for width in table.widths:
            xs.append(xs[-1] + width)
        height, top, count = 18.0, self.y, len(table.rows)
        for index in range(count + 1) if rules is None else rules:
            self.page.draw_line((xs[0], top + index * height), (xs[-1], top + index * height))
        for row, cells in enumerate(table.rows):
            spans = table.spans if row == 0 and table.spans else [1] * len(table.widths)
            column = 0
            for text, span in zip(cells, spans, strict=True):
                x, y = xs[column], top + row * height
                if vertical:
                    self.page.draw_line((x, y), (x, y + height))
                font = SANS_BOLD if row < 1 + bool(table.spans) else SANS
                self.page.insert_text((x + 5, y + 12.5), text, fontname=font, fontsize=9)
                column += span
        if vertical:
            self.page.draw_line((xs[-1], top), (xs[-1], top + count * height))
        self.y = top + count * height + 18


def text_sample() -> Any:
    """Title, headings of two levels, one and two columns, a list, a footnote, head and foot."""
    document = pymupdf.open()
    head = "Harbour school - Notes on the weather"
    first = Sheet(document, head)
    first.heading("The Weather of a Small Bay", 0)
    first.text("Yearly notes of the harbour school", size=11, font=SANS, align=0, gap=14)
    first.heading("1 Four stations")
    first.text(STATIONS)
    first.heading("1.1 What counts as a reading", 2)
    first.text(READINGS)
    first.heading("1.2 Upkeep", 2)
    first.text(UPKEEP)
    first.steps(STEPS)
    foot = pymupdf.Rect(MARGIN, 752, A4[0] - MARGIN, 780)
    first.page.draw_line((MARGIN, 748), (MARGIN + 120, 748), width=0.5)
    first.page.insert_textbox(
        foot, "1 All times are local; summer time is not used.", fontname=SERIF, fontsize=8
    )
    second = Sheet(document, head)
    second.heading("2 Wind and rain")
    second.columns((WIND, RAIN, FROST[0]), (FROST[1], FOG, SEA))
    second.heading("2.1 The year in numbers", 2)
    second.text(NUMBERS)
    third = Sheet(document, head)
    third.heading("3 Outlook")
    third.text(OUTLOOK)
    third.heading("3.1 Thanks", 2)
    third.text(THANKS)
    document.set_toc(
        [
            [1, "1 Four stations", 1],
            [2, "1.1 What counts as a reading", 1],
            [2, "1.2 Upkeep", 1],
            [1, "2 Wind and rain", 2],
            [2, "2.1 The year in numbers", 2],
            [1, "3 Outlook", 3],
            [2, "3.1 Thanks", 3],
        ]
    )
    return document


def table_sample() -> Any:
    """A ruled table, one without vertical rules, one with a header over several columns."""
    document = pymupdf.open()
    sheet = Sheet(document, "Village orchard - Harvest report")
    sheet.heading("Harvest of the village orchard", 0)
    sheet.text(
        "The orchard has four kinds of apple. The tables give the harvest in kilograms, the price "
        "at the gate and the share that became juice."
    )
    sheet.caption("Table 1: Harvest in kilograms by kind and year")
    ruled = Table(
        [
            ["Kind", "2021", "2022", "2023"],
            ["Early red", "1,240", "980", "1,410"],
            ["Long keeper", "2,105", "2,310", "1,875"],
            ["Grey russet", "640", "715", "690"],
            ["Wild stock", "180", "95", "220"],
        ],
        [150, 90, 90, 90],
    )
    sheet.table(ruled, vertical=True)
    sheet.caption("Table 2: Price at the gate, per kilogram")
    open_table = Table(
        [
            ["Kind", "Picked", "Windfall", "Remark"],
            ["Early red", "2.40", "1.10", "until August"],
            ["Long keeper", "2.10", "0.90", "all winter"],
            ["Grey russet", "3.20", "1.60", "from October"],
            ["Wild stock", "-", "0.40", "juice only"],
        ],
        [130, 80, 80, 150],
    )
    sheet.table(open_table, vertical=False, rules=(0, 1, 5))
    sheet.caption("Table 3: What became of the harvest, in percent")
    spanning = Table(
        [
            ["Kind", "Eaten", "Juice"],
            ["", "fresh", "stored", "sweet", "dry"],
            ["Early red", "62", "8", "25", "5"],
            ["Long keeper", "21", "58", "14", "7"],
            ["Grey russet", "35", "40", "10", "15"],
        ],
        [130, 75, 75, 75, 75],
        spans=(1, 2, 2),
    )
    sheet.table(spanning, vertical=True)
    return document


def figure_sample() -> Any:
    """A vector bar chart and a raster picture, both with captions."""
    document = pymupdf.open()
    sheet = Sheet(document, "Mill cooperative - Yearly report")
    sheet.heading("Electricity from the mill race", 0)
    sheet.text(
        "The wheel in the mill race turns a small generator. It delivers most in spring, when the "
        "snow melts, and rests for two weeks in August."
    )
    _bar_chart(sheet, ("Spring", "Summer", "Autumn", "Winter"), (42, 18, 31, 26))
    sheet.caption("Figure 1: Electricity in megawatt hours by season")
    sheet.text(
        "The picture shows the valley above the mill as the painter of the village sees it: two "
        "hills, a low sun, and the lake that feeds the race."
    )
    box = pymupdf.Rect(sheet.left + 60, sheet.y, sheet.right - 60, sheet.y + 200)
    sheet.page.insert_image(box, stream=_jpeg(_landscape(520, 300), 80))
    sheet.y = box.y1 + 8
    sheet.caption("Figure 2: The valley above the mill")
    return document


def _bar_chart(sheet: Sheet, names: Sequence[str], values: Sequence[float]) -> None:
    page, left, top, height, step = sheet.page, sheet.left + 60, sheet.y + 10, 180.0, 80.0
    bottom, right = top + height, left + step * len(names)
    for tick in range(0, 51, 10):
        y = bottom - height * tick / 50
        page.draw_line((left, y), (right, y), color=(0.8, 0.8, 0.8), width=0.5)
        page.insert_text((left - 20, y + 3), str(tick), fontname=SANS, fontsize=8)
    for index, (name, value) in enumerate(zip(names, values, strict=True)):
        x = left + step * index
        bar = pymupdf.Rect(x + 18, bottom - height * value / 50, x + step - 18, bottom)
        page.draw_rect(bar, color=BLUE, fill=BLUE)
        page.insert_text((bar.x0 + 14, bar.y0 - 4), str(value), fontname=SANS, fontsize=8)
        page.insert_text((x + 24, bottom + 12), name, fontname=SANS, fontsize=8)
    page.draw_line((left, top), (left, bottom))
    page.draw_line((left, bottom), (right, bottom))
    sheet.y = bottom + 26


def scan_sample() -> Any:
    """A letter as a scanner sees it: slightly turned, soft, noisy, an image and nothing else."""
    letter = pymupdf.open()
    sheet = Sheet(letter, "")
    sheet.heading("Letter to the sailing club", 0)
    sheet.text("Dear members,", align=0)
    for text in (WIND, RAIN, UPKEEP, OUTLOOK):
        sheet.text(text, size=11)
    sheet.text("With kind regards, the harbour school", align=0)
    document = pymupdf.open()
    _add_image_page(document, _scanned(letter[0], turn=0.8), A4)
    return document


def turned_sample() -> Any:
    """A landscape table that the PDF turns upright, and a scan that lies on its side."""
    document = pymupdf.open()
    notice = pymupdf.open()
    sheet = Sheet(notice, "", (A4[1], A4[0]))
    sheet.heading("Timetable of the ferry", 0)
    sheet.caption("Table 1: Departures on weekdays")
    rows = [
        ["From", "First", "Second", "Third", "Last"],
        ["Quay", "6:40", "9:10", "14:10", "19:40"],
        ["Lighthouse", "7:05", "9:35", "14:35", "20:05"],
        ["Sandbank", "7:20", "-", "14:50", "-"],
    ]
    sheet.table(Table(rows, [150, 100, 100, 100, 100]), vertical=True)
    sheet.text(RAIN, size=11)
    page = document.new_page(width=A4[0], height=A4[1])
    page.show_pdf_page(page.rect, notice, 0, rotate=90)
    page.set_rotation(90)
    letter = pymupdf.open()
    sheet = Sheet(letter, "")
    sheet.heading("Rules of the quay", 0)
    sheet.steps(STEPS)
    for text in (UPKEEP, OUTLOOK, WIND):
        sheet.text(text, size=11)
    sideways = _scanned(letter[0], turn=0.3).transpose(Image.Transpose.ROTATE_90)
    _add_image_page(document, sideways, (A4[1], A4[0]))
    return document


def _scanned(page: Any, turn: float) -> Image.Image:
    pixmap = page.get_pixmap(dpi=130, colorspace=pymupdf.csGRAY, alpha=False)
    image = Image.frombytes("L", (pixmap.width, pixmap.height), pixmap.samples)
    image = image.rotate(turn, Image.Resampling.BICUBIC, fillcolor=250)
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(0.6)), dtype=np.float64)
    noise = np.random.default_rng(7).normal(0, 6, pixels.shape)
    return Image.fromarray(np.clip(pixels * 0.92 + 8 + noise, 0, 255).astype(np.uint8))


def _landscape(width: int, height: int) -> Image.Image:
    x = np.linspace(0, 1, width)[None, :]
    y = np.linspace(0, 1, height)[:, None]
    red, green, blue = 0.55 + 0.4 * y + 0 * x, 0.65 + 0.2 * y + 0 * x, 0.9 - 0.25 * y + 0 * x
    sun = (x - 0.7) ** 2 * 3 + (y - 0.3) ** 2 < 0.006
    far = y > 0.55 - 0.12 * np.sin(5 * x + 0.5)
    near = y > 0.72 - 0.1 * np.cos(4 * x)
    lake = (y > 0.88) & (x > 0.25)
    for area, colour in (
        (sun, (1.0, 0.9, 0.6)),
        (far, (0.35, 0.5, 0.4)),
        (near, (0.2, 0.38, 0.22)),
        (lake, (0.4, 0.6, 0.75)),
    ):
        red, green, blue = (
            np.where(area, value, band)
            for value, band in zip(colour, (red, green, blue), strict=True)
        )
    grain = np.random.default_rng(3).normal(0, 0.03, (height, width))
    bands = [np.clip((band + grain) * 255, 0, 255).astype(np.uint8) for band in (red, green, blue)]
    return Image.fromarray(np.dstack(bands))


def _jpeg(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _add_image_page(document: Any, image: Image.Image, size: tuple[float, float]) -> None:
    page = document.new_page(width=size[0], height=size[1])
    page.insert_image(page.rect, stream=_jpeg(image, 45))


class Sample(NamedTuple):
    """A file name, the title in its metadata, and what draws it."""

    name: str
    title: str
    draw: Callable[[], Any]


SAMPLES = (
    Sample("weather-notes.pdf", "The Weather of a Small Bay", text_sample),
    Sample("orchard-tables.pdf", "Harvest of the village orchard", table_sample),
    Sample("mill-report.pdf", "Electricity from the mill race", figure_sample),
    Sample("scanned-letter.pdf", "Letter to the sailing club", scan_sample),
    Sample("turned-pages.pdf", "Timetable and rules", turned_sample),
)


def write_samples(folder: Path) -> list[Path]:
    """Write every sample into ``folder``; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for sample in SAMPLES:
        document = sample.draw()
        date = "D:20240101000000Z"
        document.set_metadata(
            {
                "title": sample.title,
                "author": "deepcompress samples",
                "creationDate": date,
                "modDate": date,
            }
        )
        path = folder / sample.name
        document.save(path, garbage=4, deflate=True, no_new_id=True)
        paths.append(path)
    return paths


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    for written in write_samples(target):
        print(f"{written}: {written.stat().st_size:,} bytes")
