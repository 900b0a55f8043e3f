"""Traces, where they are asked for and OpenTelemetry is installed; else nothing, at no cost.

A message to a worker carries an id alone and may be late, doubled or for another row, so the row itself remembers the
span it was asked for in (`traceparent`, W3C), and whoever takes it goes on there. Everything else is OpenTelemetry's
own (`OTEL_*`): where spans go, how many are kept, what the service is called.
"""

import os
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import structlog

from registry.settings import Settings

log = structlog.get_logger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http", "opentelemetry.instrumentation.celery")
HELP = "traces are asked for, but OpenTelemetry's SDK is not installed: pip install '.[tracing]' in the checkout"
#: How long a process that ends waits for its last spans to be taken.
FLUSH_MILLISECONDS = 2000
NAME = "distilled"

Value = str | int | float | bool


def is_wanted(settings: Settings, environment: Mapping[str, str]) -> bool:
    """Whether traces are asked for: by a setting of ours, or by where OpenTelemetry is told to send them."""
    return settings.tracing or any(environment.get(name) for name in ENDPOINTS)


def is_installed() -> bool:
    """Whether the extra `tracing` is there."""
    try:
        return all(find_spec(name) is not None for name in NEEDED)
    except ModuleNotFoundError:  # not even what it lies in
        return False


def set_up(settings: Settings, *, process: str) -> bool:
    """Send this process's spans from now on, if that is asked for; called once by whoever starts it.

    process: what it is, such as `api`. False: there are to be none, or the extra is missing, which is logged.
    """
    if not is_wanted(settings, os.environ):
        return False
    if not is_installed():
        log.warning("traces_not_sent", reason=HELP)
        return False
    from opentelemetry import trace  # noqa: PLC0415 -- an extra
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.instrumentation.celery import CeleryInstrumentor  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    name = os.environ.get("OTEL_SERVICE_NAME") or f"{NAME}-{process}"
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    CeleryInstrumentor().instrument(tracer_provider=provider)
    return True


def flush() -> None:
    """Send what is finished now: a worker's process ends with its task, and takes what it has not sent along."""
    trace = _trace()
    send = None if trace is None else getattr(trace.get_tracer_provider(), "force_flush", None)
    if send is not None:
        send(FLUSH_MILLISECONDS)


def traceparent() -> str | None:
    """The current span as W3C's `traceparent`, to be kept with a row; None where nothing is traced."""
    context = _context()
    if context is None:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def trace_id() -> str | None:
    """The current trace's id, to be found by in the log; None where nothing is traced."""
    context = _context()
    return None if context is None else f"{context.trace_id:032x}"


@contextmanager
def span(name: str, *, parent: str | None = None, **attributes: Value | None) -> Generator[None]:
    """Trace the block. parent: a row's `traceparent`, where the span goes on elsewhere than here."""
    trace = _trace()
    if trace is None:
        yield
        return
    with trace.get_tracer(NAME).start_as_current_span(name, context=_remote(parent), attributes=_named(attributes)):
        yield


def past(name: str, *, seconds: float, **attributes: Value | None) -> None:
    """Trace what took so long until now, as a part of the current span."""
    trace = _trace()
    if trace is not None:
        began = time.time_ns() - int(seconds * 1e9)
        trace.get_tracer(NAME).start_span(name, start_time=began, attributes=_named(attributes)).end()


def note(**attributes: Value | None) -> None:
    """Say more of the current span."""
    trace = _trace()
    if trace is not None:
        trace.get_current_span().set_attributes(_named(attributes))


def failed(code: str) -> None:
    """The current span ends in a failure that is dealt with here."""
    trace = _trace()
    if trace is not None:
        trace.get_current_span().set_status(trace.StatusCode.ERROR, code)


def _trace() -> Any:
    """OpenTelemetry's API, where someone has imported it already: before `set_up` nothing of ours does."""
    return sys.modules.get("opentelemetry.trace")


def _context() -> Any:
    trace = _trace()
    context = None if trace is None else trace.get_current_span().get_span_context()
    return context if context is not None and context.is_valid else None


def _remote(parent: str | None) -> Any:
    if parent is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415 -- an extra

    return TraceContextTextMapPropagator().extract({"traceparent": parent})


def _named(attributes: Mapping[str, Value | None]) -> dict[str, Value]:
    return {f"{NAME}.{name}": value for name, value in attributes.items() if value is not None}
