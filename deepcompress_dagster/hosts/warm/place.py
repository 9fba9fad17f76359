"""Where runs and the warm process of a data folder meet: lock, socket, key, and one code version.

All of it lies in ``<data>/warm``, which only its owner may enter. What is said there is
messages.py's.
"""

import hashlib
import os
import secrets
import socket
import stat
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from pathlib import Path

import deepcompress_dagster
from deepcompress_dagster.hosts.errors import HostError

LONGEST_ADDRESS = 100
"""Bytes of a socket's path; Linux takes 107, macOS 103."""

KEY_BYTES = 32

SILENCE_S = 10
"""Longest wait for the next of the first words, which take a millisecond."""

BACKLOG = 16
"""Runs that may wait to be admitted; Dagster starts four at once."""


def folder(data_dir: Path) -> Path:
    """The folder in which they meet."""
    return data_dir / "warm"


def make_folder(data_dir: Path) -> Path:
    """The same, made where it is missing."""
    path = folder(data_dir)
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700)
    return path


def lock_path(data_dir: Path) -> Path:
    """Its lock is held exactly while a warm process lives."""
    return folder(data_dir) / "lock"


def socket_path(data_dir: Path) -> Path:
    """The socket; outside of the data folder where the path of that is too long for one.

    Raises HostError where somebody else made the folder outside.
    """
    path = folder(data_dir) / "socket"
    if len(os.fsencode(path)) <= LONGEST_ADDRESS:
        return path
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    outside = Path("/tmp") / f"deepcompress-{os.getuid()}-{digest}"  # noqa: S108
    with suppress(FileExistsError):
        outside.mkdir(mode=0o700)
    found = outside.lstat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
        raise HostError(f"{outside} is not this user's own folder: remove it")
    return outside / "socket"


def new_key(data_dir: Path) -> bytes:
    """A key that runs have to know, written to a file that only this user may read."""
    path = _key_path(data_dir)
    key = secrets.token_bytes(KEY_BYTES)
    temporary = path.with_name(f".key-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key)
    temporary.replace(path)
    return key


def read_key(data_dir: Path) -> bytes:
    """The key of the warm process. Raises FileNotFoundError, and HostError for a file of others."""
    path = _key_path(data_dir)
    if path.stat().st_uid != os.getuid():
        raise HostError(f"{path} is another user's: runs and the warm process must be one user's")
    return path.read_bytes()


def remove(data_dir: Path) -> None:
    """Leave nothing that a run could take for a living process."""
    socket_path(data_dir).unlink(missing_ok=True)
    _key_path(data_dir).unlink(missing_ok=True)


def _key_path(data_dir: Path) -> Path:
    return folder(data_dir) / "key"


def listen(data_dir: Path) -> socket.socket:
    """The socket on which runs are awaited. Raises OSError."""
    path = socket_path(data_dir)
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(path))
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def admit(ours: socket.socket, key: bytes) -> Connection:
    """The conversation with somebody who connected, once both have shown that they know the key.

    Raises AuthenticationError, EOFError, OSError.
    """
    connection = Connection(ours.detach())
    return _trusted(connection, key, deliver_challenge, answer_challenge)


def connect(data_dir: Path) -> Connection:
    """The conversation with the warm process, once both have shown that they know the key.

    Raises FileNotFoundError and ConnectionError where nobody listens, AuthenticationError,
    EOFError, HostError, and BlockingIOError where the process is silent for ``SILENCE_S``.
    """
    key = read_key(data_dir)
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        ours.connect(os.fspath(socket_path(data_dir)))
    except BaseException:
        ours.close()
        raise
    connection = Connection(ours.detach())
    return _trusted(connection, key, answer_challenge, deliver_challenge)


def _trusted(
    connection: Connection, key: bytes, *challenges: Callable[[Connection, bytes], None]
) -> Connection:
    """The connection after these challenges. Raises BlockingIOError after ``SILENCE_S``."""
    try:
        limit_waiting(connection, SILENCE_S)
        for challenge in challenges:
            challenge(connection, key)
    except BaseException:
        connection.close()
        raise
    return connection


def limit_waiting(connection: Connection, seconds: int) -> None:
    """Have reads raise BlockingIOError after so long; 0 for no limit."""
    with socket.socket(fileno=os.dup(connection.fileno())) as ours:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", seconds, 0))


def hang_up(connection: Connection) -> None:
    """End a conversation from any thread: whoever reads or writes there gets an error."""
    with suppress(OSError), socket.socket(fileno=os.dup(connection.fileno())) as ours:
        ours.shutdown(socket.SHUT_RDWR)


def code_on_disk() -> str:
    """What tells one state of the code from another: Python, where it is, and every source file.

    By size and time, as Python itself tells whether a compiled file is stale.
    """
    root = Path(deepcompress_dagster.__file__).parent
    digest = hashlib.sha256(f"{sys.version} {sys.prefix} {root}".encode())
    for path in sorted(root.rglob("*.py")):
        found = path.stat()
        digest.update(f"{path.relative_to(root)} {found.st_size} {found.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


@cache
def loaded_code() -> str:
    """The code that this process runs: to be asked for first when it starts."""
    return code_on_disk()
