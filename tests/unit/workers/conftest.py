"""A worker's bench on a migrated SQLite file, a store and a queue in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from registry import jobs
from registry.jobs import Claim
from registry.session import Database
from registry.store import Store
from registry.testing import MemoryQueue, memory_store, migrated_template, temporary_database
from workers.bench import Bench
from workers.settings import WorkerSettings
from workers.stop_signal import StopSignal

RECIPE: dict[str, Any] = {"dataset": "digits", "method": "dm", "ipc": 1, "seed": 3, "evaluation": {"networks": ["mlp"]}}


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return migrated_template(tmp_path_factory.mktemp("registry"))


@pytest.fixture
def database(tmp_path: Path, template: Path) -> Iterator[Database]:
    database = temporary_database(tmp_path, template=template)
    yield database
    database.close()


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """A bench, and hands to put jobs on it."""

    bench: Bench
    database: Database
    store: Store
    queue: MemoryQueue

    def submit(self, **recipe: Any) -> str:
        with self.database.write() as session:
            return jobs.submit(session, recipe={**RECIPE, **recipe}, digest="0" * 64, request_id="req-1").id

    def claim(self, job_id: str) -> Claim:
        with self.database.write() as session:
            claim = jobs.claim(session, job_id, worker=self.bench.worker, device="cpu", lease_seconds=60, worker_pid=7)
        assert claim is not None
        return claim

    def cancel(self, job_id: str) -> None:
        with self.database.write() as session:
            jobs.cancel(session, job_id)

    def job(self, job_id: str) -> Any:
        with self.database.read() as session:
            return jobs.get(session, job_id)

    def told(self, job_id: str, kind: str) -> list[dict[str, Any]]:
        with self.database.read() as session:
            return [event.data for event in jobs.events(session, job_id) if event.kind == kind]


@pytest.fixture
def make_workplace(database: Database, tmp_path: Path) -> Iterator[Callable[..., Workplace]]:
    signals: list[StopSignal] = []

    def make(*, store: Store | None = None, **settings: Any) -> Workplace:
        values = {"heartbeat_seconds": 0.05, "cancel_poll_seconds": 0.02, "progress_seconds": 0.0, **settings}
        store, queue, signal = store or memory_store(), MemoryQueue(), StopSignal()
        signals.append(signal)
        bench = Bench(
            settings=WorkerSettings(home=tmp_path, **values),
            database=database,
            store=store,
            queue=queue,
            stop_signal=signal,
            worker="here-1",
            pid=7,
            device="cpu",
            device_name="cpu",
        )
        return Workplace(bench=bench, database=database, store=store, queue=queue)

    yield make
    for signal in signals:
        signal.close()


@pytest.fixture
def workplace(make_workplace: Callable[..., Workplace]) -> Workplace:
    return make_workplace()
