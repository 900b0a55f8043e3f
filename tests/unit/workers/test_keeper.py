"""The main process's thread: it beats, notices dead children, sweeps, and takes over from the dead."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from registry import jobs, workers
from registry.session import Database
from tests.unit.workers.conftest import Workplace
from workers import identity
from workers.keeper import STARTING, Keeper
from workers.wakeups import is_anything_queued


class Machine:
    """Processes that live and die as a test says."""

    def __init__(self) -> None:
        self.children = [7]
        self.dead: set[int] = set()

    def is_alive(self, pid: int) -> bool:
        return pid not in self.dead


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def make_keeper(machine: Machine) -> Callable[..., Keeper]:
    def make(workplace: Workplace, *, worker: str = "here-1", **settings: Any) -> Keeper:
        return Keeper(
            settings=workplace.bench.settings.model_copy(update={"sweep_seconds": 1000.0, **settings}),
            database=workplace.database,
            queue=workplace.queue,
            worker=worker,
            pid=1,
            child_pids=lambda: machine.children,
            is_alive=machine.is_alive,
        )

    return make


def live(database: Database) -> dict[str, str]:
    with database.read() as session:
        return {row.id: row.device for row in workers.list_workers(session)}


def test_the_first_turn_introduces_the_worker_and_wakes_what_waits(
    workplace: Workplace, make_keeper: Callable[..., Keeper]
) -> None:
    job_id = workplace.submit()
    make_keeper(workplace).turn(0.0)
    assert live(workplace.database) == {"here-1": STARTING}
    assert workplace.queue.jobs == [job_id]


def test_beating_keeps_the_device_that_a_child_has_told(
    workplace: Workplace, make_keeper: Callable[..., Keeper]
) -> None:
    keeper = make_keeper(workplace)
    keeper.turn(0.0)
    with workplace.database.write() as session:
        workers.beat_worker(session, worker="here-1", device="cuda (H200)", hostname="h", pid=1)
    keeper.turn(1000.0)
    assert live(workplace.database) == {"here-1": "cuda (H200)"}


def test_beating_tells_what_is_kept_of_the_store(workplace: Workplace, make_keeper: Callable[..., Keeper]) -> None:
    cache = workplace.bench.settings.data_dir / "cache"
    cache.mkdir(parents=True)
    (cache / ("a" * 64)).write_bytes(b"123")
    make_keeper(workplace).turn(0.0)
    with workplace.database.read() as session:
        (row,) = workers.list_workers(session)
    assert row.cache_bytes == 3


def test_the_job_of_a_dead_child_is_queued_and_woken_at_once(
    workplace: Workplace, make_keeper: Callable[..., Keeper], machine: Machine
) -> None:
    keeper = make_keeper(workplace)
    keeper.turn(0.0)
    job_id = workplace.submit()
    workplace.claim(job_id)  # by child 7, for a minute
    keeper.turn(0.1)
    assert workplace.job(job_id).state == "running"
    machine.dead.add(7)
    keeper.turn(0.2)
    job = workplace.job(job_id)
    assert (job.state, job.lost) == ("queued", 1)
    assert workplace.queue.jobs == [job_id]


def test_a_child_that_leaves_with_empty_hands_changes_nothing(
    workplace: Workplace, make_keeper: Callable[..., Keeper], machine: Machine
) -> None:
    keeper = make_keeper(workplace)
    keeper.turn(0.0)
    machine.children = [8]
    keeper.turn(0.1)
    assert workplace.queue.jobs == []


def test_a_worker_takes_over_from_a_dead_one_of_its_machine_only(
    workplace: Workplace, make_keeper: Callable[..., Keeper], machine: Machine
) -> None:
    machine.dead.add(4242)
    held: dict[str, str] = {}
    for worker in (identity.worker_name(4242), identity.worker_name(4243), "elsewhere-00000000-4242"):
        with workplace.database.write() as session:
            pid = int(worker.rpartition("-")[2])
            workers.beat_worker(session, worker=worker, device="cpu", hostname="h", pid=pid)
        held[worker] = workplace.submit()
        with workplace.database.write() as session:
            jobs.claim(session, held[worker], worker=worker, device="cpu", lease_seconds=60, worker_pid=99)
    keeper = make_keeper(workplace, worker=identity.worker_name(1))
    keeper.settle_in()
    keeper.turn(0.0)
    states = [workplace.job(job_id).state for job_id in held.values()]
    assert states == ["queued", "running", "running"]
    assert identity.worker_name(4242) not in live(workplace.database)


def test_everything_queued_is_woken_where_the_embedded_queue_is_empty(
    workplace: Workplace, make_keeper: Callable[..., Keeper]
) -> None:
    ids = [workplace.submit() for _ in range(3)]
    with workplace.database.write() as session:
        for job_id in ids:
            jobs.woken(session, job_id)
    make_keeper(workplace).settle_in()
    assert workplace.queue.jobs == ids


@pytest.mark.parametrize("broker_url", ["filesystem://", "redis://127.0.0.1:1/0"])
def test_a_worker_starts_with_one_claim_whatever_became_of_the_messages(
    workplace: Workplace, make_keeper: Callable[..., Keeper], broker_url: str
) -> None:
    ids = [workplace.submit() for _ in range(3)]
    with workplace.database.write() as session:
        for job_id in ids:
            jobs.woken(session, job_id)
    messages = workplace.bench.settings.queue_dir / "messages"
    messages.mkdir(parents=True)
    (messages / "1_x.distill.msg").touch()
    make_keeper(workplace, broker_url=broker_url).settle_in()
    assert workplace.queue.jobs == ids[:1]


def test_where_nothing_is_queued_a_starting_worker_wakes_nobody(
    workplace: Workplace, make_keeper: Callable[..., Keeper]
) -> None:
    workplace.claim(workplace.submit())
    make_keeper(workplace, broker_url="redis://127.0.0.1:1/0").settle_in()
    assert (workplace.queue.jobs, workplace.queue.evaluations) == ([], [])


def test_a_queue_that_is_down_is_lived_with(workplace: Workplace, make_keeper: Callable[..., Keeper]) -> None:
    workplace.submit()
    workplace.queue.down = True
    make_keeper(workplace).turn(0.0)
    assert live(workplace.database) == {"here-1": STARTING}


def test_the_thread_outlives_a_database_that_is_away_and_says_goodbye(
    workplace: Workplace, make_keeper: Callable[..., Keeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper, tries = make_keeper(workplace), 0
    real = workers.beat_worker

    def beat(*args: Any, **values: Any) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise RuntimeError("away")
        real(*args, **values)

    monkeypatch.setattr(workers, "beat_worker", beat)
    keeper.start()
    deadline = time.monotonic() + 10
    while not live(workplace.database):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    keeper.stop()
    assert live(workplace.database) == {}


def test_a_wake_up_is_of_use_only_while_something_of_its_kind_is_queued(workplace: Workplace) -> None:
    assert not is_anything_queued(workplace.database, "workers.distill_job")
    job_id = workplace.submit()
    assert is_anything_queued(workplace.database, "workers.distill_job")
    assert not is_anything_queued(workplace.database, "workers.evaluate_artifact")
    workplace.claim(job_id)
    assert not is_anything_queued(workplace.database, "workers.distill_job")


def test_a_registry_that_cannot_say_lets_the_child_look(tmp_path: Any) -> None:
    away = Database(f"sqlite:///{tmp_path}/nowhere/registry.db")
    assert is_anything_queued(away, "workers.distill_job")
    away.close()
