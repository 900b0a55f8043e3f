"""Keys over HTTP: shown once, renewed, ended; and what a service without any does."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient

from app.keys.ring import Ring
from app.services import Services
from registry import errors, keys
from registry.scopes import ALL, Scope
from tests.unit.app.conftest import pointers, problem
from tests.unit.app.keys.conftest import ROOT, Held, cut

Connect = Callable[[str], TestClient]


def test_a_secret_is_shown_once(keyed: Connect) -> None:
    root = keyed(ROOT)
    made = root.post("/v1/keys", json={"name": "ci", "scopes": ["submit"]})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    key = made.json()
    assert made.headers["location"] == f"/v1/keys/{key['id']}"
    secret = key.pop("secret")
    assert secret.startswith(key["prefix"])
    assert key["state"] == "live"
    shown = root.get(f"/v1/keys/{key['id']}")
    listed = root.get("/v1/keys")
    assert shown.json() == key
    assert listed.json() == {"items": [key], "next_cursor": None}
    assert secret not in shown.text + listed.text + root.get("/v1/admin/audit").text
    assert keyed(secret).get("/v1/keys/self").json() == {"id": key["id"], "name": "ci", "scopes": ["read", "submit"]}


def test_a_key_ends_when_it_was_to(keyed: Connect) -> None:
    root = keyed(ROOT)
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    for end in ({"expires_at": soon}, {"expires_in_seconds": 86400}):
        ends = root.post("/v1/keys", json={"name": "ci", "scopes": ["read"], **end}).json()["expires_at"]
        left = datetime.fromisoformat(ends) - datetime.now(UTC)
        assert timedelta(hours=23) < left <= timedelta(days=1, minutes=1)


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        ({"name": "a b"}, "/name"),
        ({"name": None}, "/name"),
        ({"scopes": []}, "/scopes"),
        ({"scopes": ["all"]}, "/scopes/0"),
        ({"expires_in_seconds": 0}, "/expires_in_seconds"),
        ({"expires_in_seconds": 1e12}, "/expires_in_seconds"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "9999-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2040-01-01T00:00:00"}, "/expires_at"),
        ({"expires_at": "2040-01-01T00:00:00Z", "expires_in_seconds": 5}, ""),
        ({"secret": "mine"}, "/secret"),
    ],
)
def test_what_is_wrong_with_a_key_is_named(keyed: Connect, fault: dict[str, object], where: str) -> None:
    body = {"name": "ci", "scopes": ["read"]}
    assert pointers(keyed(ROOT).post("/v1/keys", json={**body, **fault})) == [where]


def test_rotation_leaves_time_to_change(keyed: Connect) -> None:
    root = keyed(ROOT)
    old = root.post("/v1/keys", json={"name": "ci", "scopes": ["submit"], "expires_in_seconds": 1e6}).json()
    new = root.post(f"/v1/keys/{old['id']}/rotate?grace_seconds=3600")
    assert new.status_code == 201
    assert (new.json()["rotated_from"], new.json()["scopes"]) == (old["id"], ["submit"])
    lives = datetime.fromisoformat(new.json()["expires_at"]) - datetime.now(UTC)
    assert lives.total_seconds() == pytest.approx(1e6, rel=0.01)
    for secret in (old["secret"], new.json()["secret"]):
        assert keyed(secret).get("/v1/jobs").status_code == 200
    left = datetime.fromisoformat(root.get(f"/v1/keys/{old['id']}").json()["expires_at"]) - datetime.now(UTC)
    assert left <= timedelta(hours=1)
    assert problem(root.post(f"/v1/keys/{old['id']}/rotate"), 409)["type"] == "/problems/conflict"
    problem(root.post("/v1/keys/key_" + "0" * 32 + "/rotate"), 404)


def test_a_revoked_key_is_over_at_once_where_it_was_revoked(keyed: Connect, held: dict[str, Held]) -> None:
    writer, root = keyed(held["submit"].secret), keyed(ROOT)
    assert writer.get("/v1/jobs").status_code == 200
    for _ in range(2):
        assert root.delete(f"/v1/keys/{held['submit'].id}").status_code == 204
    problem(writer.get("/v1/jobs"), 401)
    assert root.get(f"/v1/keys/{held['submit'].id}").json()["state"] == "revoked"


def test_the_first_key_closes_the_door(client: TestClient, services: Services) -> None:
    assert client.get("/v1/keys/self").json() == {"id": None, "name": "local", "scopes": ["read", "submit", "admin"]}
    assert pointers(client.post("/v1/keys", json={"name": "ci", "scopes": ["submit"]})) == ["/scopes"]
    assert client.get("/v1/jobs").status_code == 200
    made = client.post("/v1/keys", json={"name": "me", "scopes": ["admin"]}).json()
    problem(client.get("/v1/jobs"), 401)
    mine = {"headers": {"Authorization": f"Bearer {made['secret']}"}}
    assert client.post("/v1/keys", json={"name": "ci", "scopes": ["submit"]}, **mine).status_code == 201
    assert problem(client.delete(f"/v1/keys/{made['id']}", **mine), 409)["type"] == "/problems/in-use"
    assert client.get("/v1/jobs", **mine).status_code == 200
    # By any name: a key is better than a name, and a page in a browser does not know it.
    assert client.get("/v1/jobs", headers={**mine["headers"], "Host": "gpu.example"}).status_code == 200


def test_time_alone_opens_no_door(client: TestClient, services: Services) -> None:
    cut(services, "short", ALL, seconds=1e-6)
    problem(client.get("/v1/jobs"), 401)


def test_without_a_database_nobody_is_taken_for_the_owner(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(session: object) -> bool:
        raise errors.RegistryDown

    monkeypatch.setattr(keys, "are_there", broken)
    problem(client.get("/v1/methods"), 503)
    assert client.get("/healthz").status_code == 200


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_another_replica_s_revocation_holds_within_the_stated_seconds(services: Services) -> None:
    clock = Clock()
    ring = Ring(services.database, seconds=5, clock=clock)
    key = cut(services, "ci", [Scope.SUBMIT])

    def opens() -> bool:
        return asyncio.run(ring.holder(key.secret)) is not None

    assert opens()
    assert asyncio.run(ring.are_there_keys())
    with services.writing() as session:
        keys.revoke(session, key.id)
    clock.now += 4.9
    assert opens()
    clock.now += 0.2
    assert not opens()
    assert not asyncio.run(ring.are_there_keys())


def test_an_expiry_is_kept_to_the_second(services: Services) -> None:
    clock = Clock()
    ring = Ring(services.database, seconds=300, clock=clock)
    key = cut(services, "ci", ALL, seconds=60)
    assert asyncio.run(ring.holder(key.secret)) is not None
    with services.writing() as session:
        keys.get(session, key.id).expires = keys.now(session)
    clock.now += 61
    assert asyncio.run(ring.holder(key.secret)) is None


def test_a_request_costs_no_round_trip(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring(services.database, seconds=300)
    key = cut(services, "ci", ALL)
    looked: list[str] = []
    find = keys.find
    monkeypatch.setattr(keys, "find", lambda session, secret: looked.append(secret) or find(session, secret))
    for _ in range(5):
        assert asyncio.run(ring.holder(key.secret)) is not None
        assert asyncio.run(ring.holder("dst_wrong")) is None
        assert asyncio.run(ring.holder("x" * 500)) is None
    assert looked == [key.secret, "dst_wrong"]
    assert list(ring.take_used()) == [key.id]
    assert ring.take_used() == {}


def test_wrong_keys_fill_no_memory(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.keys.ring.MOST", 3)
    ring = Ring(services.database, seconds=300)
    for i in range(10):
        assert asyncio.run(ring.holder(f"dst_{i}")) is None
    assert len(ring._known) == 3
