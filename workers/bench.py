"""What a task works with: settings, database, store, queue, device. Made once in each process and passed down."""

from dataclasses import dataclass
from typing import TypedDict

from distilled.cache import Cache
from registry.queue import Queue, Waker
from registry.session import Database
from registry.store import Store
from workers import seats
from workers.seats import Seat
from workers.settings import WorkerSettings
from workers.stop_signal import StopSignal


class Holder(TypedDict):
    """Who holds a row, and for how long without a sign of life."""

    worker: str
    worker_pid: int
    device: str
    lease_seconds: float


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A pool child's workplace. `worker` names the main process in the registry, `pid` is the child's own number."""

    settings: WorkerSettings
    database: Database
    store: Store
    queue: Waker
    stop_signal: StopSignal
    worker: str
    pid: int
    device: str
    device_name: str
    memory_bytes: int | None = None  # that a job may take of the device; None: not known

    @property
    def seats(self) -> list[Seat]:
        """Where this worker runs jobs, first what it does first."""
        return seats.seats(self.settings, device=self.device, name=self.device_name, memory_bytes=self.memory_bytes)

    @property
    def holder(self) -> Holder:
        """Who claims, as the registry's `claim_next` asks."""
        return {
            "worker": self.worker,
            "worker_pid": self.pid,
            "device": self.device_name,
            "lease_seconds": self.settings.lease_seconds,
        }

    @property
    def cache(self) -> Cache:
        """What was taken from the store, for all workers of this machine."""
        return cache_of(self.settings)


def cache_of(settings: WorkerSettings) -> Cache:
    """As `Bench.cache`."""
    return Cache(folder=settings.data_dir / "cache", max_bytes=settings.worker_cache_bytes)


def open_bench(
    settings: WorkerSettings, *, worker: str, pid: int, device: str, device_name: str, memory_bytes: int | None
) -> Bench:
    """Open everything that the settings name."""
    return Bench(
        settings=settings,
        database=Database(settings.database_url),
        store=Store.open(settings.store_url),
        queue=Queue.open(settings),
        stop_signal=StopSignal(),
        worker=worker,
        pid=pid,
        device=device,
        device_name=device_name,
        memory_bytes=memory_bytes,
    )
