"""Portions of a job or an evaluation: what of its work any worker may do, such as one expert of many.

Whoever holds the job or evaluation, its owner, writes them down and does one after the other itself; workers that are
idle take from the same list. A portion is named after a digest of everything that it follows from, so two owners that
need the same one share it: it is done once. It goes when none of its owners lives any more, and who was at it learns
of that as of any lease that is gone.

A portion is done on one kind of device only, since the bytes that come of it depend on that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from registry import errors, leases, workers
from registry.clock import database_now, utc_now
from registry.ids import new_id
from registry.leases import Beat, Swept
from registry.models import LIVING, Evaluation, Job, Json, Portion, PortionOwner, State
from registry.session import lock_word


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A portion that an owner needs. key: sha256 (hex) of what it follows from. what: which one, for who does it."""

    key: str
    what: Json


@dataclass(frozen=True, kw_only=True)
class PortionClaim:
    """What the holder of a portion needs; `owner_id` is the job or evaluation that says how it is done."""

    portion_id: str
    attempt: int
    key: str
    what: Json
    owner_id: str
    request_id: str
    traceparent: str | None


def ensure(
    session: Session,
    owner_id: str,
    wanted: Sequence[Wanted],
    *,
    device_kind: str,
    request_id: str = "",
) -> None:
    """Let there be a portion for each that the owner wants; one that failed is queued again.

    No wake-up is due for a while: an owner that is soon done with all of them asks nobody.
    """
    lock(session)
    due = _due(session, owner_id)
    keys = [one.key for one in wanted]
    known = {row.key: row for row in session.scalars(select(Portion).where(Portion.key.in_(keys)))}
    needed = set(session.scalars(select(PortionOwner.portion_id).where(PortionOwner.owner_id == owner_id)))
    for one in wanted:
        row = known.get(one.key)
        if row is None:
            row = known[one.key] = Portion(
                id=new_id("portion"),
                key=one.key,
                what=one.what,
                device_kind=device_kind,
                due=due,
                request_id=request_id,
                woken_at=database_now(),
            )
            session.add(row)
        elif row.state is State.FAILED:
            row.state, row.lost, row.error, row.ended_at, row.queued_at = State.QUEUED, 0, None, None, database_now()
    session.flush()
    for row in known.values():
        if row.id not in needed:
            session.add(PortionOwner(portion_id=row.id, owner_id=owner_id))
    session.flush()


def lock(session: Session) -> None:
    """Until the transaction ends nobody else makes or forgets portions."""
    lock_word(session, "portions")


def of(session: Session, owner_id: str) -> Sequence[Portion]:
    """All that the owner needs, oldest first."""
    return session.scalars(_of(owner_id).order_by(Portion.id).execution_options(populate_existing=True)).all()


def claim(
    session: Session,
    owner_id: str,
    *,
    worker: str,
    device: str,
    lease_seconds: float,
    worker_pid: int | None = None,
    device_kind: str | None = None,
) -> PortionClaim | None:
    """Take the next of an owner's portions; a helper says of which kind its device is. None: others have what is left.

    The owner holds its device for the whole of its work already, and that time is not to be counted twice.
    """
    queued = _of(owner_id).where(Portion.state == State.QUEUED).with_only_columns(Portion.id)
    if device_kind is not None:
        queued = queued.where(Portion.device_kind == device_kind)
    holder = {"worker": worker, "worker_pid": worker_pid, "device": device, "lease_seconds": lease_seconds}
    taken = _take(session, session.scalar(_next(queued)), owner_id, holder)
    if taken is not None and device_kind is None:
        leases.write(
            session,
            Portion,
            taken.portion_id,
            where=leases.mine(Portion, attempt=taken.attempt),
            values={"held_since": None},
        )
    return taken


def claim_next(
    session: Session,
    *,
    device_kind: str,
    worker: str,
    device: str,
    lease_seconds: float,
    worker_pid: int | None = None,
) -> PortionClaim | None:
    """A helper takes a portion, of the owner that is to be served first; its order is that of the jobs."""
    queued = select(Portion.id).where(Portion.state == State.QUEUED, Portion.device_kind == device_kind)
    portion_id = session.scalar(_next(queued))
    owner_id = session.scalar(
        select(PortionOwner.owner_id).where(PortionOwner.portion_id == portion_id).order_by(PortionOwner.owner_id)
    )
    holder = {"worker": worker, "worker_pid": worker_pid, "device": device, "lease_seconds": lease_seconds}
    return None if owner_id is None else _take(session, portion_id, owner_id, holder)


def beat(
    session: Session, portion_id: str, *, attempt: int, lease_seconds: float, progress: float | None = None
) -> Beat:
    """Renew the lease and report progress 0..1. The answer is CONTINUE, or LOST, also where nobody needs it now."""
    return leases.beat(session, Portion, portion_id, attempt=attempt, lease_seconds=lease_seconds, progress=progress)


def renew(session: Session, *, worker: str, worker_pid: int, lease_seconds: float) -> None:
    """Renew the leases of what an owner does itself, with its own sign of life."""
    now = database_now()
    own = update(Portion).where(
        Portion.state == State.RUNNING, Portion.worker == worker, Portion.worker_pid == worker_pid
    )
    session.execute(
        own.values(heartbeat=now, lease_until=now + lease_seconds), execution_options={"synchronize_session": False}
    )


def finish(session: Session, portion_id: str, *, attempt: int, result: Json | None) -> bool:
    """The portion is done. result: of one whose result is not bytes in the store. False: no longer yours."""
    values: Json = {"state": State.SUCCEEDED, "result": result, "progress": 1.0, "ended_at": utc_now()}
    return leases.let_go(session, Portion, portion_id, attempt=attempt, values=values)


def fail(session: Session, portion_id: str, *, attempt: int, error: Json) -> bool:
    """The portion could not be done here; its owner tries it itself. False: no longer yours."""
    values: Json = {"state": State.FAILED, "error": error, "ended_at": utc_now()}
    return leases.let_go(session, Portion, portion_id, attempt=attempt, values=values)


def lose(session: Session, portion_id: str, *, attempt: int, error: Json) -> bool:
    """End the hold for a fault that is not the portion's own: it is tried again. False: no longer yours."""
    return leases.lose(session, Portion, portion_id, attempt=attempt, error=error)


def release(session: Session, portion_id: str, *, attempt: int) -> bool:
    """Give the portion back undone, without counting a loss. False: no longer yours."""
    return leases.release(session, Portion, portion_id, attempt=attempt)


def offer(session: Session, owner_id: str) -> list[str]:
    """The ids of queued portions to send wake-ups for: as many as there are workers with nothing to do."""
    queued = _of(owner_id).where(Portion.state == State.QUEUED).with_only_columns(Portion.id)
    ids = list(
        session.scalars(
            queued.order_by(Portion.due, Portion.id).limit(workers.count_idle(session, queue=Portion.queue))
        )
    )
    leases.woken(session, Portion, ids)
    return ids


def forget(session: Session, owner_id: str) -> None:
    """The owner needs nothing any more; what nobody else needs goes, and its helpers are free."""
    lock(session)
    session.execute(delete(PortionOwner).where(PortionOwner.owner_id == owner_id))
    _drop_unneeded(session)


def helped_by(session: Session, owner_id: str, *, owner: str | None) -> list[str]:
    """The workers that are doing a portion of this job or evaluation, but for the worker that holds it."""
    running = _of(owner_id).where(Portion.state == State.RUNNING).with_only_columns(Portion.worker).distinct()
    return sorted(worker for worker in session.scalars(running) if worker is not None and worker != owner)


def helps(session: Session, *, worker: str) -> list[str]:
    """The jobs and evaluations of other workers that this one is doing a portion of."""
    asked = select(PortionOwner.owner_id).join(Portion, Portion.id == PortionOwner.portion_id)
    asked = asked.where(Portion.state == State.RUNNING, Portion.worker == worker)
    for model in (Job, Evaluation):
        own = exists().where(model.id == PortionOwner.owner_id, model.worker == worker, model.state == State.RUNNING)
        asked = asked.where(~own)
    return sorted(session.scalars(asked.distinct()))


def sweep(session: Session, *, max_attempts: int, rewake_seconds: float) -> Swept:
    """Queue again what a silent worker held, or fail it at the `max_attempts`-th loss; name what to wake.

    What belongs to nobody that lives goes: an owner may have ended in any way.
    """
    lock(session)
    ended = delete(PortionOwner)
    for model in (Job, Evaluation):
        ended = ended.where(~exists().where(model.id == PortionOwner.owner_id, model.state.in_(LIVING)))
    session.execute(ended)
    _drop_unneeded(session)
    return leases.sweep(
        session, Portion, max_attempts=max_attempts, rewake_seconds=rewake_seconds, error=leases.WORKER_LOST
    )


def _due(session: Session, owner_id: str) -> float:
    """The owner's place in the order of the queue."""
    for model in (Job, Evaluation):
        due = session.scalar(select(model.due).where(model.id == owner_id))
        if due is not None:
            return due
    raise errors.NotFound(f"There is no job or evaluation {owner_id!r} any more.")


def _of(owner_id: str) -> Any:
    return (
        select(Portion)
        .join(PortionOwner, PortionOwner.portion_id == Portion.id)
        .where(PortionOwner.owner_id == owner_id)
    )


def _next(queued: Any) -> Any:
    return queued.order_by(Portion.due, Portion.id).limit(1).with_for_update(skip_locked=True, of=Portion)


def _take(session: Session, portion_id: str | None, owner_id: str, holder: dict[str, Any]) -> PortionClaim | None:
    if portion_id is None or not leases.take(session, Portion, portion_id, **holder):
        return None
    row = session.get_one(Portion, portion_id, populate_existing=True)
    return PortionClaim(
        portion_id=row.id,
        attempt=row.attempt,
        key=row.key,
        what=row.what,
        owner_id=owner_id,
        request_id=row.request_id,
        traceparent=row.traceparent,
    )


def _drop_unneeded(session: Session) -> None:
    needed = exists().where(PortionOwner.portion_id == Portion.id)
    session.execute(delete(Portion).where(~needed), execution_options={"synchronize_session": False})
