"""What a person does to a job: submit it, call it off, ask for another go."""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from registry import errors, leases, portions, webhooks
from registry.clock import database_now, utc_now
from registry.ids import new_id
from registry.jobs.story import change
from registry.models import ENDED, LIVING, Artifact, EventKind, Job, Json, Need, State
from registry.session import lock_word
from registry.settings import LEVEL_SECONDS


def submit(
    session: Session,
    *,
    recipe: Json,
    digest: str,
    request_id: str,
    priority: int = 0,
    ipc: int | None = None,
    key_id: str | None = None,
    need: Need = Need.CPU,
    memory_bytes: int | None = None,
    level_seconds: float = LEVEL_SECONDS,
) -> Job:
    """Queue a recipe that is already expanded and checked; `ipc` is what its budget resolves to, `key_id` who asks.

    memory_bytes: that it will take of its device, as far as that is known. level_seconds: of waiting, that a level of
    priority is worth. Send the wake-up after the transaction has committed, then call `woken`.
    """
    job = Job(
        id=new_id("job"),
        digest=digest,
        recipe=recipe,
        dataset=str(recipe["dataset"]).lower(),
        method=recipe.get("method"),
        ipc=recipe.get("ipc") if ipc is None else ipc,
        priority=priority,
        due=leases.place(priority=priority, level_seconds=level_seconds),
        need=need,
        memory_bytes=memory_bytes,
        request_id=request_id,
        key_id=key_id,
    )
    session.add(job)
    session.flush()
    change(session, job.id, kind=EventKind.STATE, data={"state": State.QUEUED})
    session.refresh(job)
    if recipe.get("webhook"):
        webhooks.subscribe(session, job, url=recipe["webhook"])
    return job


def find_reusable(session: Session, digest: str, *, need: Need | None = None) -> Job | None:
    """A job whose result is, or will be, that of this digest: the newest that succeeded, else the oldest living one.

    need: only one that runs, or ran, on this kind of device, since the bytes depend on it; None: on any.
    In a write transaction no one else can submit the same digest through here before this one commits.
    """
    lock_word(session, digest)
    living = Job.state.in_(LIVING) & Job.cancel_requested.is_(False)
    kept = (Job.state == State.SUCCEEDED) & Artifact.id.is_not(None) & Artifact.deleted_at.is_(None)
    same = select(Job).outerjoin(Artifact, Artifact.id == Job.artifact_id)
    same = same.where(Job.digest == digest, or_(living, kept))
    same = same if need is None else same.where(Job.need == need)
    return session.scalar(same.order_by((Job.state == State.SUCCEEDED).desc(), Job.id).limit(1))


def cancel(session: Session, job_id: str) -> Job:
    """Call a job off: a queued one ends at once, a running one at its worker's next look at the flag.

    Doing it twice is the same as once. Raises NotFound, or JobFinished for one that succeeded or failed.
    """
    job = _locked(session, job_id)
    if job.state is State.CANCELLED:
        return job
    if job.state in ENDED:
        raise errors.JobFinished(f"Job {job_id} has already {job.state}; it cannot be cancelled any more.")
    if job.state is State.QUEUED:
        values = {"state": State.CANCELLED, "ended_at": utc_now(), "cancel_requested": True}
        change(session, job_id, kind=EventKind.STATE, data={"state": State.CANCELLED}, values=values)
    elif not job.cancel_requested:
        told = {"state": State.RUNNING, "cancel_requested": True}
        change(session, job_id, kind=EventKind.STATE, data=told, values={"cancel_requested": True})
        portions.forget(session, job_id)  # who helps is free at once
    session.refresh(job)
    return job


def retry(session: Session, job_id: str, *, fresh: bool, level_seconds: float = LEVEL_SECONDS) -> Job:
    """Queue a failed or cancelled job again, as one that has come just now; it resumes from its last snapshot unless
    `fresh`.

    Raises NotFound, JobAlive, or JobFinished for one that succeeded: its artifact is there.
    """
    job = _locked(session, job_id)
    if job.state in LIVING:
        raise errors.JobAlive(f"Job {job_id} is {job.state}; only a failed or cancelled job can be retried.")
    if job.state is State.SUCCEEDED:
        raise errors.JobFinished(f"Job {job_id} has succeeded; submit its recipe again to make the artifact anew.")
    values: Json = {
        "state": State.QUEUED,
        "cancel_requested": False,
        "lost": 0,
        "woken_at": None,
        "queued_at": database_now(),
        "ended_at": None,
        "error": None,
        "due": leases.place(priority=job.priority, level_seconds=level_seconds),
    }
    if fresh:
        values |= {"snapshot": None, "step": None, "progress": 0.0, "eta_seconds": None, "slices": 1}
    told = {"state": State.QUEUED, "reason": "retried", "fresh": fresh}
    change(session, job_id, kind=EventKind.STATE, data=told, values=values)
    session.refresh(job)
    webhooks.renew(session, job_id)
    return job


def _locked(session: Session, job_id: str) -> Job:
    job = session.get(Job, job_id, with_for_update=True, populate_existing=True)
    if job is None:
        raise errors.NotFound(f"There is no job {job_id!r}; GET /v1/jobs lists the jobs there are.")
    return job
