from dataclasses import replace

from deepcompress_dagster.pipeline.asides import set_aside
from deepcompress_dagster.pipeline.lines import PageLine
from deepcompress_dagster.records import BBox, Label, TextSource, Word
from tests.pipeline.drawn_tables import table_lines, typed

PROSE = "The mill stands where the river leaves the gorge, and has ground rye and barley"


def stamped(text: str, box: BBox, size: float) -> PageLine:
    return PageLine(box, (Word(box, text, font_size=size, color=0xCCCCCC),), TextSource.TEXT_LAYER)


def paragraphs(n: int = 30) -> list[PageLine]:
    return [typed(PROSE, 60, 80 + 14 * row) for row in range(n)]


def test_a_large_slanted_word_over_the_page_is_a_watermark():
    mark = stamped("DRAFT", BBox(50, 100, 540, 600), 170)
    flow, asides = set_aside([mark, *paragraphs()], 792)
    assert flow == paragraphs()
    assert [(aside.label, aside.lines) for aside in asides] == [(Label.WATERMARK, (mark,))]


def test_a_large_level_word_over_lines_of_text_is_a_watermark_too():
    mark = stamped("COPY", BBox(100, 200, 400, 290), 80)
    assert set_aside([*paragraphs(), mark], 792)[1][0].lines == (mark,)


def test_headings_initials_and_labels_of_a_chart_stay_in_the_flow():
    title = typed("Annual report", 60, 20, size=40)
    initial = stamped("T", BBox(40, 80, 58, 112), 30)
    labels = [stamped(m, BBox(60 + 30 * i, 640, 80 + 30 * i, 660), 9) for i, m in enumerate("abc")]
    slanted = stamped("January", BBox(300, 640, 330, 670), 9)
    lines = [title, initial, *paragraphs(), *labels, slanted]
    assert set_aside(lines, 792) == (lines, [])


def numbered(n: int = 28) -> list[PageLine]:
    """The numbers of a pleading's lines, every third of them beside no text."""
    lines = []
    for row in range(n):
        lines.append(typed(str(row + 1), 61, 48 + 24 * row, right=True))
        if row % 3:
            lines.append(typed(PROSE[: 20 + row], 90, 48 + 24 * row))
    return lines


def test_the_numbers_of_a_pleading_are_told_from_its_text():
    flow, (numbers,) = set_aside(numbered(), 792)
    assert numbers.label is Label.LINE_NUMBERS
    assert [line.text for line in numbers.lines] == [str(n + 1) for n in range(28)]
    assert len(flow) == len(numbered()) - 28


def test_a_number_that_the_pdf_keeps_in_the_line_of_its_text_is_told_too():
    lines = [typed(f"{row + 1} {PROSE}", 50, 48 + 24 * row) for row in range(9, 28)]
    flow, (numbers,) = set_aside(lines, 792)
    assert {line.text for line in flow} == {PROSE}
    assert numbers.lines[0].text == "10"


def test_the_numbers_of_a_table_and_of_a_list_are_text():
    rows = [[str(n), f"Lock {n}", f"{n * 7}"] for n in range(1, 40)]
    table = table_lines(rows, [50, 150, 300], pitch=16)
    assert set_aside(table, 792) == (table, [])
    listed = [
        typed("Rules", 50, 20),
        *(typed(f"{n} {PROSE}", 50, 24 + 24 * n) for n in range(1, 28)),
    ]
    assert set_aside(listed, 792) == (listed, [])
    skipping = [typed(f"{n * n} {PROSE}", 50, 24 * n) for n in range(1, 28)]
    assert set_aside(skipping, 792) == (skipping, [])


def test_lines_beside_numbers_are_put_together_in_paragraphs():
    texts = ["1. The Guild keeps forty wheels", "on the river, and has so long", "done."] * 6
    lines = []
    for row, text in enumerate(texts):
        lines.append(typed(str(row + 1), 61, 48 + 24 * row, right=True))
        lines.append(replace(typed(text, 90, 48 + 24 * row), block=row))
    flow, _ = set_aside(lines, 792)
    assert [line.block for line in flow] == [n // 3 for n in range(18)]
