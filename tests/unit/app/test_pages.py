"""What all pages have in common: who sees what, what they may load, and how they tell a failure."""

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient
from jinja2 import UndefinedError
from starlette.requests import Request

from app.errors import KINDS
from app.gallery import frame
from app.gallery.frame import PageRoute, page, percent, size, when
from app.services import Services
from registry import errors
from tests.unit.app.conftest import problem, publish
from tests.unit.app.everywhere import calls

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
EVIL = "<script>alert(1)</script>"


class Inline(HTMLParser):
    """What the policy would not let run or show."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.loaded: list[str] = []
        self._in = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.found += [f"{tag} {name}" for name in named if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and not named.get("src")):
            self.found.append(tag)
        self.loaded += [str(named[name]) for name in ("src", "srcset", "poster") if named.get(name)]
        if tag == "link":
            self.loaded.append(str(named["href"]))
        if tag == "form":
            self.loaded.append(str(named.get("action", "/")))
        self.found += [f"{name}={value}" for name, value in attrs if (value or "").lower().startswith("javascript:")]


def look(text: str) -> Inline:
    """A page, taken apart."""
    looked = Inline()
    looked.feed(text)
    return looked


def addresses(app: FastAPI, known: dict[str, str]) -> list[str]:
    """Every page that there is, by what fills its path."""
    routes = {route.path for route in iter_route_contexts(app.routes) if isinstance(route.original_route, PageRoute)}
    every = [call for call in calls(app) if call.method == "GET" and call.path in routes]
    return [call.target(known) for call in every if call.path != "/openapi.json"]


def test_no_page_has_a_script_or_a_style_of_its_own(app: FastAPI, client: TestClient, services: Services) -> None:
    made = publish(services, classes=(EVIL, "b"))
    client.put("/v1/aliases/digits", json={"artifact_id": made.id})
    known = {"job_id": made.job_id, "artifact": made.id, "other": made.id, "name": "digits", "slug": "not-held"}
    found = addresses(app, known | {"job": made.job_id})
    assert len(found) >= 3
    for address in found:
        answer = client.get(address, headers=BROWSER)
        assert answer.status_code == 200, (address, answer.text[-800:])
        looked = look(answer.text)
        assert looked.found == [], address
        assert all(one.startswith(("/", "data:")) and not one.startswith("//") for one in looked.loaded), address
        assert EVIL not in answer.text, address
        assert answer.headers["content-security-policy"] == frame.POLICY
        assert answer.headers["cache-control"] == "no-cache, private"
        assert "Cookie" in answer.headers["vary"]
    assert "'unsafe" not in frame.POLICY


def test_a_refusal_is_a_page_for_a_browser_and_a_problem_for_a_program(client: TestClient) -> None:
    told = client.get("/problems/nothing", headers=BROWSER)
    assert (told.status_code, told.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "HTTP status 404" in told.text
    assert 'href="/problems/not-found"' in told.text
    problem(client.get("/problems/nothing"), 404)
    faulty = client.get(f"/?surprise={EVIL}&limit=x", headers=BROWSER)
    assert faulty.status_code == 422
    assert "/query/surprise" in faulty.text
    assert EVIL not in faulty.text


def test_who_is_led_to_where_nothing_is_sees_a_page(client: TestClient) -> None:
    told = client.get("/nowhere/at/all", headers=BROWSER)
    assert (told.status_code, told.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "no path of this service" in told.text
    assert 'href="/jobs/new"' in told.text  # the way on is that of every page
    assert told.headers["content-security-policy"] == frame.POLICY
    problem(client.get("/nowhere/at/all"), 404)
    problem(client.get("/v1/nowhere", headers=BROWSER), 404)  # a program's path, whoever looks
    problem(client.post("/nowhere", headers=BROWSER), 404)


@pytest.mark.parametrize(
    ("error", "status", "header"),
    [(errors.RegistryBusy("busy"), 503, "retry-after"), (RuntimeError("secret at /home/x"), 500, "x-request-id")],
)
def test_a_failure_keeps_its_status_and_headers(
    client: TestClient,
    logs: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    header: str,
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr("app.gallery.browsing.page", fail)
    told = client.get("/", headers=BROWSER)
    assert (told.status_code, told.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert header in told.headers
    assert "secret" not in told.text
    assert told.headers["content-security-policy"] == frame.POLICY
    assert (status == 500) == any(line["event"] == "request_failed" for line in logs)


def test_a_name_that_a_template_does_not_know_is_an_error() -> None:
    scope: dict[str, Any] = {"type": "http", "path": "/", "query_string": b"", "headers": [], "state": {}}
    with pytest.raises(UndefinedError):
        page(Request(scope), "kind.html")


def test_the_type_of_a_problem_leads_to_its_explanation(client: TestClient) -> None:
    for kind in {kind.slug for kind in KINDS.values()}:
        answer = client.get(f"/problems/{kind}")
        assert answer.status_code == 200
        assert "HTTP status" in answer.text
        assert f"<h1>{next(one.title for one in KINDS.values() if one.slug == kind)}</h1>" in answer.text
    assert "fewer images of a class" in client.get("/problems/not-held").text


@pytest.mark.parametrize(
    ("num_bytes", "said"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (8032, "8.0 kB"), (999_960, "1.0 MB"), (5e15, "5000.0 TB")],
)
def test_bytes_for_people(num_bytes: float, said: str) -> None:
    assert size(num_bytes) == said


def test_shares_and_times_for_people() -> None:
    assert (percent(0.9615), percent(1.0, 0), percent(None)) == ("96.2", "100", "–")
    assert when(datetime(2026, 11, 21, 9, 5, 7, 123, tzinfo=UTC)) == "2026-11-21T09:05:07Z"
