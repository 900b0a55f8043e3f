"""A job's life: every change of state and the fence. Runs on SQLite here and on PostgreSQL in integration."""

import threading

import pytest

from registry import errors, jobs
from registry.jobs import Beat
from registry.models import EventKind, Job, State
from registry.session import Database
from tests.unit.registry.making import (
    HELD,
    RECIPE,
    claim,
    digest_of,
    publication,
    publish,
    read,
    set_job,
    states_told,
    submit,
)

SWEEP = {"max_attempts": 3, "rewake_seconds": 30.0}
ERROR = {"code": "out_of_memory", "title": "Out of memory", "detail": "The GPU has 8 GB; lower the batch size."}


def test_submitted_job_is_queued_with_all_that_lists_show(database: Database) -> None:
    job = submit(database, recipe={"dataset": "CIFAR10"}, priority=2)
    assert job.id.startswith("job_")
    assert (job.state, job.dataset, job.method, job.ipc, job.priority) == (State.QUEUED, "cifar10", "frepo", 1, 2)
    assert (job.attempt, job.progress, job.cancel_requested, job.request_id) == (0, 0.0, False, "req")
    assert job.created_at.utcoffset() is not None
    assert states_told(database, job.id) == ["queued"]


def test_claim_gives_recipe_and_token_and_only_once(database: Database) -> None:
    job = submit(database)
    with database.write() as session:
        first = jobs.claim(session, job.id, **HELD, worker_pid=77)
        assert jobs.claim(session, job.id, **HELD) is None
    assert first is not None
    assert (first.attempt, first.recipe, first.request_id, first.snapshot) == (1, RECIPE, "req", None)
    held = read(database, job.id)
    assert (held.state, held.worker, held.worker_pid, held.device) == (State.RUNNING, "host:cpu", 77, "cpu")
    assert held.started_at is not None
    assert held.lease_until is not None
    assert held.heartbeat is not None
    assert held.lease_until - held.heartbeat == pytest.approx(60.0, abs=0.1)
    assert states_told(database, job.id) == ["queued", "running"]


def test_of_many_claimants_one_wins(database: Database) -> None:
    job = submit(database)
    start, won = threading.Barrier(6), []

    def take(name: str) -> None:
        start.wait()
        with database.write() as session:
            if jobs.claim(session, job.id, **(HELD | {"worker": name})):
                won.append(name)

    claimants = [threading.Thread(target=take, args=(f"w{i}",)) for i in range(6)]
    for claimant in claimants:
        claimant.start()
    for claimant in claimants:
        claimant.join()
    assert len(won) == 1
    assert (read(database, job.id).worker, read(database, job.id).attempt) == (won[0], 1)


def test_side_by_side_claims_of_the_next_job_share_out_the_queue(database: Database) -> None:
    wanted = {submit(database).id for _ in range(4)}
    start, got = threading.Barrier(4), []

    def take() -> None:
        start.wait()
        with database.write() as session:
            if claimed := jobs.claim_next(session, **HELD):
                got.append(claimed.job_id)

    claimants = [threading.Thread(target=take) for _ in range(4)]
    for claimant in claimants:
        claimant.start()
    for claimant in claimants:
        claimant.join()
    assert sorted(got) == sorted(wanted)


def test_claim_next_takes_priority_then_the_oldest(database: Database) -> None:
    old, middle, new = (submit(database).id for _ in range(3))
    urgent = submit(database, priority=5).id
    with database.write() as session:
        taken = [jobs.claim_next(session, **HELD) for _ in range(5)]
    assert [claimed and claimed.job_id for claimed in taken] == [urgent, old, middle, new, None]


def test_queue_position_counts_who_goes_before(database: Database) -> None:
    first, second = submit(database), submit(database)
    urgent = submit(database, priority=1)
    with database.read() as session:
        assert [jobs.queue_position(session, job) for job in (first, second, urgent)] == [2, 3, 1]
    claim(database, urgent.id)
    with database.read() as session:
        assert jobs.queue_position(session, first) == 1
        assert jobs.queue_position(session, jobs.get(session, urgent.id)) is None


def test_beat_renews_the_lease_and_keeps_what_it_is_not_told(database: Database) -> None:
    job = submit(database)
    held = claim(database, job.id, lease_seconds=5.0)
    before = read(database, job.id).lease_until
    with database.write() as session:
        told = {"step": 10, "steps": 100, "progress": 0.1, "eta_seconds": 9.0}
        assert jobs.beat(session, job.id, attempt=held.attempt, lease_seconds=60.0, **told) is Beat.CONTINUE
        assert jobs.beat(session, job.id, attempt=held.attempt, lease_seconds=60.0) is Beat.CONTINUE
    after = read(database, job.id)
    assert after.lease_until is not None
    assert before is not None
    assert after.lease_until > before + 50
    assert (after.step, after.steps, after.progress, after.eta_seconds) == (10, 100, 0.1, 9.0)


def test_events_are_numbered_without_gaps_and_can_be_resumed(database: Database) -> None:
    job = submit(database)
    held = claim(database, job.id)
    with database.write() as session:
        numbers = [
            jobs.record_event(session, job.id, attempt=held.attempt, kind=EventKind.METRICS, data={"step": step})
            for step in range(3)
        ]
    assert numbers == [3, 4, 5]
    with database.read() as session:
        assert [event.number for event in jobs.events(session, job.id)] == [1, 2, 3, 4, 5]
        assert [event.data["step"] for event in jobs.events(session, job.id, after=3)] == [1, 2]
        assert [event.number for event in jobs.events(session, job.id, kinds=[EventKind.STATE], limit=1)] == [1]


def test_a_zombie_changes_nothing(database: Database) -> None:
    job = submit(database)
    zombie = claim(database, job.id).attempt
    set_job(database, job.id, lease_until=0.0)
    with database.write() as session:
        jobs.sweep(session, **SWEEP)
    current = claim(database, job.id, worker="other").attempt
    before = read(database, job.id)
    with database.write() as session:
        assert jobs.beat(session, job.id, attempt=zombie, lease_seconds=999.0, step=5) is Beat.LOST
        assert jobs.record_event(session, job.id, attempt=zombie, kind=EventKind.LOG, data={}) is None
        assert jobs.record_snapshot(session, job.id, attempt=zombie, key="k", step=5) is False
        assert jobs.finish(session, job.id, attempt=zombie, publication=publication()) is None
        assert jobs.fail(session, job.id, attempt=zombie, error=ERROR) is False
        assert jobs.cancelled(session, job.id, attempt=zombie) is False
        assert jobs.release(session, job.id, attempt=zombie) is False
    after = read(database, job.id)
    columns = Job.__table__.columns.keys()
    assert {name: getattr(after, name) for name in columns} == {name: getattr(before, name) for name in columns}
    assert (after.attempt, after.worker) == (current, "other")


def test_the_old_token_is_dead_even_while_the_job_only_waits(database: Database) -> None:
    job = submit(database)
    held = claim(database, job.id)
    with database.write() as session:
        assert jobs.release(session, job.id, attempt=held.attempt) is True
        assert jobs.beat(session, job.id, attempt=held.attempt, lease_seconds=60.0) is Beat.LOST
    assert read(database, job.id).state is State.QUEUED


def test_fail_keeps_the_error(database: Database) -> None:
    job = submit(database)
    held = claim(database, job.id)
    with database.write() as session:
        assert jobs.fail(session, job.id, attempt=held.attempt, error=ERROR) is True
    ended = read(database, job.id)
    assert (ended.state, ended.error, ended.lease_until) == (State.FAILED, ERROR, None)
    assert ended.ended_at is not None
    assert states_told(database, job.id)[-1] == "failed"


def test_release_counts_no_loss_and_asks_for_a_wake_up(database: Database) -> None:
    job = submit(database)
    for _ in range(5):
        held = claim(database, job.id)
        with database.write() as session:
            assert jobs.release(session, job.id, attempt=held.attempt) is True
    with database.write() as session:
        assert jobs.sweep(session, **SWEEP).wake == [job.id]
    assert (read(database, job.id).state, read(database, job.id).lost) == (State.QUEUED, 0)


def test_release_of_a_job_that_is_being_cancelled_cancels_it(database: Database) -> None:
    job = submit(database)
    held = claim(database, job.id)
    with database.write() as session:
        jobs.cancel(session, job.id)
        assert jobs.release(session, job.id, attempt=held.attempt) is True
    assert read(database, job.id).state is State.CANCELLED


def test_cancelling_a_queued_job_ends_it_and_twice_is_once(database: Database) -> None:
    job = submit(database)
    with database.write() as session:
        assert jobs.cancel(session, job.id).state is State.CANCELLED
        assert jobs.cancel(session, job.id).state is State.CANCELLED
        assert jobs.claim(session, job.id, **HELD) is None
    assert states_told(database, job.id) == ["queued", "cancelled"]


def test_cancelling_a_running_job_is_told_to_its_holder(database: Database) -> None:
    job = submit(database)
    held = claim(database, job.id)
    with database.write() as session:
        asked = jobs.cancel(session, job.id)
        jobs.cancel(session, job.id)
        assert (asked.state, asked.cancel_requested) == (State.RUNNING, True)
        assert jobs.beat(session, job.id, attempt=held.attempt, lease_seconds=60.0) is Beat.CANCEL
        assert jobs.cancelled(session, job.id, attempt=held.attempt) is True
    assert states_told(database, job.id) == ["queued", "running", "running", "cancelled"]


def test_what_has_ended_cannot_be_cancelled(database: Database) -> None:
    job = submit(database)
    held = claim(database, job.id)
    with database.write() as session:
        jobs.fail(session, job.id, attempt=held.attempt, error=ERROR)
        with pytest.raises(errors.JobFinished, match="already failed"):
            jobs.cancel(session, job.id)
        with pytest.raises(errors.NotFound, match="job_nope"):
            jobs.cancel(session, "job_nope")


@pytest.mark.parametrize("fresh", [False, True])
def test_retry_resumes_from_the_snapshot_unless_fresh(database: Database, fresh: bool) -> None:
    job = submit(database)
    held = claim(database, job.id)
    with database.write() as session:
        assert jobs.record_snapshot(session, job.id, attempt=held.attempt, key="snapshots/x", step=50) is True
        jobs.fail(session, job.id, attempt=held.attempt, error=ERROR)
        again = jobs.retry(session, job.id, fresh=fresh)
    assert (again.state, again.error, again.ended_at, again.lost) == (State.QUEUED, None, None, 0)
    second = claim(database, job.id)
    assert second.attempt == 2
    assert second.snapshot == (None if fresh else {"key": "snapshots/x", "step": 50})


def test_retry_is_refused_for_the_living_and_the_successful(database: Database) -> None:
    living = submit(database)
    done = publish(database).job_id
    assert done is not None
    with database.write() as session:
        with pytest.raises(errors.JobAlive):
            jobs.retry(session, living.id, fresh=False)
        with pytest.raises(errors.JobFinished):
            jobs.retry(session, done, fresh=False)
        with pytest.raises(errors.NotFound):
            jobs.retry(session, "job_nope", fresh=False)


def test_retried_after_cancel_is_not_cancelled_again(database: Database) -> None:
    job = submit(database)
    with database.write() as session:
        jobs.cancel(session, job.id)
        jobs.retry(session, job.id, fresh=False)
    held = claim(database, job.id)
    with database.write() as session:
        assert jobs.beat(session, job.id, attempt=held.attempt, lease_seconds=60.0) is Beat.CONTINUE


def test_identical_recipes_are_found_while_living_or_kept(database: Database) -> None:
    def reusable() -> str | None:
        with database.write() as session:
            found = jobs.find_reusable(session, digest_of("a"))
            return found and found.id

    assert reusable() is None
    first = submit(database)
    second = submit(database)
    submit(database, same="b")
    assert reusable() == first.id
    held = claim(database, second.id)
    with database.write() as session:
        artifact = jobs.finish(session, second.id, attempt=held.attempt, publication=publication())
        assert artifact is not None
    assert reusable() == second.id  # a finished one rather than one that waits
    with database.write() as session:
        jobs.cancel(session, first.id)
        artifact = session.merge(artifact)
        artifact.deleted_at = artifact.created_at
    assert reusable() is None


def test_jobs_are_listed_newest_first_by_filters_and_cursor(database: Database) -> None:
    made = [submit(database, recipe={"dataset": "mnist" if i % 2 else "digits"}).id for i in range(5)]
    claim(database, made[4])
    with database.read() as session:
        walked, cursor = [], None
        while True:
            page = jobs.find(session, limit=2, cursor=cursor)
            walked += [job.id for job in page.items]
            cursor = page.next_cursor
            if cursor is None:
                break
        assert walked == made[::-1]
        assert [job.id for job in jobs.find(session, dataset="MNIST").items] == [made[3], made[1]]
        assert [job.id for job in jobs.find(session, state=State.RUNNING, method="frepo").items] == [made[4]]
        assert jobs.find(session, method="dm").items == []
        with pytest.raises(errors.InvalidCursor):
            jobs.find(session, cursor="x")
        with pytest.raises(errors.InvalidQuery, match="limit"):
            jobs.find(session, limit=0)
