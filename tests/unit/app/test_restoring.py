"""Deletion can be taken back until the sweep."""

from fastapi.testclient import TestClient

from tests.unit.app.conftest import Published, pointers, problem


def listed(client: TestClient, **query: str) -> list[str]:
    return [item["id"] for item in client.get("/v1/artifacts", params=query).json()["items"]]


def test_what_was_deleted_is_found_and_brought_back(client: TestClient, published: Published) -> None:
    path = f"/v1/artifacts/{published.id}"
    assert client.get(path).json()["deleted_at"] is None
    assert client.delete(path).status_code == 204
    problem(client.get(path), 404)
    assert (listed(client), listed(client, deleted="true")) == ([], [published.id])
    assert client.get("/v1/artifacts", params={"deleted": True}).json()["items"][0]["deleted_at"] is not None
    assert listed(client, deleted="true", dataset="mnist") == []
    for _ in range(2):  # twice is the same as once
        restored = client.post(f"{path}/restore")
        assert restored.status_code == 200
        assert (restored.json()["id"], restored.json()["deleted_at"]) == (published.id, None)
    assert client.get(f"{path}/content").content == published.content
    assert (listed(client), listed(client, deleted="true")) == ([published.id], [])


def test_after_the_sweep_there_is_nothing_to_restore(client: TestClient, published: Published) -> None:
    client.delete(f"/v1/artifacts/{published.id}")
    client.post("/v1/admin/sweep", params={"dry_run": False, "grace_seconds": 0})
    assert "swept" in problem(client.post(f"/v1/artifacts/{published.id}/restore"), 404)["detail"]
    assert listed(client, deleted="true") == []


def test_what_cannot_be_restored(client: TestClient, published: Published) -> None:
    problem(client.post("/v1/artifacts/nothing/restore"), 404)
    problem(client.post(f"/v1/artifacts/art_{'0' * 32}/restore"), 404)
    assert pointers(client.post(f"/v1/artifacts/{published.id}/restore?now=1")) == ["/query/now"]
    client.put("/v1/aliases/best", json={"artifact_id": published.id})
    assert client.post("/v1/artifacts/best/restore").json()["id"] == published.id  # it is there, and stays
