"""Which files are documents, by their names: what the inboxes and the command line take up.

What a file really is, its content says: pdf/worker/kinds.py.
"""

from pathlib import PurePath

SUFFIXES = (
    *(".pdf", ".xps", ".oxps", ".epub", ".cbz"),
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp"),
)
"""Names that end so are taken up."""

OFFICE_SUFFIXES = (
    *(".doc", ".docx", ".docm", ".odt", ".rtf"),
    *(".xls", ".xlsx", ".xlsm", ".ods"),
    *(".ppt", ".pptx", ".pptm", ".odp"),
)
"""Names that end so are refused: only an office program knows what their pages look like."""

TEMPORARY_BEGINNINGS = (".", "~$")
"""Hidden files, and the lock files of office programs. The temporary names of browsers, editors and
copying programs (.part, .tmp, .crdownload, ~) end in none of the suffixes."""


def is_document(name: str) -> bool:
    """Whether a file of this name is taken up."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(TEMPORARY_BEGINNINGS)


def refusal(name: str) -> str:
    """Why a file of this name is refused, and what to do; empty where it is not."""
    if not name.lower().endswith(OFFICE_SUFFIXES) or name.startswith(TEMPORARY_BEGINNINGS):
        return ""
    return f"{name} is an office file: turn it into a PDF, {conversion(name)}"


def conversion(name: str) -> str:
    """The command that makes a PDF of an office file."""
    quoted = PurePath(name).name.replace("'", "'\\''")
    return f"soffice --headless --convert-to pdf '{quoted}'"
