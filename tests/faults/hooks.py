"""What a test changes in a process of the service: how a pool's children are born, the clock, and a step that hangs."""

import ctypes
import sqlite3
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from workers import celery_app
from workers.distill import loop
from workers.distill.events import Event, Progress

#: Seeds of jobs that hang after their first step: in code that lets other threads run, and in code that does not.
HANGS, HANGS_HARD = 666_001, 666_002
HANGS_AT = 1
UNIX_EPOCH_AS_JULIAN_DAY = 2440587.5
#: The file that holds how many seconds the clock of the SQLite registry is off.
CLOCK = "FAULTS_CLOCK"


def put_in_place(environment: Mapping[str, str]) -> None:
    """Change this process."""
    configured = celery_app.celery_config
    celery_app.celery_config = lambda settings: {**configured(settings), "worker_pool_start_method": "fork"}
    loop.run = _hanging(loop.run)
    if CLOCK in environment:
        clock = Path(environment[CLOCK])

        def shift(connection: Any, _record: Any) -> None:
            """Let SQLite's own clock go wrong."""
            if isinstance(connection, sqlite3.Connection):
                connection.create_function("julianday", 1, lambda _text: now(clock))

        event.listen(Engine, "connect", shift)


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
