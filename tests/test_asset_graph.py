"""The description of the assets, what is derived from it, and what one more asset takes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deepcompress_dagster import asset_graph
from deepcompress_dagster.asset_graph import ASSETS, DESCRIBED, GRAPH, Asset
from deepcompress_dagster.models.catalog import Task
from deepcompress_dagster.settings import Settings, settings_that_change
from deepcompress_dagster.warehouse.schema import ASSET_TABLES

ROOT = Path(__file__).parents[1]

SIXTH = {
    "asset_graph.py": {
        ')\n"""Upstream first."""': """
    Asset(
        "notes",
        "One row per word that somebody ought to look up.",
        stages=("notes",),
        upstream=("text",),
    ),
)
"""
    },
    "records.py": {
        "    errors: tuple[PageError, ...] = ()\n    timings": """
    notes: tuple[tuple[int, str], ...] | None = None
    errors: tuple[PageError, ...] = ()
    timings"""
    },
    "warehouse/schema.py": {
        "ASSET_TABLES = {table.name: table for table in (": """
NOTES = Table(
    "notes",
    "One row per word.",
    ("document_id", "page_number", "word"),
    (_DOCUMENT_ID, _PAGE_NUMBER, Column("word", "VARCHAR", "The word.")),
    order_by=("page_number", "word"),
)
ASSET_TABLES = {table.name: table for table in (NOTES, """
    },
    "warehouse/rows.py": {
        "_ROWS: Mapping[str, Callable[[PageResult], Iterable[Row]]] = {": """
_ROWS: Mapping[str, Callable[[PageResult], Iterable[Row]]] = {
    "notes": lambda result: [
        {"page_number": page, "word": word} for page, word in result.notes or ()
    ],"""
    },
}
"""What one more asset takes, apart from making its rows: where, behind what, which text."""


def test_the_assets_stand_behind_what_they_are_made_from() -> None:
    with pytest.raises(ValueError, match=r"text .* made from \['layouts'\] behind it"):
        asset_graph.graph([asset for asset in DESCRIBED if asset.name != "layouts"])
    with pytest.raises(ValueError, match="pages is twice there"):
        asset_graph.graph([*DESCRIBED, Asset("pages", "", stages=())])


def test_stages_models_settings_and_tables_belong_to_the_assets() -> None:
    stages = [stage for asset in DESCRIBED for stage in asset.stages]
    assert len(stages) == len(set(stages))
    assert {task for asset in DESCRIBED for task in asset.models} == set(Task)
    assert set(ASSET_TABLES) == set(ASSETS)


def test_settings_speak_of_assets_and_tasks_that_are_there() -> None:
    said = [field.json_schema_extra for field in Settings.model_fields.values()]
    about = [extra for extra in said if isinstance(extra, dict)]
    assert {asset for extra in about for asset in extra["changes"]} == set(GRAPH)
    assert {task for extra in about for task in extra["tasks"]} == set(Task)
    changing = {name for asset in ASSETS for name in settings_that_change(asset)}
    assert {"dpi", "layout_threshold", "temperature"} <= changing
    assert not {"device", "layout_batch_size", "linger_ms", "model_threads"} & changing


@pytest.mark.parametrize(
    ("selection", "stored"),
    [
        ({"pages"}, ()),
        ({"layouts"}, ()),
        ({"text", "tables"}, ("layouts",)),
        ({"layouts", "figures"}, ()),
    ],
)
def test_only_rows_that_the_pdf_alone_does_not_give_are_read_from_the_store(
    selection: set[str], stored: tuple[str, ...]
) -> None:
    assert asset_graph.read_from_store(selection) == stored


def test_a_sixth_asset_made_from_text_is_planned_stored_staled_and_shown(tmp_path: Path) -> None:
    package = tmp_path / "deepcompress_dagster"
    shutil.copytree(ROOT / package.name, package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, changes in SIXTH.items():
        text = (package / name).read_text()
        for old, new in changes.items():
            assert text.count(old) == 1, f"{name}: {old}"
            text = text.replace(old, new)
        (package / name).write_text(text)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("sixth_asset_process.py")), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["planned", "stored", "staled", "shown"]
