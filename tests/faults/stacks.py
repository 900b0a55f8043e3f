"""The service on one machine, and on Redis, PostgreSQL and a bucket with two front ends and two workers."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import text

from distilled.cli import home as homes
from registry import schema
from registry.queue import Queue
from registry.session import Database
from registry.settings import Settings
from registry.store import Store
from tests import services
from tests.acceptance.service import QUICK, until
from tests.faults.hooks import CLOCK

MAX_ATTEMPTS = 10
LEASE_SECONDS = 6.0
QUIET = {
    **QUICK,
    "DISTILLED_LEASE_SECONDS": str(LEASE_SECONDS),
    "DISTILLED_MAX_ATTEMPTS": str(MAX_ATTEMPTS),
    "DISTILLED_FREE_EVERY_HOURS": "0",
    "DISTILLED_SWEEP_SECONDS": "2",
    "DISTILLED_CANCEL_POLL_SECONDS": "0.5",
    "OMP_NUM_THREADS": "1",
}
#: A clock of its own for the registry of a cluster: the function that the registry asks is found here first.
SHIM = """
CREATE TABLE public.clock (off interval NOT NULL);
INSERT INTO public.clock VALUES ('0');
CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
  'SELECT pg_catalog.clock_timestamp() + (SELECT off FROM public.clock)';
ALTER DATABASE postgres SET search_path = public, pg_catalog;
"""


class Machine:
    """The process that all others are forked from (`tests.faults.machine`)."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.faults.machine"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._answer()["ready"]

    def start(self, **told: Any) -> int:
        """Start a supervisor; its process number."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(told) + "\n")
        self._process.stdin.flush()
        return self._answer()["pid"]

    def processes(self) -> dict[int, tuple[str, int]]:
        """number -> (name, parent's number) of all that was born here and lives."""
        table: dict[int, tuple[str, int]] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                name, _, rest = (folder / "stat").read_text().partition("(")[2].rpartition(")")
            except OSError:
                continue
            state, parent = rest.split()[:2]
            if state != "Z":
                table[int(folder.name)] = (name, int(parent))
        found: dict[int, tuple[str, int]] = {}
        known = {self.pid}
        while grown := {pid: one for pid, one in table.items() if one[1] in known and pid not in found}:
            found |= grown
            known |= set(grown)
        return found

    def close(self) -> None:
        """Kill everything."""
        assert self._process.stdin is not None
        for pid in self.processes():
            _send(pid, signal.SIGKILL)
        self._process.stdin.close()
        self._process.kill()  # it holds nothing, and its own end would be that of an interpreter with torch
        self._process.wait(timeout=30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())


@dataclass(kw_only=True)
class Stack:
    """A running service, and what the tests need to look into it and to do it harm."""

    name: str
    machine: Machine
    home: Path
    environment: dict[str, str]
    fronts: int
    workers: int
    redis: services.Redis | None = None
    postgresql: services.PostgreSQL | None = None
    bucket: services.Bucket | None = None
    supervisor: int = 0
    urls: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._ports = [services.free_port() for _ in range(self.fronts)]
        self.urls = [f"http://127.0.0.1:{port}" for port in self._ports]
        told = {name.removeprefix("DISTILLED_").lower(): value for name, value in self.environment.items()}
        self.settings = Settings(**{name: value for name, value in told.items() if name in Settings.model_fields})
        self.database = Database(self.settings.database_url)
        self.store = Store.open(self.settings.store_url)
        self.queue = Queue.open(self.settings)

    @property
    def embedded(self) -> bool:
        return self.postgresql is None

    def start(self) -> None:
        """Start all processes and wait until the service is ready."""
        self.launch()
        self.until_ready()

    def launch(self) -> None:
        """Start all processes."""
        logs = self.home / "logs"
        programs = [
            [f"api{i}", "app.__main__", ["--port", str(port)], self.environment, str(logs / f"api{i}.log")]
            for i, port in enumerate(self._ports)
        ]
        programs += [
            [f"worker{i}", "workers.__main__", [], self.environment, str(logs / f"worker{i}.log")]
            for i in range(self.workers)
        ]
        self.supervisor = self.machine.start(programs=programs, home=str(self.home) if self.embedded else None)

    def until_ready(self) -> None:
        """Wait until every front end says that it is ready."""

        def ready() -> bool:
            try:
                return all(httpx2.get(f"{url}/readyz", timeout=5).status_code == 200 for url in self.urls)
            except httpx2.TransportError:
                return False

        until(ready, what=f"the {self.name} stack is ready", seconds=120)

    def stop(self) -> None:
        """SIGTERM to the supervisor, and wait until nothing is left."""
        _send(self.supervisor, signal.SIGTERM)
        until(self.is_gone, what="all processes have ended", seconds=60)

    def is_gone(self) -> bool:
        """Whether none of the processes lives, or holds the home's lock.

        A process whose first thread is dead looks dead, while its other threads still end and its files are open.
        """
        if self.processes():
            return False
        try:
            with homes.locked(self.home):
                return True
        except homes.HomeInUse:
            return False

    def processes(self) -> dict[int, tuple[str, int]]:
        """All of the service's processes."""
        return self.machine.processes()

    def mains(self, kind: str) -> list[int]:
        """The API's processes, or the workers' main ones."""
        return [
            pid
            for pid, (name, parent) in self.processes().items()
            if name.startswith(kind) and parent == self.supervisor
        ]

    def children(self) -> list[int]:
        """The processes of the workers' pools."""
        mains = self.mains("worker")
        return [pid for pid, (_, parent) in self.processes().items() if parent in mains]

    def set_clock(self, seconds: float) -> None:
        """Let the registry's clock be off by so much."""
        if self.embedded:
            partial = self.home / "clock.part"
            partial.write_text(str(seconds))
            partial.replace(self.home / "clock")
        else:
            with self.database.write() as session:
                session.execute(text("UPDATE public.clock SET off = make_interval(secs => :off)"), {"off": seconds})

    def close(self) -> None:
        """Let go of what the tests themselves hold."""
        self.queue.close()
        self.database.close()


@contextmanager
def embedded(machine: Machine, home: Path, **settings: str) -> Generator[Stack]:
    """One folder, one front end, one worker."""
    (home / "logs").mkdir(parents=True)
    environment = {**_clean(), **QUIET, **settings, "DISTILLED_HOME": str(home), CLOCK: str(home / "clock")}
    schema.upgrade(f"sqlite:///{home}/registry.db")
    stack = Stack(name="embedded", machine=machine, home=home, environment=environment, fronts=1, workers=1)
    with _running(stack):
        yield stack


@contextmanager
def cluster(machine: Machine, home: Path, **settings: str) -> Generator[Stack]:
    """Redis, PostgreSQL and a bucket, two front ends and two workers. Skips where a binary is missing."""
    (home / "logs").mkdir(parents=True)
    with ExitStack() as around:
        database = around.enter_context(services.postgresql_server())
        broker = around.enter_context(services.redis_server())
        bucket = around.enter_context(services.s3_server())
        environment = {
            **_clean(),
            **QUIET,
            **settings,
            "DISTILLED_HOME": str(home),
            "DISTILLED_DATABASE_URL": database.url,
            "DISTILLED_BROKER_URL": broker.url,
            "DISTILLED_STORE_URL": bucket.endpoint.store_url,
        }
        schema.upgrade(database.url)
        shimmed = Database(database.url)
        with shimmed.write() as session:
            session.execute(text(SHIM))
        shimmed.close()
        given = {"redis": broker, "postgresql": database, "bucket": bucket}
        stack = Stack(name="cluster", machine=machine, home=home, environment=environment, fronts=2, workers=2, **given)
        with _running(stack):
            yield stack


STACKS: dict[str, Callable[..., Any]] = {"embedded": embedded, "cluster": cluster}


@contextmanager
def _running(stack: Stack) -> Generator[None]:
    try:
        yield
    finally:
        stack.close()
        for pid in stack.processes():
            _send(pid, signal.SIGKILL)
        until(stack.is_gone, what="the killed are gone", seconds=30)


def _clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("DISTILLED_")}


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        time.sleep(0)
