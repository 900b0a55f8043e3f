"""The parts of the running service, opened once and handed to every route."""

import json
import threading
from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from anyio import CapacityLimiter
from sqlalchemy.orm import Session

from app.jobs.telling import Stories
from app.keys.ring import Ring
from app.metrics.collecting import RegistryCollector
from app.metrics.meters import Meters
from app.metrics.process import ProcessCollector
from app.samples.cache import FileCache
from app.samples.places import Streams
from app.settings import AppSettings
from app.settling import settle
from registry import gauges
from registry.gauges import Gauges
from registry.queue import Queue, Waker
from registry.session import Database
from registry.store import Store

if TYPE_CHECKING:
    from app.samples.sampler import Sampler

#: Generated from the laboratory's own declarations; a contract test keeps it current.
CATALOG = Path(__file__).with_name("catalog.json")

Catalog = Mapping[str, Any]


class Broker(Waker, Protocol):
    """What the front end needs of a queue."""

    def ping(self, *, timeout_seconds: float = 2.0) -> None:
        """Connect to the broker. Raises QueueDown."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(kw_only=True)
class Services:
    """What routes need. `stopping` is set when the process is asked to end, so that event streams let go."""

    settings: AppSettings
    database: Database
    store: Store
    queue: Broker
    catalog: Catalog
    stopping: threading.Event = field(default_factory=threading.Event)
    exports: FileCache = field(init=False)
    streams: Streams = field(init=False)
    comparing: CapacityLimiter = field(init=False)
    ring: Ring = field(init=False)
    meters: Meters = field(default_factory=Meters, init=False)
    measured: RegistryCollector = field(init=False)
    stories: Stories = field(init=False)
    _turn: AbstractContextManager[object] = field(init=False)
    _opening: threading.Lock = field(default_factory=threading.Lock, init=False)
    _sampler: "Sampler | None" = None

    def __post_init__(self) -> None:
        one_writer = self.settings.database_url.startswith("sqlite")
        self._turn = threading.Lock() if one_writer else nullcontext()
        folder = self.settings.home.expanduser().absolute() / "cache" / "exports"
        self.exports = FileCache(folder, max_bytes=self.settings.export_cache_bytes)
        self.ring = Ring(self.database, seconds=self.settings.key_cache_seconds)
        self.stories = Stories(self.database)
        self.streams = Streams(most=self.settings.max_streams, stopping=self.stopping)
        self.comparing = CapacityLimiter(1)  # searches for real neighbours at a time
        self.meters.registry.register(ProcessCollector(self))
        self.measured = RegistryCollector(self._gauges)
        self.meters.registry.register(self.measured)

    @classmethod
    def open(cls, settings: AppSettings) -> "Services":
        """Open what the settings name. Nothing is connected to before it is used."""
        return cls(
            settings=settings,
            database=Database(settings.database_url),
            store=Store.open(settings.store_url),
            queue=Queue.open(settings),
            catalog=json.loads(CATALOG.read_text(encoding="utf-8")),
        )

    @contextmanager
    def writing(self) -> Generator[Session]:
        """One write transaction, committed at its end or rolled back by an exception. Keep it short, in one thread.

        Writers of this process take turns before they go to the database: SQLite lets them wait by trying again, and
        of forty that do, some starve until their time is up. Raises RegistryUnavailable.
        """
        with self._turn, self.database.write() as session:
            yield session

    @property
    def sampler(self) -> "Sampler":
        """The sampler; torch is imported when the first one asks, and never by a front end that only takes jobs."""
        with self._opening:
            if self._sampler is None:
                from app.samples.sampler import Sampler  # noqa: PLC0415 -- the one heavy import, paid on first use

                self._sampler = Sampler()
                settle()
            return self._sampler

    def _gauges(self) -> Gauges:
        with self.database.read() as session:
            return gauges.look(session)

    def close(self) -> None:
        """Close the connections."""
        self.queue.close()
        self.database.close()
