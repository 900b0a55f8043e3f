"""/static: the files of the pages, and nothing else."""

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.artifacts.content import IMMUTABLE
from app.gallery import assets
from app.middleware.headers import NOTHING
from app.services import Services
from tests.unit.app.everywhere import Ask, answers
from tests.unit.app.hostile import TARGETS

FILES = sorted(str(path.relative_to(assets.FOLDER)) for path in assets.FOLDER.rglob("*") if path.is_file())


@pytest.mark.parametrize("file", FILES)
def test_each_file_is_what_it_says(client: TestClient, file: str) -> None:
    answer = client.get(f"/static/{file}")
    assert answer.content == (assets.FOLDER / file).read_bytes()
    assert answer.headers["content-type"] == assets.TYPES[Path(file).suffix]
    assert answer.headers["content-security-policy"] == NOTHING
    assert answer.headers["content-disposition"].startswith("inline")
    assert "set-cookie" not in answer.headers
    plain = client.head(f"/static/{file}", headers={"Accept-Encoding": "identity"})
    assert plain.headers["content-length"] == str(len(answer.content))


def test_what_has_its_digest_in_its_address_stays_and_the_rest_is_asked_for_again(client: TestClient) -> None:
    named = assets.address("page.css")
    assert re.fullmatch(r"/static/page\.css\?v=[0-9a-f]{16}", named)
    first = client.get(named)
    assert first.headers["cache-control"] == IMMUTABLE
    for other in ("/static/page.css", "/static/page.css?v=", "/static/page.css?v=0000000000000000"):
        again = client.get(other, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.headers["cache-control"]) == (304, "no-cache")


def test_who_takes_gzip_has_less_to_wait_for(client: TestClient) -> None:
    plain, packed = (
        client.get("/static/vendor/uplot/uPlot.iife.min.js", headers={"Accept-Encoding": taken})
        for taken in ("identity", "br, gzip")
    )
    assert packed.content == plain.content
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < 0.6 * len(plain.content)
    for answer in (plain, packed):
        assert answer.headers["vary"] == "Accept-Encoding"
    assert plain.headers["etag"] != packed.headers["etag"]
    same = {"Accept-Encoding": "gzip", "If-None-Match": packed.headers["etag"]}
    again = client.get("/static/vendor/uplot/uPlot.iife.min.js", headers=same)
    assert (again.status_code, again.content) == (304, b"")


def test_no_other_name_leads_anywhere(app: FastAPI, services: Services) -> None:
    app.state.services = services
    bad = ("", "nope.css", "vendor", "vendor/", "page.css/", "./page.css", "../frame.py", "x/../page.css", *TARGETS)
    asks = [Ask(method=method, target=f"/static/{name}") for name in bad for method in ("GET", "HEAD")]
    for asked, answer in answers(app, asks):
        assert answer.status == 404, asked


def test_a_page_cannot_name_a_file_that_there_is_not() -> None:
    with pytest.raises(KeyError):
        assets.address("nope.css")


def test_scripts_and_styles_load_nothing_from_elsewhere() -> None:
    """A library's own comments may name its home; ours have none."""
    for file in FILES:
        text = (assets.FOLDER / file).read_text(encoding="utf-8")
        if not file.startswith("vendor/"):
            assert not re.search(r"https?://(?!www\.w3\.org/)", text), file
            assert not re.search(r"(inner|outer)HTML\s*=(?!=)|insertAdjacentHTML|document\.write", text), file
        assert not re.search(r"@import|import\(", text), file
    assert (assets.FOLDER / "vendor" / "uplot" / "LICENSE").is_file()
