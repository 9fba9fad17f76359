"""Page numbers as people write them and as the warehouse keeps them: ``1-5,8``."""

import re
from collections.abc import Iterable

_RANGE = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")


def parse(text: str) -> frozenset[int]:
    """The page numbers that ``text`` names; none for an empty text.

    Raises ValueError that shows how to write them.
    """
    numbers: set[int] = set()
    for part in text.split(",") if text.strip() else ():
        match = _RANGE.fullmatch(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last:
            raise ValueError(f"pages {text!r}: write page numbers from 1 up, as in 1-5,8")
        numbers.update(range(first, last + 1))
    return frozenset(numbers)


def in_short(pages: Iterable[int]) -> str:
    """Page numbers, in any order, as the shortest text that names them."""
    ranges: list[list[int]] = []
    for page in sorted(pages):
        if ranges and page == ranges[-1][1] + 1:
            ranges[-1][1] = page
        else:
            ranges.append([page, page])
    return ",".join(f"{a}-{b}" if a < b else str(a) for a, b in ranges)
