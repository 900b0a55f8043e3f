"""What a key may use: told, kept in the transaction that adds to it, and set by whoever administers keys."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.services import Services
from registry import evaluations, jobs, keys, quotas
from registry.errors import QuotaExceeded
from registry.quotas import Limits
from tests.unit.app.catalog import RECIPE
from tests.unit.app.conftest import artifact_file, pointers, problem
from tests.unit.app.keys.conftest import Held
from tests.unit.app.test_datasets import npz


@pytest.fixture
def few(services: Services) -> None:
    services.settings = services.settings.model_copy(update={"quota_jobs": 2, "quota_bytes": 100_000})


def exceeded(response: Any, quota: str) -> dict[str, Any]:
    """The refusal, checked for what a client needs of it."""
    told = problem(response, 429)
    assert told["type"] == "/problems/quota-exceeded"
    assert f"`{quota}`" in told["detail"]
    assert int(response.headers["retry-after"]) >= 1
    return told


def submit(client: TestClient, who: Held, path: str = "/v1/jobs", **recipe: Any) -> Any:
    return client.post(path, json={**RECIPE, **recipe}, headers=who.bearer)


@pytest.mark.usefixtures("few")
def test_a_key_has_so_many_jobs_at_once(client: TestClient, services: Services, held: dict[str, Held]) -> None:
    key, other = held["submit"], held["admin"]
    made = [submit(client, key).json()["id"] for _ in range(2)]
    told = exceeded(submit(client, key), "jobs")
    assert "may use 2" in told["detail"]
    assert "uses 2" in told["detail"]
    assert len(services.queue.jobs) == 2  # type: ignore[attr-defined]
    assert submit(client, other).status_code == 202  # each key has its own

    dry = submit(client, key, path="/v1/jobs?dry_run=true").json()["quotas"]
    assert dry["jobs"] == {"used": 2, "limit": 2}
    assert client.get("/v1/keys/self/quotas", headers=key.bearer).json() == dry

    client.post(f"/v1/jobs/{made[0]}/cancel", headers=key.bearer)
    assert submit(client, key).status_code == 202
    # To try the cancelled one again is to have three.
    exceeded(client.post(f"/v1/jobs/{made[0]}/retry", headers=other.bearer), "jobs")


@pytest.mark.usefixtures("few")
def test_a_refused_job_is_no_answer_to_keep(client: TestClient, held: dict[str, Held]) -> None:
    key = held["submit"]
    made = [submit(client, key).json()["id"] for _ in range(2)]
    again = {**key.bearer, "Idempotency-Key": "mine"}
    exceeded(client.post("/v1/jobs", json=RECIPE, headers=again), "jobs")
    client.post(f"/v1/jobs/{made[0]}/cancel", headers=key.bearer)
    assert client.post("/v1/jobs", json=RECIPE, headers=again).status_code == 202


def test_of_many_at_once_no_more_pass_than_may(services: Services, held: dict[str, Held]) -> None:
    key_id = held["submit"].id

    def ask(number: int) -> bool:
        try:
            # Not `services.writing`, in which one process takes turns: replicas do not.
            with services.database.write() as session:
                quotas.check(session, key_id, Limits(jobs=3), jobs=1)
                jobs.submit(session, recipe=RECIPE, digest=f"{number:064x}", request_id="r", key_id=key_id)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(12))) == 3


def test_the_root_key_and_nobody_have_no_limits(client: TestClient, services: Services) -> None:
    services.settings = services.settings.model_copy(update={"quota_jobs": 1})
    assert [client.post("/v1/jobs", json=RECIPE).status_code for _ in range(3)] == [202] * 3
    assert client.get("/v1/keys/self/quotas").json()["jobs"] == {"used": 0, "limit": None}


@pytest.mark.usefixtures("few")
def test_bytes_are_those_of_uploads_data_sets_and_artifacts(
    client: TestClient, services: Services, held: dict[str, Held]
) -> None:
    key = held["submit"]
    tus = {**key.bearer, "Tus-Resumable": "1.0.0"}

    def used() -> float:
        return client.get("/v1/keys/self/quotas", headers=key.bearer).json()["bytes"]["used"]

    location = client.post("/v1/uploads", headers={**tus, "Upload-Length": "60000"}).headers["location"]
    assert used() == 60_000
    exceeded(client.post("/v1/uploads", headers={**tus, "Upload-Length": "60000"}), "bytes")
    assert client.delete(location, headers=tus).status_code == 204
    assert used() == 0

    sent = npz()
    form: dict[str, Any] = {"data": {"name": "mine"}, "files": {"file": ("a.npz", sent)}, "headers": key.bearer}
    assert client.post("/v1/datasets", **form).status_code == 201
    assert used() == len(sent)

    content, header = artifact_file()
    job_id = submit(client, key).json()["id"]
    with services.database.write() as session:
        claim = jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        made = jobs.Publication(
            digest=services.store.put(content),
            content_bytes=len(content),
            payload_bytes=1,
            kind="images",
            header=header,
            train_images=30,
        )
        artifact = jobs.finish(session, job_id, attempt=claim.attempt, publication=made)
        assert artifact is not None
    assert used() == len(sent) + len(content)
    client.delete(f"/v1/artifacts/{artifact.id}", headers=key.bearer)
    assert used() == len(sent)

    services.settings = services.settings.model_copy(update={"quota_bytes": len(sent) + 1})
    form["data"]["name"] = "another"
    exceeded(client.post("/v1/datasets", **form), "bytes")
    assert client.get("/v1/datasets/another", headers=key.bearer).status_code == 404


def test_device_time_is_that_of_today_of_jobs_and_evaluations(
    client: TestClient, services: Services, held: dict[str, Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    services.settings = services.settings.model_copy(update={"quota_device_seconds": 100.0})
    key = held["submit"]
    job_id = submit(client, key).json()["id"]
    with services.database.write() as session:
        assert jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=60) is not None
        jobs.get(session, job_id).held_since -= 40  # type: ignore[operator]
    with services.database.read() as session:
        assert 40 <= quotas.use(session, key.id).device_seconds < 80
    with services.database.write() as session:
        jobs.get(session, job_id).held_since -= 61  # type: ignore[operator]
    told = exceeded(submit(client, key), "device_seconds")
    assert "may use 100" in told["detail"]
    assert submit(client, held["admin"]).status_code == 202
    # It stays used when the hold has ended, also by a failure, and the next day is another.
    with services.database.write() as session:
        jobs.fail(session, job_id, attempt=1, error={"code": "x", "title": "x", "detail": "x"})
    with services.database.read() as session:
        used = quotas.use(session, key.id).device_seconds
        assert 101 <= used < 200
        tomorrow = quotas.today(session) + 1
    exceeded(submit(client, key), "device_seconds")
    exceeded(client.post(f"/v1/jobs/{job_id}/retry", headers=key.bearer), "device_seconds")
    monkeypatch.setattr(quotas, "today", lambda session: tomorrow)
    assert submit(client, key).status_code == 202


def test_a_key_has_limits_of_its_own_and_its_heir_too(
    client: TestClient, services: Services, held: dict[str, Held]
) -> None:
    key, admin = held["submit"], held["admin"].bearer
    url = f"/v1/keys/{key.id}/quotas"
    assert client.get(url, headers=admin).json()["jobs"] == {"used": 0, "limit": 1000}
    assert client.patch(url, json={"jobs": 1, "bytes": 5}, headers=admin).json()["jobs"]["limit"] == 1
    assert client.patch(url, json={"bytes": 0}, headers=admin).json()["bytes"]["limit"] is None
    told = client.get("/v1/keys/self/quotas", headers=key.bearer).json()
    assert (told["jobs"]["limit"], told["bytes"]["limit"]) == (1, None)
    assert submit(client, key).status_code == 202
    exceeded(submit(client, key), "jobs")
    problem(client.patch(url, json={"jobs": 9}, headers=key.bearer), 403)
    assert pointers(client.patch(url, json={"jobs": -1, "more": 1}, headers=admin)) == ["/jobs", "/more"]
    problem(client.patch(f"/v1/keys/key_{'0' * 32}/quotas", json={"jobs": 1}, headers=admin), 404)

    with services.database.write() as session:
        quotas.count_seconds(session, key.id, 7.0)
        quotas.count_seconds(session, key.id, 3.0)
        heir = keys.rotate(session, key.id, grace_seconds=0).key.id
        assert quotas.limits(session, heir, Limits(jobs=50)).jobs == 1
        assert quotas.use(session, heir).device_seconds == 10
    assert client.patch(url, json={"jobs": None}, headers=admin).json()["jobs"]["limit"] == 1000


def test_an_evaluation_asks_for_device_time_and_is_paid_by_who_asked(
    client: TestClient, services: Services, held: dict[str, Held], published: Any
) -> None:
    services.settings = services.settings.model_copy(update={"quota_device_seconds": 100.0})
    key = held["submit"]
    url = f"/v1/artifacts/{published.id}/evaluations"
    (item,) = client.post(url, json={"networks": ["mlp"]}, headers=key.bearer).json()["items"]
    with services.database.write() as session:
        claim = evaluations.claim(session, item["id"], worker="w", device="cpu", lease_seconds=60)
        assert claim is not None
        row = evaluations.get(session, item["id"])
        row.held_since -= 101  # type: ignore[operator]
    exceeded(client.post(url, json={"networks": ["mlp"], "repeats": 1}, headers=key.bearer), "device_seconds")
    # What is there already costs nothing.
    assert client.post(url, json={"networks": ["mlp"]}, headers=key.bearer).status_code == 202


def test_keys_without_the_scope_are_told_nothing(client: TestClient, held: dict[str, Held]) -> None:
    problem(client.get("/v1/keys/self/quotas", headers=held["none"].bearer), 403)
