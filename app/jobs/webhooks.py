"""A job's webhook: whether one can be asked for, and what became of it."""

from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from app.deps import JobId, Reading
from app.keys.scopes import READ
from app.paging import PageRead
from app.problems import responses
from app.settings import AppSettings
from app.webhooks import addresses
from registry import jobs, webhooks
from registry.models import MessageState, WebhookMessage

router = APIRouter(prefix="/v1/jobs/{job_id}/webhooks", tags=["jobs"], dependencies=[READ])


class MessageRead(BaseModel):
    """A message that tells an address of a job's end."""

    id: str = Field(description="the `webhook-id` header, the same at every attempt")
    url: str
    state: MessageState
    attempts: int = Field(description="how often it was sent")
    status: int | None = Field(description="the last answer's")
    error: str | None = Field(description="why it did not arrive the last time")
    next_at: datetime | None = Field(description="when it is sent, for the first time or again")
    created_at: datetime
    ended_at: datetime | None = Field(description="when it was delivered or given up")


@router.get("", responses=responses(404, 422))
def list_messages(job_id: JobId, session: Reading) -> PageRead[MessageRead]:
    """What was told of a job's end, or is still to be told, and to whom; on one page."""
    jobs.get(session, job_id)
    return PageRead(items=[_read(message) for message in webhooks.of_job(session, job_id)], next_cursor=None)


def fault(settings: AppSettings, url: str) -> str | None:
    """What is wrong with asking for this webhook, and what to do about it; None: nothing."""
    if not settings.webhook_keys:
        return "this service sends none: its operator has set no DISTILLED_WEBHOOK_SECRET; leave it out"
    return addresses.fault(url, private=settings.webhook_private)


def _read(message: WebhookMessage) -> MessageRead:
    due = None if message.next_at is None else datetime.fromtimestamp(message.next_at, UTC)
    return MessageRead(
        id=message.id,
        url=message.url,
        state=message.state,
        attempts=message.attempts,
        status=message.status,
        error=message.error,
        next_at=due,
        created_at=message.created_at,
        ended_at=message.ended_at,
    )
