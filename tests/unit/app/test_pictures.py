"""Pictures of a job over HTTP."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.services import Services
from registry import jobs
from tests.unit.app.catalog import RECIPE
from tests.unit.app.conftest import problem

PNG = b"\x89PNG a picture"


def paint(services: Services, job_id: str, *steps: int) -> list[int]:
    """As a worker does it; the numbers of the pictures."""
    numbers: list[int] = []
    with services.database.write() as session:
        claim = jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        for step in steps:
            key = f"pictures/{job_id}/1-{step}.png"
            services.store.put_named(key, PNG + bytes([step]))
            jobs.record_picture(session, job_id, attempt=1, step=step, key=key, num_bytes=len(PNG) + 1)
        numbers += [picture.number for picture in jobs.pictures(session, job_id)]
    return numbers


@pytest.fixture
def job(client: TestClient) -> dict[str, Any]:
    return client.post("/v1/jobs", json=RECIPE).json()


def test_pictures_are_listed_in_their_order_and_served_for_good(
    client: TestClient, services: Services, job: dict[str, Any]
) -> None:
    assert client.get(f"/v1/jobs/{job['id']}/pictures").json() == {"items": [], "next_cursor": None}
    numbers = paint(services, job["id"], 0, 9)
    items = client.get(f"/v1/jobs/{job['id']}/pictures").json()["items"]
    assert [(item["number"], item["step"], item["attempt"]) for item in items] == [
        (numbers[0], 0, 1),
        (numbers[1], 9, 1),
    ]
    answer = client.get(items[1]["url"])
    assert (answer.content, answer.headers["content-type"]) == (PNG + b"\x09", "image/png")
    assert "immutable" in answer.headers["cache-control"]
    again = client.get(items[1]["url"], headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert client.head(items[1]["url"]).headers["content-length"] == str(items[1]["bytes"])


def test_the_event_names_the_picture(client: TestClient, services: Services, job: dict[str, Any]) -> None:
    (number,) = paint(services, job["id"], 4)
    client.post(f"/v1/jobs/{job['id']}/cancel")
    with services.database.write() as session:
        jobs.cancelled(session, job["id"], attempt=1)
    told = client.get(f"/v1/jobs/{job['id']}/events?after={number - 1}").text
    assert "event: picture" in told
    assert f"id: {number}" in told
    assert '"step":4' in told.replace(" ", "")


def test_what_is_not_there_is_a_404(client: TestClient, services: Services, job: dict[str, Any]) -> None:
    (number,) = paint(services, job["id"], 4)
    problem(client.get(f"/v1/jobs/{job['id']}/pictures/{number + 1}.png"), 404)
    problem(client.get(f"/v1/jobs/job_{'0' * 32}/pictures"), 404)
    problem(client.get(f"/v1/jobs/job_{'0' * 32}/pictures/{number}.png"), 404)
    services.store.delete_named(f"pictures/{job['id']}/1-4.png")  # by a sweep, between the two looks
    problem(client.get(f"/v1/jobs/{job['id']}/pictures/{number}.png"), 404)
    problem(client.get(f"/v1/jobs/{job['id']}/pictures/0.png"), 404)
