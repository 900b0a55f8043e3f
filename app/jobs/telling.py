"""Looking for a job's news once for all who listen to it: two hundred listeners cost the database what one does."""

import time
from collections import Counter, deque
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from anyio.to_thread import run_sync
from fastapi.sse import ServerSentEvent
from pydantic_core import to_json

from registry import jobs
from registry.models import ENDED, JobEvent
from registry.session import Database

#: So many events are read at a time, and kept for those who are behind.
BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Told:
    """An event in the form in which it is sent to everyone."""

    number: int
    sent: ServerSentEvent


@dataclass(kw_only=True)
class _News:
    """The last events of a job. after: the number of the one before them; looked: when, by this process's clock."""

    after: int
    ended: bool
    looked: float
    last: deque[Told] = field(default_factory=deque[Told])

    @property
    def newest(self) -> int:
        return self.last[-1].number if self.last else self.after

    def add(self, found: list[Told]) -> None:
        """Append what is new in what was found: another may have looked at the same time."""
        newest = self.newest
        self.last.extend(told for told in found if told.number > newest)
        while len(self.last) > BATCH:
            self.after = self.last.popleft().number


class Stories:
    """The news of all jobs that someone listens to. It belongs to the event loop; it reads in a thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._news: dict[str, _News] = {}
        self._listeners: Counter[str] = Counter()

    @contextmanager
    def listening(self, job_id: str) -> Generator[None]:
        """As long as anyone listens to a job its news are kept."""
        self._listeners[job_id] += 1
        try:
            yield
        finally:
            self._listeners[job_id] -= 1
            if not self._listeners[job_id]:
                del self._listeners[job_id]
                self._news.pop(job_id, None)

    async def after(self, job_id: str, number: int, *, fresh_seconds: float) -> tuple[bool, list[Told]]:
        """Whether the job has ended and there is no more to come than this, and the next events after that number.

        fresh_seconds: how old the news may be. Raises NotFound, RegistryUnavailable.
        """
        news = self._news.get(job_id)
        if news is None or number < news.after:
            looked = time.monotonic()
            ended, found, told = await run_sync(self._read, job_id, number)
            if len(found) < BATCH and job_id not in self._news:
                # `told`: whoever asks for what comes after an event that was never recorded says nothing of the others.
                self._news[job_id] = news = _News(after=min(number, told), ended=ended, looked=looked)
                news.add(found)
            return ended, found
        if not news.ended and time.monotonic() - news.looked >= fresh_seconds:
            news.looked = time.monotonic()  # before it looks, so that nobody else does
            ended, found, _ = await run_sync(self._read, job_id, news.newest)
            news.add(found)
            news.ended = ended
            if len(found) == BATCH:
                news.looked = 0.0  # there may be more
        return news.ended, [told for told in news.last if told.number > number]

    def _read(self, job_id: str, after: int) -> tuple[bool, list[Told], int]:
        """Whether the job has ended with these, what is new, and how many events there are.

        The state is read first: what ended it is then among the events.
        """
        with self._database.read() as session:
            job = jobs.get(session, job_id)
            ended, number = job.state in ENDED, job.events
            found = jobs.events(session, job_id, after=after, limit=BATCH)
            return ended and len(found) < BATCH, [_told(event) for event in found], number


def _told(event: JobEvent) -> Told:
    data = to_json({"at": event.created_at.isoformat(), **event.data}, inf_nan_mode="null").decode()
    sent = ServerSentEvent(event=event.kind.value, id=str(event.number), raw_data=data)
    return Told(number=event.number, sent=sent)
