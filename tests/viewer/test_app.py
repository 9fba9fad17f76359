"""The viewer's addresses: what they show, and what they keep to themselves."""

import io
from html import escape

import pytest
from PIL import Image
from starlette.testclient import TestClient

from deepcompress_dagster.viewer.app import create_app
from deepcompress_dagster.viewer.pictures import LONGER_SIDE
from tests.viewer.conftest import SCRIPT, Shown


@pytest.fixture
def client(parsed: Shown) -> TestClient:
    return TestClient(create_app(parsed.warehouse), base_url="http://127.0.0.1")


def test_the_listing_shows_documents_with_their_states_and_reasons(client, parsed):
    page = client.get("/").text

    assert "report.pdf" in page
    assert f'href="/documents/{parsed.report}"' in page
    assert "open: broken.pdf is not a PDF; convert it" in page


@pytest.mark.parametrize(
    ("query", "shown", "hidden"),
    [("status=failed", "broken.pdf", "report.pdf"), ("name=REP", "report.pdf", "broken.pdf")],
)
def test_the_listing_is_narrowed_by_state_and_by_a_part_of_the_name(client, query, shown, hidden):
    page = client.get(f"/?{query}").text

    assert shown in page
    assert hidden not in page


def test_a_page_shows_its_rows_and_a_place_for_each(client, parsed):
    page = client.get(f"/documents/{parsed.report}/pages/1").text

    assert '<th colspan="2"' in page
    assert ">oats</td>" in page
    assert page.count('<rect class="cell"') == 3
    assert page.count('<rect class="region') == 3
    assert "tables: a cell could not be read" in page


def test_text_of_a_pdf_is_never_markup(client, parsed):
    for address in ("/?name=" + SCRIPT, f"/documents/{parsed.report}/pages/1"):
        answer = client.get(address)
        assert SCRIPT not in answer.text
        assert escape(SCRIPT, quote=False).split(";")[0] in answer.text
        assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_a_document_without_pages_says_why(client, parsed):
    page = client.get(f"/documents/{parsed.failed}").text

    assert "broken.pdf is not a PDF; convert it" in page


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("/documents/nothing-here", "no document nothing-here is known"),
        ("/documents/{report}/pages/9", "report.pdf has no page 9 in the tables (it has 2 pages)"),
        ("/documents/{failed}/pages/1", "(it was not parsed)"),
        ("/documents/{report}/pages/1/figures/none", "has no figure none"),
        ("/elsewhere", "there is no page /elsewhere"),
    ],
)
def test_what_there_is_not_is_said_in_a_sentence(client, parsed, address, message):
    answer = client.get(address.format(report=parsed.report, failed=parsed.failed))

    assert answer.status_code == 404
    assert message in answer.text


def test_no_path_in_the_tables_leads_out_of_the_images(client, parsed):
    address = f"/documents/{parsed.report}/pages/1"
    region = client.get(address).text.split('article class="figure" id="')[1].split('"')[0]

    answer = client.get(f"{address}/figures/{region}")

    assert answer.status_code == 404
    assert "root:" not in answer.text


@pytest.mark.parametrize("path", ["/static/../app.py", "/static/%2e%2e/app.py", "/..%2f..%2fetc"])
def test_no_address_leads_to_other_files(client, path):
    assert client.get(path).status_code == 404


def test_another_host_name_is_refused(client):
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400


def test_nothing_but_reading_is_allowed(client, parsed):
    assert client.post(f"/documents/{parsed.report}").status_code == 405


def test_the_small_picture_of_a_page_has_its_regions(client, parsed):
    answer = client.get(f"/documents/{parsed.report}/thumbnail.png?asset=tables")

    picture = Image.open(io.BytesIO(answer.content)).convert("RGB")
    assert max(picture.size) == LONGER_SIDE
    assert picture.getextrema() != ((255, 255),) * 3


def test_a_document_opens_at_the_first_page_that_has_what_is_asked_for(client, parsed):
    answer = client.get(f"/documents/{parsed.report}?asset=tables", follow_redirects=False)

    assert answer.headers["location"] == f"/documents/{parsed.report}/pages/1"
