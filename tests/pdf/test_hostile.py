"""PDFs made to do harm, on real workers: what they cost, and that they cost no one else."""

import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from benchmarks import fuzz
from deepcompress_dagster.pdf import errors
from deepcompress_dagster.pdf.client import PdfClient, RenderedPage
from tests.raw_pdf import CATALOG, PAGES, endless_pdf, page, stream, write_pdf

WORKER_MB = 256
"""What a worker may take on top of the 100 MB that it starts with."""


@pytest.fixture
def few(tmp_path: Path) -> Iterator[PdfClient]:
    """One worker, so that its memory is that of all pages so far."""
    with PdfClient(
        workers=1,
        timeout_s=5,
        memory_mb=WORKER_MB,
        max_pages=1000,
        buffer_dir=tmp_path / "buffers",
        document_timeout_s=2,
    ) as pool:
        yield pool


def bomb(byte: bytes, megabytes: int) -> bytes:
    """So many megabytes of one byte, deflated twice to a few kilobytes."""
    packer = zlib.compressobj(1)
    once = b"".join(packer.compress(byte * 2**20) for _ in range(megabytes)) + packer.flush()
    return zlib.compress(once, 9)


def render(workers: PdfClient, path: Path, number: int = 1) -> RenderedPage:
    return workers.render(
        path, number, dpi=144, max_pixels=40_000_000, image_path=None, jpeg_quality=80
    )


def worker_mb(workers: PdfClient) -> float:
    return sum(psutil.Process(pid).memory_info().rss for pid in workers.pids) / 2**20


def test_a_page_of_200_000_points_is_rendered_small(few: PdfClient, tmp_path: Path) -> None:
    box = b"[0 0 200000 200000]"
    path = write_pdf(tmp_path / "a.pdf", CATALOG, PAGES, page(box=box), stream(b"0 0 99 99 re f"))
    with render(few, path) as rendered:
        assert rendered.content.pixel_width * rendered.content.pixel_height < 40_100_000
        assert rendered.content.dpi < 3
    assert worker_mb(few) < 100 + WORKER_MB


def test_a_decompression_bomb_costs_its_page_at_most(few: PdfClient, tmp_path: Path) -> None:
    filters = b"/Filter [/FlateDecode /FlateDecode]"
    path = write_pdf(
        tmp_path / "bomb.pdf", CATALOG, PAGES, page(), stream(bomb(b" ", 700), filters)
    )
    assert path.stat().st_size < 50_000
    outcome = render_or_error(few, path)
    assert outcome in {"rendered", "out_of_memory", "page_timeout", "page_failed"}
    sound = write_pdf(tmp_path / "sound.pdf", CATALOG, PAGES, page(), stream(b"0 0 9 9 re f"))
    assert render_or_error(few, sound) == "rendered"
    assert worker_mb(few) < 100 + WORKER_MB


def test_an_image_that_unpacks_beyond_the_limit_costs_its_page_at_most(
    few: PdfClient, tmp_path: Path
) -> None:
    image = (
        b"/Type /XObject /Subtype /Image /Width 15000 /Height 15000 /ColorSpace /DeviceRGB"
        b" /BitsPerComponent 8 /Filter [/FlateDecode /FlateDecode]"
    )
    path = write_pdf(
        tmp_path / "image.pdf",
        CATALOG,
        PAGES,
        page(b"/XObject << /I 5 0 R >>"),
        stream(b"200 0 0 100 0 0 cm /I Do"),
        stream(bomb(b"\0", 700), image),
    )
    assert render_or_error(few, path) in {"rendered", "out_of_memory", "page_timeout"}
    assert worker_mb(few) < 100 + WORKER_MB


def test_a_font_that_unpacks_beyond_the_limit_costs_its_worker_no_more_than_that(
    few: PdfClient, tmp_path: Path
) -> None:
    descriptor = b"<< /Type /FontDescriptor /FontName /Bomb /Flags 4 /FontFile2 7 0 R >>"
    path = write_pdf(
        tmp_path / "font.pdf",
        CATALOG,
        PAGES,
        page(b"/Font << /F 5 0 R >>"),
        stream(b"BT /F 12 Tf 9 9 Td (words) Tj ET"),
        b"<< /Type /Font /Subtype /TrueType /BaseFont /Bomb /FontDescriptor 6 0 R >>",
        descriptor,
        stream(bomb(b"\0", 700), b"/Filter [/FlateDecode /FlateDecode]"),
    )
    with watched(few) as peak:
        assert render_or_error(few, path) in {"rendered", "out_of_memory"}
    assert 50 < max(peak) < 100 + WORKER_MB


@contextmanager
def watched(workers: PdfClient) -> Iterator[list[float]]:
    """Megabytes that the workers take, again and again while the block runs."""
    seen: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            with suppress(psutil.Error):
                seen.append(worker_mb(workers))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def render_or_error(workers: PdfClient, path: Path) -> str:
    try:
        with render(workers, path):
            return "rendered"
    except errors.PdfError as error:
        return error.error_type


@pytest.mark.parametrize("kind", ["form", "pattern", "font"])
def test_what_draws_itself_ends(few: PdfClient, tmp_path: Path, kind: str) -> None:
    resources = {
        "form": b"/XObject << /F 5 0 R >>",
        "pattern": b"/Pattern << /F 5 0 R >>",
        "font": b"/Font << /F 5 0 R >>",
    }[kind]
    again = b"/Resources << %s >>" % resources
    draw, itself = {
        "form": (
            b"/F Do",
            stream(b"/F Do", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] " + again),
        ),
        "pattern": (
            b"/Pattern cs /F scn 0 0 99 99 re f",
            stream(
                b"/Pattern cs /F scn 0 0 9 9 re f",
                b"/PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 9 9] /XStep 9 /YStep 9 "
                + again,
            ),
        ),
        "font": (
            b"BT /F 12 Tf (aaa) Tj ET",
            b"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 9 9] /FontMatrix [1 0 0 1 0 0]"
            b" /FirstChar 97 /LastChar 97 /Widths [9] /Encoding << /Differences [97 /a] >>"
            b" /CharProcs << /a 4 0 R >> " + again + b" >>",
        ),
    }[kind]
    path = write_pdf(tmp_path / "a.pdf", CATALOG, PAGES, page(resources), stream(draw), itself)
    assert render_or_error(few, path) in {"rendered", "page_failed"}


def test_ten_thousand_pages_open_in_bounded_memory(few: PdfClient, tmp_path: Path) -> None:
    count = 10_000
    kids = b" ".join(b"%d 0 R" % number for number in range(3, 3 + count))
    leaf = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] >>"
    tree = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, count)
    path = write_pdf(tmp_path / "a.pdf", CATALOG, tree, *[leaf] * count)
    assert few.open(path).page_count == count
    with render(few, path, count) as rendered:
        assert rendered.content.page_number == count
    assert worker_mb(few) < 300


def test_a_document_whose_pages_all_hang_is_given_up(tmp_path: Path) -> None:
    with PdfClient(
        workers=1,
        timeout_s=1,
        memory_mb=WORKER_MB,
        max_pages=1000,
        buffer_dir=tmp_path / "buffers",
        document_timeout_s=2,
    ) as workers:
        path = endless_pdf(tmp_path / "slow.pdf")
        outcomes = [render_or_error(workers, path) for _ in range(4)]
        assert outcomes == ["page_timeout", "page_timeout", "given_up", "given_up"]
        with pytest.raises(errors.GivenUp, match=r"took 2 s.*DEEPCOMPRESS_DOCUMENT_TIMEOUT_S"):
            render(workers, path)
        sound = write_pdf(tmp_path / "b.pdf", CATALOG, PAGES, page(), stream(b""))
        assert render_or_error(workers, sound) == "rendered"


def test_nothing_in_a_pdf_is_executed_or_fetched(few: PdfClient, tmp_path: Path) -> None:
    """Scripts and launch actions that write a file, streams and images that lie at an address."""
    owned = str(tmp_path / "owned").encode()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.5)
        address = b"http://127.0.0.1:%d/x" % server.getsockname()[1]
        actions = (
            b"<< /S /JavaScript /JS (app.launchURL\\('%s'\\);) /Next << /S /Launch"
            b" /F (/usr/bin/touch) /Unix << /F (touch %s) >> /Next << /S /URI /URI (%s) /Next"
            b" << /S /SubmitForm /F << /FS /URL /F (%s) >> >> >> >> >>"
        ) % (address, owned, address, address)
        path = write_pdf(
            tmp_path / "a.pdf",
            b"<< /Type /Catalog /Pages 2 0 R /OpenAction 6 0 R /AA << /WC 6 0 R >>"
            b" /Names << /JavaScript << /Names [(a) 6 0 R] >> >> >>",
            PAGES,
            page(b"/XObject << /I 5 0 R >>")[:-2] + b"/AA << /O 6 0 R >> >>",
            stream(b"100 0 0 100 0 0 cm /I Do"),
            stream(
                b"",
                b"/Type /XObject /Subtype /Image /Width 9 /Height 9 /ColorSpace /DeviceGray"
                b" /BitsPerComponent 8 /F << /FS /URL /F (%s) >>" % address,
            ),
            actions,
        )
        assert few.open(path).page_count == 1
        assert render_or_error(few, path) == "rendered"
        with pytest.raises(TimeoutError):
            server.accept()
    assert not (tmp_path / "owned").exists()


def test_mutants_end_in_pages_or_in_errors_of_ours(tmp_path: Path) -> None:
    verdict = fuzz.examine(fuzz.mutants(seed=7, count=120), tmp_path)
    assert verdict.bugs == []
    assert sum(verdict.outcomes.values()) >= 120
    assert verdict.outcomes["page good"] > 0
    assert any(kind.startswith("open ") for kind in verdict.outcomes)
    assert verdict.worker_mb < WORKER_MB


def test_a_seed_gives_the_same_mutants() -> None:
    first, second = (list(fuzz.mutants(seed=3, count=10)) for _ in range(2))
    assert first == second
    assert len(set(first)) == 10
