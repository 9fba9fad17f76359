import pytest

from deepcompress_dagster.models.figure.pix2struct import content_of
from deepcompress_dagster.records import ChartData


@pytest.mark.parametrize(
    ("text", "columns", "rows"),
    [
        (
            "TITLE | Sales <0x0A> Year | Boats | Oars <0x0A> 2001 | 5 | 7.5% <0x0A> 2002 | 8 | 1",
            ("Year", "Boats", "Oars"),
            (("2001", "5", "7.5%"), ("2002", "8", "1")),
        ),
        ("Year | Boats\n2001 | 5", ("Year", "Boats"), (("2001", "5"),)),
        ("Title |  <0x0A> | A <0x0A> x | -1 <0x0A>", ("", "A"), (("x", "-1"),)),
    ],
)
def test_a_linearised_table_becomes_columns_and_rows(text, columns, rows):
    content = content_of(text)
    assert content.data == ChartData(columns, rows)
    assert content.kind == "chart"


def test_a_table_of_words_is_no_chart():
    content = content_of("Who | What <0x0A> Ann | rows <0x0A> Bob | sails")
    assert content.kind == "unknown"
    assert content.data == ChartData(("Who", "What"), (("Ann", "rows"), ("Bob", "sails")))


@pytest.mark.parametrize(
    "text",
    [
        "a photograph of a boat",
        "TITLE | Sales <0x0A> Year | Boats",
        "Year | Boats <0x0A> 2001 | 5 | 7",
        "Year <0x0A> 2001",
        "TITLE | Sales <0x0A> Year | Boats <0x0A> 2001 | 5 <0x0A> 20",
    ],
)
def test_what_is_no_table_is_kept_as_written_without_columns(text):
    content = content_of(text)
    assert content.data == ChartData((), ((text,),))
    assert content.data == ChartData((), ((text,),))
    assert content.kind == "unknown"


def test_nothing_written_is_no_data():
    assert content_of("  ").data is None


def test_figures_of_every_size_are_asked_without_a_download(load, pictures, monkeypatch):
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("a font was asked for")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    monkeypatch.setattr("transformers.utils.hub.cached_file", refuse)
    predictor = load("pix2struct", max_new_tokens=4)
    small = pictures[4][:1, :3]
    assert len(predictor.predict([small, pictures[3]])) == 2


def test_the_question_is_drawn_above_the_figure(load, pictures):
    asked = load("pix2struct")._asked(pictures[3])
    height, width = pictures[3].shape[:2]
    question = asked[:, : asked.shape[1] - int(height * asked.shape[2] / width)]
    assert (question < 64).any()
    assert (question > 192).mean() > 0.5
