"""Jobs: submit once however often it is sent, follow, cancel, retry."""

import time
from typing import Any
from uuid import uuid4

import pytest

from tests.conformance.conftest import Made, submit
from tests.conformance.making import ENDLESS, IMAGES
from tests.conformance.wire import Wire, until

FIELDS = {
    "id",
    "state",
    "queue_position",
    "progress",
    "step",
    "steps",
    "eta_seconds",
    "attempt",
    "device",
    "error",
    "artifact_id",
    "recipe",
}
STATES = {"queued", "running", "succeeded", "failed", "cancelled"}


@pytest.fixture
def endless(wire: Wire, dataset: str) -> dict[str, Any]:
    """A recipe that nobody else submits, and that ends when it is cancelled."""
    return {**ENDLESS, "dataset": dataset, "seed": uuid4().int % 2**31}


def cancel(wire: Wire, job_id: str) -> dict[str, Any]:
    return wire.ok("POST", f"/v1/jobs/{job_id}/cancel").json()


def test_a_submitted_job_is_accepted_and_located(wire: Wire, endless: dict[str, Any]) -> None:
    answer = wire.ok("POST", "/v1/jobs", status=202, json=endless)
    job = answer.json()
    cancel(wire, job["id"])
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert set(job) >= FIELDS
    assert job["state"] in ("queued", "running")
    assert job["recipe"]["objective"]["ridge"] > 0
    assert wire.get(answer.headers["location"])["id"] == job["id"]


def test_the_same_key_and_body_are_the_same_job(wire: Wire, endless: dict[str, Any]) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first, again = (wire.ok("POST", "/v1/jobs", status=202, json=endless, headers=key) for _ in range(2))
    cancel(wire, first.json()["id"])
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == first.headers["location"]
    # The same, however its JSON is written.
    turned = dict(reversed(endless.items()))
    assert wire.ok("POST", "/v1/jobs", status=202, json=turned, headers=key).json()["id"] == first.json()["id"]


def test_the_same_key_with_another_body_is_refused(wire: Wire, endless: dict[str, Any]) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    cancel(wire, wire.ok("POST", "/v1/jobs", status=202, json=endless, headers=key).json()["id"])
    other = {**endless, "steps": 5}
    assert wire.pointers("POST", "/v1/jobs", json=other, headers=key) == ["/header/idempotency-key"]


def test_a_refused_request_does_not_use_up_its_key(wire: Wire, endless: dict[str, Any]) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    assert wire.pointers("POST", "/v1/jobs", json={**endless, "steps": -1}, headers=key) == ["/steps"]
    cancel(wire, wire.ok("POST", "/v1/jobs", status=202, json=endless, headers=key).json()["id"])


@pytest.mark.parametrize("key", ["", "two words", "x" * 300])
def test_an_idempotency_key_is_a_word(wire: Wire, endless: dict[str, Any], key: str) -> None:
    assert wire.pointers("POST", "/v1/jobs", json=endless, headers={"Idempotency-Key": key}) == [
        "/header/idempotency-key"
    ]


def test_without_reuse_an_identical_recipe_is_queued_again(wire: Wire, endless: dict[str, Any]) -> None:
    first, second = submit(wire, endless), submit(wire, endless)
    for job_id in (first, second):
        cancel(wire, job_id)
    assert first != second


def test_reuse_finds_the_living_job_of_an_identical_recipe(wire: Wire, endless: dict[str, Any]) -> None:
    job_id = submit(wire, endless)
    found = wire.ok("POST", "/v1/jobs?reuse=true", json=endless)
    cancel(wire, job_id)
    assert found.json()["id"] == job_id
    assert found.headers["location"] == f"/v1/jobs/{job_id}"


def test_reuse_finds_the_job_that_succeeded_and_so_does_a_dry_run(wire: Wire, images: Made, dataset: str) -> None:
    recipe = {**IMAGES, "dataset": dataset}
    assert wire.ok("POST", "/v1/jobs?reuse=true", json=recipe).json()["id"] == images.job["id"]
    foreseen = wire.ok("POST", "/v1/jobs?dry_run=true", json=recipe).json()
    assert foreseen["existing_job_id"] == images.job["id"]
    assert foreseen["digest"] == images.job["digest"]
    assert foreseen["estimate"]["bytes"] == images.manifest["budget"]["bytes"]


def test_jobs_wait_in_the_order_of_priority_and_age(wire: Wire, endless: dict[str, Any]) -> None:
    ids = [submit(wire, {**endless, "priority": priority}) for priority in (-50, -50, -50, -45)]
    shown = [wire.get(f"/v1/jobs/{job_id}") for job_id in ids]
    for job_id in ids:
        cancel(wire, job_id)
    waiting = [job for job in shown if job["state"] == "queued"]
    assert len(waiting) >= 2
    positions = [job["queue_position"] for job in waiting]
    assert all(isinstance(position, int) and position >= 1 for position in positions)
    order = [job["id"] for job in sorted(waiting, key=lambda job: job["queue_position"])]
    assert order == [job["id"] for job in sorted(waiting, key=lambda job: (-job["priority"], job["id"]))]
    assert all(job["queue_position"] is None for job in shown if job["state"] != "queued")


def test_a_queued_job_is_cancelled_at_once_and_twice_is_once(wire: Wire, endless: dict[str, Any]) -> None:
    job_id = submit(wire, endless)
    first = cancel(wire, job_id)
    assert first["state"] == "cancelled" or first["cancel_requested"]
    ended = wire.until_job(job_id, "cancelled")
    again = cancel(wire, job_id)
    assert (again["state"], again["ended_at"]) == ("cancelled", ended["ended_at"])


def test_a_running_job_stops_within_seconds_and_can_be_retried(
    wire: Wire, worker: None, images: Made, generator: Made, soft: Made, endless: dict[str, Any]
) -> None:
    job_id = submit(wire, {**endless, "priority": 50})
    running = wire.until_job(job_id, "running", what=lambda job: job["step"])
    assert running["queue_position"] is None
    assert running["device"]
    assert running["attempt"] == 1
    assert 0 <= running["progress"] < 1
    assert running["steps"] == endless["steps"]
    (working,) = [one for one in wire.get("/v1/workers")["items"] if job_id in one["in_hand"]]
    assert working["device"].startswith(running["device"].partition(":")[0])
    wire.problem(409, "POST", f"/v1/jobs/{job_id}/retry")

    began = time.monotonic()
    cancel(wire, job_id)
    wire.until_job(job_id, "cancelled")
    assert time.monotonic() - began < 15  # 5 s on a machine of its own
    until(
        lambda: all(job_id not in one["in_hand"] for one in wire.get("/v1/workers")["items"]),
        what="the worker is free",
        seconds=30,
    )

    again = wire.ok("POST", f"/v1/jobs/{job_id}/retry", status=202).json()
    assert (again["id"], again["state"]) == (job_id, "queued")
    assert again["error"] is None
    cancel(wire, job_id)


def test_fresh_forgets_the_checkpoint(wire: Wire, endless: dict[str, Any]) -> None:
    job_id = submit(wire, endless)
    cancel(wire, job_id)
    wire.until_job(job_id, "cancelled")
    again = wire.ok("POST", f"/v1/jobs/{job_id}/retry?fresh=true", status=202).json()
    cancel(wire, job_id)
    assert (again["state"], again["step"] or 0) == ("queued", 0)


def test_what_has_succeeded_is_neither_cancelled_nor_retried(wire: Wire, images: Made) -> None:
    for verb in ("cancel", "retry"):
        wire.problem(409, "POST", f"/v1/jobs/{images.job['id']}/{verb}")


def test_a_job_that_succeeded_tells_its_whole_story(wire: Wire, images: Made) -> None:
    job = images.job
    assert (job["progress"], job["step"], job["steps"]) == (1, IMAGES["steps"], IMAGES["steps"])
    assert (job["error"], job["queue_position"], job["attempt"]) == (None, None, 1)
    assert job["created_at"] <= job["started_at"] <= job["ended_at"]
    assert job["artifact_id"] == images.id
    assert job["recipe"]["ipc"] == IMAGES["ipc"]


def test_jobs_are_found_by_state_dataset_and_method(wire: Wire, images: Made, generator: Made, dataset: str) -> None:
    for method, made, other in (("kip", images, generator), ("dm", generator, images)):
        query = f"dataset={dataset.upper()}&state=succeeded&method={method}"
        ids = {job["id"] for page in wire.pages(f"/v1/jobs?{query}") for job in page}
        assert made.job["id"] in ids
        assert other.job["id"] not in ids
    assert wire.pointers("GET", "/v1/jobs?state=asleep") == ["/query/state"]
    assert wire.get("/v1/jobs?dataset=no-such-data")["items"] == []


def test_jobs_are_listed_newest_first_and_in_known_states(wire: Wire, images: Made, dataset: str) -> None:
    listed = [job for page in wire.pages("/v1/jobs", dataset=dataset) for job in page]
    assert [job["id"] for job in listed] == sorted((job["id"] for job in listed), reverse=True)
    assert {job["state"] for job in listed} <= STATES


@pytest.mark.parametrize("path", ["", "/events", "/metrics"])
def test_a_job_that_never_was_is_not_found(wire: Wire, path: str) -> None:
    wire.problem(404, "GET", f"/v1/jobs/job_{'0' * 32}{path}")
    wire.problem(404, "GET", f"/v1/jobs/nonsense{path}")


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_what_never_was_cannot_be_changed(wire: Wire, verb: str) -> None:
    wire.problem(404, "POST", f"/v1/jobs/job_{'0' * 32}/{verb}")


def test_the_recorded_series_has_steps_and_values(wire: Wire, images: Made) -> None:
    path = f"/v1/jobs/{images.job['id']}/metrics"
    series = [item for page in wire.pages(path, limit=1) for item in page]
    assert series == wire.get(path)["items"]
    assert [item["number"] for item in series] == sorted({item["number"] for item in series})
    values = {name for item in series for name in item["data"]}
    assert "step" in values
    assert values & {"loss", "images_per_second", "memory"}


def test_the_pictures_show_the_way_to_the_result(wire: Wire, images: Made) -> None:
    items = wire.get(f"/v1/jobs/{images.job['id']}/pictures")["items"]
    assert items, "a worker makes one before the first step, unless it is told to make none"
    assert [item["number"] for item in items] == sorted({item["number"] for item in items})
    for item in items:
        answer = wire.ok("GET", item["url"])
        assert answer.headers["content-type"] == "image/png"
        assert answer.content.startswith(b"\x89PNG")
        assert len(answer.content) == item["bytes"]
    told = wire.ok("GET", f"/v1/jobs/{images.job['id']}/events?after={items[0]['number'] - 1}").text
    assert told.count("event: picture") >= len(items)
