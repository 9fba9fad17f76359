"""Passwords of encrypted PDFs: from a file of patterns, and one for all from the settings.

They are kept in memory only. Nothing here logs them, and errors name the line, not what it says.
"""

import unicodedata
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from deepcompress_dagster.settings import Settings, SettingsError

VARIABLE = "DEEPCOMPRESS_PASSWORDS_FILE"

_COMMENT = "#"


@dataclass(frozen=True)
class Passwords:
    """Patterns of file names with the password of each, in the order in which they are tried."""

    rules: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def for_name(self, file_name: str) -> tuple[str, ...]:
        """The passwords whose pattern matches, in order; upper and lower case are the same."""
        name = _folded(file_name)
        found = (password for pattern, password in self.rules if fnmatchcase(name, pattern))
        return tuple(dict.fromkeys(found))


def load_passwords(settings: Settings) -> Passwords:
    """The passwords of the file, then the one for all documents.

    Raises SettingsError for a file that cannot be read or has a line that says nothing.
    """
    rules = _read(settings.passwords_file) if settings.passwords_file else []
    if settings.password is not None:
        rules.append(("*", settings.password.get_secret_value()))
    return Passwords(tuple(rules))


def _read(path: Path) -> list[tuple[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise SettingsError(f"{VARIABLE}={path}: it is not UTF-8 text; save it as such") from error
    except OSError as error:
        raise SettingsError(
            f"{VARIABLE}={path}: {error.strerror}; create it, or unset the variable"
        ) from error
    return [
        _rule(path, number, line)
        for number, line in enumerate(lines, start=1)
        if line.strip() and not line.startswith(_COMMENT)
    ]


def _rule(path: Path, number: int, line: str) -> tuple[str, str]:
    """Behind a tab the password is taken as it stands, behind ``=`` without blanks around it."""
    separator = "\t" if "\t" in line else "="
    pattern, _, password = line.partition(separator)
    if separator == "=":
        password = password.strip()
    if not pattern.strip() or not password:
        raise SettingsError(
            f"{VARIABLE}={path}, line {number}: write `file name or pattern = password`,"
            " or a tab in place of ="
        )
    return _folded(pattern.strip()), password


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
