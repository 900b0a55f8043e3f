"""Sessions on SQLite: writers that never lock each other out, readers that cannot write, failures with a name."""

import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import DBAPIError, StatementError

from registry import errors, jobs
from registry.clock import database_now
from registry.models import Job
from registry.session import Database
from tests.unit.registry.making import read, submit


def test_four_writers_never_find_the_database_locked(database: Database) -> None:
    """Read, then write, 4 × 100 times: with BEGIN DEFERRED most of these fail."""
    job = submit(database)
    failures: list[Exception] = []

    def count() -> None:
        for _ in range(100):
            try:
                with database.write() as session:
                    seen = session.scalar(select(Job.priority).where(Job.id == job.id))
                    session.execute(update(Job).where(Job.id == job.id).values(priority=(seen or 0) + 1))
            except Exception as error:
                failures.append(error)

    writers = [threading.Thread(target=count) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    assert read(database, job.id).priority == 400


def test_sqlite_keeps_a_write_ahead_log_and_its_foreign_keys(database: Database) -> None:
    with database.read() as session:
        assert session.scalar(text("PRAGMA journal_mode")) == "wal"
        assert session.scalar(text("PRAGMA foreign_keys")) == 1


def test_a_read_session_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError, match="readonly"), database.read() as session:
        session.execute(update(Job).values(priority=1))


def test_an_exception_rolls_everything_back(database: Database) -> None:
    def half() -> None:
        with database.write() as session:
            jobs.submit(session, recipe={"dataset": "digits"}, digest="0" * 64, request_id="r")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        half()
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0


def test_a_reader_sees_one_state_while_others_write(database: Database) -> None:
    job = submit(database)
    with database.read() as session:
        assert session.scalar(select(Job.priority)) == 0
        with database.write() as writing:
            writing.execute(update(Job).where(Job.id == job.id).values(priority=9))
        assert session.scalar(select(Job.priority)) == 0


def test_a_full_database_says_so_and_keeps_what_it_had(database: Database, tmp_path: Path) -> None:
    job = submit(database)

    def fill() -> None:
        with database.write() as session:
            pages = session.scalar(text("PRAGMA page_count"))
            session.execute(text(f"PRAGMA max_page_count = {pages}"))
            for _ in range(100):
                jobs.submit(session, recipe={"dataset": "x" * 9999}, digest="0" * 64, request_id="r")

    with pytest.raises(errors.RegistryFull, match="free disk space"):
        fill()
    assert read(database, job.id).id == job.id


def test_a_writer_that_waits_too_long_is_told_that_it_is_busy(database: Database, tmp_path: Path) -> None:
    impatient = Database(f"sqlite:///{tmp_path}/registry.db", busy_milliseconds=50)
    with database.write() as session:
        session.execute(select(1))
        with pytest.raises(errors.RegistryBusy), impatient.write() as other:
            other.execute(select(1))
    impatient.close()


def test_missing_tables_and_files_have_names(tmp_path: Path) -> None:
    empty = Database(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(errors.RegistryOutdated, match="distilled migrate"), empty.read() as session:
        session.execute(select(Job))
    assert empty.revision() is None
    assert not empty.is_at_head()
    empty.close()
    nowhere = Database(f"sqlite:///{tmp_path}/no/such/folder.db")
    with pytest.raises(errors.RegistryDown):
        nowhere.revision()


def test_a_server_that_is_down_has_a_name() -> None:
    with pytest.raises(errors.RegistryDown):
        Database("postgresql://tester@127.0.0.1:1/none").revision()


def test_times_are_aware_and_in_utc(database: Database) -> None:
    job = submit(database)
    moment = datetime(2026, 11, 21, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job.id).values(started_at=moment))
    started = read(database, job.id).started_at
    assert started == moment
    assert started is not None
    assert started.utcoffset() == timedelta(0)
    with pytest.raises(StatementError, match="naive"), database.write() as session:
        session.execute(update(Job).values(started_at=datetime(2026, 1, 1)))


def test_the_databases_clock_is_in_epoch_seconds(database: Database) -> None:
    with database.read() as session:
        now = session.scalar(select(database_now()))
    assert now == pytest.approx(datetime.now(UTC).timestamp(), abs=2)
