"""What happened to a job, in numbered events.

The number comes from the same UPDATE that checks the fence, and the row stays locked until the commit: numbers have no
gaps, and a reader that has seen number n will never find an n' < n appear later. `Last-Event-ID` rests on that.
"""

from typing import Any

from sqlalchemy import ColumnElement, insert, update
from sqlalchemy.orm import Session

from registry import webhooks
from registry.leases import mine
from registry.models import ENDED, EventKind, Job, JobEvent, Json


def record_event(session: Session, job_id: str, *, attempt: int, kind: EventKind, data: Json) -> int | None:
    """Append an event under a claim. Returns its number, or None when the job is no longer held under it."""
    return change(session, job_id, mine(Job, attempt=attempt), kind=kind, data=data)


def change(
    session: Session,
    job_id: str,
    *conditions: ColumnElement[bool],
    kind: EventKind,
    data: Json,
    values: dict[str, Any] | None = None,
) -> int | None:
    """Change a job, if the conditions hold, and tell it in one event. Returns the event's number, or None.

    All ends of a job come through here, so here is where those are told who asked for it (`registry.webhooks`).
    """
    changed = update(Job).where(Job.id == job_id, *conditions).values(events=Job.events + 1, **(values or {}))
    row = session.execute(
        changed.returning(Job.events, Job.attempt), execution_options={"synchronize_session": False}
    ).one_or_none()
    if row is None:
        return None
    data = {"attempt": row.attempt, **data} if kind is EventKind.STATE else data
    session.execute(insert(JobEvent).values(job_id=job_id, number=row.events, kind=kind, data=data))
    if (values or {}).get("state") in ENDED:
        webhooks.announce(session, job_id)
    return row.events
