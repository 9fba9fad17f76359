from dataclasses import replace

from deepcompress_dagster.pipeline.headings import heading_levels, with_headings
from deepcompress_dagster.records import BBox, Label, OutlineBlock, OutlineEntry, TextStyle

BODY = TextStyle("Serif", 10, False, False, False, 0)
BOLD = TextStyle("Serif-Bold", 10, True, False, False, 0)
LARGE = TextStyle("Sans-Bold", 13, True, False, False, 0)
MONO = TextStyle("Mono", 10, False, False, True, 0)


def block(
    head: str,
    y: float,
    style: TextStyle | None = BODY,
    label: Label = Label.TEXT,
    x: float = 72,
    page: int = 1,
    lines: int = 1,
) -> OutlineBlock:
    size = style.size if style else 10.0
    return OutlineBlock(
        page_number=page,
        region_id=f"{page}-{x}-{y}",
        label=label,
        bbox=BBox(x, y, x + 200, y + 12 * lines),
        reading_order=y,
        head=head,
        tail=head[-20:],
        font_size=size,
        bold=bool(style and style.bold),
        page_width=600,
        page_height=800,
        monospace=bool(style and style.monospace and label is Label.TEXT),
        n_lines=lines,
        style=style,
    )


def header(head: str, y: float, style: TextStyle | None = LARGE, **place: float) -> OutlineBlock:
    return block(head, y, style, Label.SECTION_HEADER, **place)  # type: ignore[arg-type]


def prose(y: float, **place: float) -> OutlineBlock:
    return block("Prose that goes on for a while.", y, lines=4, **place)  # type: ignore[arg-type]


def headings(blocks: list[OutlineBlock], *outline: OutlineEntry) -> list[str]:
    found = with_headings(blocks, outline)
    return [block.head for block in found if block.label is Label.SECTION_HEADER]


def manual(*heads: tuple[str, Label]) -> list[OutlineBlock]:
    blocks = []
    for number, (head, label) in enumerate(heads):
        blocks += [block(head, 100 * number, LARGE, label), prose(100 * number + 30)]
    return blocks


def test_what_is_set_like_the_headings_of_a_document_is_one():
    found = manual(
        ("Scripts", Label.SECTION_HEADER),
        ("Names", Label.TEXT),
        ("Dates", Label.SECTION_HEADER),
    )
    assert headings(found) == ["Scripts", "Names", "Dates"]


def test_a_gap_in_the_numbering_is_filled_from_text_of_the_same_style():
    found = manual(
        ("6.1.1 Scripts", Label.SECTION_HEADER),
        ("6.1.2 Names", Label.TEXT),
        ("Whole sentences, set large.", Label.TEXT),
        ("So is this.", Label.TEXT),
        ("7.3 Of another chapter", Label.TEXT),
        ("6.1.3 Dates", Label.SECTION_HEADER),
    )
    assert headings(found) == ["6.1.1 Scripts", "6.1.2 Names", "6.1.3 Dates"]


def test_sections_below_the_deepest_known_level_are_headings_in_its_style():
    blocks = [
        header("3 Model", 0, LARGE),
        header("3.1 Hydro events", 40, BOLD),
        header("3.1.1 Logical view", 80, BOLD),
        block("3.1.1.1 Point events", 120, BOLD),
        prose(150),
        block("3.1.1.2 Line events", 220, BOLD),
        prose(250),
        block("3.2.1.1 Of another section", 320, BOLD),
        block("3.1.1.3 is a number in a sentence", 420),
    ]
    assert headings(blocks) == [blocks[i].head for i in (0, 1, 2, 3, 5)]


def test_a_number_in_the_style_of_the_body_fills_no_gap():
    found = manual(("1 Scripts", Label.SECTION_HEADER), ("3 Dates", Label.SECTION_HEADER))
    assert headings([*found, block("2 pounds of flour", 600)]) == ["1 Scripts", "3 Dates"]


def definitions(style: TextStyle, seen: int, count: int = 100) -> list[OutlineBlock]:
    """Terms with their definitions set in below, of which a model takes ``seen`` for headings."""
    blocks = [prose(30, page=page) for page in range(1, 1 + count // 4)]
    for number in range(count):
        label = Label.SECTION_HEADER if number % count < seen else Label.TEXT
        place = {"page": 1 + number // 10, "y": 100 + 60 * (number % 10)}
        blocks.append(block(f"--term-{number}", style=style, label=label, **place))
        blocks.append(prose(place["y"] + 13, x=100, page=place["page"]))
    return sorted(blocks, key=lambda block: (block.page_number, block.reading_order))


def test_the_terms_of_a_definition_list_are_no_headings():
    for style in (BOLD, MONO):
        found = with_headings(definitions(style, seen=20), ())
        terms = [block for block in found if block.head.startswith("--term")]
        assert len(terms) == 100
        assert {(block.label, block.monospace) for block in terms} == {(Label.TEXT, False)}


def test_headings_over_lists_that_are_set_in_are_no_terms():
    blocks = [prose(30)]
    for number in range(5):
        blocks.append(header(f"Duties of {number}", 100 + 60 * number, BOLD))
        blocks.append(block("\u2022 To report.", 113 + 60 * number, label=Label.LIST_ITEM, x=100))
    assert len(headings(blocks)) == 5


def test_what_stands_apart_from_the_headings_of_its_style_is_none():
    centred = [block("Before:", 600, LARGE, x=280), block("- and -", 650, LARGE, x=290)]
    names = ("Scripts", "Names", "Dates")
    found = manual(*((name, Label.SECTION_HEADER) for name in names))
    assert headings([*found, *centred]) == list(names)


def test_headings_at_the_margin_of_a_document_that_sets_all_text_in_are_headings():
    blocks = []
    for number in range(8):
        blocks += [header(f"Part {number}", 90 * number, BOLD), prose(90 * number + 14, x=120)]
    assert len(headings(blocks)) == 8


def test_a_few_emphasised_paragraphs_taken_for_headings_are_text():
    strong = [block(f"Mind the gap {n}!", 40 * n, BOLD) for n in range(9)]
    strong[4] = replace(strong[4], label=Label.SECTION_HEADER)
    assert headings([*strong, prose(700)]) == []


def test_what_the_outline_names_is_a_heading():
    found = [block("Thanks", 100, LARGE), prose(130), header("Dates", 300), prose(330)]
    assert headings(found, OutlineEntry(1, "Thanks", 1)) == ["Thanks", "Dates"]


def test_a_heading_may_be_told_from_the_body_by_its_colour_alone():
    blue = replace(BODY, color=0x0000A0)
    found = [header("Data", 100, blue), prose(130), header("so to speak", 300, BODY), prose(330)]
    assert headings(found) == ["Data"]


def levels(blocks: list[OutlineBlock], *outline: OutlineEntry) -> list[int]:
    return list(heading_levels(blocks, outline).values())


def test_the_numbering_wins_over_the_outline_and_the_outline_over_the_size():
    found = [
        header("1 Method", 100),
        header("1.1 Data", 200),
        header("Thanks", 300, replace(LARGE, size=30)),
    ]
    outline = (OutlineEntry(2, "1.1 Data", 1), OutlineEntry(3, "Thanks", 1))
    assert levels(found, *outline) == [1, 2, 3]


def test_an_outline_that_begins_with_the_title_counts_from_there():
    found = [header("1 Method", 100), header("Thanks", 300, replace(LARGE, size=9))]
    outline = (OutlineEntry(2, "1 Method", 1), OutlineEntry(2, "Thanks", 1))
    assert levels(found, *outline) == [1, 1]


def test_east_asian_chapters_and_sections_have_levels_and_gaps():
    found = manual(
        ("第6章 船舶", Label.SECTION_HEADER),
        ("第一节 引言", Label.SECTION_HEADER),
        ("第二节 材料", Label.TEXT),
        ("第三节 结果", Label.SECTION_HEADER),
        ("文字。", Label.TEXT),
        ("第7章 港口", Label.SECTION_HEADER),
    )
    labelled = with_headings(found, ())
    assert [b.head[:3] for b in labelled if b.label is Label.SECTION_HEADER] == [
        "第6章",
        "第一节",
        "第二节",
        "第三节",
        "第7章",
    ]
    assert levels(labelled) == [1, 2, 2, 2, 1]
