from deepcompress_dagster.pipeline.captions import is_caption, match_captions
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


def test_text_that_names_a_table_beside_it_is_a_caption():
    table = BBox(50, 100, 500, 200)
    assert is_caption("Table 3: Harvest", BBox(50, 80, 300, 92), [table])
    assert is_caption("Fig. 2 shows", BBox(50, 205, 300, 217), [table])


def test_text_that_mentions_a_table_far_away_or_later_is_not_a_caption():
    table = BBox(50, 100, 500, 200)
    assert not is_caption("Table 3 shows", BBox(50, 400, 300, 412), [table])
    assert not is_caption("As in Table 3", BBox(50, 80, 300, 92), [table])
    assert not is_caption("Tables are useful", BBox(50, 80, 300, 92), [table])
