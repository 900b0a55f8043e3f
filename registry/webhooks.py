"""Telling people that a job has ended: an outbox of messages, written in the transaction that ends the job.

    subscribe -> waiting -- the job ends --> pending -- claim_due, sent --> delivered
                                                ^  \\-- failed for the last time --> given_up
                                                \\-- failed, later again --/

A message is sent at least once. Whoever sends it claims it for a while, and one whose sender died is claimed again. Its
id is the same at every attempt, so that receivers know it again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from registry.clock import database_now, utc_now
from registry.ids import new_id
from registry.models import ENDED, Job, Json, MessageState, WebhookMessage

#: Waits between two attempts, in seconds: within about 17 hours it is sent eight times.
DELAYS_SECONDS = (5.0, 60.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0)
MAX_ERROR = 500


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A claimed message. `attempt` counts from 1, and is the fencing token of the claim."""

    id: str
    attempt: int
    url: str
    body: Json


def subscribe(session: Session, job: Job, *, url: str) -> None:
    """Have an address told when this job ends; at once, if it has."""
    # Locked: a job that ends meanwhile either sees the new row, or is seen to have ended.
    job = session.get_one(Job, job.id, with_for_update=True, populate_existing=True)
    waiting = (WebhookMessage.job_id == job.id) & (WebhookMessage.state == MessageState.WAITING)
    if session.scalar(select(WebhookMessage.id).where(waiting, WebhookMessage.url == url)) is None:
        session.add(WebhookMessage(id=new_id("message"), job_id=job.id, url=url))
        session.flush()
    if job.state in ENDED:
        announce(session, job.id)


def renew(session: Session, job_id: str) -> None:
    """Have everyone told again who was told of this job before: it is about to have another end."""
    job = session.get_one(Job, job_id)
    urls = select(WebhookMessage.url).where(WebhookMessage.job_id == job_id).distinct()
    for url in sorted(session.scalars(urls)):
        subscribe(session, job, url=url)


def announce(session: Session, job_id: str) -> None:
    """The job has ended, in this transaction: what waited for it is to be sent."""
    waiting = (WebhookMessage.job_id == job_id) & (WebhookMessage.state == MessageState.WAITING)
    if session.scalar(select(WebhookMessage.id).where(waiting).limit(1)) is None:
        return
    values = {"state": MessageState.PENDING, "body": _body(session, job_id), "next_at": database_now()}
    session.execute(
        update(WebhookMessage).where(waiting).values(**values), execution_options={"synchronize_session": False}
    )


def is_due(session: Session) -> bool:
    """Whether there is anything to be sent now."""
    return session.scalar(select(WebhookMessage.id).where(_due()).limit(1)) is not None


def claim_due(session: Session, *, lease_seconds: float) -> Delivery | None:
    """Take the message that has been due for longest; None: there is none. After the lease it is due again."""
    oldest = select(WebhookMessage.id).where(_due()).order_by(WebhookMessage.next_at, WebhookMessage.id).limit(1)
    message_id = session.scalar(oldest.with_for_update(skip_locked=True))
    if message_id is None:
        return None
    values = {"attempts": WebhookMessage.attempts + 1, "next_at": database_now() + lease_seconds}
    taken = update(WebhookMessage).where(WebhookMessage.id == message_id).values(**values)
    row = session.execute(
        taken.returning(WebhookMessage.attempts, WebhookMessage.url, WebhookMessage.body),
        execution_options={"synchronize_session": False},
    ).one()
    return Delivery(id=message_id, attempt=row.attempts, url=row.url, body=row.body or {})


def delivered(session: Session, delivery: Delivery, *, status: int) -> bool:
    """The receiver has it. False: the claim was over, and someone else's by now."""
    return _settle(session, delivery, state=MessageState.DELIVERED, status=status, error=None)


def failed(session: Session, delivery: Delivery, *, error: str, status: int | None = None, final: bool = False) -> bool:
    """It did not arrive. It is sent again later, unless it was `final` or the last attempt."""
    again = not final and delivery.attempt <= len(DELAYS_SECONDS)
    state = MessageState.PENDING if again else MessageState.GIVEN_UP
    delay = DELAYS_SECONDS[delivery.attempt - 1] if again else 0.0
    return _settle(session, delivery, state=state, status=status, error=error[:MAX_ERROR], delay=delay)


def of_job(session: Session, job_id: str) -> Sequence[WebhookMessage]:
    """A job's messages, in the order in which they were asked for."""
    mine = select(WebhookMessage).where(WebhookMessage.job_id == job_id)
    return session.scalars(mine.order_by(WebhookMessage.id)).all()


def _due() -> ColumnElement[bool]:
    return (WebhookMessage.state == MessageState.PENDING) & (WebhookMessage.next_at <= database_now())


def _settle(
    session: Session,
    delivery: Delivery,
    *,
    state: MessageState,
    status: int | None,
    error: str | None,
    delay: float = 0.0,
) -> bool:
    again = state is MessageState.PENDING
    mine = (WebhookMessage.id == delivery.id) & (WebhookMessage.attempts == delivery.attempt)
    settled = update(WebhookMessage).where(mine, WebhookMessage.state == MessageState.PENDING)
    settled = settled.values(
        state=state,
        status=status,
        error=error,
        next_at=database_now() + delay if again else None,
        ended_at=None if again else utc_now(),
    )
    done = settled.returning(WebhookMessage.id)
    return session.scalar(done, execution_options={"synchronize_session": False}) is not None


def _body(session: Session, job_id: str) -> Json:
    """The message, in the form that Standard Webhooks recommends: type, timestamp, data."""
    columns = (Job.state, Job.artifact_id, Job.dataset, Job.method, Job.ipc, Job.digest, Job.error, Job.ended_at)
    job = session.execute(select(*columns).where(Job.id == job_id)).one()
    return {
        "type": f"job.{job.state}",
        "timestamp": (job.ended_at or utc_now()).isoformat(),
        "data": {
            "job_id": job_id,
            "state": str(job.state),
            "artifact_id": job.artifact_id,
            "dataset": job.dataset,
            "method": job.method,
            "ipc": job.ipc,
            "digest": job.digest,
            "error": job.error,
        },
    }
