"""What /metrics tells of the process and of the registry."""

from collections.abc import Callable

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from sqlalchemy import update

from app.jobs import events
from app.metrics.collecting import RegistryCollector
from app.services import Services
from registry import errors, gauges, jobs, totals, workers
from registry.clock import database_now
from registry.gauges import Gauges
from registry.models import Job
from registry.session import Database
from registry.totals import Counted
from tests.unit.app.catalog import RECIPE
from tests.unit.app.conftest import problem, publish

Ask = Callable[..., float | None]
OPEN_METRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


@pytest.fixture
def ask(client: TestClient, services: Services) -> Ask:
    """The value of one sample now, by its name and labels; None where it is not told."""

    def sample(name: str, **labels: str) -> float | None:
        # A registry that is looked at for each question, where a scrape would find what the last one found.
        services.measured.forget()
        families = parse_text(client.get("/metrics").text)
        found = [one.value for family in families for one in family.samples if (one.name, one.labels) == (name, labels)]
        return found[0] if found else None

    return sample


def test_requests_are_counted_by_the_template_of_their_route(client: TestClient, ask: Ask) -> None:
    nobody = "job_" + "0" * 32
    for path in (f"/v1/jobs/{nobody}", f"/v1/jobs/{nobody[:-1]}1", "/v1/jobs"):
        client.get(path)
    client.put(f"/v1/jobs/{nobody}")
    one = {"route": "/v1/jobs/{job_id}"}
    assert ask("distilled_http_requests_total", method="GET", status="404", **one) == 2
    assert ask("distilled_http_requests_total", method="PUT", status="405", **one) == 1
    assert ask("distilled_http_requests_total", method="GET", status="200", route="/v1/jobs") == 1
    assert ask("distilled_http_request_duration_seconds_count", method="GET", **one) == 2


def test_no_path_and_no_method_of_a_callers_own_makes_a_series(client: TestClient, ask: Ask) -> None:
    for path in ("/nowhere", "/v1/nothing/%2e%2e", "/x" * 100):
        client.get(path)
    client.request("BREW", "/v1/jobs")
    assert ask("distilled_http_requests_total", method="GET", route="unmatched", status="404") == 3
    assert ask("distilled_http_requests_total", method="other", route="/v1/jobs", status="405") == 1
    assert "BREW" not in client.get("/metrics").text


def test_a_refusal_and_a_failure_are_counted_too(client: TestClient, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    client.get("/healthz", headers={"Host": "evil.test"})
    monkeypatch.setattr("app.jobs.routes.jobs.find", lambda *_, **__: 1 / 0)
    client.get("/v1/jobs")
    assert ask("distilled_http_requests_total", method="GET", route="unmatched", status="421") == 1
    assert ask("distilled_http_requests_total", method="GET", route="/v1/jobs", status="500") == 1


def test_the_registry_is_told_as_it_is(client: TestClient, services: Services, ask: Ask) -> None:
    assert (ask("distilled_jobs", state="queued"), ask("distilled_workers", device="cpu", version="1")) == (0, None)
    made = publish(services)
    first = client.post("/v1/jobs", json=RECIPE).json()["id"]
    second = client.post("/v1/jobs", json={**RECIPE, "seed": 1}).json()["id"]
    with services.database.write() as session:
        workers.beat_worker(session, worker="w", device="cuda:0 (H200)", hostname="h", pid=1, version="1")
        jobs.claim(session, first, worker="w", device="cuda:0 (H200)", lease_seconds=60)
    with services.database.write() as session:
        session.execute(update(Job).where(Job.id == second).values(queued_at=database_now() - 1000))
        session.execute(update(Job).where(Job.id == first).values(held_since=database_now() - 500))
        totals.add(session, Counted.STEPS, 4, device="cuda", objective="kernel")
        totals.add(session, Counted.STEP_SECONDS, 0.5, device="cuda", objective="kernel")
    assert [ask("distilled_jobs", state=state) for state in ("queued", "running", "succeeded")] == [1, 1, 1]
    assert ask("distilled_evaluations", state="queued") == 1
    assert ask("distilled_attempts_total", of="jobs") == 2
    assert ask("distilled_lease_expiries_total", of="jobs") == 0
    assert ask("distilled_workers", device="cuda", version="1") == 1
    assert ask("distilled_store_bytes") == len(made.content)
    assert ask("distilled_webhook_messages", state="given_up") == 0
    step = {"device": "cuda", "objective": "kernel"}
    assert ask("distilled_step_duration_seconds_count", **step) == 4
    assert ask("distilled_step_duration_seconds_sum", **step) == 0.5
    held = ask("distilled_device_seconds_total", device="cuda", of="jobs")
    assert held == pytest.approx(500, abs=60)
    ages = [ask("distilled_queue_age_seconds", queue=name) or 0 for name in ("cpu", "evaluate", "validate")]
    assert ages[0] == pytest.approx(1000, abs=60)
    assert ages[2] == 0


def test_what_was_lost_is_remembered_by_the_next_process(client: TestClient, services: Services, ask: Ask) -> None:
    job_id = client.post("/v1/jobs", json=RECIPE).json()["id"]
    with services.database.write() as session:
        jobs.claim(session, job_id, worker="w", device="cpu", lease_seconds=-1)
    with services.database.write() as session:
        jobs.sweep(session, max_attempts=3, rewake_seconds=30)
    assert ask("distilled_lease_expiries_total", of="jobs") == 1
    parts = (services.settings, services.database, services.store, services.queue, services.catalog)
    again = dict(zip(("settings", "database", "store", "queue", "catalog"), parts, strict=True))
    client.app.state.services = Services(**again)  # pyright: ignore[reportFunctionMemberAccess]
    text = client.get("/metrics").text
    assert 'distilled_lease_expiries_total{of="jobs"} 1.0' in text
    assert 'route="/v1/jobs"' not in text


def test_a_registry_that_is_away_is_told_and_hides_nothing_else(
    client: TestClient, services: Services, ask: Ask
) -> None:
    broken, services.database = services.database, Database("sqlite:////nonexistent/registry.db")
    assert ask("distilled_registry_up") == 0
    assert ask("distilled_jobs", state="queued") is None
    assert ask("distilled_http_requests_in_progress") == 1  # this one
    services.database.close()
    services.database = broken
    assert ask("distilled_registry_up") == 1


def test_the_registry_is_looked_at_once_for_many_scrapes(services: Services) -> None:
    looks: list[int] = []

    def look() -> Gauges:
        looks.append(1)
        with services.database.read() as session:
            return gauges.look(session)

    def fail() -> Gauges:
        looks.append(1)
        raise errors.RegistryDown

    for asked in (look, fail):
        looks.clear()
        collector = RegistryCollector(asked)
        for _ in range(3):
            assert list(collector.collect())
        assert len(looks) == 1


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "application/openmetrics-text; version=x", "text/plain;=;"])
def test_it_is_plain_text_unless_open_metrics_is_asked_for(client: TestClient, accept: str) -> None:
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    parse = parse_open_metrics if "openmetrics" in answer.headers["content-type"] else parse_text
    assert any(family.name == "distilled_jobs" for family in parse(answer.text))


def test_open_metrics_parse_as_such(client: TestClient) -> None:
    answer = client.get("/metrics", headers=OPEN_METRICS)
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {"distilled_http_requests", "distilled_build", "process_cpu_seconds"} <= {
        family.name for family in parse_open_metrics(answer.text)
    }
    problem(client.get("/metrics?surprise=1"), 422)


@pytest.mark.anyio
async def test_listeners_are_counted_while_they_listen(client: TestClient, services: Services, app: FastAPI) -> None:
    job_id = client.post("/v1/jobs", json=RECIPE).json()["id"]
    story = events.follow(services, job_id, after=0)
    await anext(story)
    assert services.meters.registry.get_sample_value("distilled_event_listeners") == 1
    await story.aclose()  # pyright: ignore[reportAttributeAccessIssue]
    assert services.meters.registry.get_sample_value("distilled_event_listeners") == 0
