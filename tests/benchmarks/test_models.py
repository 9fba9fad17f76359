"""The comparisons of benchmarks/models, on a corpus made of the project's own samples."""

import json

import pytest

from benchmarks.models.__main__ import main
from benchmarks.models.corpus import Corpus
from benchmarks.models.orientation import turned


@pytest.fixture
def corpus(tmp_path, samples):
    documents = [
        _record("orchard-tables", "born-digital", samples),
        _record("scanned-letter", "scan", samples),
    ]
    (tmp_path / "manifest.json").write_text(json.dumps({"documents": documents}))
    return tmp_path


def _record(name, category, samples):
    file = str(samples / f"{name}.pdf")
    return {"id": name, "file": file, "category": category, "pages": 1, "tests": [], "gt": []}


def rows(printed):
    """The first cell of each line of a markdown table, and the others."""
    lines = [line.strip("| ").split(" | ") for line in printed.splitlines() if line[:1] == "|"]
    return {line[0]: line[1:] for line in lines[2:]}


def test_a_text_layer_is_accepted_and_a_spoiled_one_rejected(corpus, capsys):
    main([str(corpus), "text-layer"])
    found = rows(capsys.readouterr().out)
    n, wanted, usable, unusable, _ = found["blocks, as they are"]
    assert (int(n) > 0, wanted, usable, unusable) == (True, "usable", n, "0")
    n, wanted, usable, unusable, why = found["blocks, white on white"]
    assert (wanted, usable, unusable, why) == ("not usable", "0", n, f"words without ink {n}")
    assert found["scans, whole pages"][:3] == ["1", "not usable", "0"]


def test_an_unknown_comparison_is_refused_with_the_names_of_the_others(corpus, capsys):
    with pytest.raises(SystemExit):
        main([str(corpus), "lay-out"])
    assert "layout, layout-sizes, tables" in capsys.readouterr().err


def test_threshold_decides_whether_an_answer_is_followed():
    answers = [(0, 0, 0.9), (90, 90, 0.8), (180, 0, 0.9), (270, 90, 0.6)]
    assert turned(answers, 0.5) == ["0.33", "0.33", "0.33", "1.00", "0.00"]
    assert turned(answers, 0.7) == ["0.33", "0.67", "0.00", "1.00", "0.00"]


def test_a_family_gives_no_more_documents_than_the_limit(tmp_path):
    documents = [{"id": str(n), "category": "scan", "family": "books"} for n in range(5)]
    (tmp_path / "manifest.json").write_text(json.dumps({"documents": documents}))
    with Corpus(tmp_path, tmp_path, 2, tmp_path / "none.json") as corpus:
        assert [record["id"] for record in corpus.records("scan", "table")] == ["0", "1"]
