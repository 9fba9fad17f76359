"""Documents that are no PDFs: opened by what they are, whatever their names say."""

from pathlib import Path

import pytest
from PIL import Image

from deepcompress_dagster.pdf.errors import NotAPdf
from deepcompress_dagster.pdf.messages import DocumentInfo, PageContent, RenderRequest
from deepcompress_dagster.pdf.worker.document import describe, open_document
from deepcompress_dagster.pdf.worker.render import render_page
from tests import other_documents as made


def info(path: Path) -> DocumentInfo:
    return describe(open_document(path), path, 1000)


def page(path: Path, number: int = 1, dpi: float = 144) -> PageContent:
    request = RenderRequest(page_number=number, dpi=dpi, max_pixels=40_000_000, buffer=None)
    return render_page(open_document(path), request)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tiff"])
def test_an_image_is_a_page_as_large_as_its_resolution_says(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"scan.{suffix}"
    made.picture("words").save(path, dpi=(150, 150))
    read = info(path.rename(tmp_path / "kept.pdf"))
    ((width, height),) = read.sizes
    assert (width, height) == pytest.approx((595.2, 297.6), abs=0.1)
    assert (read.attachments, read.outline, read.notes) == ((), (), ())
    drawn = page(tmp_path / "kept.pdf")
    assert (drawn.pixel_width, drawn.words, drawn.notes) == (1191, (), ())


def test_every_image_of_a_tiff_is_a_page(tmp_path: Path) -> None:
    path = made.tiff(tmp_path / "a.tiff", "one", "two", "three")
    assert info(path).page_count == 3
    assert page(path, 3).page_number == 3


def test_a_webp_image_is_read_with_its_transparent_parts_white(tmp_path: Path) -> None:
    image = made.picture("words").convert("RGBA")
    image.putalpha(0)
    image.save(tmp_path / "a.webp", lossless=True)
    assert info(tmp_path / "a.webp").sizes == ((930.0, 465.0),)
    pixels = tmp_path / "pixels"
    pixels.write_bytes(bytes(3 * 930 * 465))
    request = RenderRequest(page_number=1, dpi=72, max_pixels=40_000_000, buffer=pixels)
    render_page(open_document(tmp_path / "a.webp"), request)
    assert set(pixels.read_bytes()) == {255}


def test_a_photo_is_upright_and_not_drawn_larger_than_it_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    made.picture("words", (2400, 1600)).save(tmp_path / "a.jpg", exif=exif)
    drawn = page(tmp_path / "a.jpg")
    assert (drawn.width, drawn.height) == (1200, 1800)
    assert (drawn.pixel_width, drawn.pixel_height) == (1600, 2400)


def test_an_e_book_is_set_on_pages_of_a4_and_keeps_its_words_and_links(tmp_path: Path) -> None:
    path = made.epub(
        tmp_path / "a.epub",
        '<h1>Tides</h1><p>See <a href="https://example.org/t">the table</a>.</p>'
        + "<p>Boats come and go with the tide of the small bay.</p>" * 80,
    )
    read = info(path)
    assert (read.title, read.author) == ("Harbour book", "A. Pilot")
    assert set(read.sizes) == {(595.0, 842.0)}
    first = page(path)
    assert [word.text for word in first.words[:3]] == ["Tides", "See", "the"]
    assert (first.notes, [link.target for link in first.links]) == ((), ["https://example.org/t"])
    assert page(path, read.page_count).words


def test_comic_books_and_xps_documents_are_read(tmp_path: Path) -> None:
    assert info(made.cbz(tmp_path / "a.cbz", "one", "two")).page_count == 2
    assert info(made.xps(tmp_path / "a.xps")).sizes == ((612.0, 792.0),)
    assert page(tmp_path / "a.xps").drawings


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"word/document.xml": "<w/>"}, r"Office document; turn it into one, soffice --headless"),
        ({"mimetype": "application/vnd.oasis.opendocument.text"}, r"convert-to pdf 'a\.pdf'"),
        ({"notes.txt": "x"}, "ZIP archive or an Office document; unpack"),
        ({"mimetype": "application/epub+zip"}, r"an e-book \(EPUB\), and cannot be read"),
    ],
)
def test_other_archives_are_refused_for_what_they_are(
    tmp_path: Path, files: dict[str, str], said: str
) -> None:
    with pytest.raises(NotAPdf, match=said):
        open_document(made.archive(tmp_path / "a.pdf", files))
