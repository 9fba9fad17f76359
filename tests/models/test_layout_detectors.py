import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pymupdf
import pytest

from deepcompress_dagster.models.cache import model_cache
from deepcompress_dagster.models.catalog import Task, spec_for
from deepcompress_dagster.models.layout import picodet
from deepcompress_dagster.models.layout.detector import PageDetector, corners_from_sides
from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.models.registry import load_predictor
from deepcompress_dagster.records import BBox, Label
from deepcompress_dagster.settings import load_settings
from tests.models.conftest import iou
from tests.models.layout_references.make import drawn_page

REFERENCES = Path(__file__).parent / "layout_references"
NAMES = ("picodet-cdla", "yolov8n-doclaynet")


def trained(name: str) -> PageDetector:
    """The detector of the models folder; without it the error names the command that gets it."""
    spec = spec_for(load_settings(layout=name), Task.LAYOUT)
    assert spec is not None
    detector = model_cache().get(spec)
    assert isinstance(detector, PageDetector)
    return detector


def test_sides_are_the_means_of_their_distributions_in_strides():
    sides = np.full((4 * 3, 1), -50, np.float32)
    sides[[0, 1]] = 0  # left: 0 or 1, each as likely
    sides[[5, 6, 11]] = 0  # up: 2; right: 0; down: 2
    (corners,) = corners_from_sides(
        sides, np.array([[4.5, 10.5]], np.float32), np.array([[8]], np.float32)
    )
    assert corners == pytest.approx((32, 68, 36, 100), abs=1e-3)


@pytest.mark.models
@pytest.mark.parametrize("name", NAMES)
def test_no_pages_have_no_regions(name: str) -> None:
    assert trained(name).predict([]) == []


@pytest.mark.models
@pytest.mark.parametrize("name", NAMES)
def test_a_view_of_a_larger_image_is_read_like_a_copy(name: str, pages: list[Image]) -> None:
    view = pages[0][50:1250, 40:1190]
    (seen,) = trained(name).predict([view])
    assert seen
    assert [seen] == trained(name).predict([view.copy()])


@pytest.mark.models
@pytest.mark.parametrize("name", NAMES)
def test_threshold_and_overlap_are_those_of_the_settings(name: str, pages: list[Image]) -> None:
    def found(**settings: float) -> int:
        spec = spec_for(load_settings(layout=name, **settings), Task.LAYOUT)
        assert spec is not None
        return len(load_predictor(spec).predict(pages[:1])[0])

    everything = found(layout_threshold=0.05, layout_overlap=1.0)
    fewer = found(layout_threshold=0.05, layout_overlap=0.3)
    assert everything > fewer > found(layout_threshold=0.99)


@pytest.mark.models
def test_yolo_pads_a_page_to_multiples_of_32_without_changing_its_shape() -> None:
    pixels, scale = trained("yolov8n-doclaynet").fitted(np.zeros((300, 200, 3), np.uint8))
    assert pixels.shape == (1, 3, 1024, 704)
    assert scale == (200 / 683, 300 / 1024)
    assert (pixels[..., :683] == 0).all()
    np.testing.assert_allclose(pixels[..., 683:], 114 / 255, rtol=1e-6)


@pytest.mark.models
def test_picodet_stretches_every_page_to_one_size() -> None:
    fitted = trained("picodet-cdla").fitted
    shapes = {fitted(np.zeros((*shape, 3), np.uint8))[0].shape for shape in ((300, 200), (50, 500))}
    assert shapes == {(1, 3, *picodet.IMAGE_SIZE)}


@pytest.mark.models
@pytest.mark.parametrize("name", NAMES)
def test_boxes_are_those_that_the_whole_graph_decodes_itself(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = json.loads((REFERENCES / f"{name}.json").read_text())
    monkeypatch.setattr(picodet, "IMAGE_SIZE", tuple(reference["size"]))
    detector = trained(name)
    monkeypatch.setattr(detector, "threshold", 0.0)
    boxes, scores = detector.candidates(drawn_page(*reference["size"]))
    np.testing.assert_allclose(scores[reference["positions"]], reference["scores"], atol=1e-4)
    np.testing.assert_allclose(boxes[reference["positions"]], reference["boxes"], atol=5e-3)


@pytest.fixture(scope="module")
def pages() -> Iterator[list[Image]]:
    """Two pages of prose with a heading; the first has a ruled table as well, both 144 dpi."""
    document = pymupdf.open()
    for has_table in (True, False):
        page = document.new_page(width=612, height=792)
        page.insert_text((72, 90), "1  Introduction", fontname="hebo", fontsize=16)
        prose = "The quick brown fox jumps over the lazy dog near the river bank. " * 7
        for top in (120, 230):
            page.insert_textbox((72, top, 540, top + 90), prose, fontsize=10.5)
        if has_table:
            draw_table(page)
    yield [rendered(page) for page in document]
    document.close()


TABLE = BBox(100, 360, 500, 520)


def draw_table(page: pymupdf.Page) -> None:
    for row in range(9):
        y = TABLE.y0 + 20 * row
        page.draw_line((TABLE.x0, y), (TABLE.x1, y))
        if row < 8:
            for column in range(4):
                text = f"Item {row}" if column == 0 else f"{row * 317 + column * 41}.50"
                page.insert_text((TABLE.x0 + 8 + 100 * column, y + 14), text, fontsize=10)
    for column in range(5):
        x = TABLE.x0 + 100 * column
        page.draw_line((x, TABLE.y0), (x, TABLE.y1))


def rendered(page: pymupdf.Page) -> Image:
    pixmap = page.get_pixmap(dpi=144)
    pixels = np.frombuffer(pixmap.samples, np.uint8)
    return pixels.reshape(pixmap.height, pixmap.width, 3).copy()


@pytest.mark.models
@pytest.mark.parametrize("name", NAMES)
def test_the_table_heading_and_prose_of_a_page_are_found(name: str, pages: list[Image]) -> None:
    with_table, without = trained(name).predict(pages)
    (table,) = [region for region in with_table if region.label is Label.TABLE]
    assert iou(table.bbox.scaled(0.5), TABLE) > 0.85
    assert table.score > 0.7
    for regions in (with_table, without):
        labels = [region.label for region in regions]
        assert labels.count(Label.SECTION_HEADER) == 1
        assert Label.TEXT in labels
    assert Label.TABLE not in [region.label for region in without]


@pytest.mark.models
@pytest.mark.parametrize("name", NAMES)
def test_a_page_gives_the_same_regions_every_time(name: str, pages: list[Image]) -> None:
    detector = trained(name)
    assert detector.predict(pages[:1]) == detector.predict(pages[:1])
