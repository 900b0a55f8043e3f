"""From a wake-up to a measured artifact, with a measurement that does as the test says."""

import time
from collections.abc import Callable, Collection, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from registry import evaluations, jobs, portions
from registry.models import Evaluation
from tests.unit.workers.conftest import Workplace
from tests.unit.workers.test_child import HEADER
from workers import child, evaluating, sources
from workers.distill.errors import LabError
from workers.distill.evaluate import Turn

BASELINES: dict[str, Any] = {
    name: {"mean": 0.2, "std": 0.0, "values": [0.2], "bytes": 8, "images": 2} for name in ("random", "centroid", "full")
}


KEYS = {name: name[0] * 64 for name in BASELINES}


class Measurement:
    """Stands for `evaluate.Measurement`: an evaluation of one turn, and one for each baseline that is not known."""

    def __init__(self) -> None:
        self.given: list[dict[str, Any]] = []
        self.measured: list[str] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.baseline_keys = KEYS

    def __call__(self, content: bytes, real: Any, **given: Any) -> "Measurement":
        self.given.append({"content": content, **given})
        return self

    def turns(self, known: Collection[str]) -> list[Turn]:
        names = [name for name in ("hard", *BASELINES) if name not in known]
        return [Turn(name=name, start=0, stop=2, steps=2.0, share=1.0) for name in names]

    def measure(self, turn: Turn, *, on_step: Callable[[], None]) -> dict[str, Any]:
        self.measured.append(turn.name)
        on_step()
        self.meanwhile()
        on_step()
        return {"values": [0.89, 0.91], "seen": 2}

    def result(
        self, turns: Sequence[Turn], measured: Sequence[dict[str, Any]], *, baselines: dict[str, Any]
    ) -> dict[str, Any]:
        assert [part["values"] for part in measured] == [[0.89, 0.91]] * len(turns)
        score = {"mean": 0.9, "std": 0.01, "values": [0.89, 0.91]}
        return {"distilled": {"hard": score}, **BASELINES, **baselines, "baseline_keys": KEYS}


@pytest.fixture
def measurement(monkeypatch: pytest.MonkeyPatch) -> Measurement:
    measurement = Measurement()
    monkeypatch.setattr(evaluating, "Measurement", measurement)
    monkeypatch.setattr(sources, "resolve", lambda *_, **__: SimpleNamespace(digest=HEADER["dataset"]["digest"]))
    return measurement


@pytest.fixture
def evaluation_id(workplace: Workplace) -> str:
    """A finished job's only evaluation, queued."""
    return finish_job(workplace)


def finish_job(workplace: Workplace, **recipe: Any) -> str:
    job_id = workplace.submit(**recipe)
    claim = workplace.claim(job_id)
    digest = workplace.store.put(f"artifact {recipe}".encode())
    publication = jobs.Publication(digest=digest, content_bytes=8, payload_bytes=8, kind="images", header=HEADER)
    with workplace.database.write() as session:
        artifact = jobs.finish(session, job_id, attempt=claim.attempt, publication=publication)
        assert artifact is not None
        return evaluations.of_artifact(session, artifact.id)[0].id


def found(workplace: Workplace, evaluation_id: str) -> Evaluation:
    with workplace.database.read() as session:
        return evaluations.get(session, evaluation_id)


def test_an_evaluation_is_measured_and_recorded(
    workplace: Workplace, measurement: Measurement, evaluation_id: str
) -> None:
    child.evaluate(workplace.bench, evaluation_id=evaluation_id)
    row = found(workplace, evaluation_id)
    assert (row.state, row.accuracy, row.accuracy_std, row.progress) == ("succeeded", 0.9, 0.01, 1.0)
    assert measurement.given[0]["content"].startswith(b"artifact")
    assert (measurement.given[0]["network"], measurement.given[0]["seed"]) == ("mlp", 3)
    assert measurement.measured == ["hard", *BASELINES]
    with workplace.database.read() as session:
        assert portions.of(session, evaluation_id) == []


def test_baselines_are_measured_once(workplace: Workplace, measurement: Measurement, evaluation_id: str) -> None:
    child.evaluate(workplace.bench, evaluation_id=evaluation_id)
    second = finish_job(workplace, seed=4)
    child.evaluate(workplace.bench, evaluation_id=second)
    assert measurement.measured[4:] == ["hard"]


def test_a_failed_measurement_says_why_and_leaves_the_artifact(
    workplace: Workplace, measurement: Measurement, evaluation_id: str
) -> None:
    def fail() -> None:
        raise LabError("the network does not fit the images; choose another")

    measurement.meanwhile = fail
    child.evaluate(workplace.bench, evaluation_id=evaluation_id)
    row = found(workplace, evaluation_id)
    assert row.state == "failed"
    assert row.error == {
        "code": "lab_error",
        "title": "The job could not go on",
        "detail": "the network does not fit the images; choose another",
    }


def test_other_data_under_the_same_name_are_refused_before_anything_is_measured(
    workplace: Workplace, measurement: Measurement, evaluation_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "resolve", lambda *_, **__: SimpleNamespace(digest="e" * 64))
    child.evaluate(workplace.bench, evaluation_id=evaluation_id)
    row = found(workplace, evaluation_id)
    assert (row.state, row.result, measurement.given) == ("failed", None, [])
    assert row.error is not None
    assert row.error["code"] == "dataset_changed"
    assert "d" * 64 in row.error["detail"]
    assert "e" * 64 in row.error["detail"]
    assert "distil again" in row.error["detail"]


def test_a_stopped_worker_gives_the_evaluation_back(
    workplace: Workplace, measurement: Measurement, evaluation_id: str
) -> None:
    def stop() -> None:
        workplace.bench.stop_signal.ring(stop=True)
        time.sleep(0.2)

    measurement.meanwhile = stop
    child.evaluate(workplace.bench, evaluation_id=evaluation_id)
    row = found(workplace, evaluation_id)
    assert (row.state, row.lost, row.worker_pid) == ("queued", 0, None)


def test_one_that_someone_else_holds_now_is_left_without_a_word(
    workplace: Workplace, measurement: Measurement, evaluation_id: str
) -> None:
    def lose() -> None:
        with workplace.database.write() as session:
            evaluations.release(session, evaluation_id, attempt=1)
            evaluations.claim(session, evaluation_id, worker="other", device="cpu", lease_seconds=60)
        time.sleep(0.2)

    measurement.meanwhile = lose
    child.evaluate(workplace.bench, evaluation_id=evaluation_id)
    row = found(workplace, evaluation_id)
    assert (row.state, row.worker, row.attempt, row.result) == ("running", "other", 2, None)


def test_a_wake_up_for_one_that_is_gone_is_quietly_answered(workplace: Workplace, measurement: Measurement) -> None:
    child.evaluate(workplace.bench, evaluation_id="eval_unknown")
    assert measurement.given == []
