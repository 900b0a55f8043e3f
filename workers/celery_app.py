"""The Celery application, and what its processes do at birth.

The pool is prefork by *spawn*, one child, one task per child: CUDA cannot be used in a forked process, and only a dead
process gives its memory back. A child is therefore a new interpreter; it gets the app pickled, imports the tasks, and
asks the loader below for the rest.
"""

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

from celery import Celery, signals
from celery.loaders.app import AppLoader

from registry import logs, tracing
from registry.queue import celery_config
from workers import queue_folder
from workers.bench import Bench, open_bench
from workers.priority import step_back
from workers.settings import WorkerSettings

#: Set by the main process for children that are born while it stops: they have nothing to prepare for.
STOPPING = "DISTILLED_WORKER_STOPPING"
#: Set by the main process: its name in the registry.
NAME = "DISTILLED_WORKER_NAME"


def make_app(settings: WorkerSettings) -> Celery:
    """The application as the settings ask for it."""
    app = Celery("workers", loader="workers.celery_app:Loader", set_as_current=True)
    app.conf.update(celery_config(settings))
    app.conf.update(
        include=("workers.tasks",),
        # When a child is killed, its slot is free again after this; the task itself is not looked for any longer.
        worker_lost_wait=1.0,
        worker_redirect_stdouts=False,
        worker_log_color=False,
    )
    if settings.broker_url.startswith("filesystem:"):
        app.conf.broker_transport = queue_folder.TRANSPORT
    return app


class Loader(AppLoader):
    """Prepares a pool child: logs, then torch and the laboratory, then the bench."""

    #: Whether a wake-up for this task is still of use; the main process sets it (see `workers.wakeups`).
    is_due: Callable[[str], bool] | None = None
    _workplace: tuple[Any, Bench] | None = None

    def on_worker_process_init(self) -> None:
        """Called in the child before it takes work."""
        settings = WorkerSettings()
        step_back(settings.nice)
        logs.configure(settings)
        # Celery would otherwise set up logging of its own after this.
        signals.setup_logging.connect(keep_logging, weak=False)
        tracing.set_up(settings, process="worker")
        if not os.environ.get(STOPPING):
            self._workplace = self._prepare(settings)

    def on_process_cleanup(self) -> None:
        """Called in the child when a task is over, and its span with it."""
        tracing.flush()

    def workplace(self) -> tuple[Any, Bench]:
        """The module with the work, and what it works with."""
        if self._workplace is None:
            self._workplace = self._prepare(WorkerSettings())
        # Only now: until a task begins the pool's own handler is right, which ends a child that holds nothing.
        self._workplace[1].stop_signal.install()
        return self._workplace

    def _prepare(self, settings: WorkerSettings) -> tuple[Any, Bench]:
        child = import_module("workers.child")
        child.set_up(settings)
        device, device_name = child.choose_device(settings.device)
        worker = os.environ.get(NAME, "")
        bench = open_bench(
            settings,
            worker=worker,
            pid=os.getpid(),
            device=device,
            device_name=device_name,
            memory_bytes=child.device_memory(settings, device),
        )
        child.introduce(bench)
        child.warm_up()
        return child, bench


def keep_logging(**_told: Any) -> None:
    """Answering this signal tells Celery that logging is set up."""
