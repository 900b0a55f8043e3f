"""Who did what: lines that are written in the transaction of the change they tell of, or after a refusal."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from registry import paging
from registry.clock import utc_now
from registry.ids import new_id
from registry.models import AuditEvent, Outcome
from registry.paging import Page

MAX_TARGET = 255


@dataclass(frozen=True, kw_only=True)
class Who:
    """Who asks, for what, in which request. key_id: None for the root key, and where there are no keys.

    action: such as `job.submit`.
    """

    key_id: str | None
    name: str
    action: str = ""
    request_id: str = ""


#: Whoever has no name here, such as the service itself.
NOBODY = Who(key_id=None, name="nobody")


def note(
    session: Session,
    who: Who,
    target: str,
    *,
    outcome: Outcome = Outcome.DONE,
    reason: str | None = None,
) -> None:
    """Write a line. target: the id or name of what it was done to. reason: of a refusal, its kind of problem."""
    line = AuditEvent(
        id=new_id("audit"),
        key_id=who.key_id,
        key_name=who.name,
        action=who.action,
        target=target[:MAX_TARGET],
        outcome=outcome,
        reason=reason,
        request_id=who.request_id,
    )
    session.add(line)
    session.flush()


def find(
    session: Session,
    *,
    key_id: str | None = None,
    action: str | None = None,
    target: str | None = None,
    outcome: Outcome | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Page[AuditEvent]:
    """The lines that pass every filter, the newest first. `since` and `until` say when.

    Raises InvalidCursor.
    """
    query = select(AuditEvent)
    for column, value in (
        (AuditEvent.key_id, key_id),
        (AuditEvent.action, action),
        (AuditEvent.target, target),
        (AuditEvent.outcome, outcome),
    ):
        if value is not None:
            query = query.where(column == value)
    if since is not None:
        query = query.where(AuditEvent.created_at >= since)
    if until is not None:
        query = query.where(AuditEvent.created_at < until)
    return paging.newest_first(session, query, AuditEvent.id, limit=limit, cursor=cursor)


def prune(session: Session, *, days: float) -> int:
    """Remove the lines that are older than `days`; how many there were."""
    old = delete(AuditEvent).where(AuditEvent.created_at < utc_now() - timedelta(days=days)).returning(AuditEvent.id)
    return len(session.scalars(old, execution_options={"synchronize_session": False}).all())
