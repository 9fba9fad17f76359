import pytest

from deepcompress_dagster.warehouse import WarehouseError, dictionary
from deepcompress_dagster.warehouse.schema import MAIN_TABLES
from deepcompress_dagster.warehouse.views import VIEWS


def test_every_table_and_view_is_described_with_all_its_columns() -> None:
    shown = {entry.name: entry for entry in dictionary.entries()}
    assert list(shown) == [table.name for table in MAIN_TABLES] + [view.name for view in VIEWS]
    for table in MAIN_TABLES:
        assert [field.name for field in shown[table.name].fields] == [
            column.name for column in table.columns
        ]
    assert [name for name, entry in shown.items() if entry.is_view] == [v.name for v in VIEWS]


def test_one_table_is_shown_as_text_and_as_markdown() -> None:
    (sources,) = dictionary.entries(["sources"])
    text = dictionary.plain_text([sources]).splitlines()
    assert text[0] == "sources: One row per path or address at which a PDF was seen. Key: path."
    assert text[1].split() == ["path", "VARCHAR"]
    assert "Absolute path" in text[2]
    assert (
        "| mtime_ns | BIGINT |  | Modification time, ns since 1970. |"
        in dictionary.markdown([sources]).splitlines()
    )


def test_an_unknown_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(WarehouseError, match=r"named blokcs: there are .*documents.*blocks"):
        dictionary.entries(["blokcs"])
