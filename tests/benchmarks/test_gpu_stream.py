"""The benchmark of the stream runs, small, so that it cannot rot."""

import re

from benchmarks import gpu_stream


def test_it_measures_every_way_and_loads_each_model_once(tmp_path, capsys):
    plot = tmp_path / "plot.svg"
    gpu_stream.main(["--tiny", "--plot", str(plot)])
    said = capsys.readouterr().out
    rows = re.findall(
        r"^\| (page at a time|staged|streaming) \| (\d+) \|.*\| (\d+) \|$", said, re.M
    )
    assert [(mode, int(batch)) for mode, batch, _ in rows] == [
        ("page at a time", 1),
        ("staged", 1),
        ("streaming", 1),
        ("staged", 4),
        ("streaming", 4),
    ]
    assert {loads for *_, loads in rows} == {"4"}
    assert plot.read_text().count("<rect") == 6
