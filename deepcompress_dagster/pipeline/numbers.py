"""Numbers as they are written in charts and tables."""

import re

_NUMBER = re.compile(r"[($€£¥+]*([-−–]?)((?!0)\d{1,3}(?:[.,]\d{3})+|\d+)((?:[.,]\d+)?)[%)]*")
"""Sign, whole part with or without thousands, decimals. Which separator is which differs by
country; before three digits it is one of thousands."""


def plain_number(text: str) -> float | None:
    """The value of a number with currency or percent signs around it; None for other text."""
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    sign, whole, decimals = match.groups()
    value = float(re.sub(r"[.,]", "", whole) + decimals.replace(",", "."))
    return -value if sign else value
