"""What a test changes in a process of the service: how a pool's children are born, the clock, and a step that hangs."""

import ctypes
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

from sqlalchemy import Engine, event

from registry.session import Database
from workers import celery_app
from workers.distill import loop
from workers.distill.events import Event, Progress

#: Seeds of jobs that hang after their first step: in code that lets other threads run, and in code that does not.
HANGS, HANGS_HARD = 666_001, 666_002
HANGS_AT = 1
UNIX_EPOCH_AS_JULIAN_DAY = 2440587.5
#: The file that holds how many seconds the clock of the SQLite registry is off.
CLOCK = "FAULTS_CLOCK"


def put_in_place(environment: Mapping[str, str], *, is_worker: bool) -> None:
    """Change this process."""
    configured = celery_app.celery_config
    celery_app.celery_config = lambda settings: {**configured(settings), "worker_pool_start_method": "fork"}
    if is_worker:
        Forks().put_in_place()
    loop.run = _hanging(loop.run)
    if CLOCK in environment:
        clock = Path(environment[CLOCK])

        def shift(connection: Any, _record: Any) -> None:
            """Let SQLite's own clock go wrong."""
            if isinstance(connection, sqlite3.Connection):
                connection.create_function("julianday", 1, lambda _text: now(clock))

        event.listen(Engine, "connect", shift)


class Forks:
    """Lets a worker's main process fork only while none of its threads is in the database, nor any connection open.

    A child of the real pool is a new interpreter. A fork has a copy of its parent's locks, those of SQLite too, in the
    state that they were in: one that is held then is held for ever, and the child waits for it, or finds the database
    locked by a connection that it does not have.
    """

    def __init__(self) -> None:
        self._turn = threading.RLock()
        self._is_child = False
        self._databases: WeakSet[Database] = WeakSet()

    def put_in_place(self) -> None:
        """Change `Database` for the rest of this process's life."""
        for name in ("read", "write"):
            setattr(Database, name, self._in_turn(getattr(Database, name)))
        os.register_at_fork(before=self._before, after_in_parent=self._go_on, after_in_child=self._born)

    def _in_turn(self, block: Callable[[Database], Any]) -> Callable[[Database], Any]:
        @contextmanager
        def taken(database: Database) -> Generator[Any]:
            if self._is_child:
                with block(database) as session:
                    yield session
                return
            with self._turn, block(database) as session:
                self._databases.add(database)
                yield session

        return taken

    def _before(self) -> None:
        self._turn.acquire()
        for database in () if self._is_child else tuple(self._databases):
            database.close()

    def _go_on(self) -> None:
        self._turn.release()

    def _born(self) -> None:
        self._is_child = True
        self._turn = threading.RLock()


def now(clock: Path) -> float:
    """The Julian day by a clock that is off by what the file says."""
    try:
        off = float(clock.read_text())
    except (OSError, ValueError):
        off = 0.0
    return UNIX_EPOCH_AS_JULIAN_DAY + (time.time() + off) / 86400.0


def _hanging(run: Any) -> Any:
    def wrapped(recipe: Mapping[str, Any], real: Any, **options: Any) -> Iterator[Event]:
        for one in run(recipe, real, **options):
            yield one
            if isinstance(one, Progress) and one.step == HANGS_AT and recipe["seed"] == HANGS:
                time.sleep(3600)
            if isinstance(one, Progress) and one.step == HANGS_AT and recipe["seed"] == HANGS_HARD:
                ctypes.PyDLL(None).sleep(3600)  # by PyDLL, and so without letting go of the interpreter

    return wrapped
