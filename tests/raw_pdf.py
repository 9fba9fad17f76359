"""PDFs written object by object, for what no library would write."""

from pathlib import Path

CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
PAGES = b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>"


def write_pdf(path: Path, *objects: bytes) -> Path:
    """A PDF of these objects, without a cross-reference table."""
    body = b"".join(b"%d 0 obj\n%s\nendobj\n" % item for item in enumerate(objects, start=1))
    path.write_bytes(b"%PDF-1.7\n" + body + b"trailer << /Root 1 0 R >>\n%%EOF\n")
    return path


def stream(data: bytes, header: bytes = b"") -> bytes:
    return b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), header, data)


def page(resources: bytes = b"", box: bytes = b"[0 0 200 100]") -> bytes:
    return b"<< /Type /Page /Parent 2 0 R /MediaBox %s /Contents 4 0 R /Resources << %s >> >>" % (
        box,
        resources,
    )


def endless_pdf(path: Path) -> Path:
    """A PDF whose one page draws a form 2**30 times."""
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9]"
    forms = [
        stream(b"/F Do /F Do", form + b" /Resources << /XObject << /F %d 0 R >> >>" % (number + 1))
        for number in range(5, 35)
    ]
    draw = page(b"/XObject << /F 5 0 R >>")
    last = stream(b"0 0 1 1 re f", form)
    return write_pdf(path, CATALOG, PAGES, draw, stream(b"/F Do"), *forms, last)
