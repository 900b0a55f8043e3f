"""Evaluations that several workers share: the numbers of one worker, whoever measures what."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update

from distilled.files import read_header
from registry import evaluations, jobs, portions, workers
from registry.models import Portion, State
from tests.unit.laboratory.toys import toy_data, toy_recipe
from tests.unit.workers.conftest import Workplace
from workers import child, sharing, sources
from workers.bench import Bench
from workers.distill import evaluate as measuring
from workers.distill import loop
from workers.distill.evaluate import BASELINES, EvaluationConfig, Measurement, Turn, evaluate
from workers.distill.events import Finished
from workers.stop_signal import StopSignal

REPEATS = 3
CONFIG: dict[str, Any] = {"steps": 2, "epochs": 1, "batch": 16, "repeats": REPEATS}
NETWORK = "mlp-w8"


@pytest.fixture(scope="module")
def content() -> bytes:
    *_, last = loop.run(toy_recipe("dm", steps=1), toy_data(), code_version="test")
    assert isinstance(last, Finished)
    return last.content


@pytest.fixture(scope="module")
def alone(content: bytes) -> dict[str, Any]:
    """What one worker measures, before anything is patched."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measuring, "MAX_PIXELS_AT_ONCE", {"cpu": 1})
        return evaluate(content, toy_data(), network=NETWORK, config=EvaluationConfig(**CONFIG), seed=3)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One network at a time, so that there is much to share, and data without a registry."""
    monkeypatch.setattr(measuring, "MAX_PIXELS_AT_ONCE", {"cpu": 1})
    monkeypatch.setattr(sources, "resolve", lambda *_, **__: toy_data())


@pytest.fixture
def workplace(make_workplace: Callable[..., Workplace]) -> Workplace:
    return make_workplace(heartbeat_seconds=2.0, cancel_poll_seconds=0.05)


@pytest.fixture
def other(workplace: Workplace) -> Iterator[Bench]:
    """Another worker on the same registry and store."""
    signal = StopSignal()
    yield replace(workplace.bench, worker="there-1", pid=8, stop_signal=signal)
    signal.close()


def queue(workplace: Workplace, content: bytes, *, seed: int = 3) -> str:
    """An evaluation of the artifact, queued."""
    job_id = workplace.submit(seed=seed, evaluation={"networks": [NETWORK], **CONFIG})
    claim = workplace.claim(job_id)
    publication = jobs.Publication(
        digest=workplace.store.put(content),
        content_bytes=len(content),
        payload_bytes=8,
        kind="images",
        header=read_header(content),
    )
    with workplace.database.write() as session:
        artifact = jobs.finish(session, job_id, attempt=claim.attempt, publication=publication)
        assert artifact is not None
        return evaluations.of_artifact(session, artifact.id)[0].id


def result(workplace: Workplace, evaluation_id: str) -> dict[str, Any]:
    with workplace.database.read() as session:
        row = evaluations.get(session, evaluation_id)
    assert row.state is State.SUCCEEDED, row.error
    assert row.result is not None
    return row.result


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], list[Turn]]:
    """Let something happen, once, while the first turn is measured; all turns that were measured."""

    def watch(meanwhile: Callable[[], None]) -> list[Turn]:
        measured: list[Turn] = []
        measure, hooks = Measurement.measure, [meanwhile]

        def hooked(self: Measurement, turn: Turn, *, on_step: Callable[[], None]) -> dict[str, Any]:
            measured.append(turn)
            if hooks:
                hooks.pop()()
            return measure(self, turn, on_step=on_step)

        monkeypatch.setattr(Measurement, "measure", hooked)
        return measured

    return watch


def test_two_workers_measure_what_one_would_have(
    workplace: Workplace, other: Bench, content: bytes, alone: dict[str, Any], watched: Any
) -> None:
    evaluation_id = queue(workplace, content)
    seen: list[list[str]] = []

    def helped() -> None:
        with workplace.database.write() as session:  # one is left to the owner, and one is nobody's yet
            rest = [row.id for row in portions.of(session, evaluation_id) if row.state is State.QUEUED]
            session.execute(update(Portion).where(Portion.id.in_(rest[-2:])).values(device_kind="cuda"))
            seen.append(rest)
        child.help_out(other, portion_id=rest[0])

    measured = watched(helped)
    child.evaluate(workplace.bench, evaluation_id=evaluation_id)
    assert result(workplace, evaluation_id) == alone
    assert len(measured) == len({(turn.name, turn.start) for turn in measured}) == 4 * REPEATS
    assert len(seen[0]) == 4 * REPEATS - 1
    with workplace.database.read() as session:
        assert session.query(Portion).count() == 0


def test_two_evaluations_at_once_measure_no_baseline_twice(
    workplace: Workplace, other: Bench, content: bytes, alone: dict[str, Any], watched: Any
) -> None:
    first = queue(workplace, content)
    *_, last = loop.run(toy_recipe("dm", steps=2), toy_data(), code_version="test")
    assert isinstance(last, Finished)
    second = queue(workplace, last.content)
    thread = threading.Thread(target=child.evaluate, args=[other], kwargs={"evaluation_id": second})
    measured = watched(thread.start)
    child.evaluate(workplace.bench, evaluation_id=first)
    thread.join()
    assert result(workplace, first) == alone
    assert {name: result(workplace, second)[name] for name in BASELINES} == {name: alone[name] for name in BASELINES}
    counted = Counter((turn.name, turn.start) for turn in measured)
    assert counted == {(name, i): 2 if name == "hard" else 1 for name in ("hard", *BASELINES) for i in range(REPEATS)}


@pytest.mark.parametrize("how", ["lost", "failed"])
def test_what_a_helper_does_not_bring_back_its_owner_does(
    workplace: Workplace,
    other: Bench,
    content: bytes,
    alone: dict[str, Any],
    watched: Any,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    evaluation_id = queue(workplace, content)

    def helped() -> None:
        with workplace.database.write() as session:
            claim = portions.claim_next(session, device_kind="cpu", **other.holder)
            assert claim is not None
            if how == "failed":
                portions.fail(session, claim.portion_id, attempt=claim.attempt, error={"code": "out_of_memory"})

    def swept(seconds: float) -> None:
        """The owner has nothing left to do; the helper's lease runs out."""
        with workplace.database.write() as session:
            workers.lost_children(session, worker=other.worker, alive_pids=())
            portions.sweep(session, max_attempts=3, rewake_seconds=30)

    measured = watched(helped)
    with monkeypatch.context() as patch:
        patch.setattr(sharing, "time", SimpleNamespace(sleep=swept, monotonic=time.monotonic))
        child.evaluate(workplace.bench, evaluation_id=evaluation_id)
    assert result(workplace, evaluation_id) == alone
    assert len(measured) == 4 * REPEATS


def test_a_stopped_owner_leaves_what_is_done_and_the_next_goes_on(
    workplace: Workplace, other: Bench, content: bytes, alone: dict[str, Any], watched: Any
) -> None:
    evaluation_id = queue(workplace, content)

    def stop() -> None:
        child.help_out(other, portion_id="")
        workplace.bench.stop_signal.ring(stop=True)
        time.sleep(0.2)

    watched(stop)
    child.evaluate(workplace.bench, evaluation_id=evaluation_id)
    with workplace.database.read() as session:
        assert evaluations.get(session, evaluation_id).state is State.QUEUED
        found = [row.state for row in portions.of(session, evaluation_id)]
    assert (found.count(State.QUEUED), found.count(State.SUCCEEDED)) == (1, 4 * REPEATS - 1)
    child.evaluate(other, evaluation_id=evaluation_id)
    assert result(workplace, evaluation_id) == alone


@pytest.mark.parametrize(("seconds", "called"), [(0.0, True), (1e6, False)])
def test_only_for_long_work_is_anybody_called(
    make_workplace: Callable[..., Workplace], content: bytes, seconds: float, called: bool
) -> None:
    workplace = make_workplace(share_seconds=seconds)
    with workplace.database.write() as session:
        workers.beat_worker(session, worker="there-1", device="cpu", hostname="h", pid=1)
    child.evaluate(workplace.bench, evaluation_id=queue(workplace, content))
    assert bool(workplace.queue.portions) is called


def test_a_wake_up_that_comes_late_finds_nothing(workplace: Workplace) -> None:
    child.help_out(workplace.bench, portion_id="port_unknown")
