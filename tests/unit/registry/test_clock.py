"""What becomes of leases and wake-ups when the database's clock jumps."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, select

from registry import jobs, workers
from registry.clock import database_now
from registry.leases import Beat
from registry.session import Database
from registry.testing import temporary_database
from tests.unit.registry.making import HELD, claim, read, submit

SetClock = Callable[[float], None]


@pytest.fixture
def set_clock() -> Iterator[SetClock]:
    """Sets by how many seconds SQLite's own clock is off."""
    off = [0.0]

    def shift(connection: Any, _record: Any) -> None:
        if isinstance(connection, sqlite3.Connection):
            connection.create_function("julianday", 1, lambda _: 2440587.5 + (time.time() + off[0]) / 86400.0)

    event.listen(Engine, "connect", shift)
    yield lambda seconds: off.__setitem__(0, seconds)
    event.remove(Engine, "connect", shift)


@pytest.fixture
def database(tmp_path: Path, template: Path, set_clock: SetClock) -> Iterator[Database]:
    made = temporary_database(tmp_path, template=template)
    yield made
    made.close()


def sweep(database: Database) -> jobs.Swept:
    with database.write() as session:
        return jobs.sweep(session, max_attempts=3, rewake_seconds=30.0)


def test_a_jump_ahead_ends_leases_and_their_holders_write_nothing_more(database: Database, set_clock: SetClock) -> None:
    job_id = submit(database).id
    claim(database, job_id)
    set_clock(3600.0)
    assert sweep(database).requeued == [job_id]
    set_clock(0.0)
    assert claim(database, job_id).attempt == 2
    with database.write() as session:
        assert jobs.beat(session, job_id, attempt=1, lease_seconds=60.0) is Beat.LOST
        assert jobs.beat(session, job_id, attempt=2, lease_seconds=60.0) is Beat.CONTINUE


def test_a_holder_that_beats_after_a_jump_ahead_and_before_the_sweep_keeps_the_job(
    database: Database, set_clock: SetClock
) -> None:
    job_id = submit(database).id
    claim(database, job_id)
    set_clock(3600.0)
    with database.write() as session:
        assert jobs.beat(session, job_id, attempt=1, lease_seconds=60.0) is Beat.CONTINUE
    assert sweep(database).requeued == []


def test_a_jump_back_lengthens_no_lease_of_a_dead_holder(database: Database, set_clock: SetClock) -> None:
    job_id = submit(database).id
    claim(database, job_id)
    set_clock(-3600.0)
    assert sweep(database).requeued == []
    set_clock(-3600.0 + HELD["lease_seconds"] - 5.0)
    assert sweep(database).requeued == []
    set_clock(-3600.0 + HELD["lease_seconds"] + 5.0)
    assert sweep(database).requeued == [job_id]


def test_a_jump_back_takes_nothing_from_a_living_holder(database: Database, set_clock: SetClock) -> None:
    job_id = submit(database).id
    claim(database, job_id)
    set_clock(-3600.0)
    sweep(database)
    with database.write() as session:
        assert jobs.beat(session, job_id, attempt=1, lease_seconds=60.0) is Beat.CONTINUE
    assert sweep(database).requeued == []
    assert read(database, job_id).attempt == 1


def test_a_wake_up_that_was_lost_before_a_jump_back_is_sent_again_at_once(
    database: Database, set_clock: SetClock
) -> None:
    job_id = submit(database).id
    assert sweep(database).wake == [job_id]
    set_clock(-3600.0)
    assert sweep(database).wake == [job_id]
    assert sweep(database).wake == []


def test_a_worker_that_died_before_a_jump_back_is_not_live_for_as_long(database: Database, set_clock: SetClock) -> None:
    with database.write() as session:
        workers.beat_worker(session, worker="here-1", device="cpu", hostname="h", pid=1)
    set_clock(-3600.0)
    with database.read() as session:
        assert workers.list_workers(session) == []


def test_a_statement_that_asks_for_the_time_is_compiled_once() -> None:
    engine, compiled = create_engine("sqlite://"), dict[Any, Any]()
    with engine.connect().execution_options(compiled_cache=compiled) as connection:
        for seconds in (0.0, 1.0, 2.0):
            assert connection.scalar(select(database_now() - seconds)) == pytest.approx(time.time() - seconds, abs=1)
    engine.dispose()
    assert len(compiled) == 1
