"""A look at Dagster's storage of runs without Dagster, which takes a second to import."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

_ENDED_WELL = ("SUCCESS", "FAILURE")
"""States of a run that say nothing but what the warehouse says as well."""


def runs_by_status(data_dir: Path) -> dict[str, int] | None:
    """How many runs there are in each state, by its name; None where that cannot be seen."""
    try:
        found = _rows(data_dir, "SELECT status, count(*) FROM runs GROUP BY status")
    except sqlite3.Error:
        return None
    return {str(status): int(count) for status, count in found}


def may_tell_of_runs(data_dir: Path) -> bool:
    """Whether Dagster knows of a run that is not over, or was cancelled.

    True where that cannot be seen: the runs may be kept elsewhere, or in another form.
    """
    if not (data_dir / "dagster").exists():
        return False
    marks = ", ".join("?" * len(_ENDED_WELL))
    sql = f"SELECT EXISTS (SELECT 1 FROM runs WHERE status NOT IN ({marks}))"  # noqa: S608
    try:
        ((found,),) = _rows(data_dir, sql, _ENDED_WELL)
    except sqlite3.Error:
        return True
    return bool(found)


def _rows(data_dir: Path, sql: str, parameters: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    path = data_dir / "dagster" / "history" / "runs.db"
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as conn:
        return conn.execute(sql, parameters).fetchall()
