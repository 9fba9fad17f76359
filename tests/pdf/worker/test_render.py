"""Words, drawings and pixels of a page, as displayed."""

import copy
import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepcompress_dagster.pdf.errors import NoRoom, PageFailed, PixelBufferFull
from deepcompress_dagster.pdf.messages import PageContent, PageImage, PageNote, RenderRequest
from deepcompress_dagster.pdf.worker import drawings, words
from deepcompress_dagster.pdf.worker.document import open_document
from deepcompress_dagster.pdf.worker.drawings import Ruling, page_drawings
from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.pdf.worker.render import effective_dpi, render_page
from deepcompress_dagster.records import (
    DRAWINGS_LEFT_OUT,
    PART_UNREADABLE,
    WORDS_LEFT_OUT,
    BBox,
    TextStyle,
    Word,
)

NewPdf = Callable[..., Path]


def content_of(path: Path, page_number: int = 1, dpi: float = 72, **options: Any) -> PageContent:
    request = RenderRequest(page_number, dpi, 40_000_000, buffer=None, **options)
    return render_page(open_document(path), request)


def rulings_of(path: Path) -> tuple[Ruling, ...]:
    return page_drawings(open_document(path)[0]).rulings


def rendered(path: Path, tmp_path: Path, dpi: float = 72) -> tuple[PageContent, Any]:
    """Content, and pixels as a worker would leave them in a buffer."""
    buffer = tmp_path / "page.buffer"
    buffer.touch()
    content = render_page(open_document(path), RenderRequest(1, dpi, 40_000_000, buffer))
    shape = (content.pixel_height, content.pixel_width, 3)
    return content, np.frombuffer(buffer.read_bytes(), np.uint8).reshape(shape)


def ink_box(pixels: Any, scale: float = 1) -> BBox:
    ys, xs = np.nonzero(pixels.min(axis=2) < 128)
    return BBox(xs.min(), ys.min(), xs.max() + 1, ys.max() + 1).scaled(1 / scale)


def test_words_carry_text_box_font_and_line(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        page.insert_text((72, 100), "Plain words", fontsize=12)
        page.insert_text((72, 300), "Bold", fontsize=14, fontname="hebo")
        page.insert_text((72, 320), "slanted", fontsize=14, fontname="tiit")

    found = content_of(new_pdf("a.pdf", draw)).words
    assert [word.text for word in found] == ["Plain", "words", "Bold", "slanted"]
    assert [word.font_size for word in found] == [12, 12, 14, 14]
    assert [word.bold for word in found] == [False, False, True, False]
    assert [word.italic for word in found] == [False, False, False, True]
    assert (found[0].block, found[0].line) == (found[1].block, found[1].line)
    assert found[2].block != found[0].block
    assert found[0].bbox.x0 == pytest.approx(72, abs=0.5)
    assert found[0].bbox.y0 < 92 < 100 < found[0].bbox.y1


def test_fonts_change_within_a_line(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        writer = pymupdf.TextWriter(page.rect)
        _, end = writer.append((72, 100), "thin ", font=pymupdf.Font("helv"), fontsize=10)
        _, end = writer.append(end, "fat ", font=pymupdf.Font("hebo"), fontsize=10)
        writer.append(end, "thin", font=pymupdf.Font("helv"), fontsize=10)
        writer.write_text(page)

    found = content_of(new_pdf("a.pdf", draw)).words
    assert [(word.text, word.bold) for word in found] == [
        ("thin", False),
        ("fat", True),
        ("thin", False),
    ]


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("direction", [0, 90, 180, 270])
def test_word_boxes_lie_on_their_ink_however_page_and_line_are_turned(
    new_pdf: NewPdf, tmp_path: Path, rotation: int, direction: int
) -> None:
    path = new_pdf(
        "a.pdf",
        lambda page: page.insert_text((150, 250), "Turnable", fontsize=24, rotate=direction),
        rotation=rotation,
    )
    content, pixels = rendered(path, tmp_path, dpi=144)
    assert content.rotation == rotation
    (word,) = content.words
    ink = ink_box(pixels, 2)
    assert word.bbox.expanded(1).intersection(ink) == pytest.approx(ink.area)
    assert word.bbox.area < 2.5 * ink.area


def test_a_cropped_page_counts_from_its_crop_box(new_pdf: NewPdf, tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_text((150, 250), "Inside", fontsize=24)
        page.insert_text((20, 40), "Outside", fontsize=24)
        page.draw_line((160, 300), (260, 300))
        page.set_cropbox(pymupdf.Rect(100, 200, 350, 500))

    path = new_pdf("a.pdf", draw)
    content, pixels = rendered(path, tmp_path)
    assert (content.width, content.height) == (250, 300)
    assert [word.text for word in content.words] == ["Inside"]
    assert content.words[0].bbox.x0 == pytest.approx(50, abs=1)
    assert [ruling.bbox for ruling in rulings_of(path)] == [BBox(60, 100, 160, 100)]
    assert pixels.shape == (300, 250, 3)


@pytest.mark.parametrize("rotation", [0, 90, 270])
def test_a_user_unit_scales_everything_alike(
    new_pdf: NewPdf, tmp_path: Path, rotation: int
) -> None:
    def draw(page: Any) -> None:
        page.draw_rect(pymupdf.Rect(100, 200, 220, 201), fill=(0, 0, 0), color=None)
        page.parent.xref_set_key(page.xref, "UserUnit", "2")

    path = new_pdf("a.pdf", draw, rotation=rotation)
    content, pixels = rendered(path, tmp_path)
    assert {content.width, content.height} == {800, 1200}
    assert content.drawings[0].bbox == ink_box(pixels)
    assert rulings_of(path)[0].bbox == ink_box(pixels)


def test_invisible_text_is_counted(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        page.insert_text((72, 100), "seen", fontsize=12)
        page.insert_text((72, 200), "unseenunseen", fontsize=12, render_mode=3)

    assert content_of(new_pdf("a.pdf", draw)).hidden_text_share == 0.75


def test_words_carry_the_font_and_the_colour_that_they_are_set_in(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        page.insert_text((72, 100), "blue", fontname="cobo", fontsize=9, color=(0, 0, 1))

    content = content_of(new_pdf("a.pdf", draw))
    style = TextStyle("Courier-Bold", 9.0, True, False, True, 0x0000FF)
    assert [word.style for word in content.words] == [style]
    assert [word.style for word in pickle.loads(pickle.dumps(content)).words] == [style]


def test_ligatures_are_expanded_and_soft_hyphens_that_show_are_hyphens(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        writer = pymupdf.TextWriter(page.rect)
        writer.append((72, 100), "o\ufb03ce so\u00adft hy\u00ad", font=pymupdf.Font("helv"))
        writer.write_text(page)

    texts = [word.text for word in content_of(new_pdf("a.pdf", draw)).words]
    assert texts == ["office", "so-ft", "hy-"]


def test_a_flood_of_words_is_cut_with_a_note(
    new_pdf: NewPdf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "MAX_WORDS", 3)
    content = content_of(
        new_pdf("a.pdf", lambda page: page.insert_text((72, 100), "one two three four five"))
    )
    assert [word.text for word in content.words] == ["one", "two", "three"]
    (note,) = content.notes
    assert note.error_type == WORDS_LEFT_OUT
    assert "5 words; only the first 3" in note.message


def test_text_outside_the_page_is_dropped(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        page.insert_text((72, 100), "on")
        page.insert_text((-300, 100), "off")
        page.insert_text((72, 5000), "below")

    assert [word.text for word in content_of(new_pdf("a.pdf", draw)).words] == ["on"]


def test_a_content_stream_in_another_file_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("BT /F1 20 Tf 50 50 Td (secret) Tj ET")
    path = tmp_path / "a.pdf"
    path.write_bytes(
        b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
        b"2 0 obj\n<< /Type /Pages /Kids [3 0 R] /Count 1 >>\nendobj\n"
        b"3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] /Contents 4 0 R "
        b"/Resources << /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> "
        b">>\nendobj\n4 0 obj\n<< /Length 0 /F (" + str(secret).encode() + b") >>\nstream\n"
        b"endstream\nendobj\ntrailer\n<< /Root 1 0 R >>\n"
    )
    assert content_of(path).words == ()


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rulings_and_drawings_are_where_they_are_displayed(new_pdf: NewPdf, rotation: int) -> None:
    def draw(page: Any) -> None:
        page.draw_line((50, 100), (250, 100))
        page.draw_rect(pymupdf.Rect(50, 200, 51, 300), fill=(0, 0, 0), color=None)
        page.draw_circle((200, 400), 30)

    path = new_pdf("a.pdf", draw, rotation=rotation)
    content = content_of(path)
    turn = open_document(path)[0].rotation_matrix

    def displayed(*corners: float) -> BBox:
        return BBox(*(pymupdf.Rect(corners) * turn).normalize()).rounded()

    upright = rotation in {0, 180}
    boxes = {ruling.bbox: ruling.horizontal for ruling in rulings_of(path)}
    assert boxes == {
        displayed(50, 100, 250, 100): upright,
        displayed(50, 200, 51, 300): not upright,
    }
    assert len(content.drawings) == 3
    (circle,) = (path for path in content.drawings if path.is_curved)
    assert circle.bbox.center == pytest.approx(displayed(200, 400, 200, 400).center)


def test_a_stroked_rectangle_gives_four_rulings(new_pdf: NewPdf) -> None:
    path = new_pdf("a.pdf", lambda page: page.draw_rect(pymupdf.Rect(50, 60, 150, 90)))
    rulings = rulings_of(path)
    assert sorted(ruling.horizontal for ruling in rulings) == [False, False, True, True]


def test_slanted_lines_and_short_ticks_are_no_rulings(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        page.draw_line((50, 60), (150, 90))
        page.draw_line((50, 160), (53, 160))

    path = new_pdf("a.pdf", draw)
    assert rulings_of(path) == ()
    assert len(content_of(path).drawings) == 2


def test_a_flood_of_paths_is_left_out_with_a_note_and_drawn_without_smoothing(
    new_pdf: NewPdf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(page: Any) -> None:
        for y in range(100, 110):
            page.draw_line((50, y), (150, 2 * y))

    path = new_pdf("a.pdf", draw)
    _, smooth = rendered(path, tmp_path)
    monkeypatch.setattr(drawings, "MAX_PATHS", 9)
    content, jagged = rendered(path, tmp_path)
    assert content.drawings == ()
    (note,) = content.notes
    assert note.error_type == DRAWINGS_LEFT_OUT
    assert "10 vector paths" in note.message
    assert set(np.unique(jagged)) == {0, 255}
    assert len(np.unique(smooth)) > 2


@pytest.mark.timeout(60)
def test_sixty_thousand_lines_do_not_hang(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        page.insert_text((72, 72), "lines")
        lines = (
            f"{n * 7 % 400} {n * 13 % 600} m {n * 11 % 400} {n * 17 % 600} l S"
            for n in range(60_000)
        )
        page.parent.update_stream(page.get_contents()[0], "\n".join(lines).encode())

    assert "60,000 vector paths" in content_of(new_pdf("a.pdf", draw)).notes[0].message


def test_annotations_and_form_fields_are_drawn(new_pdf: NewPdf, tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.add_freetext_annot(pymupdf.Rect(50, 50, 200, 80), "a note", fontsize=14)
        widget = pymupdf.Widget()
        widget.field_name, widget.field_type = "name", pymupdf.PDF_WIDGET_TYPE_TEXT
        widget.field_value, widget.rect = "filled in", pymupdf.Rect(50, 150, 200, 180)
        page.add_widget(widget)

    content, pixels = rendered(new_pdf("a.pdf", draw), tmp_path)
    assert {"note", "filled"} <= {word.text for word in content.words}
    assert pixels[50:80, 50:200].min() < 128
    assert pixels[150:180, 50:200].min() < 128


def test_pixels_are_rgb_rows_without_padding(new_pdf: NewPdf, tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.draw_rect(pymupdf.Rect(0, 0, 101, 50), fill=(1, 0, 0), color=None)
        page.draw_rect(pymupdf.Rect(0, 50, 101, 100), fill=(0, 0, 1), color=None)

    content, pixels = rendered(new_pdf("a.pdf", draw, size=(101, 100)), tmp_path)
    assert (content.pixel_width, content.pixel_height) == (101, 100)
    assert pixels[10, 50].tolist() == [255, 0, 0]
    assert pixels[90, 50].tolist() == [0, 0, 255]


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (595, 842, 144),
        (4000, 4000, 72 * math.sqrt(1e7) / 4000),
        (200_000, 200_000, 72 * math.sqrt(1e7) / 200_000),
        (100_000, 10, 72 * 65_000 / 100_000),
    ],
)
def test_a_page_too_large_is_rendered_at_a_lower_resolution(
    width: float, height: float, expected: float
) -> None:
    assert effective_dpi(width, height, 144, 10_000_000) == pytest.approx(expected, rel=1e-4)


def test_content_tells_the_resolution_that_was_used(new_pdf: NewPdf) -> None:
    document = open_document(new_pdf("a.pdf", size=(4000, 4000)))
    content = render_page(document, RenderRequest(1, 144, 1_000_000, buffer=None))
    assert content.dpi == pytest.approx(18)
    assert content.pixel_width == pytest.approx(1000, abs=1)


def test_the_page_image_replaces_its_file_whole(new_pdf: NewPdf, tmp_path: Path) -> None:
    target = tmp_path / "images" / "page-1.jpg"
    image = PageImage(target, target.with_name(".tmp"), 80)
    content = content_of(new_pdf("a.pdf"), dpi=100, image=image)
    with Image.open(target) as read:
        assert read.format == "JPEG"
        assert read.size == (content.pixel_width, content.pixel_height)
        assert read.info["dpi"] == (100, 100)
    assert [path.name for path in target.parent.iterdir()] == ["page-1.jpg"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_buffer_without_room_is_said(new_pdf: NewPdf) -> None:
    document = open_document(new_pdf("a.pdf"))
    with pytest.raises(PixelBufferFull, match="no room for the pixels"):
        render_page(document, RenderRequest(1, 72, 40_000_000, Path("/dev/full")))


def test_an_image_that_cannot_be_written_is_said(new_pdf: NewPdf, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    image = PageImage(blocked / "page.jpg", blocked / ".tmp", 80)
    with pytest.raises(NoRoom, match="cannot be written"):
        content_of(new_pdf("a.pdf"), image=image)


def test_a_broken_text_layer_costs_the_words_and_not_the_page(
    new_pdf: NewPdf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(text_page: Any) -> None:
        raise RuntimeError("code=7: broken font")

    monkeypatch.setattr(pymupdf.TextPage, "extractWORDS", fail)
    content = content_of(new_pdf("a.pdf"))
    assert content.words == ()
    assert content.pixel_width == 400
    message = "the words of the page cannot be read: broken font"
    assert content.notes == (PageNote(PART_UNREADABLE, message),)


def test_a_page_that_cannot_be_rendered_is_a_page_error(
    new_pdf: NewPdf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(page: Any) -> None:
        raise RuntimeError("code=7:\n  broken page")

    monkeypatch.setattr(pymupdf.Page, "get_displaylist", fail)
    with pytest.raises(PageFailed, match="page 1 cannot be rendered: broken page"):
        content_of(new_pdf("a.pdf"))


def test_content_travels_whole(new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        page.insert_text((72, 100), "Some words", fontname="hebo")
        page.draw_rect(pymupdf.Rect(50, 60, 150, 90), fill=(1, 0, 0))

    content = content_of(new_pdf("a.pdf", draw))
    received = copy.deepcopy(content)  # the protocol that pickle uses
    assert received == content
    assert isinstance(received.words[0], Word)
    assert isinstance(received.words[0].bbox, BBox)


def test_text_under_a_picture_of_the_page_is_hidden(new_pdf: NewPdf) -> None:
    picture = pymupdf.Pixmap(pymupdf.csGRAY, (0, 0, 600, 800), False)
    picture.clear_with(240)

    def draw(page: Any) -> None:
        page.insert_text((50, 100), "what the program read", fontsize=12)
        page.insert_image(page.rect, pixmap=picture)

    def draw_over(page: Any) -> None:
        page.insert_image(page.rect, pixmap=picture)
        page.insert_text((50, 100), "a caption on a photograph", fontsize=12)

    assert content_of(new_pdf("under.pdf", draw)).hidden_text_share == 1
    assert content_of(new_pdf("over.pdf", draw_over)).hidden_text_share == 0
