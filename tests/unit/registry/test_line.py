"""Who is next: priority and age in one number, and only what a worker can run."""

import time
from typing import Any

import pytest
from sqlalchemy import insert, text, update

from registry import jobs, workers
from registry.clock import database_now
from registry.models import Job, Need, State
from registry.session import Database
from tests.unit.registry.making import HELD, digest_of, read

LEVEL = 600.0
SWEEP: dict[str, Any] = {"max_attempts": 3, "rewake_seconds": 30.0}


def submit(database: Database, *, age: float = 0.0, **options: Any) -> str:
    """A job that was queued so many seconds ago."""
    recipe = {"dataset": "digits", "device": options.pop("device", "auto")}
    with database.write() as session:
        job = jobs.submit(session, recipe=recipe, digest=digest_of("a"), request_id="r", level_seconds=LEVEL, **options)
        session.execute(update(Job).where(Job.id == job.id).values(due=Job.due - age))
    return job.id


def claim_all(database: Database, **options: Any) -> list[str]:
    taken: list[str] = []
    with database.write() as session:
        while (claim := jobs.claim_next(session, **HELD, **options)) is not None:
            taken.append(claim.job_id)
    return taken


def positions(database: Database, ids: list[str]) -> list[int | None]:
    with database.read() as session:
        return [jobs.queue_position(session, jobs.get(session, job_id)) for job_id in ids]


def test_waiting_outweighs_priority_in_time_and_the_position_agrees(database: Database) -> None:
    fresh = submit(database)
    urgent = submit(database, priority=2)
    lowest = submit(database, priority=-1, age=LEVEL * 4)
    older = submit(database, age=LEVEL * 2 + 5)
    ids = [fresh, urgent, lowest, older]
    order = sorted(ids, key=lambda job_id: read(database, job_id).due)
    assert order == [lowest, older, urgent, fresh]
    assert [positions(database, [job_id]) for job_id in order] == [[1], [2], [3], [4]]
    assert claim_all(database) == order


def test_a_low_priority_is_not_starved_by_a_stream_of_higher_ones(database: Database) -> None:
    patient, taken = submit(database, priority=-3), list[str]()
    for minute in range(60):
        submit(database, priority=0, age=-60.0 * minute)  # another one each minute, and one is taken each minute
        with database.write() as session:
            claim = jobs.claim_next(session, **HELD)
        assert claim is not None
        taken.append(claim.job_id)
        if claim.job_id == patient:
            break
    assert 29 <= len(taken) <= 32  # three levels of ten minutes


def test_what_goes_back_keeps_its_place_and_a_retry_gets_a_new_one(database: Database) -> None:
    first, second = submit(database, age=100), submit(database, age=50)
    for ending in ("release", "retry"):
        with database.write() as session:
            held = jobs.claim_next(session, **HELD)
            assert held is not None
            assert held.job_id == first
            if ending == "release":
                jobs.release(session, first, attempt=held.attempt)
            else:
                jobs.fail(session, first, attempt=held.attempt, error={"code": "x", "title": "", "detail": ""})
                jobs.retry(session, first, fresh=False)
    assert claim_all(database) == [second, first]


def test_a_worker_takes_its_own_kind_first_and_nothing_that_it_cannot_hold(database: Database) -> None:
    cpu, gpu = submit(database, need=Need.CPU, age=99), submit(database, need=Need.GPU)
    large = submit(database, need=Need.GPU, memory_bytes=10 * 2**30, age=50)
    unknown = submit(database, need=Need.GPU, age=-1)
    assert positions(database, [cpu, gpu, large]) == [1, 2, 1]
    assert claim_all(database, needs=[Need.GPU, Need.CPU], memory_bytes=8 * 2**30) == [gpu, unknown, cpu]
    assert claim_all(database, needs=[Need.CPU]) == []
    assert claim_all(database, needs=[Need.GPU], memory_bytes=16 * 2**30) == [large]


def test_wake_ups_go_to_queues_that_someone_idle_takes_from(database: Database) -> None:
    gpu, cpu = submit(database, need=Need.GPU, age=9), submit(database)
    with database.write() as session:
        first = jobs.sweep(session, **SWEEP)
        assert first.needs == {cpu: Need.CPU, gpu: Need.GPU}
        session.execute(update(Job).values(woken_at=database_now() - 99))
        workers.beat_worker(session, worker="c", device="cpu", hostname="h", pid=1, queues=["cpu", "evaluate"])
        assert jobs.sweep(session, **SWEEP).needs == {cpu: Need.CPU}
        assert (workers.count_idle(session, queue="gpu"), workers.count_idle(session, queue="evaluate")) == (0, 1)


def test_a_job_for_any_device_goes_where_there_is_one(database: Database) -> None:
    anywhere, here = submit(database), submit(database, device="cpu")
    with database.write() as session:
        jobs.sweep(session, **SWEEP)
        assert jobs.get(session, anywhere).need is Need.CPU  # nobody is there yet
        workers.beat_worker(session, worker="g", device="cuda", hostname="h", pid=1, queues=["gpu"])
        assert jobs.sweep(session, **SWEEP).needs == {anywhere: Need.GPU}
        assert jobs.get(session, here).need is Need.CPU


def test_reuse_finds_what_ran_on_the_kind_of_device_that_is_asked_for(database: Database) -> None:
    on_cpu = submit(database)
    with database.write() as session:
        found = [jobs.find_reusable(session, digest_of("a"), need=need) for need in (None, Need.CPU, Need.GPU)]
    assert [job and job.id for job in found] == [on_cpu, on_cpu, None]


def test_a_claim_walks_the_index_however_long_the_line_is(database: Database) -> None:
    row = {"recipe": {}, "digest": "d", "dataset": "x", "state": State.QUEUED}
    with database.write() as session:
        rows = [{**row, "id": f"job_{i:032}", "need": list(Need)[i % 2], "due": float(-i)} for i in range(20_000)]
        session.execute(insert(Job), rows)
    began = time.perf_counter()
    with database.write() as session:
        claim = jobs.claim_next(session, **HELD, needs=[Need.GPU], memory_bytes=2**30)
    assert time.perf_counter() - began < 0.5  # some milliseconds when idle
    assert claim is not None
    assert claim.job_id == f"job_{19_999:032}"
    with database.read() as session:
        asked = "EXPLAIN QUERY PLAN SELECT id FROM jobs WHERE state='queued' AND need='gpu' ORDER BY due, id LIMIT 1"
        plan = session.execute(text(asked)).all()
    assert "ix_jobs_state_need_due_id" in str(plan)
    assert "TEMP B-TREE" not in str(plan)


@pytest.mark.parametrize("priority", [-100, 0, 100])
def test_the_bounds_of_priority_are_worth_under_a_day_each(priority: int) -> None:
    assert abs(priority) * LEVEL < 24 * 3600
