"""Evaluations that several workers share: the numbers of one worker, whoever measures what."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import update

import distilled
from distilled.files import read_header
from registry import artifacts, evaluations, jobs, portions, workers
from registry.leases import Beat
from registry.models import Portion, State
from registry.portions import Wanted
from tests.unit.laboratory.toys import toy_data, toy_recipe
from tests.unit.workers.conftest import Workplace
from workers import child, sharing, sources
from workers.bench import Bench
from workers.distill import evaluate as measuring
from workers.distill import loop
from workers.distill.errors import NotFinite
from workers.distill.evaluate import BASELINES, EvaluationConfig, Measurement, Turn, evaluate
from workers.distill.events import Finished, Preparing
from workers.distill.objectives.experts import Experts
from workers.helping import PortionReporter
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


# -- experts -----------------------------------------------------------------------------------------------------------

EXPERTS: dict[str, Any] = {"experts": 4}


def submit(workplace: Workplace, **fields: Any) -> str:
    return workplace.submit(**toy_recipe("mtt", steps=2, objective=EXPERTS, **fields))


def digest_of(workplace: Workplace, job_id: str) -> str:
    job = workplace.job(job_id)
    assert job.state == "succeeded", job.error
    with workplace.database.read() as session:
        return artifacts.get(session, job.artifact_id).digest


@pytest.fixture(scope="module")
def undisturbed() -> str:
    """The digest of the job that one worker does alone."""
    *_, last = loop.run(toy_recipe("mtt", steps=2, objective=EXPERTS), toy_data(), code_version=distilled.__version__)
    assert isinstance(last, Finished)
    return sha256(last.content).hexdigest()


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], list[int]]:
    """Let something happen, once, while the first expert is trained; all experts that were trained."""

    def watch(meanwhile: Callable[[], None]) -> list[int]:
        made: list[int] = []
        train, hooks = Experts._trained, [meanwhile]

        def hooked(self: Experts, i: int, *given: Any, **options: Any) -> Any:
            made.append(i)
            if hooks:
                hooks.pop()()
            return (yield from train(self, i, *given, **options))

        monkeypatch.setattr(Experts, "_trained", hooked)
        return made

    return watch


def test_experts_are_made_by_whoever_is_idle_and_the_artifact_is_the_same(
    workplace: Workplace, other: Bench, undisturbed: str, trained: Any
) -> None:
    job_id = submit(workplace)
    made = trained(lambda: child.help_out(other, portion_id=""))
    child.distil(workplace.bench, job_id=job_id)
    assert digest_of(workplace, job_id) == undisturbed
    assert sorted(made) == [0, 1, 2, 3]
    told = [data["done"] for data in workplace.told(job_id, "preparing")]
    assert (told[0], told[-1]) == (0, 4)
    assert told == sorted(told)
    assert len(workplace.store.list_named("resources")) == 4


def test_two_jobs_that_need_the_same_experts_share_them(
    workplace: Workplace, other: Bench, undisturbed: str, trained: Any
) -> None:
    first, second = submit(workplace), submit(workplace, seed=9)
    thread = threading.Thread(target=child.distil, args=[other], kwargs={"job_id": second})
    made = trained(thread.start)
    child.distil(workplace.bench, job_id=first)
    thread.join()
    assert {digest_of(workplace, first), digest_of(workplace, second)} > {undisturbed}
    assert sorted(made) == [0, 1, 2, 3]


@pytest.mark.parametrize("needed", [False, True])
def test_a_cancelled_job_frees_its_helpers_unless_another_needs_them(
    workplace: Workplace, other: Bench, trained: Any, needed: bool
) -> None:
    job_id = submit(workplace)
    second = submit(workplace, seed=9)
    helped: list[State | None] = []

    def help_and_cancel() -> None:
        with workplace.database.write() as session:
            claim = portions.claim_next(session, device_kind="cpu", **other.holder)
            assert claim is not None
            if needed:
                rows = [Wanted(key=claim.key, what=claim.what)]
                portions.ensure(session, second, rows, device_kind="cpu")
        workplace.cancel(job_id)
        reporter = PortionReporter(claim, bench=other)
        helped.append(State.RUNNING if reporter.peek() is Beat.CONTINUE else None)
        time.sleep(0.2)  # the owner's pulse

    trained(help_and_cancel)
    child.distil(workplace.bench, job_id=job_id)
    assert workplace.job(job_id).state == "cancelled"
    assert helped == [State.RUNNING if needed else None]


def test_an_expert_that_was_said_to_be_made_and_is_not_there_is_made_here(
    workplace: Workplace, other: Bench, undisturbed: str, trained: Any
) -> None:
    job_id = submit(workplace)

    def lie() -> None:
        with workplace.database.write() as session:
            claim = portions.claim_next(session, device_kind="cpu", **other.holder)
            assert claim is not None
            portions.finish(session, claim.portion_id, attempt=claim.attempt, result=None)

    made = trained(lie)
    child.distil(workplace.bench, job_id=job_id)
    assert digest_of(workplace, job_id) == undisturbed
    assert sorted(made) == [0, 1, 2, 3]


def test_experts_that_cannot_be_made_fail_the_job_with_their_own_reason(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Experts, i: int, *_: Any, **__: Any) -> Any:
        yield Preparing(what="training experts", done=0, total=4)
        raise NotFinite("lower `objective.expert_learning_rate`")

    monkeypatch.setattr(Experts, "_trained", fail)
    job_id = submit(workplace)
    child.distil(workplace.bench, job_id=job_id)
    assert workplace.job(job_id).error["code"] == "not_finite"
    with workplace.database.write() as session:
        portions.sweep(session, max_attempts=3, rewake_seconds=30)
        assert session.query(Portion).count() == 0
