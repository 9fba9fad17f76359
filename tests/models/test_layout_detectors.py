import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pymupdf
import pytest
import torch

from deepcompress_dagster.models.cache import model_cache
from deepcompress_dagster.models.catalog import Task, spec_for
from deepcompress_dagster.models.device import import_torch
from deepcompress_dagster.models.layout.detector import PageDetector
from deepcompress_dagster.models.layout.picodet import PicoDet, PicoDetPredictor
from deepcompress_dagster.models.layout.yolov8 import YoloV8, YoloV8Predictor
from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.records import BBox, Label
from deepcompress_dagster.settings import load_settings
from tests.models.layout_references.make import drawn_page

REFERENCES = Path(__file__).parent / "layout_references"
Make = Callable[..., PageDetector]
NAMES = ("picodet-cdla", "yolov8n-doclaynet")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    import_torch(1)


def picodet(**options: float) -> PageDetector:
    torch.manual_seed(0)
    config = {"labels": ["text", "table"], "image_size": [96, 64]}
    return PicoDetPredictor(PicoDet(2).eval(), config, **options)


def yolov8(**options: float) -> PageDetector:
    torch.manual_seed(0)
    model = YoloV8(3, (8, 8, 16, 16, 32), (1, 1, 1, 1)).eval()
    config = {"labels": ["Text", "Table", "Title"], "longest_side": 128}
    return YoloV8Predictor(model, config, **options)


UNTRAINED = pytest.mark.parametrize("make", [picodet, yolov8])


def noise(height: int, width: int, seed: int = 0) -> Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return pixels.astype(np.uint8)


@UNTRAINED
def test_candidates_do_not_depend_on_the_batch_that_a_page_is_in(make: Make) -> None:
    detector = make()
    pages = [noise(200, 150), noise(120, 260, 1), noise(200, 150, 2), noise(64, 64, 3)]
    together = detector.candidates(pages)
    for page, (boxes, scores) in zip(pages, together, strict=True):
        ((own_boxes, own_scores),) = detector.candidates([page])
        np.testing.assert_allclose(boxes, own_boxes, atol=1e-3)
        np.testing.assert_allclose(scores, own_scores, atol=1e-5)


@UNTRAINED
def test_an_empty_batch_gives_an_empty_list(make: Make) -> None:
    assert make().predict([]) == []


@UNTRAINED
def test_a_view_of_a_larger_image_is_read_like_a_copy(make: Make) -> None:
    large = noise(400, 300)
    view = large[50:250, 40:190]
    assert make(threshold=0.1).predict([view]) == make(threshold=0.1).predict([view.copy()])


@UNTRAINED
def test_threshold_and_overlap_are_read_at_every_call(make: Make) -> None:
    detector, page = make(threshold=0.0, overlap=1.0), noise(200, 150)
    everything = len(detector.predict([page])[0])
    detector.overlap = 0.3
    fewer = len(detector.predict([page])[0])
    detector.threshold = 1.0
    assert everything > fewer > 0
    assert detector.predict([page]) == [[]]


@UNTRAINED
def test_boxes_come_back_in_pixels_of_the_page(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    detector, page = make(threshold=0.5), noise(330, 210)
    height, width = detector.input_shape(page)
    _, (x, y) = detector.fitted(page, (height, width))
    box = np.array([[[21 / x, 33 / y, 105 / x, 165 / y]]], np.float32)
    scores = np.array([[[0.9, 0.0, 0.0][: len(detector._labels)]]], np.float32)
    monkeypatch.setattr(detector, "_run", lambda pages: (box, scores))
    ((region,),) = detector.predict([page])
    assert np.allclose(region.bbox, (21, 33, 105, 165), atol=0.02)


def test_yolo_pads_a_page_to_multiples_of_32_without_changing_its_shape() -> None:
    detector = yolov8()
    page = np.zeros((300, 200, 3), np.uint8)
    assert detector.input_shape(page) == (128, 96)
    pixels, scale = detector.fitted(page, (128, 96))
    assert scale == (200 / 85, 300 / 128)
    assert (pixels[:, :85] == 0).all()
    assert (pixels[:, 85:] == 114).all()
    assert detector.cost(page) == 128 * 96


def test_picodet_stretches_every_page_to_one_size() -> None:
    detector = picodet()
    assert detector.input_shape(noise(300, 200)) == detector.input_shape(noise(50, 500))


def test_pages_go_alone_on_a_cpu() -> None:
    assert picodet().max_batch == yolov8().max_batch == 1


def trained(name: str) -> PageDetector:
    """The detector of the models folder; without it the error names the command that gets it."""
    spec = spec_for(load_settings(layout=name, device="cpu", dtype="float32"), Task.LAYOUT)
    assert spec is not None
    detector = model_cache().get(spec)
    assert isinstance(detector, PageDetector)
    return detector


@pytest.mark.models
@pytest.mark.parametrize("name", NAMES)
def test_the_network_computes_what_onnxruntime_makes_of_the_original_file(name: str) -> None:
    detector = trained(name)
    reference = json.loads((REFERENCES / f"{name}.json").read_text())
    page = drawn_page(*reference["size"]).transpose(2, 0, 1)[None]
    with torch.inference_mode():
        images = detector.normalised(torch.tensor(page, dtype=torch.float32))
        boxes, scores = (
            found[0, reference["positions"]].numpy() for found in detector._model(images)
        )
    np.testing.assert_allclose(scores, reference["scores"], atol=1e-4)
    np.testing.assert_allclose(boxes, reference["boxes"], atol=5e-3)


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
    assert table.bbox.scaled(0.5).iou(TABLE) > 0.85
    assert table.score > 0.7
    for regions in (with_table, without):
        labels = [region.label for region in regions]
        assert labels.count(Label.SECTION_HEADER) == 1
        assert Label.TEXT in labels
    assert Label.TABLE not in [region.label for region in without]


@pytest.mark.models
@pytest.mark.parametrize("name", NAMES)
def test_pages_in_a_batch_give_what_they_give_alone(name: str, pages: list[Image]) -> None:
    detector = trained(name)
    wide = np.ascontiguousarray(pages[0][:900])
    batch = [*pages, wide]
    for page, (boxes, scores) in zip(batch, detector.candidates(batch), strict=True):
        ((own_boxes, own_scores),) = detector.candidates([page])
        likely = own_scores.max(1) > 0.1
        np.testing.assert_allclose(boxes[likely], own_boxes[likely], atol=1e-3)
        np.testing.assert_allclose(scores, own_scores, atol=5e-5)


@pytest.mark.models
@pytest.mark.parametrize("name", NAMES)
def test_a_page_gives_the_same_regions_every_time(name: str, pages: list[Image]) -> None:
    detector = trained(name)
    assert detector.predict(pages[:1]) == detector.predict(pages[:1])
