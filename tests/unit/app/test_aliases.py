"""Names: their history, and moves that hold only for what the caller has seen."""

from itertools import pairwise
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.services import Services
from tests.unit.app.conftest import Published, artifact_file, pointers, problem, publish


@pytest.fixture
def other(services: Services, published: Published) -> Published:
    return publish(services, file=artifact_file(seed=1))


def put(client: TestClient, artifact_id: str, **headers: str) -> Any:
    return client.put("/v1/aliases/best", json={"artifact_id": artifact_id}, headers=headers)


def history(client: TestClient, **query: Any) -> dict[str, Any]:
    response = client.get("/v1/aliases/best/history", params=query)
    assert response.status_code == 200, response.text
    return response.json()


def test_every_move_is_kept_with_its_request(client: TestClient, published: Published, other: Published) -> None:
    put(client, published.id, **{"X-Request-ID": "first"})
    put(client, published.id)  # moves nothing
    put(client, other.id)
    assert client.delete("/v1/aliases/best").status_code == 204
    put(client, other.id)
    told = history(client)["items"]
    assert [(move["action"], move["from_artifact_id"], move["to_artifact_id"]) for move in told] == [
        ("set", None, other.id),
        ("deleted", other.id, None),
        ("moved", published.id, other.id),
        ("set", None, published.id),
    ]
    assert told[-1]["request_id"] == "first"
    assert told[-1]["key_id"] is None
    assert all(older["at"] <= newer["at"] for newer, older in pairwise(told))


def test_history_comes_in_pages(client: TestClient, published: Published, other: Published) -> None:
    for artifact_id in (published.id, other.id, published.id):
        put(client, artifact_id)
    first = history(client, limit=2)
    assert [move["action"] for move in first["items"]] == ["moved", "moved"]
    last = history(client, limit=2, cursor=first["next_cursor"])
    assert [move["action"] for move in last["items"]] == ["set"]
    assert last["next_cursor"] is None
    response = client.get("/v1/aliases/best/history", params={"cursor": "nonsense"})
    assert pointers(response) == ["/query/cursor"]


def test_a_name_that_was_taken_away_has_a_history_and_one_that_never_was_has_none(
    client: TestClient, published: Published
) -> None:
    problem(client.get("/v1/aliases/best/history"), 404)
    put(client, published.id)
    client.delete("/v1/aliases/best")
    problem(client.get("/v1/aliases/best"), 404)
    assert [move["action"] for move in history(client)["items"]] == ["deleted", "set"]


def test_history_outlives_its_artifacts(client: TestClient, services: Services, published: Published) -> None:
    put(client, published.id)
    client.delete("/v1/aliases/best")
    assert client.delete(f"/v1/artifacts/{published.id}").status_code == 204
    swept = client.post("/v1/admin/sweep", params={"dry_run": False, "grace_seconds": 0}).json()
    assert [item["name"] for item in swept["artifacts"]["items"]] == [published.id]
    assert history(client)["items"][-1]["to_artifact_id"] == published.id


def test_a_move_holds_only_for_what_was_seen(client: TestClient, published: Published, other: Published) -> None:
    assert put(client, published.id, **{"If-None-Match": "*"}).status_code == 201
    seen = client.get("/v1/aliases/best").headers["ETag"]
    assert seen == f'"{published.id}"'
    moved = put(client, other.id, **{"If-Match": seen})
    assert (moved.status_code, moved.headers["ETag"]) == (200, f'"{other.id}"')
    for refused in (
        put(client, published.id, **{"If-Match": seen}),
        put(client, published.id, **{"If-Match": f"W/{moved.headers['ETag']}"}),
        put(client, published.id, **{"If-None-Match": "*"}),
        client.delete("/v1/aliases/best", headers={"If-Match": seen}),
    ):
        told = problem(refused, 412)
        assert told["type"] == "/problems/precondition-failed"
        assert other.id in told["detail"]
    assert client.get("/v1/aliases/best").json()["artifact_id"] == other.id
    assert len(history(client)["items"]) == 2
    assert put(client, published.id, **{"If-Match": "*"}).status_code == 200
    assert client.delete("/v1/aliases/best", headers={"If-Match": f'"x", "{published.id}"'}).status_code == 204


def test_a_guarded_move_of_a_name_that_is_not_there(client: TestClient, published: Published) -> None:
    assert "is not there" in problem(put(client, published.id, **{"If-Match": "*"}), 412)["detail"]
    problem(client.get("/v1/aliases/best"), 404)
