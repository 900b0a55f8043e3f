"""What the sweep puts right: silent workers, lost wake-ups, dead children."""

from registry import jobs, workers
from registry.models import State
from registry.session import Database
from tests.unit.registry.making import claim, read, set_job, states_told, submit

SWEEP = {"max_attempts": 3, "rewake_seconds": 30.0}


def test_sweep_leaves_a_lease_that_lasts_alone(database: Database) -> None:
    job = submit(database)
    claim(database, job.id)
    with database.write() as session:
        swept = jobs.sweep(session, **SWEEP)
    assert (swept.requeued, swept.failed, swept.cancelled, swept.wake) == ([], [], [], [])
    assert read(database, job.id).state is State.RUNNING


def test_sweep_queues_again_until_attempts_are_exhausted(database: Database) -> None:
    job = submit(database)
    found = []
    for _ in range(3):
        claim(database, job.id)
        set_job(database, job.id, lease_until=1.0)
        with database.write() as session:
            swept = jobs.sweep(session, **SWEEP)
        found.append((swept.requeued, swept.failed, swept.wake))
    assert found == [([job.id], [], [job.id]), ([job.id], [], [job.id]), ([], [job.id], [])]
    ended = read(database, job.id)
    assert ended.state is State.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "worker_lost"
    assert states_told(database, job.id) == ["queued", *["running", "queued"] * 2, "running", "failed"]
    with database.write() as session:
        jobs.retry(session, job.id, fresh=False)
    assert claim(database, job.id).attempt == 4


def test_sweep_cancels_what_was_called_off_before_its_worker_died(database: Database) -> None:
    job = submit(database)
    claim(database, job.id)
    with database.write() as session:
        jobs.cancel(session, job.id)
    set_job(database, job.id, lease_until=1.0)
    with database.write() as session:
        assert jobs.sweep(session, **SWEEP).cancelled == [job.id]
    assert read(database, job.id).state is State.CANCELLED


def test_sweep_wakes_what_was_never_woken_and_only_once(database: Database) -> None:
    woken, silent = submit(database), submit(database)
    with database.write() as session:
        jobs.woken(session, woken.id)
        assert jobs.sweep(session, **SWEEP).wake == [silent.id]
        assert jobs.sweep(session, **SWEEP).wake == []


def test_sweep_wakes_again_no_more_than_idle_workers_can_take(database: Database) -> None:
    waiting = [submit(database).id for _ in range(3)]
    for job_id in waiting:
        set_job(database, job_id, woken_at=1.0)
    with database.write() as session:
        assert jobs.sweep(session, **SWEEP).wake == []  # no worker lives: a message would only lie there
        workers.beat_worker(session, worker="host:cpu", device="cpu", hostname="host", pid=1)
        assert jobs.sweep(session, **SWEEP).wake == waiting[:1]
    for job_id in waiting:
        set_job(database, job_id, woken_at=1.0)
    claim(database, waiting[0])
    with database.write() as session:
        assert jobs.sweep(session, **SWEEP).wake == []  # the one worker is busy


def test_dead_children_lose_their_jobs_at_once(database: Database) -> None:
    dead, alive, other = (submit(database).id for _ in range(3))
    claim(database, dead, worker_pid=10)
    claim(database, alive, worker_pid=11)
    claim(database, other, worker="elsewhere", worker_pid=10)
    with database.write() as session:
        assert workers.in_hand(session, worker="host:cpu") == [dead, alive]
        assert workers.lost_children(session, worker="host:cpu", alive_pids=[11]) == [dead]
        assert jobs.sweep(session, **SWEEP).requeued == [dead]
        assert workers.lost_children(session, worker="host:cpu", alive_pids=[]) == [alive]


def test_workers_are_live_while_they_beat(database: Database) -> None:
    with database.write() as session:
        for _ in range(2):
            workers.beat_worker(session, worker="host:cuda:0", device="cuda:0", hostname="host", pid=5)
        assert [(worker.id, worker.pid) for worker in workers.list_workers(session)] == [("host:cuda:0", 5)]
        assert workers.list_workers(session, live_seconds=-1.0) == []
        workers.forget_worker(session, worker="host:cuda:0")
        assert workers.list_workers(session) == []
