"""Files that appear whole or not at all: clones, synced renames, links."""

import fcntl
import os
import shutil
import sys
from pathlib import Path

_FICLONE = 0x40049409
"""Linux ioctl that shares the blocks of one file with another (linux/fs.h)."""


def clone(source: Path, target: Path) -> None:
    """Make ``target`` a copy of ``source``: by shared blocks where the file system has them.

    Raises OSError.
    """
    target.unlink(missing_ok=True)
    with source.open("rb") as reader, target.open("wb") as writer:
        if clone_descriptor(reader.fileno(), writer.fileno()):
            return
    shutil.copyfile(source, target)


def clone_descriptor(source: int, target: int) -> bool:
    """Share the blocks of an open file with an open empty one; False where that is not possible."""
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def sync_file(path: Path) -> None:
    """Wait until the file's bytes are on the disk."""
    _sync(path, os.O_RDONLY)


def sync_folder(path: Path) -> None:
    """Wait until the folder's names are on the disk."""
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def replace_synced(temporary: Path, target: Path) -> None:
    """Give ``temporary`` the name ``target``, its bytes being on the disk before its name is."""
    sync_file(temporary)
    temporary.replace(target)
    sync_folder(target.parent)


def replace_link(link: Path, target: Path) -> None:
    """Point ``link`` at ``target`` by a relative path, without a moment in which it is missing."""
    temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target.relative_to(link.parent))
    temporary.replace(link)
    sync_folder(link.parent)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
