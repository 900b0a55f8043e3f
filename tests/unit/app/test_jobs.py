"""Jobs over HTTP: submitted once, found again, called off."""

from typing import Any
from unittest.mock import ANY

import pytest
from fastapi.testclient import TestClient

from app.services import Services
from registry import errors, jobs
from registry.models import EventKind
from registry.testing import MemoryQueue
from tests.unit.app.catalog import RECIPE
from tests.unit.app.conftest import Published, pointers, problem


def submit(client: TestClient, **changes: Any) -> dict[str, Any]:
    response = client.post("/v1/jobs", json=RECIPE | changes)
    assert response.status_code == 202, response.text
    return response.json()


def woken(services: Services) -> list[str]:
    assert isinstance(services.queue, MemoryQueue)
    return services.queue.jobs


def test_a_submitted_job_is_queued_expanded_and_woken_once(client: TestClient, services: Services) -> None:
    response = client.post("/v1/jobs", json=RECIPE, headers={"X-Request-ID": "abc-1"})

    job = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert job["state"] == "queued"
    assert job["queue_position"] == 1
    assert job["ipc"] == 2
    assert job["request_id"] == "abc-1"
    assert job["recipe"]["objective"] == {
        "kind": "distribution",
        "real_batch": 32,
        "learning_rate": 1.0,
        "network": "convnet3",
    }
    assert job["recipe"]["steps"] == 100
    assert woken(services) == [job["id"]]
    assert client.get(response.headers["location"]).json() == job | {"updated_at": ANY}


def test_a_commit_that_fails_is_no_success_and_wakes_nobody(
    client: TestClient, services: Services, published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sqlalchemy.orm import Session  # noqa: PLC0415 -- patched for this test alone

    def refuse(self: Session) -> None:
        raise RuntimeError("the disk went away")

    living = submit(client)
    woken(services).clear()
    routes = [
        ("POST", "/v1/jobs", RECIPE),
        ("POST", f"/v1/jobs/{living['id']}/cancel", None),
        ("PUT", "/v1/aliases/x", {"artifact_id": published.id}),
        ("DELETE", f"/v1/artifacts/{published.id}", None),
    ]
    monkeypatch.setattr("sqlalchemy.orm.SessionTransaction.commit", refuse)
    bodies = [problem(client.request(verb, path, json=body), 500) for verb, path, body in routes]
    monkeypatch.undo()

    assert "disk went away" not in str(bodies)
    assert woken(services) == []
    assert [job["state"] for job in client.get("/v1/jobs?state=queued").json()["items"]] == ["queued"]
    assert client.get(f"/v1/artifacts/{published.id}").status_code == 200


@pytest.mark.parametrize(("error", "status"), [(errors.RegistryFull, 507), (errors.RegistryBusy, 503)])
def test_a_registry_that_is_full_or_busy_says_so(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, error: type[Exception], status: int
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("app.jobs.submitting.jobs.submit", refuse)
    body = problem(client.post("/v1/jobs", json=RECIPE), status)
    assert ("free space" in body["detail"]) is (status == 507)


def test_a_broker_that_is_down_loses_no_job(client: TestClient, services: Services) -> None:
    assert isinstance(services.queue, MemoryQueue)
    services.queue.down = True

    job = submit(client)

    with services.database.read() as session:
        assert jobs.get(session, job["id"]).woken_at is None  # so the sweeper will send it


def test_an_idempotency_key_answers_the_same_again(client: TestClient, services: Services) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = client.post("/v1/jobs", json=RECIPE, headers=headers)
    again = client.post("/v1/jobs", json=RECIPE, headers=headers)

    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert woken(services) == [first.json()["id"]]

    other = client.post("/v1/jobs", json=RECIPE | {"seed": 1}, headers=headers)
    assert pointers(other) == ["/header/idempotency-key"]


def test_a_refused_request_does_not_use_up_its_key(client: TestClient) -> None:
    headers = {"Idempotency-Key": "k2"}
    assert client.post("/v1/jobs", json=RECIPE | {"ipc": 0}, headers=headers).status_code == 422
    assert client.post("/v1/jobs", json=RECIPE, headers=headers).status_code == 202


def test_reuse_answers_with_the_job_that_is_there(client: TestClient, services: Services) -> None:
    job = submit(client)
    same = client.post("/v1/jobs?reuse=true", json=RECIPE | {"priority": 3})
    other = client.post("/v1/jobs?reuse=true", json=RECIPE | {"seed": 9})

    assert (same.status_code, same.json()["id"]) == (200, job["id"])
    assert other.status_code == 202
    assert submit(client)["id"] != job["id"]  # without ?reuse it is queued again
    assert len(woken(services)) == 3


def test_a_dry_run_queues_nothing(client: TestClient, services: Services) -> None:
    response = client.post("/v1/jobs?dry_run=true", json={"dataset": "Digits", "method": "dm", "ratio": 0.05})

    plan = response.json()
    assert response.status_code == 200
    assert plan["ipc"] == 7  # round(0.05 * 1400 / 10)
    assert plan["estimate"]["bytes"] == 7 * 10 * 65
    assert plan["estimate"]["basis"] == {"jobs": 0, "match": "guess", "devices": ["cpu"]}
    assert plan["existing_job_id"] is None
    assert woken(services) == []
    assert client.get("/v1/jobs").json()["items"] == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"dataset": "nothere"}, "/dataset"),
        ({"dataset": "../../etc"}, "/dataset"),
        ({"dataset": 3}, "/dataset"),
        ({"method": "nothere"}, "/method"),
        ({"method": None}, "/objective"),
        ({"ipc": 0}, "/ipc"),
        ({"ipc": 141}, "/ipc"),
        ({"ipc": "two"}, "/ipc"),
        ({"ipc": 2.5}, "/ipc"),
        ({"ratio": 0.1}, "/ratio"),
        ({"seed": -1}, "/seed"),
        ({"seed": 2**80}, "/seed"),
        ({"steps": 0}, "/steps"),
        ({"steps": True}, "/steps"),
        ({"priority": 101}, "/priority"),
        ({"surprise": 1}, "/surprise"),
        ({"a/b~c": 1}, None),
        ({"parametrization": {"kind": "memory"}}, "/parametrization/kind"),
        ({"parametrization": {"storage": "int4"}}, "/parametrization/storage"),
        ({"parametrization": 3}, "/parametrization"),
        ({"objective": {"learning_rate": 0}}, "/objective/learning_rate"),
        ({"objective": {"learning_rate": 1e400}}, "/objective/learning_rate"),
        ({"objective": {"real_batch": 10**400}}, "/objective/real_batch"),
        ({"objective": {"width": 3}}, "/objective/width"),
        ({"objective": {"network": "resnet999"}}, "/objective/network"),
        ({"selection": {"start": "best"}}, "/selection/start"),
        ({"selection": []}, "/selection"),
        ({"penalties": [{"kind": "x"}]}, "/penalties/0/kind"),
        ({"penalties": "x"}, "/penalties"),
        ({"penalties": [{"kind": "invariance"}] * 2}, "/penalties/1/kind"),
        ({"penalties": [{"kind": "invariance", "weight": -1}]}, "/penalties/0/weight"),
        ({"penalties": [{"kind": "invariance", "networks": "convnet1,net"}]}, "/penalties/0/networks"),
        ({"penalties": [{"kind": "invariance", "networks": "convnet1,mlp"}]}, "/penalties/0/networks"),
        ({"penalties": [{"kind": "invariance", "networks": "convnet9"}]}, "/penalties/0/networks"),
        ({"evaluation": {"networks": ["nonet"]}}, "/evaluation/networks/0"),
        ({"evaluation": {"networks": ["convnet9"]}}, "/evaluation/networks/0"),
        ({"evaluation": {"repeats": 0}}, "/evaluation/repeats"),
        ({"webhook": "http://localhost"}, "/webhook"),
        ({"base_artifact": "art_1"}, "/base_artifact"),
        ({"dataset": "a\0b"}, "/dataset"),
        ({"method": "\ud800"}, "/method"),
    ],
)
def test_a_wrong_recipe_names_its_field(client: TestClient, change: dict[str, Any], pointer: str | None) -> None:
    import json  # noqa: PLC0415 -- the client's own encoder refuses infinities

    text = json.dumps(RECIPE | change)
    found = pointers(client.post("/v1/jobs", content=text, headers={"Content-Type": "application/json"}))
    assert pointer is None or pointer in found
    assert client.get("/v1/jobs").json()["items"] == []


def test_all_faults_are_told_at_once(client: TestClient) -> None:
    found = pointers(client.post("/v1/jobs", json={"dataset": "nothere", "method": "dm", "ipc": 0, "seed": -1}))
    assert set(found) == {"/dataset", "/ipc", "/seed"}


@pytest.mark.parametrize(
    ("content", "headers"),
    [
        (b"{", {"Content-Type": "application/json"}),
        (b"[1]", {"Content-Type": "application/json"}),
        (b"null", {"Content-Type": "application/json"}),
        (b"", {"Content-Type": "application/json"}),
        (b'{"dataset": NaN}', {"Content-Type": "application/json"}),
        (b'{"dataset": "digits"}', {"Content-Type": "text/plain"}),
        (b'{"dataset": "digits"}', {}),
        (b'{"a":' * 100 + b"1" + b"}" * 100, {"Content-Type": "application/json"}),
    ],
)
def test_what_is_no_json_object_is_refused(client: TestClient, content: bytes, headers: dict[str, str]) -> None:
    pointers(client.post("/v1/jobs", content=content, headers=headers))


@pytest.mark.parametrize("content", [b'{"a": "\xff"}', b'{"a":' * 100_000])
def test_what_cannot_be_read_at_all_is_a_400(client: TestClient, content: bytes) -> None:
    problem(client.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"}), 400)


def test_jobs_are_paged_newest_first(client: TestClient) -> None:
    made = [submit(client, seed=i)["id"] for i in range(3)]
    first = client.get("/v1/jobs?limit=2&state=queued")
    rest = client.get(first.links["next"]["url"])

    assert [job["id"] for job in first.json()["items"]] == [made[2], made[1]]
    assert [job["id"] for job in rest.json()["items"]] == [made[0]]
    assert "state=queued" in first.links["next"]["url"]
    assert rest.json()["next_cursor"] is None
    assert "link" not in rest.headers
    assert client.get("/v1/jobs?dataset=DIGITS&method=dm").json()["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/query/limit"),
        ("limit=x", "/query/limit"),
        ("limit=201", "/query/limit"),
        ("cursor=!!", "/query/cursor"),
        ("cursor=bm90aGluZw", "/query/cursor"),
        ("state=lost", "/query/state"),
        ("surprise=1", "/query/surprise"),
        ("dataset=%00", "/query/dataset"),
        (f"method={'x' * 3000}", "/query/method"),
    ],
)
def test_a_wrong_list_query_names_its_parameter(client: TestClient, query: str, pointer: str) -> None:
    assert pointers(client.get(f"/v1/jobs?{query}")) == [pointer]


def test_cancelling_twice_is_cancelling_once(client: TestClient) -> None:
    job = submit(client)
    first = client.post(f"/v1/jobs/{job['id']}/cancel")
    again = client.post(f"/v1/jobs/{job['id']}/cancel")
    assert (first.status_code, first.json()["state"]) == (200, "cancelled")
    assert (again.status_code, again.json()["state"]) == (200, "cancelled")


def test_a_job_that_succeeded_can_be_neither_cancelled_nor_retried(client: TestClient, published: Published) -> None:
    for verb in ("cancel", "retry"):
        body = problem(client.post(f"/v1/jobs/{published.job_id}/{verb}"), 409)
        assert body["type"] == "/problems/job-finished"
        assert published.job_id in body["detail"]


def test_a_cancelled_job_can_be_retried_and_a_living_one_cannot(client: TestClient, services: Services) -> None:
    job = submit(client)
    assert problem(client.post(f"/v1/jobs/{job['id']}/retry"), 409)["type"] == "/problems/job-alive"
    client.post(f"/v1/jobs/{job['id']}/cancel")

    again = client.post(f"/v1/jobs/{job['id']}/retry?fresh=true")

    assert (again.status_code, again.json()["state"]) == (202, "queued")
    assert woken(services) == [job["id"], job["id"]]


UNKNOWN = ["job_" + "0" * 32, "nothere"]


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("path", ["", "/events", "/metrics"])
def test_an_unknown_job_id_is_a_404(client: TestClient, name: str, path: str) -> None:
    problem(client.get(f"/v1/jobs/{name}{path}"), 404)


@pytest.mark.parametrize("name", UNKNOWN)
@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_nothing_can_be_done_to_an_unknown_job(client: TestClient, name: str, verb: str) -> None:
    problem(client.post(f"/v1/jobs/{name}/{verb}"), 404)


def test_a_job_shows_what_it_makes_before_its_first_step(client: TestClient, services: Services) -> None:
    job = submit(client)
    assert job["stage"] is None
    with services.database.write() as session:
        jobs.claim(session, job["id"], worker="w", device="cpu", lease_seconds=60)
        for done in (2, 3):
            told = {"what": "training experts", "done": done, "total": 10}
            jobs.record_event(session, job["id"], attempt=1, kind=EventKind.PREPARING, data=told)
    assert client.get(f"/v1/jobs/{job['id']}").json()["stage"] == "training experts 3/10"
    with services.database.write() as session:
        jobs.beat(session, job["id"], attempt=1, lease_seconds=60, step=1, steps=9)
    assert client.get(f"/v1/jobs/{job['id']}").json()["stage"] is None


def test_metrics_are_the_recorded_series_in_pages(client: TestClient, services: Services) -> None:
    job = submit(client)
    with services.database.write() as session:
        claim = jobs.claim(session, job["id"], worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        for step in range(3):
            jobs.record_event(session, job["id"], attempt=1, kind=EventKind.PROGRESS, data={"step": step, "loss": 1.0})
        jobs.record_event(session, job["id"], attempt=1, kind=EventKind.LOG, data={"message": "hello"})

    first = client.get(f"/v1/jobs/{job['id']}/metrics?limit=2")
    rest = client.get(first.links["next"]["url"]).json()

    assert [item["data"]["step"] for item in first.json()["items"]] == [0, 1]
    assert [item["data"]["step"] for item in rest["items"]] == [2]
    assert rest["next_cursor"] is None
    assert pointers(client.get(f"/v1/jobs/{job['id']}/metrics?cursor=x")) == ["/query/cursor"]
