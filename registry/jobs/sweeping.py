"""Putting right what died: jobs whose worker fell silent, and queued jobs whose wake-up was lost.

Any number of sweepers may run at once, in the API and in each worker; each row is swept by one of them.
"""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from registry import leases, workers
from registry.clock import utc_now
from registry.jobs.story import change
from registry.leases import Swept
from registry.models import EventKind, Job, Json, Need, State


def sweep(session: Session, *, max_attempts: int, rewake_seconds: float) -> Swept:
    """Queue the jobs whose lease ran out, or fail them with `worker_lost` at the `max_attempts`-th loss.

    Those that were being called off are cancelled. Send a wake-up for each id in `wake` after the commit.
    """
    found: dict[State, list[str]] = {State.QUEUED: [], State.FAILED: [], State.CANCELLED: []}
    for job in leases.run_out(session, Job):
        state, values = _verdict(job, max_attempts=max_attempts)
        told: Json = {"state": state, "reason": _fault(job)["code"], "worker": job.worker}
        fence = leases.mine(Job, attempt=job.attempt)
        if change(session, job.id, fence, kind=EventKind.STATE, data=told, values=values) is not None:
            leases.count_loss(session, job)
            found[state].append(job.id)
    _move(session)
    needs: dict[str, Need] = {}
    for need in Need:
        wake = leases.to_wake(session, Job, Job.need == need, queue=need, rewake_seconds=rewake_seconds)
        needs |= dict.fromkeys(wake, need)
    return Swept(
        requeued=found[State.QUEUED],
        failed=found[State.FAILED],
        cancelled=found[State.CANCELLED],
        wake=list(needs),
        needs=needs,
    )


def _move(session: Session) -> None:
    """Have jobs that may run anywhere go to a GPU where no live worker takes those for a CPU: they were queued before
    any worker had told what it has. One that has a snapshot stays: its digest is that of one kind of device.
    """
    taken = {name for worker in workers.list_workers(session) for name in worker.queues}
    if Need.CPU in taken or Need.GPU not in taken:
        return
    waiting = select(Job.id, Job.recipe).where(Job.state == State.QUEUED, Job.need == Need.CPU, Job.snapshot.is_(None))
    found = session.execute(waiting.limit(1000).with_for_update(skip_locked=True))
    ids = [row.id for row in found if row.recipe.get("device", "auto") == "auto"]
    moved = update(Job).where(Job.id.in_(ids), Job.state == State.QUEUED).values(need=Need.GPU, woken_at=None)
    session.execute(moved, execution_options={"synchronize_session": False})


def woken(session: Session, job_id: str) -> None:
    """Note that a wake-up for this job was sent now, so that the sweeper does not send it too."""
    leases.woken(session, Job, [job_id])


def _verdict(job: Job, *, max_attempts: int) -> tuple[State, Json]:
    values: Json = {"lost": Job.lost + 1, "eta_seconds": None, **leases.letting_go()}
    if job.cancel_requested:
        return State.CANCELLED, values | {"state": State.CANCELLED, "error": None, "ended_at": utc_now()}
    if job.lost + 1 >= max_attempts:
        failed = {"state": State.FAILED, "ended_at": utc_now(), "error": _fault(job)}
        return State.FAILED, values | failed
    return State.QUEUED, values | {"state": State.QUEUED, "error": None, "woken_at": None}


def _fault(job: Job) -> Json:
    """What its worker said when it let go of the job; of one that fell silent, that."""
    return job.error or leases.WORKER_LOST
