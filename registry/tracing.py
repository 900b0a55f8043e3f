"""Traces, where they are asked for and OpenTelemetry is installed; else nothing, at no cost.

A message to a worker carries an id alone, so the row remembers the trace it was asked for in (`traceparent`), and
whoever takes it goes on there.
"""

import sys
from typing import Any


def traceparent() -> str | None:
    """The current span as W3C's `traceparent`, to be kept with a row; None where nothing is traced."""
    trace: Any = sys.modules.get("opentelemetry.trace")  # not imported before tracing is set up
    if trace is None:
        return None
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
