from deepcompress_dagster.pipeline.captions import match_captions
from deepcompress_dagster.records import BBox, Label, Region


def region(name: str, label: Label, y0: float, y1: float) -> Region:
    return Region(1, name, label, BBox(50, y0, 500, y1), 0.9, 1, "m")


def test_a_caption_goes_to_the_nearest_table_or_picture():
    regions = [
        region("table", Label.TABLE, 100, 200),
        region("caption", Label.CAPTION, 205, 220),
        region("picture", Label.PICTURE, 250, 400),
    ]
    assert match_captions(regions, {"caption": "Some words"}) == {"table": "caption"}


def test_a_caption_that_names_a_figure_goes_to_the_picture_although_a_table_is_nearer():
    regions = [
        region("table", Label.TABLE, 100, 200),
        region("caption", Label.CAPTION, 205, 220),
        region("picture", Label.PICTURE, 250, 400),
    ]
    assert match_captions(regions, {"caption": "Figure 2: growth"}) == {"picture": "caption"}


def test_a_caption_far_from_everything_describes_nothing():
    regions = [region("table", Label.TABLE, 100, 200), region("c", Label.CAPTION, 600, 620)]
    assert match_captions(regions, {"c": "Table 1"}) == {}


def test_two_captions_are_shared_between_two_tables():
    regions = [
        region("t1", Label.TABLE, 100, 200),
        region("c1", Label.CAPTION, 80, 95),
        region("t2", Label.TABLE, 250, 350),
        region("c2", Label.CAPTION, 230, 245),
    ]
    text = {"c1": "Table 1", "c2": "Table 2"}
    assert match_captions(regions, text) == {"t1": "c1", "t2": "c2"}
