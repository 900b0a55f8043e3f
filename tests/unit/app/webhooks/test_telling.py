"""Webhooks: what is told, signed as Standard Webhooks asks, until it has arrived."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from app.main import create_app
from app.services import Services
from app.settings import AppSettings
from app.webhooks import sending
from app.webhooks.delivering import deliver
from distilled.manifest import digest_json
from registry import jobs, webhooks
from registry.models import MessageState
from tests.unit.app.conftest import problem
from tests.unit.app.webhooks.conftest import OLD, RECIPE, SECRET, Receiver, make_due, messages, send, status, submit


def test_the_end_of_a_job_is_told_and_its_signature_verified(
    client: TestClient, services: Services, receiver: Receiver, url: str
) -> None:
    job = submit(client, webhook=url)
    deliver(services)
    assert receiver.got == []
    assert [(one["state"], one["attempts"]) for one in messages(client, job["id"])] == [("waiting", 0)]
    client.post(f"/v1/jobs/{job['id']}/cancel")
    deliver(services)
    ((headers, body),) = receiver.got
    told = Webhook(SECRET).verify(body, headers)
    assert told == json.loads(body)
    assert (told["type"], told["data"]["job_id"], told["data"]["state"]) == ("job.cancelled", job["id"], "cancelled")
    assert (headers["content-type"], headers["host"]) == ("application/json", url.split("/")[2])
    (message,) = messages(client, job["id"])
    assert (message["id"], message["state"], message["status"]) == (headers["webhook-id"], "delivered", 204)
    assert (message["attempts"], message["next_at"], message["error"]) == (1, None, None)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"cancelled", b"succeeded"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(body, headers)


def end(services: Services, job_id: str, state: str) -> None:
    """Let a worker end a job."""
    with services.database.write() as session:
        held = jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=60)
        assert held is not None
        if state == "failed":
            jobs.fail(session, job_id, attempt=held.attempt, error={"code": "not_finite", "title": "t", "detail": "d"})
            return
        header = {"classes": ["a"], "dataset": {"name": "digits", "digest": "d" * 64}, "recipe": {}}
        made = jobs.Publication(digest="a" * 64, content_bytes=1, payload_bytes=1, kind="images", header=header)
        jobs.finish(session, job_id, attempt=held.attempt, publication=made)


@pytest.mark.parametrize("state", ["failed", "succeeded"])
def test_each_end_has_its_message(
    client: TestClient, services: Services, receiver: Receiver, url: str, state: str
) -> None:
    job = submit(client, webhook=url)
    end(services, job["id"], state)
    deliver(services)
    told = json.loads(receiver.got[0][1])
    shown = client.get(f"/v1/jobs/{job['id']}").json()
    assert told["type"] == f"job.{state}"
    assert (told["data"]["artifact_id"], told["data"]["error"]) == (shown["artifact_id"], shown["error"])
    assert datetime.fromisoformat(told["timestamp"]) == datetime.fromisoformat(shown["ended_at"])


def test_a_worker_that_is_lost_for_good_is_told_too(
    client: TestClient, services: Services, receiver: Receiver, url: str
) -> None:
    job = submit(client, webhook=url)
    with services.database.write() as session:
        jobs.claim(session, job["id"], worker="w", device="cpu", lease_seconds=-1)
        jobs.sweep(session, max_attempts=1, rewake_seconds=60)
    deliver(services)
    assert json.loads(receiver.got[0][1])["data"]["error"]["code"] == "worker_lost"


def test_what_does_not_arrive_is_sent_again_under_the_same_id(
    client: TestClient, services: Services, receiver: Receiver, url: str
) -> None:
    receiver.answers = [status(500), status(302, Location=url), status(200)]
    job = submit(client, webhook=url)
    client.post(f"/v1/jobs/{job['id']}/cancel")
    errors: list[str | None] = []
    for attempt in (1, 2, 3):
        deliver(services)
        deliver(services)  # not due yet
        (message,) = messages(client, job["id"])
        assert (len(receiver.got), message["attempts"]) == (attempt, attempt)
        errors.append(message["error"])
        if message["next_at"]:
            wait = datetime.fromisoformat(message["next_at"]) - datetime.now(UTC)
            delay = webhooks.DELAYS_SECONDS[attempt - 1]
            assert timedelta(seconds=delay - 5) < wait <= timedelta(seconds=delay + 1)
        make_due(services)
    assert errors == [
        "answered 500; 2xx is needed",
        "answered 302; redirects are not followed, name where it leads",
        None,
    ]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({body for _, body in receiver.got}) == 1
    for headers, body in receiver.got:
        Webhook(SECRET).verify(body, headers)
    assert messages(client, job["id"])[0]["state"] == "delivered"


def test_it_is_given_up_in_the_end_and_at_once_where_nobody_wants_it(
    client: TestClient, services: Services, receiver: Receiver, url: str
) -> None:
    receiver.answers = [status(503)] * 100
    job = submit(client, webhook=url)
    client.post(f"/v1/jobs/{job['id']}/cancel")
    for _ in range(12):
        deliver(services)
        make_due(services)
    (message,) = messages(client, job["id"])
    assert (message["state"], message["attempts"], message["next_at"]) == ("given_up", 8, None)
    assert message["ended_at"] is not None
    assert len(receiver.got) == 8
    receiver.answers = [status(410)]
    other = submit(client, webhook=url)
    client.post(f"/v1/jobs/{other['id']}/cancel")
    deliver(services)
    assert [(one["state"], one["attempts"]) for one in messages(client, other["id"])] == [("given_up", 1)]


def test_a_sender_that_died_is_taken_over(client: TestClient, services: Services, receiver: Receiver, url: str) -> None:
    job = submit(client, webhook=url)
    client.post(f"/v1/jobs/{job['id']}/cancel")
    with services.database.write() as session:
        dead = webhooks.claim_due(session, lease_seconds=60)
        assert dead is not None
        assert webhooks.claim_due(session, lease_seconds=60) is None
    deliver(services)
    assert receiver.got == []
    make_due(services)
    deliver(services)
    assert [headers["webhook-id"] for headers, _ in receiver.got] == [dead.id]
    with services.database.write() as session:  # and the dead one, coming back, changes nothing
        assert not webhooks.failed(session, dead, error="late")
        assert webhooks.of_job(session, job["id"])[0].state is MessageState.DELIVERED


def test_whoever_shares_a_job_is_told_too(client: TestClient, services: Services, receiver: Receiver, url: str) -> None:
    job = submit(client, webhook=url)
    shared = client.post("/v1/jobs?reuse=true", json=RECIPE | {"webhook": f"{url}2"}).json()
    assert shared["id"] == job["id"]  # the webhook is no part of what is made
    client.post("/v1/jobs?reuse=true", json=RECIPE | {"webhook": url})
    end(services, job["id"], "succeeded")
    late = client.post("/v1/jobs?reuse=true", json=RECIPE | {"webhook": f"{url}3"}).json()
    assert (late["id"], late["state"]) == (job["id"], "succeeded")
    deliver(services)
    assert sorted(one["url"] for one in messages(client, job["id"])) == [url, f"{url}2", f"{url}3"]
    assert len(receiver.got) == 3


def test_a_job_that_is_tried_again_is_told_again(
    client: TestClient, services: Services, receiver: Receiver, url: str
) -> None:
    job = submit(client, webhook=url)
    client.post(f"/v1/jobs/{job['id']}/cancel")
    deliver(services)
    assert client.post(f"/v1/jobs/{job['id']}/retry").status_code == 202
    deliver(services)
    assert len(receiver.got) == 1
    end(services, job["id"], "failed")
    deliver(services)
    assert [json.loads(body)["type"] for _, body in receiver.got] == ["job.cancelled", "job.failed"]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 2


def test_a_job_that_is_not_queued_tells_nothing(client: TestClient, services: Services, url: str) -> None:
    with services.database.read() as session:
        assert not webhooks.is_due(session)
    plan = client.post("/v1/jobs?dry_run=true", json=RECIPE | {"webhook": url})
    assert plan.json()["recipe"]["webhook"] == url
    other = client.post("/v1/jobs?dry_run=true", json=RECIPE)
    assert other.json()["digest"] == plan.json()["digest"]
    problem(client.get(f"/v1/jobs/job_{'0' * 32}/webhooks"), 404)
    assert messages(client, submit(client)["id"]) == []


def test_the_service_sends_while_it_lives(
    settings: AppSettings, services: Services, receiver: Receiver, url: str
) -> None:
    services.settings = services.settings.model_copy(update={"webhook_poll_seconds": 0.02})
    arrived = threading.Event()

    def arrive(handler: BaseHTTPRequestHandler) -> None:
        status(200)(handler)
        arrived.set()

    receiver.answers = [arrive]
    with TestClient(create_app(services.settings, services=services), base_url="http://localhost") as client:
        job = submit(client, webhook=url)
        client.post(f"/v1/jobs/{job['id']}/cancel")
        assert arrived.wait(20)


def test_two_secrets_sign_while_one_replaces_the_other(url: str, receiver: Receiver) -> None:
    send(url, keys=sending.keys(f"{SECRET} {OLD}"))
    ((headers, body),) = receiver.got
    for secret in (SECRET, OLD):
        Webhook(secret).verify(body, headers)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", SECRET[6:], f"{SECRET}!", "whsec_" + "A" * 100])
def test_a_secret_that_is_none_is_refused_and_not_printed(tmp_path: Path, secret: str) -> None:
    with pytest.raises(ValidationError) as caught:
        AppSettings(home=tmp_path, webhook_secret=secret)  # pyright: ignore[reportArgumentType]
    assert "webhook_secret" in str(caught.value)
    assert len(secret) < 10 or secret not in str(caught.value)


def test_the_body_is_the_same_text_at_every_attempt() -> None:
    body = {"type": "job.failed", "data": {"b": 1, "a": [None, 0.1, "ü"]}, "timestamp": "t"}
    assert sending.as_bytes(dict(reversed(body.items()))) == sending.as_bytes(body)
    assert digest_json(json.loads(sending.as_bytes(body))) == digest_json(body)
