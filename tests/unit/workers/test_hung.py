"""Children that do not let go of what they have lost, or of what a person wants them to let go of."""

from registry import workers
from registry.workers import Holding
from tests.unit.workers.conftest import Workplace
from workers.hung import NOTICE_SECONDS, Hung
from workers.keeper import Keeper

HELD = Holding(row_id="job_1", attempt=1, pid=7, called_off=False)
CALLED_OFF = HELD._replace(called_off=True)


def test_a_child_that_holds_what_is_called_off_is_ended_a_little_after_its_own_grace() -> None:
    hung = Hung(cancel_grace_seconds=3.0)
    assert hung.look(0.0, busy=[7], holdings=[HELD]) == set()
    assert hung.look(1.0, busy=[7], holdings=[CALLED_OFF]) == set()
    assert hung.look(4.0, busy=[7], holdings=[CALLED_OFF]) == set()
    assert hung.look(4.3, busy=[7], holdings=[CALLED_OFF]) == {7}


def test_one_that_lets_go_and_takes_the_next_is_left_alone() -> None:
    hung = Hung(cancel_grace_seconds=3.0)
    hung.look(0.0, busy=[7], holdings=[CALLED_OFF])
    assert hung.look(20.0, busy=[7], holdings=[CALLED_OFF._replace(row_id="job_2")]) == set()


def test_a_child_that_is_still_busy_long_after_it_has_lost_what_it_held_is_ended() -> None:
    hung = Hung(cancel_grace_seconds=3.0)
    hung.look(0.0, busy=[7], holdings=[HELD])
    assert hung.look(NOTICE_SECONDS - 0.1, busy=[7], holdings=[]) == set()
    assert hung.look(NOTICE_SECONDS, busy=[7], holdings=[]) == {7}


def test_one_that_has_never_held_anything_may_wait_as_long_as_it_likes() -> None:
    """For a database that is away, most likely."""
    hung = Hung(cancel_grace_seconds=3.0)
    for now in (0.0, 100.0, 1000.0):
        assert hung.look(now, busy=[7], holdings=[]) == set()


def test_an_idle_child_is_never_ended() -> None:
    hung = Hung(cancel_grace_seconds=3.0)
    hung.look(0.0, busy=[7], holdings=[HELD])
    assert hung.look(1000.0, busy=[], holdings=[]) == set()
    assert hung.look(2000.0, busy=[7], holdings=[]) == set()


def test_the_keeper_ends_it_and_the_job_is_cancelled_in_the_same_turn(workplace: Workplace) -> None:
    ended: list[int] = []
    keeper = Keeper(
        settings=workplace.bench.settings.model_copy(update={"sweep_seconds": 1000.0, "cancel_grace_seconds": 3.0}),
        database=workplace.database,
        queue=workplace.queue,
        worker="here-1",
        pid=1,
        child_pids=lambda: [7],
        busy_pids=lambda: [7],
        is_alive=lambda _pid: True,
        end=ended.append,
    )
    job_id = workplace.submit()
    workplace.claim(job_id)  # by child 7
    keeper.turn(0.0)
    workplace.cancel(job_id)
    keeper.turn(1.0)
    keeper.turn(4.0)
    assert (ended, workplace.job(job_id).state) == ([], "running")
    keeper.turn(4.5)
    assert (ended, workplace.job(job_id).state) == ([7], "cancelled")
    keeper.turn(5.0)
    assert ended == [7]


def test_what_children_hold_is_told_for_each_worker_by_itself(workplace: Workplace) -> None:
    job_id = workplace.submit()
    workplace.claim(job_id)
    with workplace.database.read() as session:
        assert workers.holdings(session, worker="here-1") == [Holding(job_id, 1, 7, called_off=False)]
        assert workers.holdings(session, worker="elsewhere-1") == []
