"""The viewer as a web application: routes, headers, and the server on loopback.

What belongs here: HTTP. What is shown comes from content.py, how it looks from templates/ and
static/. Everything is read-only: no route takes anything but GET.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deepcompress_dagster.records import DocumentStatus
from deepcompress_dagster.viewer.content import DOCUMENTS_PER_PAGE, NotFoundError, Results
from deepcompress_dagster.viewer.pictures import thumbnail

if TYPE_CHECKING:
    from deepcompress_dagster.warehouse import Warehouse

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Host headers that are answered: another one means that a name was pointed here from outside."""

HEADERS = {
    b"content-security-policy": b"default-src 'none'; img-src 'self'; script-src 'self'; "
    b"style-src 'self'; form-action 'self'; base-uri 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
}
"""Nothing from elsewhere, no inline script: text of a PDF that slipped through would not run.

Frames are not forbidden, so that Dagster's UI or a portal may show a page.
"""

IMAGE_CACHE_S = 3600
"""A page image changes only when its document is parsed anew."""


def create_app(warehouse: "Warehouse", *, allowed_hosts: tuple[str, ...] = LOOPBACK) -> Starlette:
    """The application over one data folder. ``allowed_hosts`` are names that it answers to."""
    viewer = Viewer(Results(warehouse))
    static = StaticFiles(directory=Path(__file__).with_name("static"))
    page = "/documents/{document_id}/pages/{page_number:int}"
    return Starlette(
        routes=[
            Route("/", viewer.listing),
            Route("/search", viewer.search, name="search"),
            Route("/documents/{document_id}", viewer.document, name="document"),
            Route("/documents/{document_id}/thumbnail.png", viewer.thumbnail, name="thumbnail"),
            Route(page, viewer.page, name="page"),
            Route(page + "/image", viewer.page_image, name="page_image"),
            Route(page + "/figures/{region_id}", viewer.figure_image, name="figure_image"),
            Mount("/static", static, name="static"),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts)),
            Middleware(SafeHeaders),
        ],
        exception_handlers={NotFoundError: viewer.not_found, HTTPException: viewer.http_error},
    )


class SafeHeaders:
    """Adds the headers that keep a page to itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS.items()]
            await send(message)

        await self._app(scope, receive, with_headers)


class Viewer:
    """One handler a route; what is slow (queries, drawing) runs on a thread of its own."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._templates = Environment(
            loader=PackageLoader("deepcompress_dagster.viewer"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    async def listing(self, request: Request) -> Response:
        """Documents with their state and failures."""
        query = request.query_params
        status, name = query.get("status", ""), query.get("name", "").strip()
        number = _number(query.get("page", "1"))
        start = (number - 1) * DOCUMENTS_PER_PAGE
        listing = await run_in_threadpool(
            self._results.listing, status=status, name=name, start=start
        )
        return self._html(
            "listing.html",
            listing=listing,
            states=list(DocumentStatus),
            status=status,
            name=name,
            number=number,
        )

    async def search(self, request: Request) -> Response:
        """The best rows for ``?words=``."""
        words = request.query_params.get("words", "").strip()
        hits = await run_in_threadpool(self._results.search, words) if words else []
        return self._html("search.html", words=words, hits=hits)

    async def document(self, request: Request) -> Response:
        """To the page that ``?page=`` names, or the first with a row of ``?asset=``.

        Without pages, why there are none.
        """
        document_id = request.path_params["document_id"]
        document = await run_in_threadpool(self._results.document, document_id)
        if document["first_page"] is None:
            return self._html("document.html", document=document)
        if "page" in request.query_params:
            number = _number(request.query_params["page"])
        else:
            number = await self._first_page(request)
        return RedirectResponse(f"/documents/{quote(document_id)}/pages/{number}", 302)

    async def page(self, request: Request) -> Response:
        """A page image with what was found on it, beside what was read."""
        view = await run_in_threadpool(self._results.page, *_place(request))
        return self._html("page.html", view=view, chosen=request.query_params.get("region", ""))

    async def page_image(self, request: Request) -> Response:
        """The stored image of a page."""
        return await self._file(self._results.page_image, request)

    async def figure_image(self, request: Request) -> Response:
        """The stored crop of a figure."""
        return await self._file(
            self._results.figure_image, request, request.path_params["region_id"]
        )

    async def thumbnail(self, request: Request) -> Response:
        """A small page with its regions, for the metadata in Dagster's UI."""
        place = request.path_params["document_id"], await self._first_page(request)
        view = await run_in_threadpool(self._results.page, *place)
        image = await run_in_threadpool(self._results.page_image, *place)
        content = await run_in_threadpool(thumbnail, view, image)
        return Response(content, media_type="image/png")

    async def _first_page(self, request: Request) -> int:
        return await run_in_threadpool(
            self._results.first_page,
            request.path_params["document_id"],
            request.query_params.get("asset", ""),
        )

    async def not_found(self, request: Request, error: Exception) -> Response:
        """What there is not, in a sentence."""
        return self._html("error.html", status_code=404, message=str(error))

    async def http_error(self, request: Request, error: Exception) -> Response:
        """Starlette's own refusals: no such address, not a GET."""
        assert isinstance(error, HTTPException)
        message = (
            f"there is no page {request.url.path}" if error.status_code == 404 else error.detail
        )
        return self._html("error.html", status_code=error.status_code, message=message)

    async def _file(self, find: Callable[..., Path], request: Request, *more: str) -> Response:
        path = await run_in_threadpool(find, *_place(request), *more)
        headers = {"cache-control": f"private, max-age={IMAGE_CACHE_S}"}
        return FileResponse(path, headers=headers)

    def _html(self, template: str, *, status_code: int = 200, **values: object) -> HTMLResponse:
        content = self._templates.get_template(template).render(**values)
        return HTMLResponse(content, status_code)


def _place(request: Request) -> tuple[str, int]:
    return request.path_params["document_id"], request.path_params["page_number"]


def _number(text: str) -> int:
    """A page number from a form; 1 for what is none, or is larger than DuckDB's integers."""
    return max(1, int(text)) if text.isdecimal() and len(text) < 10 else 1
