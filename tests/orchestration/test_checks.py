from dataclasses import replace

import dagster as dg
import pytest

from deepcompress_dagster.orchestration import checks
from deepcompress_dagster.warehouse import DocumentQuality

GOOD = DocumentQuality(
    page_count=20,
    page_errors=0,
    pages=20,
    failed_pages=0,
    inked_pages=20,
    silent_pages=2,
    characters=1000,
    garbled_characters=20,
    tables=3,
    overlapping_tables=0,
    trust=0.85,
    has_unread_pages=False,
    doubtful_pages=(3, 4, 9),
    first_table=(),
)


def failed(quality: DocumentQuality) -> list[str]:
    every = frozenset({"pages", "text", "tables"})
    return [v.check.name for v in checks.judge(quality, every) if not v.passed]


def test_a_document_at_every_threshold_passes() -> None:
    assert failed(GOOD) == []


@pytest.mark.parametrize(
    ("flaw", "check"),
    [
        ({"pages": 19}, "every_page_accounted_for"),
        ({"page_errors": 1}, "page_errors"),
        ({"silent_pages": 3}, "pages_without_text"),
        ({"garbled_characters": 21}, "garbled_text"),
        ({"overlapping_tables": 1}, "overlapping_cells"),
        ({"trust": 0.849}, "doubtful_text"),
    ],
)
def test_each_check_fails_just_above_its_threshold(flaw: dict[str, int], check: str) -> None:
    assert failed(replace(GOOD, **flaw)) == [check]


def test_an_empty_document_passes() -> None:
    nothing = {name: 0 for name in GOOD.__slots__ if name != "first_table"}
    assert failed(replace(GOOD, **nothing | {"trust": None, "doubtful_pages": ()})) == []


def test_the_pages_that_are_not_to_be_trusted_are_named() -> None:
    verdicts = {v.check.name: v for v in checks.judge(GOOD, frozenset({"text"}))}
    assert verdicts["doubtful_text"].metadata["doubtful pages"] == "3-4,9"


def test_checks_of_what_was_not_committed_are_not_asked_but_page_errors_are() -> None:
    asked = [verdict.check.name for verdict in checks.judge(GOOD, frozenset({"tables"}))]
    assert asked == ["page_errors", "overlapping_cells"]


def test_verdicts_carry_value_and_threshold() -> None:
    verdict = next(v for v in checks.judge(GOOD, frozenset({"text"})) if v.check.asset == "text")
    assert verdict.metadata["value"] == 0.1
    assert verdict.metadata["threshold"] == checks.MAX_SILENT_SHARE


def test_page_errors_warn_and_lost_pages_fail() -> None:
    severities = {check.name: check.severity for check in checks.CHECKS}
    assert severities["page_errors"] is dg.AssetCheckSeverity.WARN
    assert severities["every_page_accounted_for"] is dg.AssetCheckSeverity.ERROR
