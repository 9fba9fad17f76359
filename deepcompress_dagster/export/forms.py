"""The forms of an export, and what each is made from. Light: the command line imports it."""

from dataclasses import dataclass
from enum import StrEnum


class Form(StrEnum):
    """How documents are written."""

    PARQUET = "parquet"
    CSV = "csv"
    JSONL = "jsonl"
    MARKDOWN = "markdown"
    DOCLING = "docling-json"


TABULAR = (Form.PARQUET, Form.CSV, Form.JSONL)
"""Forms of one file a document and table; the others have one a document."""

TABLES = ("documents", "pages", "layouts", "text", "tables", "figures", "errors")
"""What is exported where nobody says otherwise: what is known of a document, and of its making."""


class ExportError(RuntimeError):
    """An export cannot be carried out; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class File:
    """One file of an export: its place below the target, its bytes, and the rows in it."""

    path: str
    content: bytes
    rows: int = 1
