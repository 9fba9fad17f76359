from itertools import pairwise

import pytest

from deepcompress_dagster.pipeline.confidence import CURVES, calibrated


@pytest.mark.parametrize("curve", CURVES.values(), ids=list(CURVES))
def test_a_curve_covers_every_confidence_and_never_falls(curve):
    assert (curve[0][0], curve[-1][0]) == (0.0, 1.0)
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(curve))


def test_what_is_read_without_certainty_counts_for_less_than_the_reader_says():
    assert calibrated(0.95, "ppocrv6-small@0.1.0") == 0.74
    assert calibrated(0.963, "ppocrv6-small@0.1.0") == pytest.approx(0.84)
    assert calibrated(1.0, "ppocrv6-small@0.1.0") < 1.0


def test_readers_without_a_curve_are_believed():
    assert calibrated(0.95, "text_layer") == 0.95
