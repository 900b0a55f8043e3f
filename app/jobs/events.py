"""A job's story as Server-Sent Events, from the first or after any event, until the job ends."""

from collections.abc import AsyncIterator
from typing import Annotated

import anyio
from anyio.to_thread import run_sync
from fastapi import Depends, Header
from fastapi.sse import ServerSentEvent

from app.deps import JobId, Service
from app.services import Services
from registry import jobs
from registry.models import ENDED, JobEvent

BATCH = 500

LastEventId = Annotated[
    int,
    Header(ge=0, le=2**31 - 1, description="number of the last event that arrived; the stream goes on after it"),
]


def existing(job_id: JobId, service: Service) -> str:
    """The id of a job that is there: an unknown one must be a 404 before the stream has begun."""
    with service.database.read() as session:
        return jobs.get(session, job_id).id


ExistingJob = Annotated[str, Depends(existing)]


async def follow(services: Services, job_id: str, *, after: int) -> AsyncIterator[ServerSentEvent]:
    """Events with a number above `after` as they are recorded.

    Each look at the database is a short session of its own: a stream that held one would starve everybody else.
    """
    with services.meters.listeners.track_inprogress():
        while not services.stopping.is_set():
            ended, found = await run_sync(_news, services, job_id, after)
            for event in found:
                after = event.number
                data = {"at": event.created_at.isoformat(), **event.data}
                yield ServerSentEvent(event=event.kind.value, id=str(event.number), data=data)
            if ended and len(found) < BATCH:
                return
            if len(found) < BATCH:
                await anyio.sleep(services.settings.event_poll_seconds)


def _news(services: Services, job_id: str, after: int) -> tuple[bool, list[JobEvent]]:
    """Whether the job has ended, and what is new. The state is read first: what ended it is then among the events."""
    with services.database.read() as session:
        ended = jobs.get(session, job_id).state in ENDED
        return ended, list(jobs.events(session, job_id, after=after, limit=BATCH))
