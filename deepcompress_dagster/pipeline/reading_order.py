"""Reading order of the boxes on a page: an XY cut that reads columns before it reads across.

After Nagy and Seth's recursive XY cut (1984). Rows of boxes are cut apart first; neighbouring rows
that share a column gap are put together again and read column by column.
"""

from collections.abc import Sequence

from deepcompress_dagster.records import BBox

MIN_COLUMN_GAP = 4.0
"""Points between two columns, at least."""

MIN_ROW_GAP = -2.0
"""Points between two rows; boxes may overlap a little."""


def reading_order(boxes: Sequence[BBox], *, leftward: bool = False) -> list[int]:
    """Indices of ``boxes`` (upright points) in reading order.

    ``leftward`` is the order of pages in right-to-left script and of vertical lines: columns are
    read from the right.
    """
    if leftward:
        boxes = [box._replace(x0=-box.x1, x1=-box.x0) for box in boxes]
    return _order(list(range(len(boxes))), boxes)


def _order(indices: list[int], boxes: Sequence[BBox]) -> list[int]:
    if len(indices) <= 1:
        return indices
    groups = _merge_columns(_cut(indices, boxes, axis=1, gap=MIN_ROW_GAP), boxes)
    if len(groups) == 1:
        groups = _columns(indices, boxes)
    if len(groups) == 1:
        return sorted(indices, key=lambda index: (boxes[index].y0, boxes[index]))
    return [index for group in groups for index in _order(group, boxes)]


def _columns(indices: list[int], boxes: Sequence[BBox]) -> list[list[int]]:
    return _cut(indices, boxes, axis=0, gap=MIN_COLUMN_GAP)


def _cut(indices: list[int], boxes: Sequence[BBox], axis: int, gap: float) -> list[list[int]]:
    """Groups of boxes apart by more than ``gap`` along ``axis`` (0 across, 1 down), in order."""
    ordered = sorted(indices, key=lambda index: (boxes[index][axis], boxes[index]))
    groups: list[list[int]] = []
    end = float("-inf")
    for index in ordered:
        if not groups or boxes[index][axis] - end > gap:
            groups.append([index])
        else:
            groups[-1].append(index)
        end = max(end, boxes[index][axis + 2])
    return groups


def _merge_columns(rows: list[list[int]], boxes: Sequence[BBox]) -> list[list[int]]:
    """Join a row that has columns with the rows below it that can still be cut into columns.

    A row without columns begins none: a heading at the right margin is no column.
    """
    groups: list[list[int]] = [rows[0]]
    for row in rows[1:]:
        merged = groups[-1] + row
        if min(len(_columns(part, boxes)) for part in (groups[-1], merged)) > 1:
            groups[-1] = merged
        else:
            groups.append(row)
    return groups


def between(fixed: Sequence[BBox], extra: Sequence[BBox]) -> list[float]:
    """Places for ``extra`` boxes among ``fixed`` ones, which stand at 1, 2, 3...

    Each extra box gets a fraction after the fixed box that it follows, so that the places of the
    fixed boxes do not depend on it.
    """
    order = reading_order([*fixed, *extra])
    places = [0.0] * len(extra)
    pending: list[int] = []
    previous = 0
    for index in [*order, None]:
        if index is None or index < len(fixed):
            for step, waiting in enumerate(pending, start=1):
                places[waiting] = round(previous + step / (len(pending) + 1), 4)
            previous, pending = (0 if index is None else index + 1), []
        else:
            pending.append(index - len(fixed))
    return places
