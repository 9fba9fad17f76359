"""Which text layers are trusted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from deepcompress_dagster.pdf.messages import PageContent, RenderRequest
from deepcompress_dagster.pdf.worker.document import open_document
from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.pdf.worker.render import render_page
from deepcompress_dagster.pipeline.text_layer import (
    InkMap,
    assess,
    without_covered,
    without_overwritten,
    without_unseen,
)
from deepcompress_dagster.records import BBox, Word, union

NewPdf = Callable[..., Path]
Pixels = npt.NDArray[np.uint8]

DPI = 144
PAGE = BBox(0, 0, 400, 600)
TEXT = "The quick brown fox jumps over the lazy dog and runs away into the wood"


def seen(path: Path, buffer: Path) -> tuple[PageContent, Pixels]:
    buffer.touch()
    content = render_page(open_document(path), RenderRequest(1, DPI, 40_000_000, buffer))
    shape = (content.pixel_height, content.pixel_width, 3)
    return content, np.frombuffer(buffer.read_bytes(), np.uint8).reshape(shape)


def paragraph(page: Any, **options: Any) -> None:
    for line in range(8):
        page.insert_text((40, 100 + 16 * line), TEXT, fontsize=9, **options)


@pytest.fixture
def page(new_pdf: NewPdf, tmp_path: Path) -> tuple[PageContent, Pixels]:
    return seen(new_pdf("a.pdf", paragraph), tmp_path / "buffer")


def around(words: tuple[Word, ...]) -> BBox:
    return union(word.bbox for word in words)


def test_a_text_layer_on_its_own_ink_is_usable(page: tuple[PageContent, Pixels]) -> None:
    content, pixels = page
    verdict = assess(content.words, around(content.words), InkMap(pixels, DPI / 72))
    assert verdict.usable
    assert verdict.readable
    assert verdict.reason == "good"
    assert verdict.printable_share == verdict.box_agreement == 1
    assert verdict.ink_coverage > 0.95


def test_light_text_on_a_dark_panel_is_usable(new_pdf: NewPdf, tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.draw_rect(page.rect, fill=(0.1, 0.1, 0.2), color=None)
        paragraph(page, color=(1, 1, 1))

    content, pixels = seen(new_pdf("a.pdf", draw), tmp_path / "buffer")
    assert assess(content.words, around(content.words), InkMap(pixels, DPI / 72)).usable


def test_ink_without_words_needs_reading(page: tuple[PageContent, Pixels]) -> None:
    content, pixels = page
    verdict = assess((), around(content.words), InkMap(pixels, DPI / 72))
    assert (verdict.usable, verdict.readable, verdict.reason) == (False, False, "no words")


def test_a_blank_region_needs_no_reading(page: tuple[PageContent, Pixels]) -> None:
    verdict = assess((), BBox(40, 400, 300, 500), InkMap(page[1], DPI / 72))
    assert (verdict.usable, verdict.reason) == (True, "blank")


def test_half_the_words_missing_is_readable_but_not_usable(
    page: tuple[PageContent, Pixels],
) -> None:
    content, pixels = page
    ink = InkMap(pixels, DPI / 72)
    verdict = assess(content.words[::2], around(content.words), ink)
    assert (verdict.usable, verdict.readable) == (False, True)
    assert verdict.reason == "ink without words"


def test_ink_of_neighbours_is_not_missing(page: tuple[PageContent, Pixels]) -> None:
    content, pixels = page
    ink, region = InkMap(pixels, DPI / 72), around(content.words)
    mine, others = content.words[:40], content.words[40:]
    assert not assess(mine, region, ink).usable
    assert assess(mine, region, ink, others).usable
    assert assess((), region, ink, content.words).reason == "blank"
    assert assess((), region, ink, others[:10]).reason == "no words"


def test_words_over_blank_paper_are_not_readable(page: tuple[PageContent, Pixels]) -> None:
    content, pixels = page
    moved = [replace(word, bbox=word.bbox.shifted(0, 250)) for word in content.words]
    verdict = assess(moved, PAGE, InkMap(pixels, DPI / 72))
    assert (verdict.readable, verdict.reason) == (False, "words without ink")


def test_white_words_on_white_are_not_readable(new_pdf: NewPdf, tmp_path: Path) -> None:
    path = new_pdf("a.pdf", lambda page: paragraph(page, color=(1, 1, 1)))
    content, pixels = seen(path, tmp_path / "buffer")
    verdict = assess(content.words, around(content.words), InkMap(pixels, DPI / 72))
    assert (verdict.readable, verdict.box_agreement) == (False, 0)


@pytest.mark.parametrize("bad", ["\ufffd", "\ue042", "\x00"])
def test_unmapped_characters_are_not_readable(page: tuple[PageContent, Pixels], bad: str) -> None:
    content, pixels = page
    broken = [replace(word, text=bad * len(word.text)) for word in content.words]
    verdict = assess(broken, around(content.words), InkMap(pixels, DPI / 72))
    assert (verdict.readable, verdict.reason) == (False, "unmapped characters")


def test_symbols_without_letters_are_not_readable(page: tuple[PageContent, Pixels]) -> None:
    content, pixels = page
    broken = [replace(word, text="!#%&$"[: len(word.text)]) for word in content.words]
    verdict = assess(broken, around(content.words), InkMap(pixels, DPI / 72))
    assert (verdict.readable, verdict.reason) == (False, "symbols")


@pytest.mark.parametrize("line", ["Contents" + "." * 60 + "7", "_" * 60, "1,204 (3.7 %) = [a + b]"])
def test_leaders_rules_and_formulas_are_usable(new_pdf: NewPdf, tmp_path: Path, line: str) -> None:
    path = new_pdf("a.pdf", lambda page: page.insert_text((40, 100), line, fontsize=9))
    content, pixels = seen(path, tmp_path / "buffer")
    assert assess(content.words, around(content.words), InkMap(pixels, DPI / 72)).usable


@pytest.mark.parametrize(
    "text",
    ["这是一个很长的句子用来测试文字层的判断是否正确可靠", "देवनागरी में लिखा हुआ एक लंबा वाक्य है"],
)
def test_every_script_has_letters(text: str) -> None:
    pixels = np.full((200, 800, 3), 255, np.uint8)
    pixels[100:120, 40:760:4] = 0
    word = Word(BBox(40, 98, 760, 122), text.replace(" ", ""))
    assert assess([word], BBox(30, 90, 770, 130), InkMap(pixels, 1)).usable


def test_rules_of_a_table_do_not_ask_for_words(new_pdf: NewPdf, tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        for row in range(6):
            page.insert_text((100, 112 + 20 * row), f"{row}", fontsize=9)
            page.draw_rect((40, 100 + 20 * row, 360, 120 + 20 * row))

    content, pixels = seen(new_pdf("a.pdf", draw), tmp_path / "buffer")
    assert assess(content.words, BBox(40, 100, 360, 220), InkMap(pixels, DPI / 72)).usable


def test_ink_is_counted_in_points_and_clipped_to_the_page() -> None:
    pixels = np.full((200, 400, 3), 255, np.uint8)
    pixels[50:100:2, 100:200] = 0
    ink = InkMap(pixels, scale=1)
    assert ink.share(BBox(100, 50, 200, 100)) == 0  # rules 100 points long
    pixels = np.full((200, 400, 3), 255, np.uint8)
    pixels[50:60:2, 100:110] = 0
    ink = InkMap(pixels, scale=1)
    assert ink.share(BBox(101, 50, 110, 59)) == 1
    assert ink.share(BBox(120, 50, 200, 100)) == 0
    assert ink.share(BBox(-50, -50, 5000, 5000)) == pytest.approx(ink.share(BBox(0, 0, 400, 200)))
    assert ink.share(BBox(10, 10, 10, 20)) == 0


def test_pixels_that_are_a_turned_view_are_taken(page: tuple[PageContent, Pixels]) -> None:
    content, pixels = page
    turned = np.rot90(pixels)
    region = around(content.words)
    box = BBox(region.y0, PAGE.x1 - region.x1, region.y1, PAGE.x1 - region.x0)
    upright, sideways = InkMap(pixels, DPI / 72), InkMap(turned, DPI / 72)
    assert sideways.share(box) == pytest.approx(upright.share(region), rel=0.05)


def test_words_under_a_dark_bar_go_and_those_beside_it_stay(
    new_pdf: NewPdf, tmp_path: Path
) -> None:
    def draw(page: Any) -> None:
        page.insert_text((40, 100), "The informant is Orla Quillfeather of Weir Lane", fontsize=10)
        page.draw_rect(pymupdf.Rect(112, 90, 170, 104), fill=(0, 0, 0), color=None)
        page.insert_text((40, 130), "Signed by Harald Weir in May", fontsize=10)
        page.draw_rect(pymupdf.Rect(86.5, 121, 140, 132.5), fill=(0.35, 0.35, 0.35), color=None)
        page.draw_rect(pymupdf.Rect(40, 190, 300, 210), fill=(0.1, 0.1, 0.3), color=None)
        page.insert_text((60, 204), "White on blue", fontsize=10, color=(1, 1, 1))
        for i, letter in enumerate("WIDE"):
            page.insert_text((170 + 14 * i, 204), letter, fontsize=10, color=(1, 1, 1))
        page.insert_text((40, 300), "Heavy", fontsize=24, fontname="hebo")

    content, pixels = seen(new_pdf("a.pdf", draw), tmp_path / "buffer")
    visible = without_covered(content.words, InkMap(pixels, DPI / 72))
    assert " ".join(word.text for word in visible) == (
        "The informant is of Weir Lane Signed by in May White on blue W I D E Heavy"
    )


def test_words_over_a_patch_take_the_place_of_those_under_it(
    new_pdf: NewPdf, tmp_path: Path
) -> None:
    def draw(page: Any) -> None:
        page.draw_rect(pymupdf.Rect(30, 180, 300, 210), fill=(0.9, 0.9, 1), color=None)
        page.insert_text((40, 200), "in a shaded row", fontsize=10)
        page.insert_text((40, 100), "Old price 500 crowns", fontsize=10)
        page.draw_rect(pymupdf.Rect(38, 88, 150, 104), fill=(1, 1, 1), color=None)
        page.insert_text((40, 100), "New price 650", fontsize=10)

    content, _ = seen(new_pdf("a.pdf", draw), tmp_path / "buffer")
    fills = [rect for drawing in content.drawings for rect in drawing.rects]
    visible = without_overwritten(content.words, fills)
    assert " ".join(word.text for word in visible) == "in a shaded row New price 650"


def test_words_of_the_colour_of_what_is_around_them_are_not_seen(
    new_pdf: NewPdf, tmp_path: Path
) -> None:
    def draw(page: Any) -> None:
        page.insert_text((40, 100), "Seen and", fontsize=10)
        page.insert_text((90, 100), "not seen", fontsize=10, color=(1, 1, 1))
        page.insert_text((150, 100), "pale print", fontsize=9, color=(0.88, 0.88, 0.88))
        page.insert_text((40, 130), "under paper", fontsize=10)
        page.draw_rect(pymupdf.Rect(38, 118, 130, 134), fill=(1, 1, 1), color=None)

    content, pixels = seen(new_pdf("a.pdf", draw), tmp_path / "buffer")
    ink = InkMap(pixels, DPI / 72)
    fills = [rect for drawing in content.drawings for rect in drawing.rects]
    visible = " ".join(word.text for word in without_unseen(content.words, ink, fills))
    assert visible == "Seen and pale print"
    assert "under paper" in " ".join(word.text for word in without_unseen(content.words, ink))
