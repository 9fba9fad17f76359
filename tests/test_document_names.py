"""Names of files: what is taken up, what is passed by, what is refused."""

import pytest

from deepcompress_dagster.document_names import is_document, refusal


@pytest.mark.parametrize(
    "name", ["a.pdf", "A.PDF", "a b.Pdf", "ünï.pdf", "a.tif", "b.JPEG", "c.webp", "d.epub", "e.cbz"]
)
def test_documents_are_taken_up(name: str) -> None:
    assert is_document(name)
    assert not refusal(name)


@pytest.mark.parametrize(
    "name",
    [".a.pdf", "._a.pdf", "~$a.pdf", "~$a.docx", "a.pdf.part", "a.png.tmp", "a.pdf~", "a.txt"],
)
def test_hidden_and_temporary_names_are_passed_by(name: str) -> None:
    assert not is_document(name)
    assert not refusal(name)


def test_an_office_file_is_refused_with_the_command_that_makes_a_pdf_of_it() -> None:
    assert not is_document("Bob's list.xlsx")
    assert refusal("Bob's list.xlsx").endswith(
        r"soffice --headless --convert-to pdf 'Bob'\''s list.xlsx'"
    )
