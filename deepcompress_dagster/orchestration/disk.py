"""The disk of the data folder: whether work may begin or go on, and what an error of it means.

Work stops while some room is left, because Dagster cannot record how a run ended without any.
"""

import errno
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from deepcompress_dagster.settings import Settings
from deepcompress_dagster.warehouse import DiskError

MEGABYTE = 1_000_000

WAREHOUSE_FILE = "warehouse.duckdb"

_DISK_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE}
)
_MEND = "make room or mend the disk"
_SQLITE_WORDS = ("disk", "readonly", "unable to open")


class NoRoomError(RuntimeError):
    """Too little room is left on the disk; the message says where and what to do."""


def blocked_reason(settings: Settings) -> str | None:
    """Why nothing may be written to the data folder now, and what to do; None where it may."""
    folder = _existing(settings.data_dir)
    if not os.access(folder, os.W_OK | os.X_OK):
        return (
            f"the data folder {settings.data_dir} cannot be written: change its permissions or"
            " mount its disk for writing"
        )
    free, needed = free_mb(settings.data_dir), needed_mb(settings)
    if free >= needed:
        return None
    return (
        f"the disk of {settings.data_dir} has {free} MB free and {needed} MB are kept free"
        " (DEEPCOMPRESS_MIN_FREE_MB and a copy of the warehouse): make room; nothing is lost, and"
        " unfinished documents are taken up again"
    )


def require_room(settings: Settings) -> None:
    """Raises NoRoomError where nothing may be written to the data folder now."""
    if problem := blocked_reason(settings):
        raise NoRoomError(problem)


def free_mb(folder: Path) -> int:
    """Megabytes that are free on the disk of a folder, which need not exist."""
    return shutil.disk_usage(_existing(folder)).free // MEGABYTE


def needed_mb(settings: Settings) -> int:
    """Megabytes that have to be free: what the settings keep, and a copy to publish."""
    warehouse = settings.data_dir / WAREHOUSE_FILE
    size = warehouse.stat().st_size if warehouse.exists() else 0
    return settings.min_free_mb + size // MEGABYTE


def disk_reason(error: BaseException) -> str | None:
    """What an error says of the disk; None where it has another reason."""
    for cause in _chain(error):
        if isinstance(cause, DiskError | NoRoomError):
            return str(cause)
        if isinstance(cause, OSError) and cause.errno in _DISK_ERRORS:
            return _told(cause, _MEND)
        if isinstance(cause, sqlite3.OperationalError) and any(
            word in str(cause) for word in _SQLITE_WORDS
        ):
            return f"Dagster's storage: {cause}; {_MEND}, then try again"
    return None


def permission_reason(error: BaseException) -> str | None:
    """Which permission is missing; None where the error has another reason.

    Unlike a full disk it is not waited for: runs that end by it count as attempts.
    """
    if not isinstance(error, PermissionError):
        return None
    return _told(error, "mend its permissions")


def _told(error: OSError, mend: str) -> str:
    where = f" ({error.filename})" if error.filename else ""
    return f"{error.strerror}{where}; {mend}, then try again"


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(path for path in (folder, *folder.parents) if path.exists())
