"""Aliases: movable names that stand wherever an artifact's id may."""

from collections.abc import Iterator

import pytest

from tests.conformance.conftest import Made
from tests.conformance.wire import Wire


@pytest.fixture
def alias(wire: Wire, prefix: str) -> Iterator[str]:
    """A name that is free, and gone in the end."""
    name = f"{prefix}-Best_v1.0"
    yield name
    wire.call("DELETE", f"/v1/aliases/{name}")


def put(wire: Wire, alias: str, target: str, *, status: int) -> dict[str, str]:
    return wire.ok("PUT", f"/v1/aliases/{alias}", status=status, json={"artifact_id": target}).json()


def test_a_name_is_made_moved_and_taken_away(wire: Wire, images: Made, soft: Made, alias: str) -> None:
    answer = wire.ok("PUT", f"/v1/aliases/{alias}", status=201, json={"artifact_id": images.id})
    assert answer.headers["location"] == f"/v1/aliases/{alias}"
    assert wire.get(f"/v1/aliases/{alias}")["artifact_id"] == images.id
    assert put(wire, alias, soft.id, status=200)["artifact_id"] == soft.id
    moved = wire.get(f"/v1/aliases/{alias}")
    assert (moved["name"], moved["artifact_id"]) == (alias, soft.id)
    assert moved["created_at"] <= moved["updated_at"]
    wire.ok("DELETE", f"/v1/aliases/{alias}", status=204)
    wire.problem(404, "GET", f"/v1/aliases/{alias}")
    wire.problem(404, "DELETE", f"/v1/aliases/{alias}")
    wire.problem(404, "GET", f"/v1/artifacts/{alias}")


def test_a_name_stands_wherever_an_id_may(wire: Wire, images: Made, alias: str) -> None:
    put(wire, alias, images.id, status=201)
    there = f"/v1/artifacts/{alias}"
    assert wire.get(there)["id"] == images.id
    assert alias in wire.get(images.path)["aliases"]
    for path in ("content", "download?format=npz", "samples?seed=1&ipc=1", "preview.png"):
        assert wire.ok("GET", f"{there}/{path}").content == wire.ok("GET", f"{images.path}/{path}").content, path
    assert [item["id"] for item in wire.get(f"/v1/artifacts?alias={alias}")["items"]] == [images.id]
    assert put(wire, alias, alias, status=200)["artifact_id"] == images.id


def test_an_artifact_that_has_a_name_is_not_deleted(wire: Wire, images: Made, alias: str) -> None:
    put(wire, alias, images.id, status=201)
    assert alias in wire.problem(409, "DELETE", images.path)["detail"]
    assert wire.get(images.path)["id"] == images.id


@pytest.mark.parametrize("name", [".hidden", "-x", "_x", "a%20b", "a%2fb", "a" * 97, "%C3%A9", "a:b"])
def test_what_is_no_name_is_refused(wire: Wire, images: Made, name: str) -> None:
    answer = wire.call("PUT", f"/v1/aliases/{name}", json={"artifact_id": images.id})
    assert answer.status_code in (404, 422)


def test_a_name_may_have_96_characters(wire: Wire, images: Made, prefix: str) -> None:
    name = f"{prefix}-".ljust(96, "x")
    put(wire, name, images.id, status=201)
    wire.ok("DELETE", f"/v1/aliases/{name}", status=204)


def test_a_name_cannot_hide_an_id(wire: Wire, images: Made, soft: Made) -> None:
    wire.problem(422, "PUT", f"/v1/aliases/{soft.id}", json={"artifact_id": images.id})
    assert wire.get(soft.path)["id"] == soft.id


def test_a_name_points_to_what_is_there(wire: Wire, alias: str) -> None:
    wire.problem(404, "PUT", f"/v1/aliases/{alias}", json={"artifact_id": f"art_{'0' * 32}"})
    assert wire.pointers("PUT", f"/v1/aliases/{alias}", json={}) == ["/artifact_id"]
    wire.problem(404, "GET", f"/v1/aliases/{alias}")


def test_every_move_is_kept(wire: Wire, images: Made, soft: Made, prefix: str) -> None:
    name = f"{prefix}-moved-{images.id[-6:]}"
    before = wire.call("GET", f"/v1/aliases/{name}/history")
    known = len(before.json()["items"]) if before.status_code == 200 else 0
    put(wire, name, images.id, status=201)
    put(wire, name, soft.id, status=200)
    wire.ok("DELETE", f"/v1/aliases/{name}", status=204)
    moves = [move for page in wire.pages(f"/v1/aliases/{name}/history", limit=2) for move in page]
    told = [(move["action"], move["from_artifact_id"], move["to_artifact_id"]) for move in moves[: len(moves) - known]]
    assert told == [("deleted", soft.id, None), ("moved", images.id, soft.id), ("set", None, images.id)]
    assert [move["at"] for move in moves] == sorted((move["at"] for move in moves), reverse=True)


def test_a_name_that_never_was_has_no_history(wire: Wire) -> None:
    wire.problem(404, "GET", "/v1/aliases/never-was-given/history")


def test_a_name_is_moved_only_from_where_the_caller_saw_it(wire: Wire, images: Made, soft: Made, alias: str) -> None:
    there = f"/v1/aliases/{alias}"
    wire.ok("PUT", there, status=412, json={"artifact_id": images.id}, headers={"If-Match": '"x"'})
    wire.ok("PUT", there, status=201, json={"artifact_id": images.id}, headers={"If-None-Match": "*"})
    seen = wire.ok("GET", there).headers["etag"]
    wire.ok("PUT", there, json={"artifact_id": soft.id}, headers={"If-Match": seen})
    wire.problem(412, "PUT", there, json={"artifact_id": images.id}, headers={"If-Match": seen})
    wire.problem(412, "DELETE", there, headers={"If-Match": seen})
    assert wire.get(there)["artifact_id"] == soft.id
