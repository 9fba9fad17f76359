"""The checks: what is asked of every document after its commit, with the thresholds.

What a check looks at is counted in warehouse/quality.py; nothing here reads a table.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster as dg

from deepcompress_dagster import page_ranges
from deepcompress_dagster.orchestration.naming import PLAIN, Naming

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse.quality import DocumentQuality

MAX_MISSING_PAGES = 0
MAX_PAGE_ERRORS = 0
MAX_OVERLAPPING_TABLES = 0

MAX_SILENT_SHARE = 0.1
"""Pages with ink and no text. Separator pages and full-page pictures are few in most documents; a
tenth of a document without a word means that reading failed."""

MAX_GARBLED_SHARE = 0.02
"""Replacement, private-use and control characters among all characters. Formulas and symbol fonts
bring some; at one in fifty, words no longer match a search."""

MAX_DOUBT = 0.15
"""Share of text and tables that is likely wrong: grades C and D. Confidence is calibrated."""

Metadata = Mapping[str, str | int | float]


@dataclass(frozen=True)
class Verdict:
    """What a check says of one document."""

    check: "Check"
    passed: bool
    metadata: Metadata


@dataclass(frozen=True)
class Check:
    """A question to a document's committed rows, asked of one asset.

    ``measure`` gives the value that must not exceed ``limit``, and what else the reader wants.
    """

    asset: str
    name: str
    description: str
    limit: float
    severity: dg.AssetCheckSeverity
    measure: Callable[["DocumentQuality"], tuple[float, Metadata]]

    def judge(self, quality: "DocumentQuality") -> Verdict:
        """Ask this of one document."""
        value, metadata = self.measure(quality)
        shown = {"value": value, "threshold": self.limit, **metadata}
        return Verdict(self, value <= self.limit, shown)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _missing_pages(quality: "DocumentQuality") -> tuple[float, Metadata]:
    missing = quality.page_count - quality.pages
    return missing, {"pages": quality.page_count, "pages with a row": quality.pages}


def _page_errors(quality: "DocumentQuality") -> tuple[float, Metadata]:
    return quality.page_errors, {"pages that could not be rendered": quality.failed_pages}


def _silent_share(quality: "DocumentQuality") -> tuple[float, Metadata]:
    return _share(quality.silent_pages, quality.inked_pages), {
        "pages with ink": quality.inked_pages,
        "of these without text": quality.silent_pages,
    }


def _garbled_share(quality: "DocumentQuality") -> tuple[float, Metadata]:
    return _share(quality.garbled_characters, quality.characters), {
        "characters": quality.characters,
        "garbled": quality.garbled_characters,
    }


def _overlapping_tables(quality: "DocumentQuality") -> tuple[float, Metadata]:
    return quality.overlapping_tables, {"tables": quality.tables}


def _doubt(quality: "DocumentQuality") -> tuple[float, Metadata]:
    return round(1 - quality.trust, 4) if quality.trust is not None else 0.0, {
        "doubtful pages": page_ranges.in_short(quality.doubtful_pages) or "none",
    }


CHECKS = (
    Check(
        "pages",
        "every_page_accounted_for",
        "Every page of the PDF has a row, rendered or with its error.",
        MAX_MISSING_PAGES,
        dg.AssetCheckSeverity.ERROR,
        _missing_pages,
    ),
    Check(
        "pages",
        "page_errors",
        "No stage failed on any page; the errors table says which did, and why.",
        MAX_PAGE_ERRORS,
        dg.AssetCheckSeverity.WARN,
        _page_errors,
    ),
    Check(
        "text",
        "pages_without_text",
        f"At most {MAX_SILENT_SHARE:.0%} of the pages with ink have no text.",
        MAX_SILENT_SHARE,
        dg.AssetCheckSeverity.WARN,
        _silent_share,
    ),
    Check(
        "text",
        "garbled_text",
        f"At most {MAX_GARBLED_SHARE:.0%} of the characters are replacement, private-use or"
        " control characters.",
        MAX_GARBLED_SHARE,
        dg.AssetCheckSeverity.WARN,
        _garbled_share,
    ),
    Check(
        "text",
        "doubtful_text",
        f"At most {MAX_DOUBT:.0%} of text and tables are likely wrong (grades C and D are above);"
        " the pages not to be trusted are named.",
        MAX_DOUBT,
        dg.AssetCheckSeverity.WARN,
        _doubt,
    ),
    Check(
        "tables",
        "overlapping_cells",
        "No two cells of a table take up the same place of its grid.",
        MAX_OVERLAPPING_TABLES,
        dg.AssetCheckSeverity.WARN,
        _overlapping_tables,
    ),
)

PAGE_ERRORS = CHECKS[1]
"""Asked after every commit, whatever was selected: each asset's stages add and clear errors."""


def specs(names: Naming = PLAIN) -> list[dg.AssetCheckSpec]:
    """The checks as Dagster declares them, partitioned like the assets."""
    return [
        dg.AssetCheckSpec(
            check.name,
            asset=names.key(check.asset),
            description=check.description,
            partitions_def=names.partitions_def,
            metadata={"threshold": check.limit},
        )
        for check in CHECKS
    ]


def judge(quality: "DocumentQuality", assets: frozenset[str]) -> Iterator[Verdict]:
    """The verdicts on a document after ``assets`` of it were committed."""
    for check in CHECKS:
        if check.asset in assets or check is PAGE_ERRORS:
            yield check.judge(quality)
