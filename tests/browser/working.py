"""A worker beside the front end of a browser test: the real one, in a thread, that can be held at a step."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from registry import jobs
from tests.browser.conftest import Front
from workers import child, picturing
from workers.bench import Bench
from workers.distill.events import Event, Progress
from workers.settings import WorkerSettings
from workers.stop_signal import StopSignal

SECONDS = 60


class Hand:
    """A worker's child at its bench. `hold_at`: it waits there until `go_on`, whatever it is asked."""

    def __init__(self, front: Front, patch: pytest.MonkeyPatch, *, slow: float = 0.0, **settings: Any) -> None:
        told = {"progress_seconds": 0.02, "cancel_poll_seconds": 0.05, "snapshot_seconds": 0.0, "picture_seconds": 0.05}
        self.signal = StopSignal()
        self.hold_at: int | None = None
        self.slow = slow
        self._held, self._on, self._threads = threading.Event(), threading.Event(), list[threading.Thread]()
        self.bench = Bench(
            settings=WorkerSettings(home=front.services.settings.home, **{**told, **settings}),
            database=front.services.database,
            store=front.services.store,
            queue=front.services.queue,
            stop_signal=self.signal,
            worker="lab-1:cpu",
            pid=1,
            device="cpu",
            device_name="cpu",
        )
        real: Callable[..., Iterator[Event]] = child.loop.run

        def run(*arguments: Any, **options: Any) -> Iterator[Event]:
            for event in real(*arguments, **options):
                yield event
                if isinstance(event, Progress):
                    threading.Event().wait(self.slow)
                    if event.step == self.hold_at:
                        self._held.set()
                        assert self._on.wait(SECONDS)

        patch.setattr(child.loop, "run", run)
        patch.setattr(picturing, "SHARE", 1.0)  # a machine under load would make few

    def begin(self, *, hold_at: int | None = None) -> None:
        """Take the job that is due; come back when it is held, or at once where it is not to be."""
        self.hold_at = hold_at
        self._held.clear()
        self._on.clear()
        thread = threading.Thread(target=child.distil, args=(self.bench,), kwargs={"job_id": "any"})
        thread.start()
        self._threads.append(thread)
        if hold_at is not None:
            assert self._held.wait(SECONDS)

    def go_on(self) -> None:
        """Let it go, and wait until it has settled what it had in hand."""
        self._on.set()
        self.wait()

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(SECONDS)
        self._threads.clear()

    def measure(self) -> None:
        """Do the evaluations that are due."""
        child.evaluate(self.bench, evaluation_id="any")

    def close(self) -> None:
        self.hold_at = None
        self._on.set()
        self.wait()
        self.signal.close()


def lose(front: Front, job_id: str) -> None:
    """As if the worker that has the job in hand had died, and the sweep had found it out."""
    with front.services.database.write() as session:
        jobs.get(session, job_id).lease_until = 0.0
    with front.services.database.write() as session:
        jobs.sweep(session, max_attempts=3, rewake_seconds=1e9)
