"""Form fields, annotations, links and labels of pages that the tests draw."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepcompress_dagster.pdf.messages import PageContent, RenderRequest
from deepcompress_dagster.pdf.worker import interactive
from deepcompress_dagster.pdf.worker.document import describe, open_document
from deepcompress_dagster.pdf.worker.mupdf import pymupdf
from deepcompress_dagster.pdf.worker.render import render_page
from deepcompress_dagster.records import OVERLAY_LEFT_OUT, BBox, FormField
from tests.raw_pdf import PAGES, stream, write_pdf


def content_of(path: Path, page_number: int = 1, *, authors: bool = False) -> PageContent:
    request = RenderRequest(page_number, 72, 40_000_000, None, annotation_authors=authors)
    return render_page(open_document(path), request)


@pytest.fixture
def drawn(tmp_path: Path) -> Callable[..., Path]:
    """``drawn(draw, rotation)`` saves a PDF of one page that ``draw(page)`` drew."""

    def save(draw: Callable[[Any], None], rotation: int = 0) -> Path:
        document = pymupdf.open()
        page = document.new_page(width=400, height=300)
        draw(page)
        page.set_rotation(rotation)
        document.save(tmp_path / "drawn.pdf")
        return tmp_path / "drawn.pdf"

    return save


def add_field(page: Any, kind: int, name: str, box: tuple[float, ...], value: Any, **more: Any):
    widget = pymupdf.Widget()
    widget.field_type, widget.field_name = kind, name
    widget.rect, widget.field_value = pymupdf.Rect(box), value
    for attribute, given in more.items():
        setattr(widget, attribute, given)
    page.add_widget(widget)


def form(page: Any) -> None:
    page.insert_text((40, 50), "Owner", fontsize=10)
    add_field(page, pymupdf.PDF_WIDGET_TYPE_TEXT, "owner", (150, 40, 300, 55), "Bram T.")
    page.insert_text((40, 90), "Berth", fontsize=10)
    add_field(
        page,
        pymupdf.PDF_WIDGET_TYPE_COMBOBOX,
        "berth",
        (40, 95, 200, 110),
        "South",
        choice_values=["North", "South"],
    )
    page.insert_text((60, 150), "Power", fontsize=10)
    add_field(page, pymupdf.PDF_WIDGET_TYPE_CHECKBOX, "power", (40, 140, 52, 152), True)
    page.insert_text((140, 150), "Water", fontsize=10)
    add_field(page, pymupdf.PDF_WIDGET_TYPE_CHECKBOX, "water", (120, 140, 132, 152), False)
    page.insert_text((40, 190), "Yes", fontsize=10)
    add_field(page, pymupdf.PDF_WIDGET_TYPE_CHECKBOX, "yes", (62, 180, 74, 192), False)
    page.insert_text((90, 190), "No", fontsize=10)
    add_field(
        page,
        pymupdf.PDF_WIDGET_TYPE_CHECKBOX,
        "no",
        (106, 180, 118, 192),
        True,
        field_label="I do not\nagree",
    )


def test_fields_tell_their_value_and_state_and_what_stands_beside_them(drawn) -> None:
    fields = {field.name: field for field in content_of(drawn(form)).fields}
    assert fields["owner"] == FormField(
        "owner", "text", "Bram T.", None, "Owner", BBox(150, 40, 300, 55)
    )
    assert (fields["berth"].kind, fields["berth"].value) == ("choice", "South")
    ticked = {name: (fields[name].checked, fields[name].label) for name in list(fields)[1:]}
    assert ticked == {
        "berth": (None, "Berth"),
        "power": (True, "Power"),
        "water": (False, "Water"),
        "yes": (False, "Yes"),
        "no": (True, "I do not agree"),
    }
    assert fields["power"].value == fields["no"].value == "Yes"


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_boxes_and_labels_hold_on_a_page_that_is_displayed_turned(drawn, rotation: int) -> None:
    content = content_of(drawn(form, rotation))
    power = next(field for field in content.fields if field.name == "power")
    word = next(word for word in content.words if word.text == "Power")
    upright = content_of(drawn(form))
    assert (power.bbox.width, power.bbox.height) == (12, 12)
    x, y = power.bbox.center
    assert min(abs(x - word.bbox.center[0]), abs(y - word.bbox.center[1])) < 4
    assert [f.checked for f in content.fields] == [f.checked for f in upright.fields]


def test_a_box_without_an_appearance_is_ticked_by_its_value(tmp_path: Path) -> None:
    box = b"/Type /Annot /Subtype /Widget /FT /Btn /Rect [10 10 20 20]"
    path = write_pdf(
        tmp_path / "bare.pdf",
        b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [4 0 R 5 0 R 6 0 R]"
        b" /NeedAppearances true >> >>",
        PAGES,
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] /Annots [4 0 R 5 0 R 6 0 R] >>",
        b"<< %s /T (on) /V /Yes >>" % box,
        b"<< %s /T (off) /V /Off >>" % box,
        b"<< %s /T (unset) >>" % box,
    )
    assert {f.name: f.checked for f in content_of(path).fields} == {
        "on": True,
        "off": False,
        "unset": False,
    }


def test_each_button_of_a_radio_group_and_every_choice_of_a_list_is_told(tmp_path: Path) -> None:
    button = b"/Type /Annot /Subtype /Widget /Parent 4 0 R /Rect [10 10 20 20]"
    look = b"/AP << /N << /%s 8 0 R /Off 8 0 R >> >>"
    path = write_pdf(
        tmp_path / "group.pdf",
        b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [4 0 R 7 0 R 9 0 R] >> >>",
        PAGES,
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100]"
        b" /Annots [5 0 R 6 0 R 7 0 R 9 0 R] >>",
        b"<< /FT /Btn /Ff 49152 /T (size) /V /large /Kids [5 0 R 6 0 R] >>",
        b"<< %s /AS /Off %s >>" % (button, look % b"small"),
        b"<< %s /AS /large %s >>" % (button, look % b"large"),
        b"<< /Type /Annot /Subtype /Widget /FT /Ch /Ff 2097152 /T (days) /Rect [40 10 80 40]"
        b" /Opt [(Mon) (Tue) (Wed)] /V [(Mon) (Wed)] >>",
        stream(b"", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9]"),
        b"<< /Type /Annot /Subtype /Widget /FT /Sig /T (signed) /Rect [90 10 99 20]"
        b" /V << /Type /Sig /Name (Ada Roe) >> >>",
    )
    found = [(f.name, f.kind, f.value, f.checked) for f in content_of(path).fields]
    assert found == [
        ("size", "radio", "small", False),
        ("size", "radio", "large", True),
        ("days", "choice", "Mon\nWed", None),
        ("signed", "signature", "Ada Roe", None),
    ]


@pytest.mark.parametrize("rotation", [0, 90])
def test_notes_marks_and_links_tell_what_they_say_and_lie_on(drawn, rotation: int) -> None:
    def draw(page: Any) -> None:
        page.insert_text((50, 60), "Oak from the north gate", fontsize=11)
        mark = page.add_highlight_annot(page.search_for("north gate"))
        mark.set_info(content="which gate?", title="Ada Roe")
        mark.update()
        page.add_text_annot((300, 20), "ask Harrow")
        page.insert_text((50, 200), "our site", fontsize=11)
        page.insert_link(
            {
                "kind": pymupdf.LINK_URI,
                "from": pymupdf.Rect(48, 188, 95, 204),
                "uri": "https://example.org/a?b=1",
            }
        )
        page.insert_link(
            {"kind": pymupdf.LINK_GOTO, "from": pymupdf.Rect(48, 250, 95, 260), "page": 0}
        )

    path = drawn(draw, rotation)
    content = content_of(path)
    mark, note = sorted(content.annotations, key=lambda annotation: annotation.kind)
    assert (mark.kind, mark.text, mark.marked_text) == ("highlight", "which gate?", "north gate")
    assert (note.kind, note.text, note.author) == ("text", "ask Harrow", None)
    assert mark.author is None
    named = content_of(path, authors=True).annotations
    assert {annotation.author for annotation in named} == {"Ada Roe", None}
    web, inner = content.links
    assert (web.kind, web.target, web.text) == ("uri", "https://example.org/a?b=1", "our site")
    assert (inner.kind, inner.target_page, inner.text) == ("page", 1, None)


def test_pages_carry_the_numbers_that_the_document_prints(tmp_path: Path) -> None:
    document = pymupdf.open()
    for _ in range(5):
        document.new_page()
    document.set_page_labels(
        [
            {"startpage": 0, "style": "r", "prefix": "", "firstpagenum": 3},
            {"startpage": 2, "style": "D", "prefix": "A-", "firstpagenum": 1},
            {"startpage": 4, "style": "", "prefix": "Cover", "firstpagenum": 1},
        ]
    )
    document.save(tmp_path / "labels.pdf")
    labels = [content_of(tmp_path / "labels.pdf", number).label for number in range(1, 6)]
    assert labels == ["iii", "iv", "A-1", "A-2", "Cover"]


def test_more_fields_than_are_kept_are_said(drawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interactive, "MOST_PER_PAGE", 2)
    content = content_of(drawn(form))
    assert len(content.fields) == 2
    assert [(n.error_type, n.message) for n in content.notes] == [
        (OVERLAY_LEFT_OUT, "only the first 2 form fields are kept")
    ]


XFA = stream(b"<xdp:xdp/>")


@pytest.mark.parametrize(
    ("catalog", "is_dynamic"),
    [
        (b"/AcroForm << /Fields [] /XFA 4 0 R >> /NeedsRendering true", True),
        (b"/AcroForm << /Fields [] /XFA [(template) 4 0 R] >>", True),
        (b"/AcroForm << /Fields [5 0 R] /XFA 4 0 R >>", False),
        (b"/AcroForm << /Fields [5 0 R] >>", False),
    ],
)
def test_a_form_whose_pages_a_viewer_has_to_build_is_told_from_others(
    tmp_path: Path, catalog: bytes, is_dynamic: bool
) -> None:
    path = write_pdf(
        tmp_path / "form.pdf",
        b"<< /Type /Catalog /Pages 2 0 R %s >>" % catalog,
        PAGES,
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 100] /Annots [5 0 R] >>",
        XFA,
        b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (a) /V (b) /Rect [1 1 9 9] >>",
    )
    assert describe(open_document(path), path, 9).is_dynamic_form is is_dynamic
