"""Spans go where OpenTelemetry is told to send them, and nothing breaks where it is not installed."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from registry import tracing
from registry.session import Database
from registry.settings import Settings
from tests.tracing import by_name, traced
from tests.unit.registry.making import submit


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[ExportTraceServiceRequest]]:
    """A collector of traces on loopback, and what it was sent."""
    got: list[ExportTraceServiceRequest] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            got.append(ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    yield got
    server.shutdown()
    server.server_close()
    thread.join()


def test_spans_are_sent_to_the_collector_that_the_environment_names(
    receiver: list[ExportTraceServiceRequest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(trace, "set_tracer_provider", kept.append)
    assert tracing.set_up(Settings(home=tmp_path), process="worker")
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", kept[0])
    try:
        with tracing.span("distil", job_id="job_1", attempt=None):
            tracing.past("claim", seconds=0.5)
        tracing.flush()
    finally:
        CeleryInstrumentor().uninstrument()
        kept[0].shutdown()
    (resource,) = receiver[0].resource_spans
    told = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert told["service.name"] == "distilled-worker"
    spans = {span.name: span for span in resource.scope_spans[0].spans}
    assert spans["claim"].parent_span_id == spans["distil"].span_id
    assert spans["claim"].end_time_unix_nano - spans["claim"].start_time_unix_nano > 0.4e9
    assert [one.key for one in spans["distil"].attributes] == ["distilled.job_id"]


def test_nothing_is_traced_unless_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "set_tracer_provider", lambda _: pytest.fail("set up"))
    assert not tracing.set_up(Settings(home=tmp_path), process="api")
    assert tracing.is_wanted(Settings(home=tmp_path, tracing=True), {})
    assert tracing.is_wanted(Settings(home=tmp_path), {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"})


def test_without_the_extra_it_says_what_to_install_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "NEEDED", ("opentelemetry.missing.sdk",))
    with structlog.testing.capture_logs() as lines:
        assert not tracing.set_up(Settings(home=tmp_path, tracing=True), process="api")
    assert "pip install '.[tracing]'" in lines[0]["reason"]


def test_without_opentelemetry_at_all_nothing_is_traced_and_nothing_breaks(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(__import__("sys").modules, "opentelemetry.trace")
    with tracing.span("distil", parent="00-" + "1" * 32 + "-" + "2" * 16 + "-01", step=1):
        tracing.past("step", seconds=1.0)
        tracing.note(more=1)
        tracing.failed("code")
        assert submit(database).traceparent is None
    tracing.flush()
    assert tracing.trace_id() is None


def test_a_row_remembers_the_span_it_was_asked_for_in(database: Database) -> None:
    with traced() as exporter:
        with tracing.span("asked"):
            job = submit(database)
        assert job.traceparent is not None
        with tracing.span("done", parent=job.traceparent):
            tracing.failed("not_finite")
        spans = by_name(exporter)
    asked, done = spans["asked"].get_span_context(), spans["done"]
    assert asked is not None
    assert done.parent is not None
    assert (done.parent.trace_id, done.parent.span_id) == (asked.trace_id, asked.span_id)
    assert done.status.description == "not_finite"
