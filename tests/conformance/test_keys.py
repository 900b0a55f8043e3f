"""Who may speak to the service: callers with its key; without one configured, this machine alone."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.wire import Wire, until

CLOSED = [
    ("GET", "/v1/jobs"),
    ("POST", "/v1/jobs"),
    ("GET", "/v1/artifacts"),
    ("GET", "/v1/datasets"),
    ("POST", "/v1/datasets"),
    ("PUT", "/v1/aliases/x"),
    ("DELETE", "/v1/artifacts/x"),
    ("GET", "/v1/workers"),
    ("GET", "/v1/nothing"),
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/openapi.json"),
]


@pytest.fixture
def key(wire: Wire) -> str:
    if wire.key is None:
        pytest.skip("needs a service that has a key")
    return wire.key


@pytest.fixture
def keyless(wire: Wire) -> Wire:
    if wire.key is not None:
        pytest.skip("needs a service without a key")
    return wire


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_nothing_is_told_without_the_key(wire: Wire, key: str, method: str, path: str) -> None:
    answer = wire.ok(method, path, status=401, bare=True)
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_another_key_is_no_key(wire: Wire, key: str) -> None:
    wrong = [f"Bearer {key}x", f"Bearer {key[:-1]}", "Bearer", f"Basic {key}", key, "Bearer ké"]
    for given in wrong:
        answer = wire.call("GET", "/v1/jobs", bare=True, headers={"Authorization": given.encode()})
        assert answer.status_code == 401, given


def test_the_key_opens(wire: Wire, key: str) -> None:
    wire.ok("GET", "/v1/jobs", bare=True, headers={"Authorization": f"Bearer {key}"})
    wire.ok("GET", "/v1/jobs", bare=True, headers={"Authorization": f"bearer {key}"})


def test_the_key_is_no_query_parameter(wire: Wire, key: str) -> None:
    assert wire.call("GET", f"/v1/jobs?key={key}", bare=True).status_code == 401


def test_probes_need_no_key(wire: Wire, key: str) -> None:
    assert wire.call("GET", "/healthz", bare=True).status_code == 200
    assert wire.call("GET", "/readyz", bare=True).status_code in (200, 503)


def test_the_key_stands_in_no_answer(wire: Wire, key: str) -> None:
    for path in ("/", "/openapi.json", "/docs", "/v1/workers", "/v1/nothing"):
        assert key not in wire.call("GET", path).text


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "10.0.0.1"])
def test_without_a_key_it_answers_to_loopback_s_names_alone(keyless: Wire, host: str) -> None:
    assert keyless.problem(421, "GET", "/v1/jobs", headers={"Host": host})
    keyless.ok("GET", "/v1/jobs", headers={"Host": "localhost"})


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
def test_a_page_of_another_origin_changes_nothing(wire: Wire, origin: str) -> None:
    for method, path in (("POST", "/v1/jobs"), ("PUT", "/v1/aliases/x"), ("DELETE", "/v1/artifacts/x")):
        wire.problem(403, method, path, headers={"Origin": origin})


def cut(wire: Wire, prefix: str, *scopes: str, **end: object) -> dict[str, Any]:
    """A key of this run, and its secret."""
    body = {"name": f"{prefix}-{'-'.join(scopes)}", "scopes": list(scopes), **end}
    return wire.ok("POST", "/v1/keys", status=201, json=body).json()


def shown(made: dict[str, Any]) -> dict[str, Any]:
    """How a request is made with another key than the run's own."""
    return {"bare": True, "headers": {"Authorization": f"Bearer {made['secret']}"}}


@pytest.fixture(scope="module")
def reader(wire: Wire, prefix: str) -> Iterator[dict[str, Any]]:
    if wire.key is None:
        pytest.skip("needs a service that has a key")
    made = cut(wire, prefix, "read")
    yield made
    wire.ok("DELETE", f"/v1/keys/{made['id']}", status=204)


def test_a_secret_is_shown_once_and_says_who_asks(wire: Wire, reader: dict[str, Any]) -> None:
    path = f"/v1/keys/{reader['id']}"
    known = wire.get(path)
    listed = [item for page in wire.pages("/v1/keys") for item in page]
    (among,) = [item for item in listed if item["id"] == reader["id"]]
    since = {"last_used_at"}  # other tests use it, too
    for told in (known, among):
        assert set(told) == set(reader) - {"secret"}
        assert all(told[name] == reader[name] for name in set(told) - since)
    assert reader["secret"] not in str(listed)
    about = wire.ok("GET", "/v1/keys/self", **shown(reader)).json()
    assert about == {"id": reader["id"], "name": reader["name"], "scopes": ["read"]}
    assert wire.get("/v1/keys/self")["scopes"] == ["read", "submit", "admin"]


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/v1/jobs", "submit"),
        ("POST", "/v1/uploads", "submit"),
        ("PUT", "/v1/aliases/x", "submit"),
        ("DELETE", "/v1/artifacts/x", "submit"),
        ("GET", "/v1/keys", "admin"),
        ("POST", "/v1/keys", "admin"),
        ("POST", "/v1/admin/sweep", "admin"),
        ("GET", "/v1/admin/audit", "admin"),
    ],
)
def test_a_key_opens_what_its_scopes_say(
    wire: Wire, reader: dict[str, Any], method: str, path: str, scope: str
) -> None:
    wire.ok("GET", "/v1/jobs", **shown(reader))
    refused = wire.problem(403, method, path, **shown(reader))
    assert refused["type"] == "/problems/scope-missing"
    assert f"`{scope}`" in refused["detail"]


def test_a_revoked_key_opens_nothing_within_seconds_wherever_it_is_shown(wire: Wire, key: str, prefix: str) -> None:
    made = cut(wire, prefix, "submit")
    for _ in wire.urls:
        wire.ok("GET", "/v1/jobs", **shown(made))
    wire.ok("DELETE", f"/v1/keys/{made['id']}", status=204)

    def refused() -> bool:
        return all(wire.call("GET", "/v1/jobs", **shown(made)).status_code == 401 for _ in wire.urls)

    until(refused, what="a revoked key is refused everywhere", seconds=30)
    assert wire.get(f"/v1/keys/{made['id']}")["state"] == "revoked"


def test_a_rotated_key_opens_for_its_grace(wire: Wire, key: str, prefix: str) -> None:
    made = cut(wire, prefix, "read", expires_in_seconds=600)
    path = f"/v1/keys/{made['id']}/rotate"
    fresh = wire.ok("POST", f"{path}?grace_seconds=300", status=201).json()
    assert (fresh["rotated_from"], fresh["scopes"]) == (made["id"], ["read"])
    for one in (made, fresh):
        wire.ok("GET", "/v1/jobs", **shown(one))
    wire.problem(409, "POST", path)
    for one in (made, fresh):
        wire.ok("DELETE", f"/v1/keys/{one['id']}", status=204)


def test_who_did_what_is_written_down(wire: Wire, key: str, reader: dict[str, Any]) -> None:
    refused = wire.call("PUT", "/v1/aliases/x", **shown(reader))
    told = wire.get(f"/v1/admin/audit?key_id={reader['id']}")["items"][0]
    assert told["request_id"] == refused.headers["x-request-id"]
    assert (told["action"], told["target"], told["outcome"], told["reason"]) == (
        "alias.put",
        "x",
        "refused",
        "scope-missing",
    )
    made = wire.get(f"/v1/admin/audit?target={reader['id']}&action=key.create")["items"]
    assert [line["outcome"] for line in made] == ["done"]


def test_the_first_key_must_be_able_to_make_others(keyless: Wire) -> None:
    assert keyless.get("/v1/keys/self")["id"] is None
    assert keyless.pointers("POST", "/v1/keys", json={"name": "x", "scopes": ["submit"]}) == ["/scopes"]
