"""A job's story as Server-Sent Events, from the first or after any event, until the job ends."""

from collections.abc import AsyncIterator
from typing import Annotated

import anyio
from fastapi import Depends, Header, Query
from fastapi.sse import ServerSentEvent

from app.deps import JobId, Service
from app.services import Services
from registry import jobs

#: How old news may be that another listener has looked for, as a share of the time between two looks.
FRESH = 0.5

LastEventId = Annotated[
    int,
    Header(ge=0, le=2**31 - 1, description="number of the last event that arrived; the stream goes on after it"),
]
After = Annotated[
    int, Query(ge=0, le=2**31 - 1, description="the same, for those who can set no header before the first cut")
]


def existing(job_id: JobId, service: Service) -> str:
    """The id of a job that is there: an unknown one must be a 404 before the stream has begun."""
    with service.database.read() as session:
        return jobs.get(session, job_id).id


ExistingJob = Annotated[str, Depends(existing)]


async def follow(services: Services, job_id: str, *, after: int) -> AsyncIterator[ServerSentEvent]:
    """Events with a number above `after` as they are recorded.

    Each look at the database is a short session, which all listeners share: a stream that held one would starve
    everybody else.
    """
    wait = services.settings.event_poll_seconds
    with services.meters.listeners.track_inprogress(), services.stories.listening(job_id):
        while not services.stopping.is_set():
            ended, found = await services.stories.after(job_id, after, fresh_seconds=FRESH * wait)
            for event in found:
                after = event.number
                yield event.sent
            if ended:
                return
            if not found:
                await anyio.sleep(wait)
