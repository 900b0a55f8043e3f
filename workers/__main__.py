"""`python -m workers`: one worker for one device, until SIGTERM.

A stop gives the running job back rather than wait hours for it: the child is told by a signal, takes a snapshot and
releases the job, and only then does Celery's own warm stop begin.
"""

import argparse
import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from billiard.util import get_logger
from celery import signals
from celery.exceptions import WorkerTerminate
from celery.platforms import SecurityWarning
from celery.worker import state

from distilled.cli.screen import Screen
from registry import logs
from registry.queue import Queue, Waker
from registry.session import Database
from workers import celery_app, identity, seats, wakeups
from workers.keeper import Keeper
from workers.settings import WorkerSettings
from workers.stop_signal import SIGNAL

#: Beyond the child's own grace: the release itself, and the process's end.
SETTLING_SECONDS = 1.5
QUIET_TRACKER = "ignore:semaphore_tracker"
#: What Celery may take to put its own things in order after that.
CELERY_SECONDS = 1.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the worker. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m workers", description="Run one worker, for one device.")
    parser.add_argument("--device", help="torch device such as cpu or cuda:1 (DISTILLED_DEVICE)")
    parser.add_argument("--queues", help="such as gpu,evaluate; by default what its device is for (DISTILLED_QUEUES)")
    parser.add_argument("--json", action="store_true", help="print a JSON line when it is ready, and when it stops")
    given = parser.parse_args(arguments)
    screen = Screen(as_json=given.json)
    if given.device:
        os.environ["DISTILLED_DEVICE"] = given.device  # the children read the environment
    if given.queues:
        os.environ["DISTILLED_QUEUES"] = given.queues
    settings = WorkerSettings()
    worker = identity.worker_name(os.getpid())
    os.environ[celery_app.NAME] = worker
    logs.configure(settings)
    # Celery warns of root because pickled messages would then be deadly; ours are JSON.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    # Celery speaks of its shutdown on stdout, which is for our JSON alone.
    sys.__stdout__ = sys.__stderr__  # pyright: ignore[reportAttributeAccessIssue]
    # Opened first: it makes the folders of an embedded queue.
    process = Main(settings, queue=Queue.open(settings), worker=worker, screen=screen)
    process.connect()
    app = celery_app.make_app(settings)
    app.loader.is_due = process.is_due
    celery_worker: Any = app.Worker(
        hostname=worker,
        queues=list(seats.queues(settings, seats.need_of(settings.device))),
        concurrency=1,
        loglevel=settings.log_level,
        without_gossip=True,
        without_mingle=True,
        quiet=True,
    )
    # Where this process is killed, the pool's tracker of semaphores would say so in the log by a bare line.
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), QUIET_TRACKER)))
    # With it a child would print lines of its pool's own before ours are set up, and they are not JSON.
    os.environ.pop("_MP_FORK_LOGLEVEL_", None)
    # What the pool says of children that died would be printed bare: its logger hands on nothing, and has no handler.
    of_pool = get_logger()
    of_pool.propagate = True
    of_pool.setLevel(logging.ERROR)
    # Celery writes past every logger to where stdout was at the beginning: that it stops, which our lines say as well.
    sys.__stdout__ = None  # as it is in a process without a console
    try:
        celery_worker.start()
    finally:
        process.close()
        screen.event("stopped", worker=worker)
    return int(celery_worker.exitcode or 0)


class Main:
    """The main process: its keeper, and how it stops."""

    def __init__(self, settings: WorkerSettings, *, queue: Waker, worker: str, screen: Screen) -> None:
        self._settings, self._queue, self._worker, self._screen = settings, queue, worker, screen
        self._database = Database(settings.database_url)
        self._pool: Any = None
        self._keeper: Keeper | None = None

    def is_due(self, task: str) -> bool:
        """Whether a wake-up for this task is still of use."""
        return wakeups.is_anything_queued(self._database, task, worker=self._worker)

    def connect(self) -> None:
        """Hear of Celery's comings and goings."""
        pairs: list[tuple[Any, Callable[..., None]]] = [
            (signals.setup_logging, celery_app.keep_logging),
            (signals.worker_ready, self._on_ready),
            (signals.worker_shutting_down, self._on_stop),
        ]
        for heard, handler in pairs:
            heard.connect(handler, weak=False)

    def _on_ready(self, *, sender: Any, **_told: Any) -> None:
        self._pool = sender.pool
        self._keeper = Keeper(
            settings=self._settings,
            database=self._database,
            queue=self._queue,
            worker=self._worker,
            pid=os.getpid(),
            child_pids=self._child_pids,
            busy_pids=_busy_pids,
        )
        self._keeper.start()
        self._screen.event("ready", worker=self._worker)

    def _on_stop(self, **_told: Any) -> None:
        """Have the child give its job back, and wait for that here if nothing else would.

        Runs inside the signal handler. Celery's threaded pool starts its children in a thread that ends as soon as
        the stop begins, and the kernel kills a child with the thread that started it: it must be done by then.
        """
        os.environ[celery_app.STOPPING] = "1"
        for pid in self._child_pids():
            try:
                os.kill(pid, SIGNAL)
            except ProcessLookupError:
                continue
        if self._pool is None or not self._pool.options.get("threads", True):
            return  # the evented pool starts its children in this thread and waits for them by itself
        deadline = time.monotonic() + self._settings.stop_grace_seconds + SETTLING_SECONDS
        while state.active_requests and time.monotonic() < deadline:
            time.sleep(0.05)
        self.close()
        # Nothing of worth is in the pool any more. Raised here it ends Celery's wait for messages at once, and does not
        # wait for the next child to be born before that may go. The timer cuts the pool's own wait for lost results.
        timer = threading.Timer(CELERY_SECONDS, os._exit, [0])
        timer.daemon = True
        timer.start()
        raise WorkerTerminate(0)

    def close(self) -> None:
        """Say goodbye to the registry."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.stop()

    def _child_pids(self) -> list[int]:
        try:
            return [pid for pid in self._pool.info["processes"] if pid]
        except AttributeError:  # before the pool has begun, and after it has ended
            return []


def _busy_pids() -> list[int]:
    """The children that have a task in hand, by Celery's own account."""
    return [pid for request in list(state.active_requests) if (pid := getattr(request, "worker_pid", None))]


if __name__ == "__main__":
    sys.exit(main())
