"""Following a job: server-sent events that survive a cut line and a restarted service.

The service numbers its events and keeps them; after a cut we ask for those after the last one that arrived
(`Last-Event-ID`), so that none is missed and none comes twice.
"""

from collections.abc import Iterator

import httpx2

from distilled.client.problems import error_of, unreachable
from distilled.client.values import Event, EventKind, Job
from distilled.client.wire import Wire

_KINDS = frozenset(kind.value for kind in EventKind)


def follow(wire: Wire, job_id: str, *, after: str | None = None) -> Iterator[Event]:
    """Every event of the job, from the first or after the event `after`, until the job ends.

    Raises NotFound for no such job; Unavailable once the line was cut more often in a row than the back-off allows.
    """
    attempt = 0
    path = f"/v1/jobs/{job_id}/events"
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": after} if after else {})
        retry_after: str | None = None
        cut: Exception = httpx2.RemoteProtocolError("the stream ended before the job did")
        try:
            with wire.stream(path, query=None, headers=headers) as response:
                if response.status_code >= 400:
                    response.read()
                    if not wire.passing(response):
                        raise error_of(response)
                    cut, retry_after = error_of(response), response.headers.get("Retry-After")
                else:
                    for event in _parse(response):
                        attempt = 0  # a line that carried something is a working line
                        after = event.id or after
                        yield event
                    # A proxy may end a stream as politely as the service does; only the job knows whether it is over.
                    if Job.from_json(wire.json("GET", f"/v1/jobs/{job_id}")).ended:
                        return
        except httpx2.TransportError as broken:
            cut = broken
        wire.pause(attempt, otherwise=unreachable(wire.url, cut), retry_after=retry_after)
        attempt += 1


def _parse(response: httpx2.Response) -> Iterator[Event]:
    for message in httpx2.EventSource(response):
        # A kind that we do not know is a newer service's; we step over it.
        if message.event in _KINDS and message.data:
            yield Event.from_json(id=message.id, kind=EventKind(message.event), data=message.json())
