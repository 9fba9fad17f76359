"""Addresses within the viewer, for what leads there: Dagster's UI, the command line, citations."""

from urllib.parse import quote, urlencode


def document(viewer: str, document_id: str, **query: str) -> str:
    """A document in the viewer at ``viewer``, which has no slash at its end."""
    return f"{viewer}/documents/{quote(document_id)}{f'?{urlencode(query)}' if query else ''}"


def region(viewer: str, document_id: str, page_number: int, region_id: str) -> str:
    """A row of a page, chosen."""
    page = f"{viewer}/documents/{quote(document_id)}/pages/{page_number}"
    return f"{page}?{urlencode({'region': region_id})}"


def thumbnail(viewer: str, document_id: str, asset: str) -> str:
    """A small picture of the first page with a row of ``asset``."""
    return f"{viewer}/documents/{quote(document_id)}/thumbnail.png?{urlencode({'asset': asset})}"
