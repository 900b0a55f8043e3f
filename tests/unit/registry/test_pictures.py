"""Pictures of a job: told under its fence, spread over its time, freed with what else it left."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from registry import errors, jobs
from registry.jobs.picturing import MOST_PICTURES
from registry.models import JobPicture, State
from registry.session import Database
from registry.testing import memory_store
from tests.unit.registry.making import claim, set_job, submit
from tests.unit.registry.test_freeing import DAY, named, sweep


def record(database: Database, job_id: str, step: int, *, attempt: int = 1) -> list[str] | None:
    key = f"pictures/{job_id}/{attempt}-{step}.png"
    with database.write() as session:
        gone = jobs.record_picture(session, job_id, attempt=attempt, step=step, key=key, num_bytes=3)
        return None if gone is None else list(gone)


def kept(database: Database, job_id: str) -> list[JobPicture]:
    with database.read() as session:
        return list(jobs.pictures(session, job_id))


def test_a_picture_of_another_attempt_is_not_recorded(database: Database) -> None:
    job = submit(database)
    claim(database, job.id)
    assert record(database, job.id, 1, attempt=2) is None
    assert kept(database, job.id) == []


def test_of_many_pictures_the_ends_and_an_even_spread_are_kept(database: Database) -> None:
    job = submit(database)
    claim(database, job.id)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    gone: list[str] = []
    for step in range(200):
        with database.write() as session:
            one = record_at(session, job.id, step, began + timedelta(seconds=2 * step))
            gone += one
    found = kept(database, job.id)
    steps = [picture.step for picture in found]
    assert len(found) == MOST_PICTURES
    assert (steps[0], steps[-1]) == (0, 199)
    gaps = [after - before for before, after in pairwise(steps)]
    assert max(gaps) <= 2 * 199 / MOST_PICTURES
    assert len(gone) == len(set(gone)) == 200 - MOST_PICTURES


def record_at(session: Any, job_id: str, step: int, moment: datetime) -> list[str]:
    """As a worker at that time does it."""
    key = f"pictures/{job_id}/1-{step}.png"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("registry.jobs.picturing.utc_now", lambda: moment)
        return list(jobs.record_picture(session, job_id, attempt=1, step=step, key=key, num_bytes=3) or ())


def test_pictures_go_with_the_grace_of_their_job(database: Database) -> None:
    store = memory_store()
    running, ended = submit(database, same="a"), submit(database, same="b")
    for job in (running, ended):
        claim(database, job.id)
        record(database, job.id, 1)
        store.put_named(f"pictures/{job.id}/1-1.png", b"png")
        store.put_named(f"pictures/{job.id}/1-2.png", b"of a worker that died before it could tell")
    set_job(database, ended.id, state=State.SUCCEEDED, ended_at=datetime.now(UTC))
    assert named(sweep(database, store, grace_seconds=DAY)) == {}
    freed = {"pictures": [f"pictures/{ended.id}/1-1.png", f"pictures/{ended.id}/1-2.png"]}
    assert named(sweep(database, store, dry_run=True)) == freed
    assert len(kept(database, ended.id)) == 1
    assert named(sweep(database, store)) == freed
    assert kept(database, ended.id) == []
    assert len(kept(database, running.id)) == 1
    assert len(store.list_named(f"pictures/{running.id}")) == 2


def test_a_picture_that_is_gone_is_named(database: Database) -> None:
    job = submit(database)
    with database.read() as session, pytest.raises(errors.NotFound, match="no picture 9"):
        jobs.picture(session, job.id, 9)
