"""The viewer in a real browser: a row leads to its place and back, keys turn pages."""

import socket
import threading
from collections.abc import Iterator

import pytest
import uvicorn

from deepcompress_dagster.viewer.app import create_app
from tests.viewer.conftest import Shown

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def address(parsed: Shown) -> Iterator[str]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(create_app(parsed.warehouse), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


def test_rows_and_places_lead_to_each_other_and_keys_turn_pages(chromium, address, parsed):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page()
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{address}/")
        page.click("text=report.pdf")

        page.click("article.table td:has-text('oats')")
        region = page.locator("article.table").get_attribute("data-region")
        assert page.locator(f'rect.chosen[data-region="{region}"]').count() == 1
        assert page.locator("rect.pointed").count() == 1
        assert page.url.endswith(f"region={region}")

        page.locator("rect.text").click()
        assert page.locator("article.text.chosen").count() == 1

        page.keyboard.press("ArrowRight")
        page.wait_for_url("**/pages/2")
        page.keyboard.press("ArrowLeft")
        page.wait_for_url("**/pages/1")
        assert page.title() == "report.pdf, page 1"
        assert problems == []
        browser.close()
