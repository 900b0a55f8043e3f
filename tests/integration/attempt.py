"""One attempt at a job in a process of its own: all that a worker's pool child does, without the pool around it.

A pool child is a new interpreter and takes seconds to import the laboratory. Here a fork server imports it once (it is
Python's own, and holds no open file, thread or tensor of the tests), and an attempt is a fork of it in milliseconds.
"""

import os
import signal
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import sklearn.cluster  # noqa: F401 -- as the next one: imported late otherwise, in each fork anew
import torch._dynamo  # noqa: F401

from registry.store import Store
from workers import child
from workers.bench import open_bench
from workers.settings import WorkerSettings

WORKER = "here-1"


class Deadly(Store):
    """At the second snapshot the process is killed: the bytes are there, and the registry knows of the first."""

    snapshots = 0

    def put_named(self, key: str, content: bytes) -> None:
        super().put_named(key, content)
        self.snapshots += key.startswith("snapshots/")
        if self.snapshots == 2:
            os.kill(os.getpid(), signal.SIGKILL)


def settings(home: Path) -> WorkerSettings:
    """A snapshot at every second step, and pictures as often as their share of the time allows."""
    return WorkerSettings(
        home=home,
        device="cpu",
        torch_threads=1,
        snapshot_every=2,
        snapshot_seconds=0,
        progress_seconds=0,
        picture_seconds=1e-6,
    )


def attempt(home: Path, job_id: str, is_killed: bool) -> None:
    """What is run in the fork."""
    told = settings(home)
    child.set_up(told)
    bench = open_bench(told, worker=WORKER, pid=os.getpid(), device="cpu", device_name="cpu", memory_bytes=None)
    if is_killed:
        bench = replace(bench, store=Deadly.open(told.store_url))
    child.distil(bench, job_id=job_id)


def fork_server() -> ForkServerContext:
    """The context whose processes have the laboratory at birth."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


def start(context: ForkServerContext, home: Path, job_id: str, *, is_killed: bool) -> ForkServerProcess:
    """Begin an attempt. is_killed: it ends by SIGKILL at its second snapshot."""
    process = context.Process(target=attempt, args=(home, job_id, is_killed))
    process.start()
    return process
