from dataclasses import replace

from deepcompress_dagster.pipeline.document_pass import finish_document, rejoined
from deepcompress_dagster.records import BBox, BrokenText, Join, Label, OutlineBlock, OutlineEntry


def block(
    head: str,
    page: int = 1,
    y: float = 300,
    label: Label = Label.TEXT,
    size: float = 10,
    bold: bool = False,
    x: float = 50,
) -> OutlineBlock:
    return OutlineBlock(
        page_number=page,
        region_id=f"{page}-{x}-{y}-{head[:8]}",
        label=label,
        bbox=BBox(x, y, x + 200, y + 20),
        reading_order=y,
        head=head,
        tail=head[-20:],
        font_size=size,
        bold=bold,
        page_width=600,
        page_height=800,
    )


def levels(*blocks, outline=()):
    return [update.heading_level for update in finish_document(blocks, outline)]


def header(text, size=12.0, bold=True, y=300.0, page=1):
    return block(text, page=page, y=y, label=Label.SECTION_HEADER, size=size, bold=bold)


def test_numbering_gives_the_level():
    assert levels(header("1 Method"), header("1.2 Data"), header("1.2.3 Sources")) == [1, 2, 3]


def test_font_size_gives_the_level_where_there_is_no_numbering():
    assert levels(header("Method", 16), header("Data", 12), header("Results", 16)) == [1, 2, 1]


def test_a_title_stands_above_all_section_headers():
    title = block("On tables", label=Label.TITLE, size=20)
    assert levels(title, header("1 Method"), header("Data", 12)) == [1, 2, 2]


def test_the_outline_of_the_pdf_wins():
    outline = [OutlineEntry(3, "Data!", 1)]
    assert levels(header("Data", 30), outline=outline) == [3]


def test_levels_end_at_six():
    assert levels(header("1 Top"), header("1.1.1.1.1.1.1.1 Deep")) == [1, 6]


def test_the_shallowest_numbering_of_a_document_is_its_top_level():
    assert levels(header("6.1 Scripts"), header("6.1.1 Names")) == [1, 2]


def test_a_heading_that_looks_like_the_body_is_text():
    body = [block(f"Some body text {n}.", y=100 + n) for n in range(3)]
    plain = block("Call it with", label=Label.SECTION_HEADER)
    updates = finish_document([*body, plain], ())
    assert updates[-1].label is Label.TEXT
    assert updates[-1].heading_level is None


def test_text_has_no_level():
    assert levels(block("Just text.")) == [None]


def test_text_that_stands_at_the_top_of_three_pages_is_a_page_header():
    pages = [block(f"Report 2024 - {n}", page=n, y=20) for n in (1, 2, 3)]
    assert {u.label for u in finish_document(pages, ())} == {Label.PAGE_HEADER}


def test_text_at_the_top_of_two_pages_stays_text():
    pages = [block("Report", page=n, y=20) for n in (1, 2)]
    assert {u.label for u in finish_document(pages, ())} == {Label.TEXT}


def test_repeated_text_in_the_body_stays_text():
    pages = [block("Report", page=n, y=400) for n in (1, 2, 3)]
    assert {u.label for u in finish_document(pages, ())} == {Label.TEXT}


def test_a_number_alone_at_the_bottom_is_a_page_footer():
    assert finish_document([block("- 17 -", y=770)], ())[0].label is Label.PAGE_FOOTER


def test_a_sentence_goes_on_over_a_page_break():
    updates = finish_document(
        [block("this sentence goes", page=1, y=700), block("on over there.", page=2, y=100)], ()
    )
    assert [update.join for update in updates] == [None, Join.SPACE]


def test_a_word_goes_on_over_a_column_break():
    updates = finish_document([block("a con-", y=600), block("tinued word", y=100, x=320)], ())
    assert updates[1].join is Join.HYPHEN


def test_a_running_footer_between_the_halves_does_not_part_them():
    updates = finish_document(
        [
            block("this sentence goes", page=1, y=600),
            block("12", page=1, y=770),
            block("on over there.", page=2, y=100),
        ],
        (),
    )
    assert [update.join for update in updates] == [None, None, Join.SPACE]


def test_a_finished_sentence_is_not_joined():
    updates = finish_document([block("The end.", page=1), block("a new one", page=2)], ())
    assert updates[1].join is None


def test_a_chapter_without_its_number_stands_above_its_sections():
    chapter = header("SOURCE PACKAGES", size=24)
    assert levels(chapter, header("4.1 Standards"), header("4.1.1 Dates")) == [1, 2, 3]
    alike = header("SOURCE PACKAGES")
    assert levels(alike, header("4.1 Standards"), header("4.1.1 Dates", size=11)) == [1, 2, 3]


def test_a_heading_without_bookmark_or_number_takes_the_level_of_its_size():
    outline = (OutlineEntry(1, "Introduction", 1), OutlineEntry(2, "Aims", 1))
    found = levels(
        header("Introduction", size=20),
        header("Aims", size=16),
        header("Thanks", size=16),
        header("To whom", size=12),
        header("Preface", size=20),
        outline=outline,
    )
    assert found == [1, 2, 2, 3, 1]


def test_small_print_under_a_footnote_belongs_to_it():
    note = block("1 Rationale:", y=700, label=Label.FOOTNOTE, size=8)
    more = block("This keeps the list apart.", y=720, size=8)
    body = block("The body goes on.", y=300)
    found = finish_document([body, note, more], ())
    assert [update.label for update in found] == [Label.TEXT, Label.FOOTNOTE, Label.FOOTNOTE]


def test_code_does_not_continue_a_paragraph_on_the_page_before():
    before = block("it goes on with", page=1)
    code = replace(block("x <- 1", page=2, y=50), monospace=True)
    assert [update.join for update in finish_document([before, code], ())] == [None, None]


def test_points_that_are_counted_under_a_section_stand_below_it():
    section = header("2 Data", size=17)
    part = header("2.1 Tables", size=14)
    point = header("1. Encoding", size=11)
    assert levels(section, part, point) == [1, 2, 3]


def test_a_small_heading_in_a_footnote_belongs_to_it():
    note = block("1 Rationale:", y=700, label=Label.FOOTNOTE, size=8)
    inner = block("Standards", y=720, label=Label.SECTION_HEADER, size=8, bold=True)
    found = finish_document([block("The body goes on.", y=300), note, inner], ())
    assert found[2].label is Label.FOOTNOTE


def test_text_of_a_turned_page_is_no_footnote():
    body = [block(f"Body {n}.", x=100 + 60 * n) for n in range(3)]
    upended = replace(block("5. Missing values", size=8), bbox=BBox(400, 100, 412, 300))
    found = finish_document([*body, upended], ())
    assert found[-1].label is Label.TEXT


def test_an_imprint_that_a_model_takes_for_a_footnote_stays_in_place():
    imprint = block("Copyright 2020 by the authors", y=700, label=Label.FOOTNOTE, size=8)
    starred = block("\u2217 Equal contribution", y=720, label=Label.FOOTNOTE, size=8)
    found = finish_document([block("The body."), imprint, starred], ())
    assert [update.label for update in found] == [Label.TEXT, Label.TEXT, Label.FOOTNOTE]


def test_small_print_that_begins_with_a_year_or_high_on_a_page_is_no_footnote():
    body = block("The body.", page=1)
    year = block("1999-2020 The authors", page=2, y=700, size=8)
    high = block("1 First of all", page=3, y=100, size=8)
    labels = {update.label for update in finish_document([body, year, high], ())}
    assert labels == {Label.TEXT}


def test_other_pages_tell_of_a_hyphen_what_its_own_page_did_not():
    counts = {"land-use": 3, "wellbeing": 1}
    texts = [
        BrokenText(1, "a", "the landuse plan", ("the land-", "use plan")),
        BrokenText(1, "b", "the well-being", ("the well-", "being")),
        BrokenText(2, "c", "broken", ("bro-", "ken")),
        BrokenText(2, "d", "land use of other lines", ("land-", "use")),
    ]
    asked = []

    def count(words):
        asked.extend(sorted(words))
        return counts

    assert rejoined(texts, count) == {(1, "a"): "the land-use plan", (1, "b"): "the wellbeing"}
    assert asked == ["bro-ken", "broken", "land-use", "landuse", "well-being", "wellbeing"]
    assert rejoined([], count) == {}
