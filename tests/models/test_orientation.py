import numpy as np
import pymupdf
import pytest

from deepcompress_dagster.models.cache import model_cache
from deepcompress_dagster.models.catalog import Task, spec_for
from deepcompress_dagster.models.orientation import pplcnet
from deepcompress_dagster.models.orientation.pplcnet import OrientationPredictor
from deepcompress_dagster.models.predictor import Image
from deepcompress_dagster.settings import load_settings


def test_blank_edges_are_not_content():
    page = np.full((1000, 800, 3), 250, np.uint8)
    page[300:400, 200:500] = 20
    assert pplcnet._content(page).shape == (100 + 2 * 20, 300 + 2 * 20, 3)


def test_a_dark_page_and_specks_have_content_and_none():
    dark = np.full((400, 400, 3), 10, np.uint8)
    dark[100:200, 100:300] = 230
    assert pplcnet._content(dark).shape == (116, 216, 3)
    blank = np.full((400, 400, 3), 250, np.uint8)
    blank[50, 60] = 0
    assert pplcnet._content(blank).shape == blank.shape


def test_a_page_is_seen_red_first_and_as_a_square():
    canvas = pplcnet._canvas(np.full((300, 200, 3), (255, 0, 0), np.uint8))
    red = np.array([0.515 / 0.229, -0.456 / 0.224, -0.406 / 0.225])
    assert canvas.shape == (1, 3, 224, 224)
    np.testing.assert_allclose(canvas[0, :, 100, 100], red, rtol=1e-5)


@pytest.fixture(scope="module")
def reader() -> OrientationPredictor:
    """The predictor of the models folder; without it the error names the command that gets it."""
    spec = spec_for(load_settings(), Task.ORIENTATION)
    assert spec is not None
    predictor = model_cache().get(spec)
    assert isinstance(predictor, OrientationPredictor)
    return predictor


@pytest.fixture(scope="module")
def page() -> Image:
    """A letter at 100 dpi."""
    document = pymupdf.open()
    sheet = document.new_page(width=595, height=842)
    prose = "The committee met on Tuesday and agreed to all of the points on the agenda. " * 6
    sheet.insert_text((72, 90), "Minutes of the meeting", fontname="hebo", fontsize=18)
    for top in (120, 240, 360, 480):
        sheet.insert_textbox((72, top, 523, top + 110), prose, fontsize=11)
    pixmap = sheet.get_pixmap(dpi=100)
    document.close()
    return np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3)


@pytest.mark.models
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_page_tells_how_far_it_is_turned_clockwise(reader, page, degrees):
    (found,) = reader.predict([np.rot90(page, -degrees // 90)])
    assert found.degrees == degrees
    assert found.score > 0.85


@pytest.mark.models
def test_a_blank_page_is_no_reason_to_turn_it(reader):
    (found,) = reader.predict([np.full((800, 600, 3), 255, np.uint8)])
    assert found.score < 0.6


@pytest.mark.models
def test_pages_seen_together_give_what_they_give_alone(reader, page):
    batch = [page, np.rot90(page), page[:300], np.full((5, 9, 3), 255, np.uint8)]
    alone = [reader.predict([one])[0] for one in batch]
    for one, other in zip(alone, reader.predict(batch), strict=True):
        assert one.degrees == other.degrees
        assert one.score == pytest.approx(other.score, abs=2e-4)


@pytest.mark.models
def test_no_pages_have_no_turns(reader):
    assert reader.predict([]) == []
