"""A request's trace: its caller's, where there is one, and the job's after it."""

from fastapi.testclient import TestClient

from app.services import Services
from registry import jobs
from tests.tracing import by_name, traced
from tests.unit.app.catalog import RECIPE

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_job_remembers_the_trace_of_the_request_that_asked_for_it(client: TestClient, services: Services) -> None:
    with traced() as exporter:
        headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Request-ID": "find-me"}
        job_id = client.post("/v1/jobs", json=RECIPE, headers=headers).json()["id"]
        client.get("/healthz")
        client.get("/metrics")
        spans = by_name(exporter)
    assert list(spans) == ["POST /v1/jobs"]
    assert (spans["POST /v1/jobs"].attributes or {})["distilled.request_id"] == "find-me"
    with services.database.read() as session:
        kept = jobs.get(session, job_id).traceparent
    context = spans["POST /v1/jobs"].get_span_context()
    assert context is not None
    assert kept == f"00-{TRACE}-{context.span_id:016x}-01"


def test_without_traces_a_job_remembers_none(client: TestClient, services: Services) -> None:
    job_id = client.post("/v1/jobs", json=RECIPE).json()["id"]
    with services.database.read() as session:
        assert jobs.get(session, job_id).traceparent is None
