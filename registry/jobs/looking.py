"""Reading jobs: one, a page of them, their events, their place in the queue."""

from collections.abc import Collection, Sequence

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from registry import errors, paging
from registry.models import EventKind, Job, JobEvent, State
from registry.paging import Page


def get(session: Session, job_id: str) -> Job:
    """The job with this id; raises NotFound."""
    job = session.get(Job, job_id, populate_existing=True)
    if job is None:
        raise errors.NotFound(f"There is no job {job_id!r}; list the jobs to see which there are.")
    return job


def find(
    session: Session,
    *,
    state: State | None = None,
    dataset: str | None = None,
    method: str | None = None,
    digest: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[Job]:
    """A page of jobs, newest first. Raises InvalidCursor."""
    query = select(Job)
    if state is not None:
        query = query.where(Job.state == state)
    if dataset is not None:
        query = query.where(Job.dataset == dataset.lower())
    if method is not None:
        query = query.where(Job.method == method)
    if digest is not None:
        query = query.where(Job.digest == digest)
    return paging.newest_first(session, query, Job.id, limit=limit, cursor=cursor)


def events(
    session: Session, job_id: str, *, after: int = 0, kinds: Collection[EventKind] | None = None, limit: int = 1000
) -> Sequence[JobEvent]:
    """A job's events with a number above `after`, in order; at most `limit` of them."""
    query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.number > after)
    if kinds is not None:
        query = query.where(JobEvent.kind.in_(kinds))
    return session.scalars(query.order_by(JobEvent.number).limit(limit)).all()


def stage(session: Session, job: Job) -> str | None:
    """What a running job makes before its first step, such as "training experts 3/10"; None where it makes nothing."""
    if job.state is not State.RUNNING or job.step is not None:
        return None
    told = select(JobEvent).where(JobEvent.job_id == job.id, JobEvent.kind == EventKind.PREPARING)
    newest = session.scalar(told.order_by(JobEvent.number.desc()).limit(1))
    return None if newest is None else f"{newest.data['what']} {newest.data['done']}/{newest.data['total']}"


def queue_position(session: Session, job: Job) -> int | None:
    """1 for the job to be taken next among those of its need, 2 for the one after it …; None: it is not queued."""
    if job.state is not State.QUEUED:
        return None
    # `due` twice, so that the index ends the walk.
    before = (Job.due <= job.due) & or_(Job.due < job.due, Job.id < job.id)
    ahead = select(func.count()).select_from(Job).where(Job.state == State.QUEUED, Job.need == job.need, before)
    return 1 + (session.scalar(ahead) or 0)
