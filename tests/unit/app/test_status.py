"""How the service is: the answer, and the page that shows it."""

import re
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import update

from app.services import Services
from distilled import __version__
from registry import failing, jobs, workers
from registry.clock import utc_now
from registry.models import Job, Worker
from tests.unit.app.catalog import RECIPE
from tests.unit.app.conftest import publish

BROWSER = {"Accept": "text/html"}
MEMORY = {"code": "out_of_memory", "title": "Too little memory", "detail": "Lower `objective.real_batch`."}


def introduce(services: Services, name: str = "w", **options: Any) -> None:
    told = {"device": "cpu", "hostname": "box", "pid": 7, "version": __version__, **options}
    with services.writing() as session:
        workers.beat_worker(session, worker=name, **told)


def failed(client: TestClient, services: Services, error: dict[str, str]) -> str:
    job_id = client.post("/v1/jobs", json=RECIPE).json()["id"]
    with services.writing() as session:
        claim = jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        jobs.fail(session, job_id, attempt=claim.attempt, error=error)
    return job_id


def test_it_tells_parts_queues_rows_and_room(client: TestClient, services: Services) -> None:
    published = publish(services)
    introduce(services)
    client.post("/v1/jobs", json={**RECIPE, "device": "cpu"})
    told = client.get("/v1/status").json()
    assert (told["ready"], told["version"], told["advice"]) == (True, __version__, [])
    assert {name: part["state"] for name, part in told["checks"].items()} == dict.fromkeys(
        ("database", "broker", "store", "workers"), "ok"
    )
    queues = {one["queue"]: one for one in told["queues"]}
    assert list(queues) == ["cpu", "gpu", "evaluate", "validate", "portions"]
    assert (queues["cpu"]["waiting"], queues["cpu"]["workers"], queues["evaluate"]["waiting"]) == (1, 1, 1)
    assert 0 <= queues["cpu"]["oldest_seconds"] < 60
    assert (told["rows"]["jobs"]["queued"], told["rows"]["jobs"]["succeeded"]) == (1, 1)
    assert told["lease_expiries"]["jobs"] == 0
    assert told["store"]["bytes"] == len(published.content)


def test_what_workers_keep_is_counted_once_for_each_machine(client: TestClient, services: Services) -> None:
    with services.writing() as session:
        for name, hostname in (("a", "h"), ("b", "h"), ("c", "elsewhere")):
            workers.beat_worker(session, worker=name, device="cpu", hostname=hostname, pid=1, cache_bytes=3)
        workers.beat_worker(session, worker="a", device="cpu", hostname="h", pid=1)  # tells nothing new of it
    assert client.get("/v1/status").json()["store"]["worker_cache_bytes"] == 6
    assert "distilled_worker_cache_bytes 6.0" in client.get("/metrics").text


def test_it_says_what_is_wrong_and_what_to_do(client: TestClient, services: Services) -> None:
    (none,) = client.get("/v1/status").json()["advice"]
    assert "distilled worker" in none
    introduce(services, queues=["evaluate"], version="0.0.1")
    client.post("/v1/jobs", json=RECIPE)
    services.measured.forget()
    waits, versions = client.get("/v1/status").json()["advice"]
    assert waits.startswith("workers: work waits in cpu")
    assert "0.0.1" in versions
    introduce(services, queues=list(workers.EVERY_QUEUE))
    with services.writing() as session:
        session.execute(update(Job).values(queued_at=Job.queued_at - 1200))
        session.execute(update(Worker).values(heartbeat=Worker.heartbeat - 40))
    services.measured.forget()
    waited, silent = client.get("/v1/status").json()["advice"]
    assert waited == "cpu: work has waited for 20 min; start another worker that takes it"
    assert re.match(r"w: silent for 4\d s; look at its log", silent)


def test_failures_are_told_by_cause_the_most_frequent_first(client: TestClient, services: Services) -> None:
    lost = {"code": "worker_lost", "title": "The worker was lost", "detail": "Look at its log."}
    long_ago, yesterday, first, last = (
        failed(client, services, error) for error in (lost, lost, MEMORY, {**MEMORY, "detail": "Lower it more."})
    )
    ages = {long_ago: timedelta(days=8), yesterday: timedelta(days=2), first: timedelta(hours=3)}
    with services.writing() as session:
        for job_id, age in ages.items():
            session.execute(update(Job).where(Job.id == job_id).values(ended_at=utc_now() - age))
    found = client.get("/v1/status").json()["failures"]
    assert [(one["code"], one["of"], one["last_day"], one["last_week"]) for one in found] == [
        ("out_of_memory", "jobs", 2, 2),
        ("worker_lost", "jobs", 0, 1),
    ]
    assert (found[0]["last_id"], found[0]["detail"]) == (last, "Lower it more.")
    page = client.get("/workers", headers=BROWSER).text
    assert f'href="/jobs/{last}"' in page
    assert "Lower it more." in page


def test_only_the_youngest_failures_are_looked_at(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failing, "LOOKED_AT", 1)
    for _ in range(2):
        failed(client, services, MEMORY)
    (one,) = client.get("/v1/status").json()["failures"]
    assert one["last_week"] == 1


def test_the_page_shows_who_has_what_in_hand(client: TestClient, services: Services) -> None:
    empty = client.get("/workers", headers=BROWSER).text
    assert "Live workers: 0" in empty
    assert "Not ready" in empty
    published = publish(services)
    introduce(services, device="cuda:0 (NVIDIA H200)", memory_bytes=140_000_000_000)
    job_id = client.post("/v1/jobs", json=RECIPE).json()["id"]
    with services.writing() as session:
        jobs.claim(session, job_id, worker="w", device="cuda:0", lease_seconds=60)
    page = client.get("/workers", headers=BROWSER).text
    assert "cuda:0 (NVIDIA H200)" in page
    assert f'<a href="/jobs/{job_id}"' in page
    assert "140.0 GB" in page
    assert published.id not in page
    assert client.get("/v1/workers").json()["items"][0]["version"] == __version__
