"""Which workers there are. A worker is live while its last sign of life is younger than LIVE_SECONDS."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import delete, false, select, update
from sqlalchemy.orm import Session

from registry.clock import database_now
from registry.models import Evaluation, Job, Need, Portion, State, Validation, Worker

LIVE_SECONDS = 60.0
FORGET_SECONDS = 24 * 3600.0
#: All that a worker may hold.
HELD = (Job, Evaluation, Validation, Portion)
EVERY_QUEUE = (*Need, Evaluation.queue, Validation.queue)


class Holding(NamedTuple):
    """Something in a child's hands. called_off: a person wants it to be let go."""

    row_id: str
    attempt: int
    pid: int
    called_off: bool


def beat_worker(
    session: Session,
    *,
    worker: str,
    device: str,
    hostname: str,
    pid: int,
    queues: Sequence[str] = EVERY_QUEUE,
    memory_bytes: int | None = None,
    cache_bytes: int | None = None,
    version: str = "",
) -> None:
    """Record a sign of life of the worker with this id; the first one introduces it.

    queues: those that it takes from. memory_bytes: that a job may take of its device; None: not known. version: of the
    code it runs. cache_bytes: that it keeps of the store; None: as it was.
    Workers unheard of for a day are forgotten on the way.
    """
    session.execute(delete(Worker).where(Worker.heartbeat < database_now() - FORGET_SECONDS))
    values: dict[str, Any] = {"device": device, "hostname": hostname, "pid": pid, "heartbeat": database_now()}
    values |= {"queues": list(queues), "memory_bytes": memory_bytes, "version": version}
    if cache_bytes is not None:
        values["cache_bytes"] = cache_bytes
    known = session.scalar(update(Worker).where(Worker.id == worker).values(**values).returning(Worker.id))
    if known is None:
        session.add(Worker(id=worker, **values))
        session.flush()


def list_workers(session: Session, *, live_seconds: float = LIVE_SECONDS) -> Sequence[Worker]:
    """The live workers, by id."""
    # Nor one from the future, which the clock was set back from: whoever lives has beaten since.
    live = Worker.heartbeat.between(database_now() - live_seconds, database_now() + live_seconds)
    return session.scalars(select(Worker).where(live).order_by(Worker.id)).all()


def forget_worker(session: Session, *, worker: str) -> None:
    """Strike a worker that has stopped cleanly off the list at once; an unknown one is no error."""
    session.execute(delete(Worker).where(Worker.id == worker))


def in_hand(session: Session, *, worker: str) -> list[str]:
    """The ids of the jobs, evaluations, validations and portions that this worker holds."""
    held: list[str] = []
    for model in HELD:
        held += session.scalars(
            select(model.id).where(model.state == State.RUNNING, model.worker == worker).order_by(model.id)
        )
    return held


def holdings(session: Session, *, worker: str) -> list[Holding]:
    """What this worker's children hold now."""
    found: list[Holding] = []
    for model in HELD:
        called_off = Job.cancel_requested if model is Job else false()
        held = select(model.id, model.attempt, model.worker_pid, called_off).where(
            model.state == State.RUNNING, model.worker == worker, model.worker_pid.is_not(None)
        )
        found += [Holding(*row) for row in session.execute(held)]
    return found


def count_idle(session: Session, *, queue: str) -> int:
    """How many live workers that take from this queue hold nothing."""
    busy: set[str | None] = set()
    for model in HELD:
        busy.update(session.scalars(select(model.worker).where(model.state == State.RUNNING)))
    return sum(queue in worker.queues and worker.id not in busy for worker in list_workers(session))


def lost_children(session: Session, *, worker: str, alive_pids: Collection[int]) -> list[str]:
    """End at once the leases that this worker's dead children hold; the next sweep queues what they had.

    The worker's main process calls it with the pids of its living children: it knows of a death long before the lease
    runs out. Returns the ids of what they held.
    """
    lost: list[str] = []
    for model in HELD:
        dead = model.worker_pid.is_not(None) & model.worker_pid.not_in(alive_pids)
        ended = update(model).where(model.state == State.RUNNING, model.worker == worker, dead)
        lost += session.scalars(
            ended.values(lease_until=0.0).returning(model.id), execution_options={"synchronize_session": False}
        )
    return lost
