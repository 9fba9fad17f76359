import numpy as np
import pymupdf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepcompress_dagster.models.cache import model_cache
from deepcompress_dagster.models.catalog import Task, spec_for
from deepcompress_dagster.models.predictor import CellGrid, Image, ModelError
from deepcompress_dagster.models.table import slanet
from deepcompress_dagster.models.table.grid import CELL_TAGS, build_grid
from deepcompress_dagster.models.table.slanet import SLANetPredictor
from deepcompress_dagster.records import BBox
from deepcompress_dagster.settings import load_settings

NAMES = ("slanet-en", "slanet-plus")


def grid(html: str) -> CellGrid:
    """The grid of tags that are separated by blanks, with ``_`` inside a tag for a blank."""
    tags = [tag.replace("_", " ") for tag in html.split()]
    count = sum(tag in CELL_TAGS for tag in tags)
    return build_grid(tags, [BBox(i, 0, i + 1, 1) for i in range(count)], 0.9)


def places(found: CellGrid) -> list[tuple[int, int, int, int]]:
    return [(cell.row, cell.column, cell.row_span, cell.column_span) for cell in found.cells]


def test_rows_and_columns_are_counted_and_head_cells_marked():
    found = grid(
        "<thead> <tr> <td></td> <td></td> </tr> </thead> "
        "<tbody> <tr> <td></td> <td></td> </tr> <tr> <td></td> <td></td> </tr> </tbody>"
    )
    assert (found.n_rows, found.n_columns, found.confidence) == (3, 2, 0.9)
    assert [cell.is_header for cell in found.cells] == [True] * 2 + [False] * 4
    assert [cell.bbox for cell in found.cells] == [BBox(i, 0, i + 1, 1) for i in range(6)]
    assert {cell.text for cell in found.cells} == {""}


def test_spans_push_the_cells_after_them():
    found = grid(
        '<tr> <td _rowspan="2" > </td> <td _colspan="2" > </td> </tr> '
        "<tr> <td></td> <td></td> </tr>"
    )
    assert places(found) == [(0, 0, 2, 1), (0, 1, 1, 2), (1, 1, 1, 1), (1, 2, 1, 1)]
    assert (found.n_rows, found.n_columns) == (2, 3)


def test_one_cell_may_span_both_ways():
    found = grid('<tr> <td _colspan="2" _rowspan="2" > </td> </tr> <tr> <td></td> </tr>')
    assert places(found) == [(0, 0, 2, 2), (1, 2, 1, 1)]


def test_a_span_that_would_cover_a_slot_twice_is_cut():
    found = grid(
        '<tr> <td></td> <td _rowspan="2" > </td> </tr> '
        '<tr> <td _colspan="3" > </td> <td></td> </tr>'
    )
    assert places(found) == [(0, 0, 1, 1), (0, 1, 2, 1), (1, 0, 1, 1), (1, 2, 1, 1)]


def test_a_span_below_the_last_row_is_cut():
    assert places(grid('<tr> <td _rowspan="9" > </td> </tr>')) == [(0, 0, 1, 1)]


def test_rows_without_cells_go_and_spans_over_them_shrink():
    found = grid('<tr> <td _rowspan="3" > </td> <td></td> </tr> <tr> </tr> <tr> <td></td> </tr>')
    assert places(found) == [(0, 0, 2, 1), (0, 1, 1, 1), (1, 1, 1, 1)]
    assert found.n_rows == 2


def test_cells_before_any_row_begin_one_and_stray_tags_are_passed_over():
    found = grid('> _colspan="2" </tr> <td></td> _colspan="4" <td </thead> <tr> <td></td>')
    assert places(found) == [(0, 0, 1, 1), (0, 1, 1, 1), (1, 0, 1, 1)]


def test_no_tags_are_no_table():
    assert build_grid([], [], 0.0) == CellGrid(0, 0, (), 0.0)


TAGS = ("<thead>", "</thead>", "<tbody>", "<tr>", "</tr>", "<td></td>", "<td", ">", "</td>")
SPANS = (' colspan="2"', ' colspan="5"', ' rowspan="2"', ' rowspan="4"')


@given(st.lists(st.sampled_from(TAGS + SPANS), max_size=80))
def test_any_tags_give_a_grid_in_which_no_slot_is_covered_twice(tags):
    found = build_grid(tags, [None] * len(tags), 1.0)
    slots = [
        (cell.row + i, cell.column + j)
        for cell in found.cells
        for i in range(cell.row_span)
        for j in range(cell.column_span)
    ]
    assert len(slots) == len(set(slots))
    assert {row for row, _ in slots} == set(range(found.n_rows))
    assert {column for _, column in slots} == set(range(found.n_columns))
    assert len(found.cells) == sum(tag in CELL_TAGS for tag in tags)


def test_boxes_of_four_numbers_are_shares_of_the_crop_and_of_eight_of_its_square():
    crop = np.zeros((100, 400, 3), np.uint8)
    small = np.array([0.1, 0.2, 0.5, 0.6], np.float32)
    assert slanet._box(small, crop) == pytest.approx((40, 20, 200, 60), abs=0.01)
    corners = np.array([0.1, 0.05, 0.5, 0.04, 0.5, 0.2, 0.1, 0.21], np.float32)
    assert slanet._box(corners, crop) == pytest.approx((40, 16, 200, 84), abs=0.01)


def test_a_box_beyond_the_crop_is_cut_and_one_without_extent_is_none():
    crop = np.zeros((100, 400, 3), np.uint8)
    corners = np.array([0.9, 0.2, 1.1, 0.2, 1.1, 0.5, 0.9, 0.5], np.float32)
    assert slanet._box(corners, crop) == pytest.approx((360, 80, 400, 100), abs=0.01)
    assert slanet._box(np.full(8, 0.5, np.float32), crop) is None


def test_a_crop_is_seen_blue_first_at_the_top_left_of_the_square():
    canvas = slanet._canvas(np.full((100, 200, 3), (255, 0, 0), np.uint8))
    assert canvas.shape == (1, 3, 488, 488)
    red = np.array([-0.485 / 0.229, -0.456 / 0.224, 0.594 / 0.225])
    np.testing.assert_allclose(canvas[0, :, 243, 487], red, rtol=1e-5)
    assert not canvas[:, :, 244:].any()


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(ModelError, match="cannot be loaded"):
        SLANetPredictor.from_folder(tmp_path)


def trained(name: str) -> SLANetPredictor:
    """The predictor of the models folder; without it the error names the command that gets it."""
    spec = spec_for(load_settings(table=name), Task.TABLE)
    assert spec is not None
    predictor = model_cache().get(spec)
    assert isinstance(predictor, SLANetPredictor)
    return predictor


@pytest.fixture(scope="module", params=NAMES)
def reader(request) -> SLANetPredictor:
    return trained(request.param)


ROWS = (
    ("Region", "2024", "2025", "Change"),
    ("North", "1,204", "1,310", "8.8 %"),
    ("South", "988", "1,001", "1.3 %"),
    ("East", "1,530", "1,470", "-3.9 %"),
    ("West and islands", "77", "93", "20.8 %"),
)
WIDTH, HEIGHT, MARGIN = 90, 18, 3


def drawn(n_rows: int = 5, *, spanning: bool = False) -> Image:
    """A ruled table at 144 dpi; with ``spanning`` its second and third column share a heading."""
    document = pymupdf.open()
    top = HEIGHT if spanning else 0
    page = document.new_page(
        width=4 * WIDTH + 2 * MARGIN, height=n_rows * HEIGHT + top + 2 * MARGIN
    )
    if spanning:
        page.insert_text((MARGIN + WIDTH + 70, MARGIN + 13), "Output", fontsize=9)
        page.draw_line((MARGIN, MARGIN), (MARGIN + 4 * WIDTH, MARGIN))
        page.draw_line((MARGIN + WIDTH, MARGIN + top), (MARGIN + 3 * WIDTH, MARGIN + top))
    for number, row in enumerate(ROWS[:n_rows]):
        for column, text in enumerate(row):
            x, y = MARGIN + column * WIDTH + 6, MARGIN + top + number * HEIGHT + 13
            page.insert_text((x, y), text, fontsize=9)
    for number in range(0 if not spanning else 1, n_rows + 1):
        y = MARGIN + top + number * HEIGHT
        page.draw_line((MARGIN, y), (MARGIN + 4 * WIDTH, y))
    pixmap = page.get_pixmap(dpi=144)
    image = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.width, 3)
    document.close()
    return image


@pytest.mark.models
def test_a_plain_table_is_read_with_its_header_and_boxes_around_its_texts(reader):
    (found,) = reader.predict([drawn()])
    assert (found.n_rows, found.n_columns) == (5, 4)
    assert [cell.is_header for cell in found.cells] == [True] * 4 + [False] * 16
    assert found.confidence > 0.9
    for cell in found.cells:
        assert cell.bbox is not None
        x, y = cell.bbox.center
        assert (2 * (MARGIN + cell.row * HEIGHT)) < y < (2 * (MARGIN + (cell.row + 1) * HEIGHT))
        left = 2 * (MARGIN + cell.column * WIDTH)
        assert left < x < left + 2 * WIDTH


@pytest.mark.models
def test_a_heading_over_two_columns_spans_them(reader):
    (found,) = reader.predict([drawn(spanning=True)])
    assert (found.n_rows, found.n_columns) == (6, 4)
    assert [cell.column_span for cell in found.cells if cell.row == 0 and cell.column == 1] == [2]


@pytest.mark.models
def test_tables_read_together_give_what_they_give_alone(reader):
    crops = [drawn(n) for n in (2, 5, 3)]
    crops.append(np.full((40, 200, 3), 255, np.uint8))
    alone = [reader.predict([crop])[0] for crop in crops]
    for one, other in zip(alone, reader.predict(crops), strict=True):
        assert places(one) == places(other)
        assert one.confidence == pytest.approx(other.confidence, abs=1e-3)
        for cell, same in zip(one.cells, other.cells, strict=True):
            assert cell.bbox == pytest.approx(same.bbox, abs=0.02)


@pytest.mark.models
def test_a_table_reads_the_same_every_time_and_as_a_view_of_its_page(reader):
    page = np.full((400, 900, 3), 255, np.uint8)
    table = drawn()
    height, width = table.shape[:2]
    page[50 : 50 + height, 70 : 70 + width] = table
    view = page[50 : 50 + height, 70 : 70 + width]
    first = reader.predict([view])
    assert first == reader.predict([view]) == reader.predict([table])


@pytest.mark.models
@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (300, 4)])
def test_a_crop_of_any_shape_gives_a_grid(reader, shape):
    (found,) = reader.predict([np.full((*shape, 3), 255, np.uint8)])
    assert all(cell.row < found.n_rows for cell in found.cells)


@pytest.mark.models
def test_no_tables_have_no_grids(reader):
    assert reader.predict([]) == []
