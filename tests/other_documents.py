"""Documents that are no PDFs, made for tests: images, an e-book, a comic book, an XPS document."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

CONTAINER = """<?xml version="1.0"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="c.opf" media-type="application/oebps-package+xml"/></rootfiles></container>"""

PACKAGE = """<?xml version="1.0"?>
<package xmlns="http://www.idpf.org/2007/opf" version="2.0" unique-identifier="i">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>Harbour book</dc:title>
<dc:creator>A. Pilot</dc:creator><dc:identifier id="i">x</dc:identifier>
<dc:language>en</dc:language></metadata>
<manifest><item id="a" href="a.xhtml" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="a"/></spine></package>"""

XPS_PAGE = (
    '<FixedPage xmlns="http://schemas.microsoft.com/xps/2005/06" Width="816" Height="1056">'
    '<Path Fill="#ff0000" Data="M 0,0 L 408,0 408,528 0,528 Z"/></FixedPage>'
)


def picture(text: str, size: tuple[int, int] = (1240, 620)) -> Image.Image:
    """Black on white, in letters that OCR reads."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.text((90, 120), text, fill="black", font=ImageFont.load_default(size=40))
    return image


def tiff(path: Path, *texts: str) -> Path:
    first, *others = [picture(text) for text in texts]
    first.save(path, save_all=True, append_images=others, dpi=(150, 150), compression="tiff_lzw")
    return path


def archive(path: Path, files: Mapping[str, str | bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        for name, content in files.items():
            target.writestr(name, content)
    return path


def epub(path: Path, body: str) -> Path:
    page = f'<html xmlns="http://www.w3.org/1999/xhtml"><body>{body}</body></html>'
    return archive(
        path,
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": CONTAINER,
            "c.opf": PACKAGE,
            "a.xhtml": page,
        },
    )


def cbz(path: Path, *texts: str) -> Path:
    pages = {}
    for number, text in enumerate(texts):
        buffer = io.BytesIO()
        picture(text).save(buffer, "PNG")
        pages[f"{number:02}.png"] = buffer.getvalue()
    return archive(path, {**pages, "ComicInfo.xml": "<ComicInfo/>"})


def xps(path: Path) -> Path:
    """A page of 612 x 792 points with a red quarter."""
    own = "http://schemas.microsoft.com/xps/2005/06"
    relations = "http://schemas.openxmlformats.org/package/2006"
    return archive(
        path,
        {
            "[Content_Types].xml": f'<Types xmlns="{relations}/content-types"/>',
            "_rels/.rels": f'<Relationships xmlns="{relations}/relationships"><Relationship Id="r" '
            f'Type="{own}/fixedrepresentation" Target="/s.fdseq"/></Relationships>',
            "s.fdseq": f'<FixedDocumentSequence xmlns="{own}">'
            '<DocumentReference Source="/d.fdoc"/></FixedDocumentSequence>',
            "d.fdoc": f'<FixedDocument xmlns="{own}"><PageContent Source="/1.fpage"/>'
            "</FixedDocument>",
            "1.fpage": XPS_PAGE,
        },
    )
