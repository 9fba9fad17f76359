"""A look at Dagster's storage of runs without Dagster, which takes a second to import."""

import sqlite3
from contextlib import closing
from pathlib import Path

_ENDED_WELL = ("SUCCESS", "FAILURE")
"""States of a run that say nothing but what the warehouse says as well."""


def may_tell_of_runs(data_dir: Path) -> bool:
    """Whether Dagster knows of a run that is not over, or was cancelled.

    True where that cannot be seen: the runs may be kept elsewhere, or in another form.
    """
    home = data_dir / "dagster"
    if not home.exists():
        return False
    path = home / "history" / "runs.db"
    marks = ", ".join("?" * len(_ENDED_WELL))
    sql = f"SELECT EXISTS (SELECT 1 FROM runs WHERE status NOT IN ({marks}))"  # noqa: S608
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as conn:
            ((found,),) = conn.execute(sql, _ENDED_WELL)
    except sqlite3.Error:
        return True
    return bool(found)
