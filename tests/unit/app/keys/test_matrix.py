"""Every route by every kind of key, from the routes that there are: a new one cannot be forgotten."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts
from fastapi.testclient import TestClient

from app.keys import scopes
from app.middleware.guard import OPEN, SAFE
from app.services import Services
from registry.scopes import Scope
from tests.unit.app.conftest import problem
from tests.unit.app.everywhere import Ask, Call, answers, calls
from tests.unit.app.keys.conftest import KINDS, ROOT, Held, cut

#: What each route needs, for people to look over: whatever is not here is a read. docs/keys.md says the same.
SUBMIT = {
    "POST /v1/jobs",
    "POST /v1/jobs/{job_id}/cancel",
    "POST /v1/jobs/{job_id}/retry",
    "POST /v1/datasets",
    "DELETE /v1/datasets/{name}",
    "POST /v1/uploads",
    "PATCH /v1/uploads/{upload_id}",
    "DELETE /v1/uploads/{upload_id}",
    "POST /v1/artifacts/{artifact}/evaluations",
    "DELETE /v1/artifacts/{artifact}",
    "POST /v1/artifacts/{artifact}/restore",
    "PUT /v1/aliases/{name}",
    "DELETE /v1/aliases/{name}",
}
ADMIN = {
    "POST /v1/keys",
    "GET /v1/keys",
    "GET /v1/keys/{key_id}",
    "GET /v1/keys/{key_id}/quotas",
    "PATCH /v1/keys/{key_id}/quotas",
    "POST /v1/keys/{key_id}/rotate",
    "DELETE /v1/keys/{key_id}",
    "POST /v1/admin/sweep",
    "GET /v1/admin/audit",
}
#: Asked with a POST, because the question is too long for a GET.
QUESTIONS = {
    "POST /v1/artifacts/{artifact}/samples",
    "POST /v2/repository/index",
    "POST /v2/models/{artifact}/infer",
    "POST /v2/models/{artifact}/versions/{version}/infer",
    "POST /hf/api/datasets/{namespace}/{name}/paths-info/{revision}",
}
#: Where a browser brings a key, and forgets it; and what the page that asks for one looks like.
DOOR = {"GET /login", "POST /login", "POST /logout", "GET /static/{file}", "HEAD /static/{file}"}
ENTERING = {one for one in DOOR if one.startswith("POST")}
NAMES = {name: f"{name[:3]}_{'0' * 32}" for name in ("job_id", "key_id")} | {"upload_id": f"up_{'0' * 32}"}


def is_open(call: Call) -> bool:
    """Whether a route answers without a key."""
    return call.path in OPEN or f"{call.method} {call.plain}" in DOOR


def needed(call: Call) -> Scope | None:
    """What the tables above say of a route."""
    route = f"{call.method} {call.plain}"
    if is_open(call):
        return None
    return Scope.ADMIN if route in ADMIN else Scope.SUBMIT if route in SUBMIT else Scope.READ


def asked(every: list[Call], secret: str | None) -> list[tuple[Ask, Call]]:
    """Each route once, with as little as it takes to be asked."""
    shown = {} if secret is None else {"authorization": f"Bearer {secret}".encode()}
    headers = {"tus-resumable": b"1.0.0", "upload-length": b"1", "upload-offset": b"0", "content-type": b"text/plain"}
    return [(Ask(method=call.method, target=call.target(NAMES), headers=headers | shown), call) for call in every]


@pytest.fixture
def every(app: FastAPI) -> list[Call]:
    return calls(app)


def test_the_tables_name_routes_that_there_are(every: list[Call]) -> None:
    there = {f"{call.method} {call.plain}" for call in every}
    assert there >= SUBMIT | ADMIN | QUESTIONS | DOOR
    changing = {f"{call.method} {call.plain}" for call in every if call.method not in SAFE}
    assert changing == SUBMIT | {one for one in ADMIN if not one.startswith("GET")} | QUESTIONS | ENTERING
    assert {call.path for call in every} >= OPEN


def test_the_page_says_what_the_tables_say(every: list[Call]) -> None:
    page = (Path(__file__).parents[4] / "docs" / "keys.md").read_text(encoding="utf-8")
    opened = {f"GET {path}" for path in OPEN} | {one for one in DOOR if not one.startswith("HEAD")}
    rows = {cells[1].strip(" `"): cells[2] for line in page.splitlines() if len(cells := line.split("|")) == 4}
    for scope, routes in (("none", opened), ("submit", SUBMIT), ("admin", ADMIN)):
        told = set(re.findall(r"`((?:GET|POST|PUT|PATCH|DELETE) [^`]+)`", rows[scope]))
        assert told == routes, scope
    assert set(re.findall(r"`(POST [^`]+)`", rows["read"])) == QUESTIONS


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_opens_what_its_scopes_say_and_nothing_else(
    app: FastAPI, services: Services, held: dict[str, Held], every: list[Call], kind: str
) -> None:
    app.state.services = services
    order = list(Scope)
    level = max((order.index(scope) for scope in KINDS[kind]), default=-1)
    pairs = asked(every, held[kind].secret)
    for (_, answer), (ask, call) in zip(answers(app, [ask for ask, _ in pairs]), pairs, strict=True):
        scope = needed(call)
        refused = scope is not None and order.index(scope) > level
        told = f"{kind}: {call.method} {ask.target} -> {answer.status} {answer.body[:200]!r}"
        if refused:
            assert answer.status == 403, told
            assert answer.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"', told
        else:
            assert answer.status not in (401, 403), told
            assert answer.status < 500 or call.path == "/readyz", told


@pytest.mark.parametrize("secret", [None, "", "dst_" + "A" * 43, "x" * 5000])
def test_nobody_else_comes_in_anywhere(
    app: FastAPI, services: Services, held: dict[str, Held], every: list[Call], secret: str | None
) -> None:
    app.state.services = services
    pairs = asked(every, secret)
    for (_, answer), (ask, call) in zip(answers(app, [ask for ask, _ in pairs]), pairs, strict=True):
        told = f"{call.method} {ask.target} -> {answer.status}"
        assert (answer.status == 401) != is_open(call), told


def test_over_and_ill_formed_keys_open_nothing(client: TestClient, services: Services, held: dict[str, Held]) -> None:
    expired = cut(services, "expired", Scope, seconds=1e-6)
    good = held["admin"].secret
    assert client.get("/v1/keys", headers={"Authorization": f"Bearer {good}"}).status_code == 200
    revoked, rotated = cut(services, "revoked", Scope), cut(services, "rotated", Scope)
    admin = {"headers": held["admin"].bearer}
    assert client.delete(f"/v1/keys/{revoked.id}", **admin).status_code == 204
    assert client.post(f"/v1/keys/{rotated.id}/rotate?grace_seconds=0", **admin).status_code == 201
    over = [f"Bearer {one.secret}" for one in (expired, revoked, rotated)]
    wrong = ["Bearer", f"Basic {good}", "Basic !!", good, f"Bearer {good}x", f"Token {good}", f"Bearer {good[:-1]}"]
    for header in (*over, *wrong):
        assert problem(client.get("/v1/jobs", headers={"Authorization": header}), 401)["detail"], header
    assert client.get("/v1/jobs", headers={"Authorization": b"Bearer \xff\xfe"}).status_code == 401
    basic = client.get("/v1/jobs", auth=("anyone", good))
    assert basic.status_code == 200


def test_the_root_key_opens_everything_beside_the_others(
    keyed: Callable[[str], TestClient], held: dict[str, Held]
) -> None:
    assert keyed(ROOT).get("/v1/keys/self").json() == {
        "id": None,
        "name": "root",
        "scopes": ["read", "submit", "admin"],
    }
    assert keyed(held["submit"].secret).get("/v1/keys/self").json() == {
        "id": held["submit"].id,
        "name": "submit",
        "scopes": ["read", "submit"],
    }
    problem(keyed("").get("/v1/jobs"), 401)


def test_forcing_needs_more_than_asking(keyed: Callable[[str], TestClient], held: dict[str, Held]) -> None:
    told = problem(keyed(held["submit"].secret).delete("/v1/datasets/x?force=true"), 403)
    assert told["type"] == "/problems/scope-missing"
    assert "`admin`" in told["detail"]
    assert "read submit" in told["detail"]
    problem(keyed(held["submit"].secret).delete("/v1/datasets/x"), 404)


def test_a_route_that_says_nothing_is_not_served() -> None:
    router = APIRouter()
    router.add_api_route("/open-to-all", lambda: None)
    with pytest.raises(TypeError, match="/open-to-all must say which scope"):
        scopes.check_declared(router)


def test_the_document_says_what_each_route_needs(keyed: Callable[[str], TestClient], every: list[Call]) -> None:
    document = keyed(ROOT).get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    described = 0
    for call in every:
        operation = document["paths"].get(call.plain, {}).get(call.method.lower())
        if operation is not None:
            scope = needed(call)
            assert operation.get("security", []) == ([] if scope is None else [{"key": [scope]}]), call
            described += 1
    assert described > 40


def test_every_route_has_a_word(app: FastAPI) -> None:
    for route in iter_route_contexts(app.routes):
        assert scopes.declared(getattr(route.original_route, "dependencies", ())) is not None, route.path
