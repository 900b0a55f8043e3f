"""What finished jobs took, for whoever wants to know what the next one will take."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from registry.models import EventKind, Job, JobEvent, Json, Need, State

#: So many finished jobs of a data set are looked at, the newest ones.
MOST = 200


@dataclass(frozen=True, kw_only=True)
class Past:
    """A job that succeeded at its first attempt. `seconds` run from its claim to its artifact."""

    job_id: str
    digest: str
    recipe: Json
    ipc: int | None
    steps: int
    seconds: float
    device: str


def finished(session: Session, *, dataset: str) -> list[Past]:
    """The newest jobs on a data set that succeeded at their first attempt: of others nobody knows what they took."""
    columns = (Job.id, Job.digest, Job.recipe, Job.ipc, Job.steps, Job.started_at, Job.ended_at, Job.device)
    done = (Job.state == State.SUCCEEDED) & (Job.attempt == 1) & (Job.dataset == dataset.lower())
    rows = session.execute(select(*columns).where(done).order_by(Job.id.desc()).limit(MOST))
    return [
        Past(
            job_id=row.id,
            digest=row.digest,
            recipe=row.recipe,
            ipc=row.ipc,
            steps=row.steps or row.recipe.get("steps") or 1,
            seconds=max(0.0, (row.ended_at - row.started_at).total_seconds()),
            device=row.device or "",
        )
        for row in rows
        if row.started_at is not None and row.ended_at is not None
    ]


def device_memory(session: Session, job_id: str) -> int | None:
    """The most device memory in bytes that a job has reported; None where it reported none, as on a CPU."""
    measured = select(JobEvent.data).where(JobEvent.job_id == job_id, JobEvent.kind == EventKind.METRICS)
    values = [
        data.get("values", {}).get("device_memory_bytes")
        for data in session.scalars(measured.order_by(JobEvent.number.desc()).limit(100))
    ]
    return max((int(value) for value in values if value is not None), default=None)


def ahead(session: Session, *, need: Need, due: ColumnElement[float], limit: int) -> tuple[list[Job], list[Job], int]:
    """Jobs of this need that run, the first `limit` of those that are queued and taken before one with this `due`, and
    how many of the latter there are.
    """
    of_need = select(Job).where(Job.need == need)
    running = session.scalars(of_need.where(Job.state == State.RUNNING).order_by(Job.id)).all()
    before = of_need.where(Job.state == State.QUEUED, Job.due <= due)
    queued = session.scalars(before.order_by(Job.due, Job.id).limit(limit)).all()
    count = session.scalar(select(func.count()).select_from(before.subquery()))
    return list(running), list(queued), count or 0
