"""What lies over a page beside its content: form fields, annotations, links, and the page's label.

Read while the page is rendered, from the PDF's objects and never from pixels: whether a box is
ticked, and the text under a mark, are known even where a viewer would show nothing.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from deepcompress_dagster.pdf.worker.mupdf import one_line, pymupdf
from deepcompress_dagster.records import Annotation, BBox, FormField, Link, Word

MOST_PER_PAGE = 5000
"""Fields, annotations or links of one page that are kept."""

LONGEST_VALUE = 20_000
"""Characters of a field's value or of an annotation's text that are kept."""

LABEL_GAP = 2.5
"""Words further apart than this many of their heights do not belong to one label."""

LABEL_DISTANCE = 15.0
"""Heights of its words between a label and its field, with no other field between: labels stand in
a column of their own, flush left."""

LABEL_LINE = 1.5
"""A label above its field begins at most this many of its heights above it."""

OFF = "Off"
"""Name of the state of a box that is not ticked (ISO 32000-1, 12.7.4.2.3)."""

_KINDS = {
    pymupdf.PDF_WIDGET_TYPE_BUTTON: "button",
    pymupdf.PDF_WIDGET_TYPE_CHECKBOX: "checkbox",
    pymupdf.PDF_WIDGET_TYPE_RADIOBUTTON: "radio",
    pymupdf.PDF_WIDGET_TYPE_TEXT: "text",
    pymupdf.PDF_WIDGET_TYPE_LISTBOX: "choice",
    pymupdf.PDF_WIDGET_TYPE_COMBOBOX: "choice",
    pymupdf.PDF_WIDGET_TYPE_SIGNATURE: "signature",
}
_STATE = re.compile(r"/([^\s/<>\[\]()]+)\s*(?:\d+ \d+ R|null)")
"""A name and the appearance that it refers to, as MuPDF writes a dictionary."""

_TICKED = frozenset({"checkbox", "radio"})
_MARKS = frozenset(
    {
        pymupdf.PDF_ANNOT_HIGHLIGHT,
        pymupdf.PDF_ANNOT_UNDERLINE,
        pymupdf.PDF_ANNOT_STRIKE_OUT,
        pymupdf.PDF_ANNOT_SQUIGGLY,
    }
)
"""Annotations that mark words of the page."""

_NOT_ANNOTATIONS = frozenset(
    {pymupdf.PDF_ANNOT_LINK, pymupdf.PDF_ANNOT_WIDGET, pymupdf.PDF_ANNOT_POPUP}
)

_LINK_KINDS = {
    pymupdf.LINK_GOTO: "page",
    pymupdf.LINK_NAMED: "page",
    pymupdf.LINK_URI: "uri",
    pymupdf.LINK_LAUNCH: "file",
    pymupdf.LINK_GOTOR: "file",
}


@dataclass(frozen=True)
class Overlay:
    """What lies over one page; ``notes`` say what was left out."""

    fields: tuple[FormField, ...] = ()
    annotations: tuple[Annotation, ...] = ()
    links: tuple[Link, ...] = ()
    notes: tuple[str, ...] = ()


def page_overlay(page: Any, words: Sequence[Word], *, with_authors: bool) -> Overlay:
    """Fields, annotations and links of a page, in points as displayed.

    ``words`` are the page's text layer: they say what stands beside a box and under a mark.
    """
    notes: list[str] = []
    if not page.parent.is_pdf:
        links = _at_most(page.get_links(), "links", notes)
        return Overlay(links=tuple(_link(link, words) for link in links), notes=tuple(notes))
    if "Annots" not in page.parent.xref_get_keys(page.xref):
        return Overlay()
    widgets = _at_most(page.widgets(), "form fields", notes)
    boxes = [_displayed(page, widget.rect) for widget in widgets]
    return Overlay(
        tuple(
            _field(page.parent, widget, box, _label(widget, box, words, boxes))
            for widget, box in zip(widgets, boxes, strict=True)
        ),
        tuple(
            _annotation(page, annotation, words, with_authors)
            for annotation in _at_most(_annotations(page), "annotations", notes)
        ),
        tuple(_link(link, words) for link in _at_most(page.get_links(), "links", notes)),
        tuple(notes),
    )


def page_label(page: Any) -> str | None:
    """The page's number as the document itself counts (``iv``, ``A-3``), None where it does not."""
    return one_line(page.get_label() or "", 100) or None if page.parent.is_pdf else None


def clean(text: str | None) -> str | None:
    """Text with its line breaks and without other control characters; None for nothing."""
    if not text:
        return None
    lines = text[:LONGEST_VALUE].replace("\r\n", "\n").replace("\r", "\n")
    kept = "".join(c if c.isprintable() or c in "\n\t" else " " for c in lines).strip()
    return kept or None


def _at_most(items: Any, what: str, notes: list[str]) -> list[Any]:
    kept: list[Any] = []
    for item in items:
        if len(kept) == MOST_PER_PAGE:
            notes.append(f"only the first {MOST_PER_PAGE:,} {what} are kept")
            break
        kept.append(item)
    return kept


def _displayed(page: Any, rect: Any) -> BBox:
    """PyMuPDF gives boxes of annotations on the page as it is without its rotation."""
    return BBox(*(rect * page.rotation_matrix)).rounded()


# Form fields


def _field(document: Any, widget: Any, box: BBox, label: str | None) -> FormField:
    kind = _KINDS.get(widget.field_type, "unknown")
    name = clean(widget.field_name) or ""
    if kind in _TICKED:
        states = _on_states(document, widget.xref)
        is_ticked = _is_ticked(document, widget, states)
        value = states[0] if states else clean(widget.field_value if is_ticked else None)
        return FormField(name, kind, value, is_ticked, label, box)
    return FormField(name, kind, _value(document, widget, kind), None, label, box)


def _value(document: Any, widget: Any, kind: str) -> str | None:
    if kind == "button":
        return None
    mupdf = pymupdf.mupdf
    entry = mupdf.pdf_dict_get_inheritable(_object(document, widget.xref), pymupdf.PDF_NAME("V"))
    if kind == "signature":
        if not mupdf.pdf_is_dict(entry):
            return None
        return clean(mupdf.pdf_dict_get_text_string(entry, pymupdf.PDF_NAME("Name"))) or "signed"
    if mupdf.pdf_is_array(entry):
        chosen = [
            mupdf.pdf_to_text_string(mupdf.pdf_array_get(entry, i))
            for i in range(mupdf.pdf_array_len(entry))
        ]
        return clean("\n".join(chosen))
    value = widget.field_value
    return clean(value if isinstance(value, str) else None)


def _object(document: Any, xref: int) -> Any:
    return pymupdf.mupdf.pdf_load_object(pymupdf._as_pdf_document(document), xref)


def _on_states(document: Any, xref: int) -> list[str]:
    """The states of a box other than off, by the appearances that it has."""
    kind, value = document.xref_get_key(xref, "AP/N")
    if kind == "xref":
        return [key for key in document.xref_get_keys(int(value.split()[0])) if key != OFF]
    if kind != "dict":
        return []
    return [name for name in _STATE.findall(value) if name != OFF]


def _is_ticked(document: Any, widget: Any, states: Sequence[str]) -> bool:
    """The state that is shown; the field's value where it is not or where viewers redraw it."""
    kind, shown = document.xref_get_key(widget.xref, "AS")
    value = widget.field_value if isinstance(widget.field_value, str) else ""
    is_value_on = value in states if states else value not in ("", OFF)
    if kind != "name" or (document.need_appearances() and not shown.strip("/")):
        return is_value_on
    return bool(shown.removeprefix("/") != OFF)


def _label(widget: Any, box: BBox, words: Sequence[Word], fields: Sequence[BBox]) -> str | None:
    """What a field is called on the page: its own caption, else the words beside or above it.

    A box to tick is named by the words next to it, on whichever side; other fields by those on
    their left, else above.
    """
    if caption := clean(widget.field_label):
        return one_line(caption)
    is_box = _KINDS.get(widget.field_type) in _TICKED
    outside = [word for word in words if not _is_in_a_field(word.bbox, fields)]
    beside = [word for word in outside if _is_beside(word.bbox, box)]
    neighbours = [field for field in fields if field != box and _is_beside(field, box)]
    right = _run(beside, box, min((f.x0 for f in neighbours if f.x0 >= box.x1), default=math.inf))
    left = _run(beside, box, max((f.x1 for f in neighbours if f.x1 <= box.x0), default=-math.inf))
    if is_box:
        return min(right, left, key=lambda run: run[0])[1]
    return left[1] or _above(outside, box)


def _is_in_a_field(word: BBox, fields: Sequence[BBox]) -> bool:
    return any(field.contains_point(*word.center) for field in fields)


def _is_beside(word: BBox, box: BBox) -> bool:
    overlap = min(word.y1, box.y1) - max(word.y0, box.y0)
    return overlap > 0.4 * min(word.height, box.height)


def _run(beside: Sequence[Word], box: BBox, end: float) -> tuple[float, str | None]:
    """The words that follow the box without a gap, towards ``end`` and no further.

    With their distance from the box, in points; infinite where there are none.
    """
    distance = math.inf
    is_right = end > box.x0
    edge = box.x1 if is_right else box.x0
    chosen: list[Word] = []
    for word in sorted(beside, key=lambda word: word.bbox.x0, reverse=not is_right):
        near, far = (word.bbox.x0, word.bbox.x1) if is_right else (word.bbox.x1, word.bbox.x0)
        gap = near - edge if is_right else edge - near
        if gap < -0.5 * word.bbox.height:
            continue
        allowed = LABEL_GAP if chosen else LABEL_DISTANCE
        if gap > allowed * word.bbox.height or (far > end if is_right else far < end):
            break
        distance = distance if chosen else gap
        chosen.append(word)
        edge = far
    return distance, _joined(chosen)


def _above(words: Sequence[Word], box: BBox) -> str | None:
    near = [
        word
        for word in words
        if word.bbox.y1 <= box.y0 + 0.5 * word.bbox.height
        and box.y0 - word.bbox.y0 <= LABEL_LINE * word.bbox.height + word.bbox.height
        and min(word.bbox.x1, box.x1) > max(word.bbox.x0, box.x0)
    ]
    lowest = max((word.bbox.y0 for word in near), default=0.0)
    return _joined([w for w in near if lowest - w.bbox.y0 < 0.5 * w.bbox.height])


def _joined(words: Sequence[Word]) -> str | None:
    ordered = sorted(words, key=lambda word: word.bbox.x0)
    return one_line(" ".join(word.text for word in ordered)) or None


# Annotations and links


def _annotations(page: Any) -> Iterator[Any]:
    return (each for each in page.annots() if each.type[0] not in _NOT_ANNOTATIONS)


def _annotation(
    page: Any, annotation: Any, words: Sequence[Word], with_authors: bool
) -> Annotation:
    number, name = annotation.type[:2]
    box = _displayed(page, annotation.rect)
    info = annotation.info
    text = clean(info.get("content"))
    if number == pymupdf.PDF_ANNOT_FILE_ATTACHMENT:
        text = text or clean(annotation.file_info.get("filename"))
    return Annotation(
        kind=_snake(name),
        text=text,
        marked_text=_marked(page, annotation, words) if number in _MARKS else None,
        author=clean(info.get("title")) if with_authors else None,
        bbox=box,
    )


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _marked(page: Any, annotation: Any, words: Sequence[Word]) -> str | None:
    """The words whose middle lies in one of the marked quadrilaterals, line by line."""
    points = [pymupdf.Point(point) for point in annotation.vertices or ()]
    quads = [pymupdf.Quad(points[i : i + 4]).rect for i in range(0, len(points) - 3, 4)]
    boxes = [_displayed(page, quad) for quad in quads] or [_displayed(page, annotation.rect)]
    marked = [w.text for w in words if any(b.contains_point(*w.bbox.center) for b in boxes)]
    return clean(" ".join(marked))


def _link(link: dict[str, Any], words: Sequence[Word]) -> Link:
    box = BBox(*link["from"]).rounded()
    kind = _LINK_KINDS.get(link["kind"], "unknown")
    target = link.get("uri") or link.get("file") or link.get("nameddest") or link.get("name")
    page = int(link.get("page", -1))
    return Link(
        kind=kind,
        target=clean(target),
        target_page=page + 1 if page >= 0 and kind == "page" else None,
        text=_joined_lines([word for word in words if box.contains_point(*word.bbox.center)]),
        bbox=box,
    )


def _joined_lines(words: Sequence[Word]) -> str | None:
    return clean(" ".join(word.text for word in words))
