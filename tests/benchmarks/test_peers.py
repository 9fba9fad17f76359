"""The pages that readers are compared on."""

import json
from pathlib import Path

from benchmarks.peers.__main__ import OURS, Outcome, Pages, documents, table


def test_documents_of_the_families_are_taken_in_turn_until_the_pages_are_together(
    tmp_path: Path,
) -> None:
    records = [
        {"id": f"{family}{number}", "category": "scan", "family": family, "pages": pages}
        for family, sizes in (("books", (1, 2, 9)), ("bills", (1, 1)), ("other", (1,)))
        for number, pages in enumerate(sizes)
    ]
    (tmp_path / "manifest.json").write_text(json.dumps({"documents": records}))

    taken = documents(tmp_path, Pages("scan", ("books", "bills"), 4, 5, ()))

    assert [record["id"] for record in taken] == ["books0", "bills0", "books1"]


def test_the_cheapest_reader_stands_first_and_a_missing_score_stays_empty() -> None:
    dear = Outcome("dear", 2, 1.0, 4.0, 10.0, {"nid": 0.9})
    cheap = Outcome(OURS, 2, 1.0, 1.0, 10.0, {})

    lines = table([dear, cheap], ["nid"]).splitlines()

    assert lines[2] == f"| {OURS} | 0.500 | 1.00 | 10 |  |"
    assert lines[3] == "| dear | 2.000 | 1.00 | 10 | 0.900 |"
