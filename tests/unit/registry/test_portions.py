"""Portions of work: shared by who needs them, done once, and gone with the last owner."""

from typing import Any

from sqlalchemy import update

from registry import jobs, leases, portions, workers
from registry.leases import Beat
from registry.models import Portion, State
from registry.portions import PortionClaim, Wanted
from registry.session import Database
from tests.unit.registry.making import HELD, claim, digest_of, read, submit

HELPER = {"worker": "there:cpu", "device": "cpu", "lease_seconds": 60.0}
WANTED = [Wanted(key=digest_of(f"expert {i}"), what={"expert": i}) for i in range(3)]


def ensure(database: Database, owner_id: str, wanted: list[Wanted] = WANTED, **values: Any) -> None:
    with database.write() as session:
        portions.ensure(session, owner_id, wanted, **({"device_kind": "cpu"} | values))


def take(database: Database, owner_id: str) -> PortionClaim | None:
    with database.write() as session:
        return portions.claim(session, owner_id, **HELD)


def help_with(database: Database, *, device_kind: str = "cpu", **values: Any) -> PortionClaim | None:
    with database.write() as session:
        return portions.claim_next(session, device_kind=device_kind, **(HELPER | values))


def states(database: Database, owner_id: str) -> list[str]:
    with database.read() as session:
        return [str(row.state) for row in portions.of(session, owner_id)]


def running(database: Database, **values: Any) -> str:
    job = submit(database, **values)
    claim(database, job.id)
    return job.id


def test_owner_and_helper_take_one_after_the_other_and_nobody_the_same(database: Database) -> None:
    owner = running(database)
    ensure(database, owner)
    ensure(database, owner)  # as the next attempt at the job does
    taken = [take(database, owner), help_with(database), take(database, owner), help_with(database)]
    assert [one.what["expert"] if one else None for one in taken] == [0, 1, 2, None]
    assert taken[1] is not None
    assert taken[1].owner_id == owner
    for one in taken[:3]:
        assert one is not None
        with database.write() as session:
            assert portions.finish(session, one.portion_id, attempt=one.attempt, result={"i": one.what["expert"]})
            assert not portions.finish(session, one.portion_id, attempt=one.attempt, result={})
    with database.read() as session:
        assert [row.result for row in portions.of(session, owner)] == [{"i": 0}, {"i": 1}, {"i": 2}]


def test_two_owners_share_what_both_need_until_neither_does(database: Database) -> None:
    first, second = running(database), running(database, same="b")
    ensure(database, first, WANTED[:2])
    ensure(database, second, WANTED[1:])
    with database.read() as session:
        assert [row.what["expert"] for row in portions.of(session, second)] == [1, 2]
    held = help_with(database)
    assert held is not None
    with database.write() as session:
        jobs.cancel(session, first)
    with database.write() as session:
        assert portions.beat(session, held.portion_id, attempt=held.attempt, lease_seconds=9) is Beat.LOST
    assert states(database, first) == []
    assert states(database, second) == ["queued", "queued"]


def test_what_is_for_another_kind_of_device_is_left(database: Database) -> None:
    owner = running(database)
    ensure(database, owner, device_kind="cuda")
    assert help_with(database) is None
    assert help_with(database, device_kind="cuda", device="cuda:0") is not None


def test_the_more_important_work_is_helped_first(database: Database) -> None:
    for number, priority in enumerate((0, 5)):
        ensure(database, running(database, same=str(number), priority=priority), [WANTED[number]])
    taken = help_with(database)
    assert taken is not None
    assert taken.what == {"expert": 1}


def test_a_lost_helpers_portion_is_queued_again_and_one_that_failed_is_its_owners(database: Database) -> None:
    owner = running(database)
    ensure(database, owner, WANTED[:2])
    lost, failed = help_with(database), help_with(database)
    assert lost is not None
    assert failed is not None
    with database.write() as session:
        assert portions.fail(session, failed.portion_id, attempt=failed.attempt, error=leases.WORKER_LOST)
        session.execute(update(Portion).where(Portion.id == lost.portion_id).values(lease_until=0.0))
        swept = portions.sweep(session, max_attempts=3, rewake_seconds=30)
    assert (swept.requeued, swept.wake) == ([lost.portion_id], [lost.portion_id])
    assert states(database, owner) == ["queued", "failed"]
    with database.write() as session:
        assert not portions.finish(session, lost.portion_id, attempt=lost.attempt, result={})
    ensure(database, owner, WANTED[:2])
    assert states(database, owner) == ["queued", "queued"]


def test_the_dead_leave_nothing_behind(database: Database) -> None:
    owner = running(database)
    ensure(database, owner)
    with database.write() as session:
        assert jobs.fail(session, owner, attempt=1, error=leases.WORKER_LOST)
    with database.write() as session:
        portions.sweep(session, max_attempts=3, rewake_seconds=30)
    assert states(database, owner) == []
    with database.read() as session:
        assert session.query(Portion).count() == 0


def test_an_owner_that_was_lost_finds_its_portions_again(database: Database) -> None:
    owner = running(database)
    ensure(database, owner)
    done = help_with(database)
    assert done is not None
    with database.write() as session:
        portions.finish(session, done.portion_id, attempt=done.attempt, result=None)
        jobs.release(session, owner, attempt=1)
        portions.sweep(session, max_attempts=3, rewake_seconds=30)
    assert read(database, owner).state is State.QUEUED
    assert states(database, owner) == ["succeeded", "queued", "queued"]


def test_as_many_are_called_as_have_nothing_to_do(database: Database) -> None:
    with database.write() as session:
        for name in ("host:cpu", "there:cpu", "yonder:cpu"):
            workers.beat_worker(session, worker=name, device="cpu", hostname="h", pid=1)
    owner = running(database)
    ensure(database, owner)
    own = take(database, owner)  # one worker with two things in hand is one that is busy
    assert own is not None
    with database.write() as session:
        assert len(portions.offer(session, owner)) == 2
        assert workers.in_hand(session, worker="host:cpu") == [owner, own.portion_id]


def test_the_owners_time_is_counted_once(database: Database) -> None:
    owner = running(database)
    ensure(database, owner)
    own, helped = take(database, owner), help_with(database)
    assert own is not None
    assert helped is not None
    with database.read() as session:
        rows = {row.id: row.held_since for row in portions.of(session, owner)}
    assert rows[own.portion_id] is None
    assert rows[helped.portion_id] is not None


def test_an_owners_sign_of_life_is_that_of_its_portions(database: Database) -> None:
    owner = running(database)
    ensure(database, owner)
    with database.write() as session:
        own = portions.claim(session, owner, **(HELD | {"lease_seconds": 0.0}), worker_pid=7)
        assert own is not None
        portions.renew(session, worker=HELD["worker"], worker_pid=7, lease_seconds=60)
        assert portions.sweep(session, max_attempts=3, rewake_seconds=30).requeued == []
