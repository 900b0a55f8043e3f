"""What every answer tells a browser, on every route, whatever became of the request."""

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from app.gallery.frame import PageRoute
from app.middleware.headers import ALWAYS, NOTHING, TRANSPORT
from tests.unit.app.conftest import Published
from tests.unit.app.everywhere import Ask, answers, calls

#: Made otherwise than the other pages, and a document that stands among them.
DOCUMENTATION, DOCUMENT = "/docs", "/openapi.json"
#: What runs or draws when a browser is led to it.
ACTIVE = ("text/html", "application/xhtml", "image/svg", "text/xml", "application/xml")


def test_every_route_answers_with_them(app: FastAPI, client: TestClient, published: Published) -> None:
    client.put("/v1/aliases/mine", json={"artifact_id": published.id})
    known = {
        "job_id": published.job_id,
        "artifact": published.id,
        "other": published.id,
        "version": published.digest,
        "namespace": "distilled",
        "name": "mine",
        "revision": "main",
        "path": "README.md",
        "slug": "not-found",
        "file": "start.js",
    }
    read = [call for call in calls(app) if call.method in ("GET", "HEAD", "OPTIONS")]
    write = [call for call in calls(app) if call.method not in ("GET", "HEAD", "OPTIONS")]
    tried = [(call, names) for names in (known, {}) for call in read] + [(call, {}) for call in write]
    asks = [Ask(method=call.method, target=call.target(names), about=(call.plain,)) for call, names in tried]
    routes = [(route.path, route.original_route) for route in iter_route_contexts(app.routes)]
    # The one HTML that is sent: pages of ours, each with a policy of its own.
    pages = {path for path, route in routes if isinstance(route, PageRoute)} | {DOCUMENTATION}
    pages.remove(DOCUMENT)
    assert {"/", "/problems/{slug}"} <= pages
    statuses: set[int] = set()
    for asked, answer in answers(app, asks):
        told = answer.headers
        for name, value in ALWAYS.items():
            assert told[name.lower()] == value, (asked, name)
        assert "strict-transport-security" not in told, asked
        kind, policy = told.get("content-type", ""), told["content-security-policy"]
        page = asked.about[0] in pages and answer.status == 200
        assert (policy != NOTHING) == page, asked
        assert page == kind.startswith(ACTIVE), asked
        assert policy.startswith("default-src 'none'; "), asked
        assert "frame-ancestors 'none'" in policy, asked
        statuses.add(answer.status)
    assert {200, 404, 422} <= statuses


def test_a_refusal_at_the_door_carries_them_too(app: FastAPI, published: Published) -> None:
    asks = [
        Ask(method="GET", target="/v1/jobs", headers={"host": b"evil.test"}),
        Ask(method="POST", target="/v1/jobs", headers={"origin": b"http://evil.test"}),
        Ask(method="POST", target="/v1/jobs", headers={"content-length": b"99999999999"}),
        Ask(method="GET", target="/hf/datasets/a/b/resolve/c/d", headers={"host": b"evil.test"}),
        Ask(method="GET", target="/v2/models/x", headers={"host": b"evil.test"}),
    ]
    found = [(answer.status, answer.headers) for _, answer in answers(app, asks)]
    assert [status for status, _ in found] == [421, 403, 413, 421, 421]
    for _, told in found:
        assert {name: told[name.lower()] for name in ALWAYS} == ALWAYS
        assert told["content-security-policy"] == NOTHING


def test_over_https_browsers_are_told_to_stay_there(app: FastAPI, client: TestClient) -> None:
    found = answers(app, [Ask(method="GET", target=path, scheme="https") for path in ("/healthz", "/", "/nowhere")])
    assert [answer.headers["strict-transport-security"] for _, answer in found] == [TRANSPORT] * 3
