"""/docs works where there is no way out: everything it loads comes from this service."""

import re
from html.parser import HTMLParser

import pytest
from fastapi.testclient import TestClient

from app.gallery.documentation import FILES
from tests.unit.app.conftest import Published, problem


class Loads(HTMLParser):
    """What a page loads by itself: the addresses of its scripts, styles, pictures and frames."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "srcset", "data", "poster") or (name == "href" and tag in ("link", "base")):
                self.found.append(value or "")


@pytest.mark.parametrize("path", ["/docs", "/", "/problems/not-found"])
def test_no_page_loads_anything_from_elsewhere(client: TestClient, published: Published, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 200
    for address in Loads(response.text).found:
        assert re.fullmatch(r"/[^/\\].*", address), address
        assert client.get(address).status_code == 200, address
    # No script and no handler stands in a page itself.
    assert not re.search(r"<script(?![^>]*src=)|\son\w+=|javascript:", response.text)
    # Whatever a script may try later, the browser refuses: no source but this service is named.
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    assert "*" not in policy
    assert "'unsafe-inline'" not in policy.replace("style-src 'self' 'unsafe-inline'", "")


def test_the_page_shows_our_document_with_swagger_ui(client: TestClient) -> None:
    page = client.get("/docs").text
    assert set(Loads(page).found) == {f"/docs/{file}" for file in FILES}
    start = client.get("/docs/start.js").text
    assert 'url: "/openapi.json"' in start
    assert "validatorUrl: null" in start  # or the page tells a host on the internet of the document
    assert b"SwaggerUIBundle" in client.get("/docs/swagger-ui-bundle.js").content
    kinds = [client.get(f"/docs/{file}").headers["content-type"].split(";")[0] for file in FILES]
    assert kinds == ["text/javascript", "text/javascript", "text/css", "image/png"]


def test_a_file_is_sent_once(client: TestClient) -> None:
    first = client.get("/docs/swagger-ui.css")
    again = client.get("/docs/swagger-ui.css", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("file", ["index.html", "redoc.standalone.js", "..%2fcore.py", "oauth2-redirect", "core.py"])
def test_no_other_file_of_the_package_is_served(client: TestClient, file: str) -> None:
    problem(client.get(f"/docs/{file}"), 404)


def test_the_pages_of_the_framework_are_gone(client: TestClient) -> None:
    problem(client.get("/redoc"), 404)
