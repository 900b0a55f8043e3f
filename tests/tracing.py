"""Spans that a test can look at."""

from collections.abc import Generator
from contextlib import contextmanager

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@contextmanager
def traced() -> Generator[InMemorySpanExporter]:
    """What is traced in this process until the block ends."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with pytest.MonkeyPatch.context() as patch:
        # The global provider can be set once only; OpenTelemetry's own tests do the same.
        patch.setattr(trace, "_TRACER_PROVIDER", provider)
        yield exporter
        provider.shutdown()


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    """The finished spans; of one name the first."""
    return {span.name: span for span in reversed(exporter.get_finished_spans())}
