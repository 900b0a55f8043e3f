"""What can be seen of a task from outside: its steps' time, its spans, and the ids in its log."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from registry import evaluations, totals, tracing
from registry.leases import Beat
from registry.totals import Counted
from tests.tracing import by_name, traced
from tests.unit.workers.conftest import Workplace
from tests.unit.workers.test_child import STEPS, Laboratory, laboratory
from workers import child
from workers.evaluating import EvaluationReporter
from workers.pulse import Pulse
from workers.stop_signal import StopSignal

__all__ = ["laboratory"]  # a fixture


def sums(workplace: Workplace) -> dict[str, float]:
    with workplace.database.read() as session:
        return {f"{one.name} {' '.join(one.labels.values())}": one.value for one in totals.read(session)}


def test_the_steps_and_their_time_are_counted(workplace: Workplace, laboratory: Laboratory) -> None:
    laboratory.at[3] = lambda: threading.Event().wait(0.05) and None
    job_id = workplace.submit(objective={"kind": "kernel"})
    child.distil(workplace.bench, job_id=job_id)
    found = sums(workplace)
    assert found[f"{Counted.STEPS} cpu kernel"] == STEPS
    assert 0.05 <= found[f"{Counted.STEP_SECONDS} cpu kernel"] < 5
    assert found[f"{Counted.ATTEMPTS} jobs"] == 1
    assert found[f"{Counted.DEVICE_SECONDS} cpu jobs"] >= 0.05


def test_a_trace_goes_from_the_request_to_the_evaluation(
    make_workplace: Callable[..., Workplace], laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace = make_workplace(snapshot_seconds=0)

    def fail(self: EvaluationReporter, pulse: Pulse) -> None:
        raise ValueError("no such network")

    monkeypatch.setattr(EvaluationReporter, "measure", fail)
    with traced() as exporter:
        with tracing.span("POST /v1/jobs"):
            job_id = workplace.submit()
        child.distil(workplace.bench, job_id=job_id)
        child.evaluate(workplace.bench, evaluation_id=workplace.queue.evaluations[0])
        spans = by_name(exporter)
    assert {"POST /v1/jobs", "distil", "claim", "step", "snapshot", "publish", "evaluate"} <= set(spans)
    ids = {name: span.get_span_context() for name, span in spans.items()}
    assert len({context.trace_id for context in ids.values() if context}) == 1
    parents = {"distil": "POST /v1/jobs", "claim": "distil", "step": "distil", "publish": "distil"}
    for name, wanted in {**parents, "evaluate": "publish"}.items():
        parent, context = spans[name].parent, ids[wanted]
        assert parent is not None
        assert context is not None
        assert parent.span_id == context.span_id, name
    told = spans["distil"].attributes or {}
    assert (told["distilled.job_id"], told["distilled.request_id"]) == (job_id, "req-1")
    assert spans["evaluate"].status.description == "internal"


def test_each_line_of_a_task_has_its_ids(workplace: Workplace, laboratory: Laboratory) -> None:
    job_id = workplace.submit()
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        child.distil(workplace.bench, job_id=job_id)
    assert {"starts", "succeeded"} <= {line["event"] for line in lines}
    assert {(line["job_id"], line["request_id"], line["attempt"]) for line in lines} == {(job_id, "req-1", 1)}
    with workplace.database.read() as session:
        (evaluation,) = evaluations.of_artifact(session, workplace.job(job_id).artifact_id)
    assert evaluation.request_id == "req-1"


def test_the_pulse_speaks_under_the_ids_of_its_task() -> None:
    bell, heard = StopSignal(), threading.Event()

    def give_up(_: Any) -> None:
        heard.set()

    grace = dict.fromkeys(child.Verdict, 0.0)
    options: dict[str, Any] = {"heartbeat_seconds": 1.0, "poll_seconds": 0.01, "lease_seconds": 60.0}
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        with bound_contextvars(job_id="job_1"):
            pulse = Pulse(
                beat=lambda: Beat.CANCEL,
                peek=lambda: Beat.CANCEL,
                give_up=give_up,
                stop_signal=bell,
                grace_seconds=grace,
                **options,
            )
        with pulse:
            assert heard.wait(10)
    bell.close()
    assert {line["job_id"] for line in lines} == {"job_1"}
