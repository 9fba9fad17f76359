"""Which tables continue the one on the page before.

Two tables are one where nothing stands between them but furniture, their columns match in place and
kind, and neither a caption, a header of its own, a total nor a count that starts again says that a
new one begins.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from deepcompress_dagster.pipeline.phrases import is_value
from deepcompress_dagster.records import OutlineColumn, OutlineTable, TableUpdate

REACHES_DOWN = 0.5
"""Share of the page's height below which a table that goes on ends."""

BEGINS_ABOVE = 0.4
"""Share of the page's height above which the rest of a table begins."""

IN_PLACE = 0.5
"""Share of the narrower of two columns that both cover when they are the same column."""

FIGURES = 0.5
"""Share of figures from which a column is one of figures."""

SAME_KIND = 0.75
"""Share of the columns of two parts that are of the same kind, at least."""

_CONTINUED = re.compile(
    r"\b(?:cont(?:inued|inuation|\.|'d)|fortsetzung|forts\.|suite|contin[uú]a|seguito)|续|続き|계속",
    re.IGNORECASE,
)
_TOTAL = re.compile(
    r"(?:grand |all )?(?:total|totals|sum|summe|gesamt|insgesamt|totaux|totale|somme|итого|всего)\b"
    r"|合计|总计|合計|総計",
    re.IGNORECASE,
)
_COUNTED = re.compile(r"(.*?)(\d+)\.?")
_NUMBERED = re.compile(r"(?:table|tab\.|tabelle|tableau|tabla|表)\s*[A-Z]?[\d.]+", re.IGNORECASE)


def continued_tables(tables: Sequence[OutlineTable]) -> list[TableUpdate]:
    """Those of ``tables`` (by page and place on it) that continue the one before."""
    updates = []
    roots: dict[str, OutlineTable] = {}
    for before, table in pairwise(tables):
        root = roots.get(before.region_id, before)
        repeated = max(_repeated_rows(before, table), _repeated_rows(root, table))
        if _follows(before, table) and _continues(root, before, table, repeated):
            roots[table.region_id] = root
            updates.append(
                TableUpdate(table.page_number, table.region_id, before.region_id, repeated)
            )
    return updates


def _follows(before: OutlineTable, table: OutlineTable) -> bool:
    """Whether a table begins the page after the one that another ends."""
    return (
        table.page_number == before.page_number + 1
        and before.is_last
        and table.is_first
        and before.bbox.y1 >= REACHES_DOWN * before.page_height
        and table.bbox.y0 <= BEGINS_ABOVE * table.page_height
    )


def _continues(
    root: OutlineTable, before: OutlineTable, table: OutlineTable, repeated: int
) -> bool:
    if not _match(before.columns, table.columns) or _has_other_caption(root, table):
        return False
    step = _step(before.tail, table.head[repeated : repeated + 1])
    if step is not None and step != 1 and step == _step(before.tail, _body(root)):
        return False
    if step == 1:
        return True
    return not _is_total(before.tail) and (repeated > 0 or not _has_header(table))


def _has_other_caption(root: OutlineTable, table: OutlineTable) -> bool:
    """Whether a caption names another table than the one that may go on."""
    if not table.caption:
        return False
    number, known = (_NUMBERED.match(caption or "") for caption in (table.caption, root.caption))
    if number and known and number[0].casefold() != known[0].casefold():
        return True
    if _CONTINUED.search(table.caption):
        return False
    return _plain(table.caption) != _plain(root.caption or "")


def _repeated_rows(before: OutlineTable, table: OutlineTable) -> int:
    """How many rows at the top of a table are those at the top of another, and no figures."""
    count = 0
    for first, second in zip(before.head, table.head, strict=False):
        texts = [_plain(text) for text in second]
        if texts != [_plain(text) for text in first] or not any(texts):
            break
        if count and not _is_heading(second, table.columns):
            break
        count += 1
    return count


def _has_header(table: OutlineTable) -> bool:
    """Whether its first row names the columns: there are columns of figures, and it has none."""
    return bool(table.head) and _is_heading(table.head[0], table.columns)


def _is_heading(row: Sequence[str], columns: Sequence[OutlineColumn]) -> bool:
    over = [
        text for text, column in zip(row, columns, strict=True) if column.values >= FIGURES and text
    ]
    return bool(over) and not any(map(is_value, over))


def _body(table: OutlineTable) -> Sequence[Sequence[str]]:
    """The first row of a table that is no heading, in a sequence of one, or none."""
    return [row for row in table.head if not _is_heading(row, table.columns)][:1]


def _is_total(row: Sequence[str]) -> bool:
    return _TOTAL.match(next((text for text in row if text), "")) is not None


def _step(row: Sequence[str], following: Sequence[Sequence[str]]) -> int | None:
    """By how much the numbers that begin two rows differ; None where they count nothing."""
    if not following or not row or not following[0]:
        return None
    one, two = _COUNTED.fullmatch(row[0]), _COUNTED.fullmatch(following[0][0])
    if not one or not two or one[1] != two[1] or max(len(one[2]), len(two[2])) > 9:
        return None
    return int(two[2]) - int(one[2])


def _match(first: Sequence[OutlineColumn], second: Sequence[OutlineColumn]) -> bool:
    """Whether columns stand in the same places, or all moved as one, and are of the same kinds."""
    if len(first) != len(second) or len(first) < 2:
        return False
    same = sum(
        (one.values >= FIGURES) == (two.values >= FIGURES)
        for one, two in zip(first, second, strict=True)
    )
    moved = second[0].x0 - first[0].x0
    return same >= SAME_KIND * len(first) and (
        _in_place(first, second, 0.0) or _in_place(first, second, moved)
    )


def _in_place(
    first: Sequence[OutlineColumn], second: Sequence[OutlineColumn], moved: float
) -> bool:
    return all(
        min(one.x1 + moved, two.x1) - max(one.x0 + moved, two.x0)
        >= IN_PLACE * min(one.x1 - one.x0, two.x1 - two.x0)
        for one, two in zip(first, second, strict=True)
    )


def _plain(text: str) -> str:
    """Letters and digits alone, in lower case."""
    return "".join(character for character in text.casefold() if character.isalnum())
