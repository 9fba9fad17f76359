"""What is wrong with a document as a whole, or inside it and not read: said when it is opened."""

from collections.abc import Iterator, Sequence

from deepcompress_dagster.pdf.messages import DocumentInfo
from deepcompress_dagster.records import (
    DYNAMIC_FORM,
    PART_UNREADABLE,
    PORTFOLIO,
    TRUNCATED,
    Attachment,
)

REPAIRED = "repaired"
"""``error_type`` of a damaged document whose pages could be recovered."""

NAMED_FILES = 20
"""Files that the message about a portfolio names."""


def shortcomings(
    info: DocumentInfo, name: str, *, parses_attachments: bool
) -> Iterator[tuple[str, str]]:
    """``error_type`` and message of each; ``name`` is what the messages call the document."""
    if info.repaired:
        yield TRUNCATED if info.truncated else REPAIRED, "; ".join(info.notes)
    if info.is_dynamic_form:
        yield (
            DYNAMIC_FORM,
            f"{name} is a dynamic XFA form: a viewer builds its content, which the pages do not"
            " hold; print it to a PDF in Adobe Acrobat or Reader and add that",
        )
    unread = [file for file in info.attachments if not (parses_attachments and file.is_pdf)]
    if info.is_portfolio and unread:
        yield PORTFOLIO, _portfolio(name, unread, parses_attachments)
    for reason in info.unread_attachments:
        yield PART_UNREADABLE, f"{name}: {reason}"


def _portfolio(name: str, unread: Sequence[Attachment], parses_attachments: bool) -> str:
    names = ", ".join(file.name for file in unread[:NAMED_FILES])
    more = len(unread) - NAMED_FILES
    held = f"{names} and {more} more" if more > 0 else names
    what = f"{name} is a portfolio and these files in it were not read: {held}"
    if parses_attachments:
        return f"{what}; take them out and turn them into PDFs"
    return f"{what}; DEEPCOMPRESS_ATTACHMENTS=parse makes documents of the PDFs among them"
