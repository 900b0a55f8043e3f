"""The registry's unit tests once more, on a real PostgreSQL: same names, same code, another `database` fixture."""

import threading
from collections.abc import Callable
from inspect import signature
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import select, update

from registry import artifacts, errors, evaluations, jobs
from registry.models import Job
from registry.session import Database
from tests.unit.registry import (
    test_artifacts,
    test_evaluations,
    test_freeing,
    test_jobs,
    test_keys,
    test_migrations,
    test_sweeping,
    test_uploads,
    test_webhooks,
)
from tests.unit.registry.making import claim, publication, publish, read, submit
from tests.unit.registry.test_evaluations import waiting  # noqa: F401 - a fixture of the tests taken over below
from tests.unit.registry.test_migrate_command import start

pytestmark = pytest.mark.services


def taken_over(module: ModuleType) -> dict[str, Callable[..., Any]]:
    """A module's tests under names that say where they come from."""
    prefix = "test_" + module.__name__.rpartition(".test_")[2]
    return {f"{prefix}__{name[5:]}": test for name, test in vars(module).items() if name.startswith("test_")}


for source in (
    test_jobs,
    test_keys,
    test_sweeping,
    test_artifacts,
    test_evaluations,
    test_migrations,
    test_uploads,
    test_webhooks,
):
    globals().update(taken_over(source))
# Those that ask for a template make SQLite files of their own.
globals().update(
    {name: test for name, test in taken_over(test_freeing).items() if "template" not in signature(test).parameters}
)


def test_writers_side_by_side_lose_no_update(database: Database) -> None:
    job = submit(database)

    def count() -> None:
        for _ in range(50):
            with database.write() as session:
                session.execute(update(Job).where(Job.id == job.id).values(priority=Job.priority + 1))

    writers = [threading.Thread(target=count) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert read(database, job.id).priority == 200


def test_the_same_bytes_published_at_the_same_time_are_one_artifact(database: Database) -> None:
    held = [claim(database, submit(database).id) for _ in range(4)]
    start, made, failures = threading.Barrier(4), [], []

    def publish(claimed: jobs.Claim) -> None:
        start.wait()
        try:
            with database.write() as session:
                done = jobs.finish(session, claimed.job_id, attempt=claimed.attempt, publication=publication())
                made.append(done and done.id)
        except Exception as error:
            failures.append(error)

    publishers = [threading.Thread(target=publish, args=(claimed,)) for claimed in held]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    assert failures == []
    assert len(made) == 4
    assert len(set(made)) == 1


def test_the_same_recipe_submitted_for_reuse_at_the_same_time_is_queued_once(database: Database) -> None:
    start, got = threading.Barrier(4), []

    def submit_or_reuse() -> None:
        start.wait()
        with database.write() as session:
            job = jobs.find_reusable(session, "d" * 64)
            if job is None:
                job = jobs.submit(session, recipe={"dataset": "digits"}, digest="d" * 64, request_id="r")
            got.append(job.id)

    submitters = [threading.Thread(target=submit_or_reuse) for _ in range(4)]
    for submitter in submitters:
        submitter.start()
    for submitter in submitters:
        submitter.join()
    assert len(got) == 4
    assert len(set(got)) == 1


def test_networks_asked_for_at_the_same_time_are_queued_once(database: Database) -> None:
    artifact = publish(database, recipe={"evaluation": None})
    start, got, failures = threading.Barrier(4), [], []

    def ask() -> None:
        start.wait()
        try:
            with database.write() as session:
                found = artifacts.get(session, artifact.id)
                asked = {"networks": ["mlp", "vgg11"], "config": {"repeats": 1}, "seed": 0, "request_id": "r"}
                got.extend(one.id for one in evaluations.queue(session, found, **asked))
        except Exception as error:
            failures.append(error)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert failures == []
    assert (len(got), len(set(got))) == (8, 2)


def test_side_by_side_sweeps_count_one_loss(database: Database) -> None:
    job = submit(database)
    claim(database, job.id)
    with database.write() as session:
        session.execute(update(Job).where(Job.id == job.id).values(lease_until=1.0))
    start, found = threading.Barrier(3), []

    def sweep() -> None:
        start.wait()
        with database.write() as session:
            swept = jobs.sweep(session, max_attempts=3, rewake_seconds=30.0)
            found.extend(swept.requeued)

    sweepers = [threading.Thread(target=sweep) for _ in range(3)]
    for sweeper in sweepers:
        sweeper.start()
    for sweeper in sweepers:
        sweeper.join()
    assert found == [job.id]
    assert read(database, job.id).lost == 1


def test_two_migrations_at_once_both_succeed(empty_url: str) -> None:
    both = [start(DISTILLED_DATABASE_URL=empty_url) for _ in range(2)]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs


def test_a_read_session_cannot_write(database: Database) -> None:
    with pytest.raises(Exception, match="read-only"), database.read() as session:
        session.execute(update(Job).values(priority=1))


def test_a_nul_character_is_an_invalid_query(database: Database) -> None:
    with pytest.raises(errors.InvalidQuery), database.read() as session:
        session.execute(select(Job).where(Job.dataset == "a\0b"))
