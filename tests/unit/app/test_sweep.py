"""Freeing room by hand and by itself."""

import threading
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app import freeing
from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from registry import artifacts, jobs
from tests.unit.app.conftest import Published, artifact_file, pointers, publish


def sweep(client: TestClient, **query: Any) -> dict[str, Any]:
    response = client.post("/v1/admin/sweep", params=query)
    assert response.status_code == 200, response.text
    return response.json()


def test_without_a_word_nothing_is_freed(client: TestClient, services: Services, published: Published) -> None:
    client.delete(f"/v1/artifacts/{published.id}")
    told = sweep(client, grace_seconds=0)
    assert (told["dry_run"], told["grace_seconds"], told["bytes"]) == (True, 0, len(published.content))
    assert told["artifacts"]["items"] == [{"name": published.id, "bytes": len(published.content)}]
    assert told["blobs"]["items"] == [{"name": published.digest, "bytes": len(published.content)}]
    assert (told["deleted"]["count"], told["next_at"]) == (0, None)
    assert services.store.get(published.digest) == published.content


def test_what_is_hidden_is_shown_with_the_room_it_takes(client: TestClient, published: Published) -> None:
    client.delete(f"/v1/artifacts/{published.id}")
    told = sweep(client)
    assert (told["grace_seconds"], told["bytes"]) == (168 * 3600, 0)
    assert told["deleted"] == {
        "count": 1,
        "bytes": len(published.content),
        "items": [{"name": published.id, "bytes": len(published.content)}],
    }
    assert told["next_at"] is not None


def test_a_sweep_frees_the_deleted_and_leaves_the_others(
    client: TestClient, services: Services, published: Published
) -> None:
    other = publish(services, file=artifact_file(seed=1))
    client.delete(f"/v1/artifacts/{published.id}")
    told = sweep(client, dry_run=False, grace_seconds=0)
    assert (told["dry_run"], told["bytes"]) == (False, len(published.content))
    assert not services.store.exists(published.digest)
    assert client.get(f"/v1/artifacts/{other.id}/content").content == other.content
    with services.database.read() as session:
        assert jobs.get(session, published.job_id).artifact_id is None
    assert sweep(client, dry_run=False, grace_seconds=0, resources=True)["bytes"] == 0


@pytest.mark.parametrize("query", [{"grace_seconds": -1}, {"grace_seconds": "nan"}, {"dry_run": "maybe"}, {"force": 1}])
def test_a_sweep_that_is_not_understood_is_refused(client: TestClient, query: dict[str, Any]) -> None:
    assert pointers(client.post("/v1/admin/sweep", params=query)) == [f"/query/{next(iter(query))}"]


def test_the_service_frees_room_by_itself(
    settings: AppSettings, services: Services, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freeing, "FIRST_SECONDS", 0.0)
    services.settings = settings.model_copy(update={"grace_hours": 0.0})
    with services.database.write() as session:
        artifacts.delete(session, published.id)
    with TestClient(create_app(services.settings, services=services), base_url="http://localhost"):
        for _ in range(200):
            if not services.store.exists(published.digest):
                break
            time.sleep(0.01)
        assert "free" in [thread.name for thread in threading.enumerate()]
    assert not services.store.exists(published.digest)
    assert "free" not in [thread.name for thread in threading.enumerate()]


def test_it_can_be_left_to_hand(settings: AppSettings, services: Services) -> None:
    services.settings = settings.model_copy(update={"free_every_hours": 0.0})
    assert freeing.rounds(services) is None
