"""What is counted is counted once, survives what it counted, and is written as the last thing of a transaction."""

import pytest
from sqlalchemy import delete, event, update
from sqlalchemy.engine import Engine

from registry import evaluations, jobs, totals
from registry.clock import database_now
from registry.models import Evaluation, Job
from registry.session import Database
from registry.totals import Counted
from tests.unit.registry.making import claim, publication, publish, submit

HELD = {"worker": "host:cuda", "device": "cuda:1 (NVIDIA H200)", "lease_seconds": 60.0}


def sums(database: Database, name: Counted) -> dict[str, float]:
    with database.read() as session:
        found = [one for one in totals.read(session) if one.name == name]
    return {" ".join(one.labels.values()): one.value for one in found}


def back_date(database: Database, model: type[Job] | type[Evaluation], row_id: str, *, seconds: float) -> None:
    """The hold began so long ago, and its holder has been silent since half of that."""
    now = database_now()
    values = {"held_since": now - seconds, "heartbeat": now - seconds / 2, "lease_until": now - 1}
    with database.write() as session:
        session.execute(update(model).where(model.id == row_id).values(**values))


def test_each_claim_is_an_attempt(database: Database) -> None:
    job = submit(database)
    claimed = claim(database, job.id)
    with database.write() as session:
        assert jobs.release(session, job.id, attempt=claimed.attempt)
    claim(database, job.id)
    assert sums(database, Counted.ATTEMPTS) == {"jobs": 2.0}


def test_a_device_is_counted_for_as_long_as_it_was_held(database: Database) -> None:
    job = submit(database)
    claimed = claim(database, job.id, **HELD)
    back_date(database, Job, job.id, seconds=100)
    with database.write() as session:
        assert jobs.fail(session, job.id, attempt=claimed.attempt, error={})
        assert not jobs.fail(session, job.id, attempt=claimed.attempt, error={})
    assert sums(database, Counted.DEVICE_SECONDS) == {"cuda jobs": pytest.approx(100, abs=1)}


@pytest.mark.parametrize("ending", ["release", "cancelled", "finish"])
def test_however_a_hold_ends_it_is_counted_once(database: Database, ending: str) -> None:
    job = submit(database)
    claimed = claim(database, job.id)
    back_date(database, Job, job.id, seconds=50)
    more = {"publication": publication()} if ending == "finish" else {}
    for _ in range(2):
        with database.write() as session:
            getattr(jobs, ending)(session, job.id, attempt=claimed.attempt, **more)
    assert sums(database, Counted.DEVICE_SECONDS) == {"cpu jobs": pytest.approx(50, abs=1)}


def test_a_silent_holder_is_counted_until_its_last_sign_of_life(database: Database) -> None:
    artifact = publish(database)
    job = submit(database)
    claim(database, job.id)
    with database.write() as session:
        (first, _) = evaluations.of_artifact(session, artifact.id)
        evaluations.claim(session, first.id, **HELD)
    back_date(database, Job, job.id, seconds=100)
    back_date(database, Evaluation, first.id, seconds=40)
    for _ in range(2):
        with database.write() as session:
            jobs.sweep(session, max_attempts=3, rewake_seconds=30)
            evaluations.sweep(session, max_attempts=3, rewake_seconds=30)
    assert sums(database, Counted.LEASE_EXPIRIES) == {"evaluations": 1.0, "jobs": 1.0}
    held = sums(database, Counted.DEVICE_SECONDS)
    assert held["cuda evaluations"] == pytest.approx(20, abs=1)
    assert held["cpu jobs"] == pytest.approx(50, abs=1)
    with database.write() as session:
        session.execute(delete(Evaluation))
    assert sums(database, Counted.LEASE_EXPIRIES) == {"evaluations": 1.0, "jobs": 1.0}


def test_what_is_rolled_back_is_not_counted(database: Database) -> None:
    def counts_and_fails() -> None:
        with database.write() as session:
            totals.add(session, Counted.STEPS, 5, device="cpu", objective="kernel")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        counts_and_fails()
    assert sums(database, Counted.STEPS) == {}


def test_sums_are_written_last_and_in_one_order(database: Database) -> None:
    said: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        said.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        with database.write() as session:
            totals.add(session, Counted.STEPS, 2, objective="kernel", device="cpu")
            totals.add(session, Counted.ATTEMPTS, of="jobs")
            totals.add(session, Counted.STEPS, 3, device="cpu", objective="kernel")
            jobs.submit(session, recipe={"dataset": "digits"}, digest="0" * 64, request_id="r")
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    writes = [line.split()[2] for line in said if line.startswith("INSERT")]
    assert writes == ["jobs", "job_events", "totals", "totals"]
    assert sums(database, Counted.STEPS) == {"cpu kernel": 5.0}
