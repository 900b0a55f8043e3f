"""How many workers Kubernetes is told to have: the queries of deploy/kubernetes/keda on a real PostgreSQL."""

import pytest
from sqlalchemy import text, update

from registry.clock import database_now
from registry.models import Evaluation, Job, Need, State
from registry.session import Database
from tests.containers import kubernetes
from tests.unit.registry.making import claim, publish, set_job, submit

pytestmark = pytest.mark.services


def wanted(database: Database) -> tuple[int, int]:
    """Workers without and with a GPU."""
    queries = {
        one["metadata"]["name"]: one["spec"]["triggers"][0]["metadata"]["query"]
        for one in kubernetes("keda")
        if one["kind"] == "ScaledObject"
    }
    with database.read() as session:
        cpu, gpu = (session.scalar(text(queries[f"distilled-worker-{kind}"])) for kind in ("cpu", "gpu"))
    assert type(cpu) is type(gpu) is int, "KEDA takes whole numbers alone"
    return cpu, gpu


def queued(database: Database, *, need: Need, seconds: float = 0.0) -> str:
    """A job that has waited for so long."""
    job_id = submit(database).id
    set_job(database, job_id, need=need, queued_at=database_now() - seconds)
    return job_id


def test_nobody_is_wanted_where_there_is_nothing_to_do(database: Database) -> None:
    publish(database, recipe={"evaluation": {"networks": []}})
    assert wanted(database) == (0, 0)


def test_what_waits_wants_one_worker_at_once_and_more_the_longer_it_waits(database: Database) -> None:
    queued(database, need=Need.CPU, seconds=1)
    queued(database, need=Need.CPU)
    queued(database, need=Need.CPU)
    assert wanted(database) == (1, 0)
    queued(database, need=Need.CPU, seconds=70)
    assert wanted(database) == (2, 0)
    queued(database, need=Need.CPU, seconds=3600)
    assert wanted(database) == (5, 0), "never more than there is to do"
    queued(database, need=Need.GPU, seconds=130)
    assert wanted(database) == (5, 1)
    queued(database, need=Need.GPU)
    assert wanted(database) == (5, 2)


def test_what_is_in_hand_keeps_its_worker(database: Database) -> None:
    claim(database, queued(database, need=Need.GPU))
    claim(database, queued(database, need=Need.CPU))
    assert wanted(database) == (1, 1)
    queued(database, need=Need.GPU, seconds=10)
    assert wanted(database) == (1, 2)


def test_evaluations_are_work_of_any_worker(database: Database) -> None:
    publish(database)  # two evaluations wait
    with database.write() as session:
        session.execute(update(Evaluation).values(queued_at=database_now() - 90))
    assert wanted(database) == (2, 0)
    with database.write() as session:
        session.execute(update(Evaluation).values(state=State.SUCCEEDED))
        assert not session.query(Job).filter(Job.state == State.QUEUED).count()
    assert wanted(database) == (0, 0)
