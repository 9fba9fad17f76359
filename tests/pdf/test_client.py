"""PDFs through worker processes: pixels, files, errors, and nothing left behind."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from deepcompress_dagster.pdf import errors
from deepcompress_dagster.pdf.client import PdfClient, RenderedPage
from deepcompress_dagster.pdf.pixel_buffers import SHARED_MEMORY, PixelBuffer
from deepcompress_dagster.pdf.worker.document import open_document
from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.records import BBox

NewPdf = Callable[..., Path]

USER = "right"

needs_dev_full = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="no device that is always full"
)


def render(workers: PdfClient, path: Path, page_number: int = 1, **options: Any) -> RenderedPage:
    settings: dict[str, Any] = {
        "dpi": 72,
        "max_pixels": 10_000_000,
        "image_path": None,
        "jpeg_quality": 80,
    }
    return workers.render(path, page_number, **(settings | options))


@pytest.fixture
def own_workers(tmp_path: Path) -> Iterator[PdfClient]:
    """Workers of one test, with a short deadline."""
    with PdfClient(
        workers=2, timeout_s=2, memory_mb=512, max_pages=3, buffer_dir=tmp_path / "buffers"
    ) as pool:
        yield pool


def slow_page(page: Any) -> None:
    """Takes minutes: a form that draws another twice, thirty deep."""
    document = page.parent
    inner = 0
    for _ in range(30):
        form = document.get_new_xref()
        resources = f"/Resources << /XObject << /F {inner} 0 R >> >>" if inner else ""
        body = f"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] {resources} >>"
        document.update_object(form, body)
        document.update_stream(form, b"/F Do /F Do" if inner else b"0 0 1 1 re f")
        inner = form
    page.insert_text((72, 72), "x")
    document.xref_set_key(page.xref, "Resources", f"<< /XObject << /F {inner} 0 R >> >>")
    document.update_stream(page.get_contents()[0], b"/F Do")


def test_opens_and_describes(workers: PdfClient, new_pdf: NewPdf) -> None:
    path = new_pdf("a.pdf", *[lambda page: None] * 3, metadata={"title": "Three"})
    info = workers.open(path)
    assert (info.page_count, info.title) == (3, "Three")


def test_errors_arrive_as_they_were_raised(workers: PdfClient, tmp_path: Path) -> None:
    with pytest.raises(errors.FileVanished, match="not there any more"):
        workers.open(tmp_path / "missing.pdf")


def test_the_page_limit_is_passed_on(workers: PdfClient, new_pdf: NewPdf) -> None:
    with pytest.raises(errors.TooManyPages):
        workers.open(new_pdf("a.pdf", *[lambda page: None] * 3), max_pages=2)


def test_passwords_are_passed_on(workers: PdfClient, new_pdf: NewPdf) -> None:
    path = new_pdf("a.pdf", encryption=pymupdf.PDF_ENCRYPT_AES_256, user_pw=USER, owner_pw="own")
    with pytest.raises(errors.Encrypted):
        render(workers, path)
    assert workers.open(path, (USER,)).page_count == 1
    with render(workers, path, passwords=(USER,)) as page:
        assert page.content.words


def test_pixels_are_those_that_mupdf_renders(workers: PdfClient, new_pdf: NewPdf) -> None:
    path = new_pdf("a.pdf")
    pixmap = open_document(path)[0].get_pixmap(dpi=100)
    expected = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3)
    with render(workers, path, dpi=100) as page:
        assert np.array_equal(page.pixels, expected)
        assert not page.pixels.flags.writeable


def test_pages_held_together_keep_their_own_pixels(workers: PdfClient, new_pdf: NewPdf) -> None:
    shades = [0.2, 0.5, 0.8]
    draws = [
        lambda page, s=shade: page.draw_rect(page.rect, fill=(s, s, s), color=None)
        for shade in shades
    ]
    path = new_pdf("a.pdf", *draws)
    pages = [render(workers, path, number) for number in (1, 2, 3)]
    means = [page.pixels.mean() / 255 for page in pages]
    for page in pages:
        page.release()
    assert means == pytest.approx(shades, abs=0.01)
    assert workers.buffers_in_use == 0


def test_released_pixels_are_not_to_be_had(workers: PdfClient, new_pdf: NewPdf) -> None:
    page = render(workers, new_pdf("a.pdf"))
    page.release()
    page.release()
    with pytest.raises(ValueError, match="page 1 were released"):
        _ = page.pixels
    assert page.content.words


def test_the_page_image_is_written(workers: PdfClient, new_pdf: NewPdf, tmp_path: Path) -> None:
    target = tmp_path / "images" / "page-00001.jpg"
    with render(workers, new_pdf("a.pdf"), image_path=target) as page, Image.open(target) as image:
        assert image.size == (page.content.pixel_width, page.content.pixel_height)
        difference = np.asarray(image, dtype=np.int16) - page.pixels
        assert np.abs(difference).mean() < 3


def test_many_threads_render_at_once(workers: PdfClient, new_pdf: NewPdf) -> None:
    count = 24
    path = new_pdf(
        "a.pdf", *[lambda page, n=n: page.insert_text((72, 72), f"number{n}") for n in range(count)]
    )

    def read(number: int) -> tuple[str, bool]:
        with render(workers, path, number + 1) as page:
            return page.content.words[0].text, bool(page.pixels.min() < 128)

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(read, range(count))) == [(f"number{n}", True) for n in range(count)]
    assert workers.buffers_in_use == 0


def test_tables_are_found(workers: PdfClient, new_pdf: NewPdf) -> None:
    def draw(page: Any) -> None:
        for row in range(3):
            for column in range(2):
                box = pymupdf.Rect(0, 0, 100, 20) + (50 + 100 * column, 100 + 20 * row) * 2
                page.draw_rect(box)
                page.insert_text((box.x0 + 5, box.y1 - 6), f"{row}-{column}", fontsize=9)

    path = new_pdf("a.pdf", draw, rotation=90)
    turn = open_document(path)[0].rotation_matrix
    box = BBox(*(pymupdf.Rect(50, 100, 250, 160) * turn).normalize())
    for _ in range(2):
        table, nothing = workers.find_tables(path, 1, [box, BBox(0, 0, 20, 20)])
        assert nothing is None
        assert table is not None
        assert table.n_rows * table.n_columns == 6
    with render(workers, path) as page:
        assert page.content.rotation == 90


def test_a_page_past_its_deadline_fails_alone(
    own_workers: PdfClient, new_pdf: NewPdf, tmp_path: Path
) -> None:
    slow, quick = new_pdf("slow.pdf", slow_page), new_pdf("quick.pdf")
    image = tmp_path / "images" / "slow.jpg"
    with ThreadPoolExecutor(1) as threads:
        failing = threads.submit(render, own_workers, slow, image_path=image)
        with render(own_workers, quick) as page:
            assert page.content.words
        with pytest.raises(errors.PageTimeout, match="page 1 took longer than 2 s"):
            failing.result()
    assert own_workers.buffers_in_use == 0
    assert not list(tmp_path.glob("images/*"))


def test_a_killed_worker_costs_its_page_and_leaves_no_file(
    own_workers: PdfClient, new_pdf: NewPdf, tmp_path: Path
) -> None:
    slow, quick = new_pdf("slow.pdf", slow_page), new_pdf("quick.pdf")
    with ThreadPoolExecutor(1) as threads:
        failing = threads.submit(render, own_workers, slow)
        while not own_workers.pids:
            time.sleep(0.01)
        time.sleep(0.5)
        (pid,) = own_workers.pids
        with render(own_workers, quick):
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(errors.WorkerDied, match=r"page 1: .*SIGKILL") as caught:
                failing.result()
    assert caught.value.transient
    assert own_workers.buffers_in_use == 0


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux")
def test_a_page_too_large_for_a_worker_says_so(own_workers: PdfClient, new_pdf: NewPdf) -> None:
    path = new_pdf("a.pdf", size=(14_000, 14_000))
    with pytest.raises(errors.OutOfMemory, match="DEEPCOMPRESS_WORKER_MEMORY_MB"):
        render(own_workers, path, max_pixels=400_000_000, dpi=144)
    with render(own_workers, path, max_pixels=1_000_000, dpi=144) as page:
        assert page.content.dpi < 6


@needs_dev_full
def test_a_full_buffer_is_replaced_by_one_on_disk(
    own_workers: PdfClient, new_pdf: NewPdf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[PixelBuffer] = []
    take = own_workers.buffers.take

    def take_full_first(*, on_disk: bool = False) -> PixelBuffer:
        buffer = take(on_disk=on_disk)
        if not taken:
            buffer.path.unlink()
            buffer.path.symlink_to("/dev/full")
        taken.append(buffer)
        return buffer

    monkeypatch.setattr(own_workers.buffers, "take", take_full_first)
    with render(own_workers, new_pdf("a.pdf")) as page:
        assert page.pixels.min() < 128
    assert taken[1].path.is_relative_to(tmp_path / "buffers")
    assert not taken[0].path.is_symlink()


def test_workers_are_replaced_after_their_pages(own_workers: PdfClient, new_pdf: NewPdf) -> None:
    path = new_pdf("a.pdf")
    seen = set()
    for _ in range(7):
        render(own_workers, path).release()
        seen |= set(own_workers.pids)
    assert len(seen) == 3


def test_closing_leaves_nothing(new_pdf: NewPdf, tmp_path: Path) -> None:
    path = new_pdf("a.pdf")
    buffer_dir = tmp_path / "buffers"
    shared = SHARED_MEMORY if SHARED_MEMORY.exists() else buffer_dir

    def left() -> list[Path]:
        return list(shared.glob(f"deepcompress-{os.getpid()}-*"))

    before = left()
    handles = psutil.Process().num_fds()
    threads = threading.active_count()
    pool = PdfClient(workers=1, timeout_s=30, memory_mb=512, max_pages=9, buffer_dir=buffer_dir)
    page = render(pool, path)
    assert len(left()) == len(before) + 1
    pool.close()
    assert left() == before
    assert page.pixels.shape == (600, 400, 3)
    del page
    assert psutil.Process().num_fds() == handles
    assert threading.active_count() == threads
    with pytest.raises(RuntimeError, match="closed"):
        pool.open(path)
