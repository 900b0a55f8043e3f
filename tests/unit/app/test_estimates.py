"""What a job will take, by what others have taken."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from app.jobs import estimating
from app.services import Services
from distilled import device_memory
from registry import jobs, workers
from registry.models import EventKind, Job, State
from tests.unit.app.catalog import CATALOG

RECIPE: dict[str, Any] = {"dataset": "digits", "method": "dm", "ipc": 1, "steps": 100}


def estimate(client: TestClient, **fields: Any) -> dict[str, Any]:
    response = client.post("/v1/jobs?dry_run=true", json=RECIPE | fields)
    assert response.status_code == 200, response.text
    return response.json()["estimate"]


def finish(
    client: TestClient, services: Services, *, seconds: float, device: str = "cpu", attempt: int = 1, **fields: Any
) -> str:
    """A job that has taken so long."""
    job_id = client.post("/v1/jobs", json=RECIPE | fields).json()["id"]
    ended = datetime.now(UTC)
    with services.database.write() as session:
        held = jobs.claim(session, job_id, worker="w", device=device, lease_seconds=60)
        assert held is not None
        values = {
            "state": State.SUCCEEDED,
            "steps": (RECIPE | fields)["steps"],
            "started_at": ended - timedelta(seconds=seconds),
            "ended_at": ended,
            "attempt": attempt,
            "device": device,
        }
        session.execute(update(Job).where(Job.id == job_id).values(**values))
    return job_id


def live(services: Services, device: str, *, name: str = "w") -> None:
    with services.database.write() as session:
        queues = ["gpu" if device.startswith("cuda") else "cpu", "evaluate", "validate"]
        workers.beat_worker(session, worker=name, device=device, hostname="h", pid=1, queues=queues)


def test_without_a_past_it_is_a_guess_that_says_so(client: TestClient) -> None:
    told = estimate(client)
    assert told["basis"] == {"jobs": 0, "match": "guess", "devices": ["cpu"]}
    assert told["seconds"] == pytest.approx(100 * 0.3 * 0.1)
    assert told["seconds_p90"] == pytest.approx(10 * told["seconds"])
    assert told["bytes"] == 10 * 65
    assert told["memory_bytes"] > 2**29
    assert told["memory_jobs"] == 0
    assert (told["queue_position"], told["seconds_ahead"]) == (1, None)
    assert estimate(client, steps=200)["seconds"] == pytest.approx(2 * told["seconds"])


def test_what_others_took_counts_the_more_the_more_alike_they_were(client: TestClient, services: Services) -> None:
    finish(client, services, seconds=50, ipc=2)
    assert estimate(client)["basis"]["match"] == "method"
    assert estimate(client)["seconds"] == pytest.approx(50, abs=0.1)
    finish(client, services, seconds=40, objective={"learning_rate": 0.5})
    assert estimate(client)["basis"] == {"jobs": 1, "match": "ipc", "devices": ["cpu"]}
    for seconds in (10, 20, 90):
        finish(client, services, seconds=seconds * 2, seed=1, steps=200)
    told = estimate(client)
    assert told["basis"] == {"jobs": 3, "match": "options", "devices": ["cpu"]}
    assert (told["seconds"], told["seconds_p90"]) == (pytest.approx(20, abs=0.1), pytest.approx(90, abs=0.1))
    finish(client, services, seconds=33)
    told = estimate(client)
    assert told["basis"] == {"jobs": 1, "match": "recipe", "devices": ["cpu"]}
    assert told["seconds"] == told["seconds_p90"] == pytest.approx(33, abs=0.1)
    other = {"method": None, "parametrization": {"kind": "images"}, "objective": {"kind": "kernel"}}
    assert estimate(client, **other)["basis"]["match"] == "guess"


def test_jobs_on_another_kind_of_device_and_those_that_stumbled_do_not_count(
    client: TestClient, services: Services
) -> None:
    finish(client, services, seconds=5, device="cuda:0 (NVIDIA)")
    finish(client, services, seconds=500, attempt=2)
    assert estimate(client, device="gpu")["basis"] == {"jobs": 1, "match": "recipe", "devices": ["cuda"]}
    assert estimate(client)["basis"]["match"] == "guess"
    live(services, "cpu")
    assert estimate(client)["basis"]["match"] == "guess"
    live(services, "cuda:0 (NVIDIA)", name="v")
    assert estimate(client)["seconds"] == pytest.approx(5, abs=0.1)


def test_memory_is_what_such_jobs_reported(client: TestClient, services: Services) -> None:
    job_id = client.post("/v1/jobs", json=RECIPE).json()["id"]
    with services.database.write() as session:
        held = jobs.claim(session, job_id, worker="w", device="cuda:0", lease_seconds=60)
        assert held is not None
        for value in (3e9, 5e9, 4e9):
            told = {"step": 1, "values": {"device_memory_bytes": value}}
            jobs.record_event(session, job_id, attempt=held.attempt, kind=EventKind.METRICS, data=told)
        values = {"state": State.SUCCEEDED, "steps": 100, "ended_at": datetime.now(UTC)}
        session.execute(update(Job).where(Job.id == job_id).values(**values))
    told = estimate(client, device="gpu")
    assert (told["memory_bytes"], told["memory_jobs"]) == (5_000_000_000, 1)


def test_who_waits_before_it_counts_by_priority_and_by_workers(client: TestClient, services: Services) -> None:
    finish(client, services, seconds=60)
    live(services, "cpu")
    assert (estimate(client)["queue_position"], estimate(client)["seconds_ahead"]) == (1, 0)
    waiting = [client.post("/v1/jobs", json=RECIPE).json()["id"] for _ in range(3)]
    told = estimate(client)
    assert (told["queue_position"], told["seconds_ahead"]) == (4, pytest.approx(180, abs=1))
    assert estimate(client, priority=1)["queue_position"] == 1
    with services.database.write() as session:
        held = jobs.claim(session, waiting[0], worker="w", device="cpu", lease_seconds=60)
        assert held is not None
        jobs.beat(session, waiting[0], attempt=held.attempt, lease_seconds=60, progress=0.5, eta_seconds=7.0)
    assert estimate(client, priority=1)["seconds_ahead"] == pytest.approx(7)
    assert estimate(client)["seconds_ahead"] == pytest.approx(127, abs=1)
    live(services, "cpu", name="second")
    assert estimate(client)["seconds_ahead"] == pytest.approx(127 / 2, abs=1)
    assert estimate(client, priority=1)["seconds_ahead"] == 0
    assert client.get("/v1/jobs").json()["items"][0]["id"] == waiting[-1]  # nothing was queued


@given(st.lists(st.floats(0, 1e6), min_size=1).map(sorted))
def test_a_percentile_is_one_of_the_values(values: list[float]) -> None:
    found = estimating._percentile(values, 0.9)  # pyright: ignore[reportPrivateUsage]
    assert found in values
    assert sum(value <= found for value in values) >= 0.9 * len(values)


@pytest.mark.parametrize("kind", sorted(CATALOG["objectives"]))
def test_a_guess_grows_with_the_work(kind: str) -> None:
    recipe = {"steps": 10, "objective": {"kind": kind, "real_batch": 8}}
    small: dict[str, Any] = {"shape": [1, 28, 28], "classes": ["a", "b"], "train_counts": [10, 10]}
    large = {"shape": [3, 32, 32], "classes": ["a"] * 100, "train_counts": [500] * 100}
    guesses = [
        estimating.guessed_seconds(recipe, facts, ipc=10, kind=device)
        for facts, device in ((small, "cuda"), (small, "cpu"), (large, "cpu"))
    ]
    assert guesses == sorted(set(guesses))
    memory = [device_memory.estimate(recipe, facts, ipc=10, stored_bytes=10) for facts in (small, large)]
    assert memory == sorted(set(memory))


def test_every_objective_has_a_guess_of_its_own() -> None:
    import json  # noqa: PLC0415 -- for this test only

    from app.services import CATALOG as PATH  # noqa: PLC0415 -- the real one, not the tests'

    assert set(estimating.STEP_SECONDS) == set(json.loads(PATH.read_text(encoding="utf-8"))["objectives"])
