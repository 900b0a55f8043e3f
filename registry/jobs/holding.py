"""A job in a worker's hands: claimed, kept alive, and let go.

Each function but `claim` takes the `attempt` that the claim returned; under an older one it changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, or_, update
from sqlalchemy.orm import Session

from registry import leases
from registry.clock import database_now, utc_now
from registry.jobs.story import change, record_event
from registry.leases import Beat, mine
from registry.models import EventKind, Job, Json, Need, State


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What the holder of a job needs. `snapshot` is {"key", "step"} of the newest one, or None.

    `slices` is in how many parts a real batch is taken, 1 for whole.
    """

    job_id: str
    attempt: int
    recipe: Json
    digest: str
    dataset: str
    ipc: int | None
    snapshot: Json | None
    request_id: str
    traceparent: str | None
    slices: int = 1


def claim(
    session: Session, job_id: str, *, worker: str, device: str, lease_seconds: float, worker_pid: int | None = None
) -> Claim | None:
    """Take this job if it is queued. None: someone else has it, or it has ended."""
    values = leases.taking(Job, worker=worker, worker_pid=worker_pid, device=device, lease_seconds=lease_seconds)
    told = {"state": State.RUNNING, "worker": worker, "device": device}
    queued = Job.state == State.QUEUED
    if change(session, job_id, queued, kind=EventKind.STATE, data=told, values=values) is None:
        return None
    job = session.get_one(Job, job_id, populate_existing=True)
    job.started_at = job.started_at or utc_now()
    session.flush()
    leases.count_claim(session, Job)
    return Claim(
        job_id=job.id,
        attempt=job.attempt,
        recipe=job.recipe,
        digest=job.digest,
        dataset=job.dataset,
        ipc=job.ipc,
        snapshot=job.snapshot,
        request_id=job.request_id,
        traceparent=job.traceparent,
        slices=job.slices,
    )


def claim_next(
    session: Session,
    *,
    worker: str,
    device: str,
    lease_seconds: float,
    worker_pid: int | None = None,
    needs: Sequence[Need] = tuple(Need),
    memory_bytes: int | None = None,
) -> Claim | None:
    """Take the next queued job that this worker can run. None: there is none for it.

    needs: what it has, the first of them first; a job of the second is taken only where none of the first waits.
    memory_bytes: of its device; what is known to need more is left to a larger one. None: it takes all.
    """
    for need in needs:
        job_id = leases.next_queued(session, Job, *fitting(need, memory_bytes=memory_bytes))
        if job_id is not None:
            return claim(
                session, job_id, worker=worker, device=device, lease_seconds=lease_seconds, worker_pid=worker_pid
            )
    return None


def fitting(need: Need, *, memory_bytes: int | None) -> list[ColumnElement[bool]]:
    """What holds for the jobs of this need that a device of this memory can hold."""
    if memory_bytes is None:
        return [Job.need == need]
    return [Job.need == need, or_(Job.memory_bytes.is_(None), Job.memory_bytes <= memory_bytes)]


def beat(
    session: Session,
    job_id: str,
    *,
    attempt: int,
    lease_seconds: float,
    step: int | None = None,
    steps: int | None = None,
    progress: float | None = None,
    eta_seconds: float | None = None,
) -> Beat:
    """Renew the lease and report progress; what is None stays as it is. The answer says whether to go on."""
    now = database_now()
    told = {"step": step, "steps": steps, "progress": progress, "eta_seconds": eta_seconds}
    renewed = update(Job).where(Job.id == job_id, mine(Job, attempt=attempt))
    renewed = renewed.values(
        heartbeat=now,
        lease_until=now + lease_seconds,
        **{name: value for name, value in told.items() if value is not None},
    )
    cancel = session.scalar(renewed.returning(Job.cancel_requested), execution_options={"synchronize_session": False})
    if cancel is None:
        return Beat.LOST
    return Beat.CANCEL if cancel else Beat.CONTINUE


def record_snapshot(session: Session, job_id: str, *, attempt: int, key: str, step: int) -> bool:
    """Note where the newest snapshot lies, once it is wholly in the store. False: no longer yours."""
    noted = update(Job).where(Job.id == job_id, mine(Job, attempt=attempt)).values(snapshot={"key": key, "step": step})
    noted = noted.returning(Job.id)
    return session.scalar(noted, execution_options={"synchronize_session": False}) is not None


def fail(session: Session, job_id: str, *, attempt: int, error: Json) -> bool:
    """End the job with an error {"code", "title", "detail"}. False: no longer yours."""
    return _end(session, job_id, attempt=attempt, state=State.FAILED, error=error)


def cancelled(session: Session, job_id: str, *, attempt: int) -> bool:
    """Report that the work has stopped because it was called off. False: no longer yours."""
    return _end(session, job_id, attempt=attempt, state=State.CANCELLED, error=None)


def release(session: Session, job_id: str, *, attempt: int, slices: int | None = None) -> bool:
    """Give the job back unfinished, as a worker does that stops cleanly: queued again, and no loss is counted.

    slices: it ran out of memory, and real batches are taken in so many parts from now on.
    One that was being called off is cancelled instead. False: no longer yours.
    """
    held = mine(Job, attempt=attempt)
    back = {"state": State.QUEUED, "woken_at": None, "eta_seconds": None, **leases.letting_go()}
    told: Json = {"state": State.QUEUED, "reason": "released"}
    if slices is not None:
        back["slices"], told = slices, {"state": State.QUEUED, "reason": "out_of_memory", "slices": slices}
    waits = Job.cancel_requested.is_(False)
    if change(session, job_id, held, waits, kind=EventKind.STATE, data=told, values=back) is not None:
        leases.count_hold(session, Job, job_id)
        return True
    return cancelled(session, job_id, attempt=attempt)


def lose(session: Session, job_id: str, *, attempt: int, error: Json) -> bool:
    """End the hold for a fault that is not the job's own, such as a store that is away. False: no longer yours.

    The next sweep counts a loss and queues it again; at the last loss that it may have, it fails with this error.
    """
    told: Json = {"message": f"{error['title']}; the job is tried again. {error['detail']}"}
    if record_event(session, job_id, attempt=attempt, kind=EventKind.LOG, data=told) is None:
        return False
    return leases.lose(session, Job, job_id, attempt=attempt, error=error)


def _end(session: Session, job_id: str, *, attempt: int, state: State, error: Json | None) -> bool:
    ending = {"state": state, "error": error, "ended_at": utc_now(), "eta_seconds": None, **leases.letting_go()}
    told: Json = {"state": state} if error is None else {"state": state, "error": error}
    fence = mine(Job, attempt=attempt)
    if change(session, job_id, fence, kind=EventKind.STATE, data=told, values=ending) is None:
        return False
    leases.count_hold(session, Job, job_id)
    return True
