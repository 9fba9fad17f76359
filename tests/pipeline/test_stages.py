import pytest

from deepcompress_dagster.asset_graph import ASSETS
from deepcompress_dagster.pipeline import stages
from deepcompress_dagster.settings import Settings


def versions(**settings) -> dict[str, str]:
    return stages.code_versions(Settings(_env_file=None, **settings))


def changed(**settings) -> set[str]:
    base, other = versions(), versions(**settings)
    return {asset for asset in ASSETS if base[asset] != other[asset]}


def test_only_what_changes_rows_changes_code_versions():
    assert changed(dpi=200) == {"pages"}
    assert changed(layout="picodet-cdla") == {"layouts"}
    assert changed(layout_threshold=0.6) == {"layouts"}
    assert changed(table="slanet-en") == {"tables"}


def test_batch_size_workers_linger_and_device_change_no_code_version():
    assert (
        changed(ocr_batch_size=8, render_workers=3, linger_ms=500, device="cpu", adaptive=True)
        == set()
    )


def test_a_selection_is_put_into_order_of_dependency():
    assert stages.plan({"tables", "pages"}).assets == ("pages", "tables")


def test_regions_come_from_the_warehouse_where_layouts_is_not_selected():
    assert stages.plan({"text"}).stored_regions
    assert not stages.plan({"text", "layouts"}).stored_regions
    assert not stages.plan({"pages"}).stored_regions


def test_text_alone_runs_neither_layout_nor_tables_nor_figures():
    assert stages.plan({"text"}).stages == (
        "open",
        "render",
        "orientation",
        "text",
        "document_pass",
    )


@pytest.mark.parametrize("selection", [set(), {"texts"}])
def test_an_impossible_selection_is_refused(selection):
    with pytest.raises(ValueError, match="select one or more of"):
        stages.plan(selection)
